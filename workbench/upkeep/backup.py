"""The whole store as one folder or one archive, and back.

::

    manifest.json        every file with its size and SHA-256, the schema, when and by what it was made
    workbench.sqlite     a consistent copy, taken while the store is in use
    token.key            so that tokens stay valid
    datasets/ models/ runs/

What the copy of the database refers to is copied after it; versions and models never change, so what is there
is what was meant. Runs that ran are queued in the copy, and go on from their checkpoint once restored.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import workbench
from workbench.errors import StoreError, UsageError
from workbench.schema import MIGRATIONS
from workbench.store import StoreDir
from workbench.tokens import KEY_FILE

__all__ = ["Summary", "backup", "restore"]

MANIFEST = "manifest.json"
DATABASE = "workbench.sqlite"
FORMAT = 1
_BLOCK = 1 << 20
_ARCHIVES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}
_ATTEMPTS = 3  # a version deleted between the database's copy and its own asks for a new copy
_NOT_COPIED = ("lock", "artifacts.part")  # of a run's folder


@dataclass(frozen=True)
class Summary:
    """What was backed up or restored."""

    path: Path
    n_files: int
    n_bytes: int


class _Vanished(Exception):
    """A file that the database's copy refers to was deleted meanwhile."""


def backup(dir: StoreDir, target: str | os.PathLike[str]) -> Summary:
    """Write the store to `target`, while it may be in use.

    Parameters
    ----------
    dir : StoreDir
    target : path-like
        An archive if it ends in ``.tar``, ``.tar.gz`` or ``.tgz``, else a folder. Must not exist; it appears
        whole or not at all.

    Returns
    -------
    Summary

    Raises
    ------
    UsageError
        If it exists, or lies within the store.
    StoreError
        If a file of the store is missing, or the disk is full.
    """
    path = Path(target).expanduser().resolve()
    if path.exists():
        raise UsageError(f"{path} exists already: name a new file or folder; a backup overwrites nothing.")
    if path.is_relative_to(dir.root):
        raise UsageError(f"{path} is within the store: a backup belongs elsewhere.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        for attempt in range(_ATTEMPTS):
            staged = part / f"copy{attempt}"
            try:
                summary = _write(dir, staged, part / "database", _mode(path))
                break
            except _Vanished as error:
                missing = str(error)
                shutil.rmtree(staged, ignore_errors=True)
        else:
            raise StoreError(
                f"{missing} is missing from the store: run `python -m workbench check`, then back up again."
            )
        os.rename(staged, path)
    except OSError as error:
        raise StoreError(f"The backup cannot be written to {path}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Summary(path, summary.n_files, summary.n_bytes)


def restore(source: str | os.PathLike[str], root: str | os.PathLike[str]) -> Summary:
    """Make the store `root` from a backup; every file is compared with its checksum.

    Raises
    ------
    UsageError
        If `source` is no backup, or `root` exists and is not an empty folder.
    StoreError
        If the backup is damaged or was made by a newer version; nothing is kept then.
    """
    source, root = Path(source).expanduser(), Path(root).expanduser().resolve()
    if not source.exists():
        raise UsageError(f"There is no backup {source}.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(
            f"{root} is not empty: restore into a new folder (--store DIR); nothing is overwritten."
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        found, manifest = _read(source, part)
        _check(found, manifest, source)
        _settle(part)
        part.chmod(0o755)
        os.rename(part, root)
    except OSError as error:
        raise StoreError(f"The backup cannot be restored to {root}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    StoreDir(root).close()  # brings an older schema forward, and makes the folders that were empty
    return Summary(root, len(found), sum(size for size, _ in found.values()))


# --- writing ------------------------------------------------------------------------------------


def _mode(path: Path) -> str | None:
    return next((mode for suffix, mode in _ARCHIVES.items() if path.name.endswith(suffix)), None)


def _write(dir: StoreDir, staged: Path, database: Path, mode: str | None) -> Summary:
    _copy_database(dir, database)
    files: dict[str, dict[str, Any]] = {}
    with _Folder(staged) if mode is None else _Archive(staged, mode) as out:
        for name, path, needed, expected in _files(dir, database):
            try:
                with path.open("rb") as file:
                    size, checksum = out.add(name, file)
            except FileNotFoundError as error:
                if needed:
                    raise _Vanished(name) from error
                continue
            if expected not in (None, checksum):
                raise StoreError(
                    f"{name} is not the file that was made: run `python -m workbench check` before a backup."
                )
            files[name] = {"bytes": size, "sha256": checksum}
        manifest = {
            "format": FORMAT,
            "workbench": workbench.__version__,
            "schema": len(MIGRATIONS),
            "created": time.time(),
            "files": files,
        }
        out.finish(json.dumps(manifest, indent=1).encode())
    return Summary(staged, len(files), sum(entry["bytes"] for entry in files.values()))


def _copy_database(dir: StoreDir, target: Path) -> None:
    """A consistent copy by SQLite itself, in which nothing runs any more."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        dir.connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        copy.execute("DELETE FROM workers")
        copy.execute(
            "UPDATE runs SET state = 'queued', worker = NULL, lease_boot = NULL, lease_until = NULL,"
            " slot = NULL, job = '', remaining = NULL WHERE state = 'running'"
        )


def _files(dir: StoreDir, database: Path) -> Iterator[tuple[str, Path, bool, str | None]]:
    """Name, path, whether it must be there, and its checksum where known, of all the database refers to."""
    yield DATABASE, database, True, None
    yield KEY_FILE, dir.root / KEY_FILE, False, None
    with closing(sqlite3.connect(database)) as copy:
        versions = copy.execute(
            "SELECT name, version, checksum FROM dataset_versions ORDER BY 1, 2"
        ).fetchall()
        models = copy.execute("SELECT name, version FROM models ORDER BY 1, 2").fetchall()
        runs = copy.execute("SELECT id, state FROM runs ORDER BY 1").fetchall()
    for name, version, checksum in versions:
        path = dir.inside("datasets", name, f"{version}.duckdb")
        yield f"datasets/{name}/{version}.duckdb", path, True, checksum
    for name, version in models:
        folder = dir.inside("models", name, str(version))
        yield f"models/{name}/{version}/estimator.json", folder / "estimator.json", True, None
        for path in _below(folder):
            if path.name != "estimator.json" or path.parent != folder:
                yield f"models/{name}/{version}/{path.relative_to(folder).as_posix()}", path, False, None
    for run, _ in runs:
        folder = dir.inside("runs", run)
        for path in _below(folder):
            inner = path.relative_to(folder)
            if inner.parts[0] not in _NOT_COPIED and not path.name.endswith(".part"):
                yield f"runs/{run}/{inner.as_posix()}", path, False, None


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


class _Folder:
    """A backup as a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> _Folder:
        self.root.mkdir()
        return self

    def __exit__(self, *exception: object) -> None: ...

    def add(self, name: str, file: IO[bytes]) -> tuple[int, str]:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            found = _copy(file, out.write)
            out.flush()
            os.fsync(out.fileno())
        if name == KEY_FILE:
            path.chmod(0o600)
        return found

    def finish(self, manifest: bytes) -> None:
        (self.root / MANIFEST).write_bytes(manifest)


class _Archive:
    """A backup as a tar file."""

    def __init__(self, path: Path, mode: str) -> None:
        self._tar = tarfile.open(path, mode, format=tarfile.PAX_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115
        path.chmod(0o600)  # it holds the key of the tokens

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self._tar.close()

    def add(self, name: str, file: IO[bytes]) -> tuple[int, str]:
        # A log may grow while it is read: what it is at the start is what is kept.
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = os.fstat(file.fileno()).st_size, int(time.time()), 0o600
        hashed = _Hashed(file)
        self._tar.addfile(info, hashed)
        return info.size, hashed.digest()

    def finish(self, manifest: bytes) -> None:
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(manifest)
        self._tar.addfile(info, io.BytesIO(manifest))


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._hash.update(block)
        return block

    def digest(self) -> str:
        return self._hash.hexdigest()


def _copy(file: Any, write: Callable[[bytes], object]) -> tuple[int, str]:
    """Copy to the end; returns the size and the checksum."""
    hashed, size = _Hashed(file), 0
    while block := hashed.read(_BLOCK):
        write(block)
        size += len(block)
    return size, hashed.digest()


# --- reading ------------------------------------------------------------------------------------

_Found = dict[str, tuple[int, str]]


def _read(source: Path, part: Path) -> tuple[_Found, dict[str, Any]]:
    """Copy the files of a backup into `part`; returns what they are, and the manifest."""
    found: _Found = {}
    manifest = b""
    try:
        for name, file in _members(source):
            if name == MANIFEST:
                manifest = file.read()
                continue
            path = part / _safe(name, source)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as out:
                found[name] = _copy(file, out.write)
                out.flush()
                os.fsync(out.fileno())
        head = json.loads(manifest)
        if head["format"] != FORMAT:
            raise StoreError(
                f"{source} was made by another version of the workbench (format {head['format']})."
            )
        if head["schema"] > len(MIGRATIONS):
            raise StoreError(
                f"{source} was made by a newer workbench ({head['workbench']}): upgrade the package."
            )
        head["files"].items()
    except (
        tarfile.TarError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        raise UsageError(f"{source} is no backup, or is cut off: its manifest cannot be read.") from error
    return found, head


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if source.is_dir():
        for path in _below(source):
            with path.open("rb") as file:
                yield path.relative_to(source).as_posix(), file
        return
    with tarfile.open(source, "r|*") as tar:  # a stream: members are read once, in their order
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                raise UsageError(f"{source} is no backup: it holds {member.name!r}, which is no plain file.")
            yield member.name, content


def _safe(name: str, source: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UsageError(f"{source} is no backup: it holds a file {name!r}.")
    return path


def _check(found: _Found, manifest: dict[str, Any], source: Path) -> None:
    listed = {name: (entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()}
    for name in sorted(listed.keys() | found.keys()):
        if name not in found:
            raise StoreError(f"The backup {source} is damaged: {name} is missing; nothing was restored.")
        if name not in listed:
            raise StoreError(
                f"The backup {source} is damaged: {name} does not belong to it; nothing was restored."
            )
        if found[name] != listed[name]:
            raise StoreError(f"The backup {source} is damaged: {name} has changed; nothing was restored.")


def _settle(part: Path) -> None:
    """Modes as the store gives them."""
    for path in part.glob("datasets/*/*.duckdb"):
        path.chmod(0o444)
    if (part / KEY_FILE).exists():
        (part / KEY_FILE).chmod(0o600)
