"""A store on disk: its paths, its SQLite connection, and forward migrations.

A store is one directory::

    workbench.sqlite    catalogue, runs, metrics, models (WAL)
    datasets/<name>/<version>.duckdb
    runs/<id>/          spec.json log.txt events.jsonl checkpoint/ artifacts/
    models/<name>/<version>/
    tmp/                half-built files; swept at start

SQLite is opened on one host only. Everything here is plain ``sqlite3``: a connection per thread,
``BEGIN IMMEDIATE`` around every write, rows as :class:`sqlite3.Row`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workbench.errors import StoreError, UsageError
from workbench.schema import MIGRATIONS, statements

__all__ = ["StoreDir", "default_root", "highest", "inside"]

#: How the names of notes on files begin whose place in the store is being taken or given up.
_NOTE = "place-"
#: By which query the database says whether it knows a file or folder; the last name is without a suffix.
_ENTERED = {
    "datasets": "SELECT 1 FROM dataset_versions WHERE name = ? AND version = ?",
    "models": "SELECT 1 FROM models WHERE name = ? AND version = ?",
    "runs": "SELECT 1 FROM runs WHERE id = ?",
}


def default_root() -> Path:
    """The store that is used when none is named: ``$WORKBENCH_STORE``, else ``data/store``."""
    return Path(os.environ.get("WORKBENCH_STORE") or Path("data") / "store")


def highest(folder: Path) -> int:
    """The highest number that names a file or folder in `folder`; 0 if none does."""
    return max((int(path.stem) for path in folder.glob("*") if path.stem.isdecimal()), default=0)


def inside(root: Path, *parts: str) -> Path:
    """The path of `parts` below `root`; refuses anything that would leave it."""
    path = root.joinpath(*parts).resolve()
    if not path.is_relative_to(root):
        raise UsageError(f"{'/'.join(parts)!r} is outside the store.")
    return path


class StoreDir:
    """The directory of a store.

    Parameters
    ----------
    root : path-like
        Created, with its database, if it does not exist.

    Attributes
    ----------
    root : Path
    read_only : bool
        Whether it lies where this process may not write (a read-only mount, somebody else's folder): all can
        be looked at then, and nothing changed.

    Raises
    ------
    StoreError
        If the directory cannot be created, or was made by a newer version of the workbench.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root if root is not None else default_root()).expanduser().resolve()
        self.read_only = self.database.exists() and not (
            os.access(self.root, os.W_OK, effective_ids=True)
            and os.access(self.database, os.W_OK, effective_ids=True)
        )
        if not self.read_only:
            try:
                for path in (self.root, self.datasets, self.runs, self.models, self.tmp):
                    path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"The store {self.root} cannot be created: {error.strerror}.") from error
        self._local = threading.local()
        self._migrate()

    database = property(lambda self: self.root / "workbench.sqlite")
    datasets = property(lambda self: self.root / "datasets")
    runs = property(lambda self: self.root / "runs")
    models = property(lambda self: self.root / "models")
    tmp = property(lambda self: self.root / "tmp")

    def __repr__(self) -> str:
        return f"StoreDir({str(self.root)!r})"

    def inside(self, *parts: str) -> Path:
        """The path of `parts` below the root; refuses anything that would leave it."""
        return inside(self.root, *parts)

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode: use :meth:`write` for changes."""
        key = os.getpid()
        if getattr(self._local, "pid", None) != key:  # never carry a connection over a fork
            self._local.pid, self._local.connection = key, self._connect()
        connection: sqlite3.Connection = self._local.connection
        return connection

    def check_writable(self) -> None:
        """Refuse what would change a store that can only be looked at.

        Raises
        ------
        StoreError
        """
        if self.read_only:
            raise StoreError(f"The store {self.root} is read-only: nothing in it can be changed from here.")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed at the end of the block, rolled back on any error.

        Within it, :meth:`place` and :meth:`discard` do the same for files and folders.
        """
        self.check_writable()
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise StoreError(f"The store {self.root} cannot be written: {error}.") from error
        moves: list[tuple[Path, Path, Path | None]] = []
        self._local.moves = moves
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for note, path, source in moves:
                if source is not None:
                    with suppress(OSError):
                        os.rename(path, source)
                note.unlink(missing_ok=True)
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"The store {self.root} cannot be written: {error}.") from error
            raise
        for note, path, source in moves:
            if source is None:
                _remove(path)
            note.unlink(missing_ok=True)

    def place(self, source: Path, target: Path) -> None:
        """Move `source` to `target` with the write transaction that enters it: both are done, or neither.

        No rename is rolled back for a process that is killed before it commits. So a note is left first, by
        which :meth:`sweep` finds what lies in its place and was never entered.
        """
        note = self._note(target)
        note.touch()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(source, target)
        except BaseException:
            note.unlink(missing_ok=True)
            raise
        self._local.moves.append((note, target, source))

    def discard(self, path: Path) -> None:
        """Remove a file or folder once the write transaction that strikes it off is committed."""
        note = self._note(path)
        with suppress(OSError):  # on a full disk above all one must be able to delete
            note.touch()
        self._local.moves.append((note, path, None))

    def is_noted(self, path: Path) -> bool:
        """Whether `path` was being placed or discarded by somebody who may have died over it."""
        return self._note(path).exists()

    def sweep(self) -> list[Path]:
        """Remove what kills left in place and the database does not know; safe at any time."""
        return self._follow_notes(clear=True)

    def left_in_place(self) -> list[Path]:
        """What :meth:`sweep` would remove."""
        return self._follow_notes(clear=False)

    def _follow_notes(self, *, clear: bool) -> list[Path]:
        found: list[Path] = []
        if self.read_only or next(self.tmp.glob(f"{_NOTE}*"), None) is None:
            return found
        with self.write() as db:  # nobody is between a note and its commit now
            for note in sorted(self.tmp.glob(f"{_NOTE}*")):
                kind, *names = note.name.removeprefix(_NOTE).split("@")
                path = self.inside(kind, *names)
                entered = db.execute(_ENTERED[kind], [*names[:-1], Path(names[-1]).stem]).fetchone()
                if entered is None and path.exists():
                    found.append(path)
                    if clear:
                        _remove(path)
                if clear:
                    note.unlink(missing_ok=True)
        return found

    def _note(self, path: Path) -> Path:
        return self.tmp / (_NOTE + "@".join(path.relative_to(self.root).parts))

    def close(self) -> None:
        """Close this thread's connection (the next use opens another)."""
        if getattr(self._local, "pid", None) == os.getpid():
            self._local.connection.close()
        self._local.pid = None

    def _connect(self) -> sqlite3.Connection:
        if self.read_only:
            return self._connect_to_read()
        try:
            connection = sqlite3.connect(self.database, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error as error:
            raise StoreError(f"{self.database} cannot be opened: {error}.") from error
        return connection

    def _connect_to_read(self) -> sqlite3.Connection:
        # Where others write, their log and its index lie beside the database. Where neither does, SQLite has
        # to be told that nothing will change, or it would want to make them.
        used = any(Path(f"{self.database}-{part}").exists() for part in ("wal", "shm"))
        mode = "mode=ro" if used else "mode=ro&immutable=1"
        try:
            connection = sqlite3.connect(
                f"{self.database.as_uri()}?{mode}", uri=True, timeout=30, isolation_level=None
            )
            connection.row_factory = sqlite3.Row
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")
        except sqlite3.Error as error:
            raise StoreError(
                f"The store {self.root} is read-only and cannot be read as it is ({error}): "
                "open it once where it can be written."
            ) from error
        return connection

    def _migrate(self) -> None:
        version: int = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreError(
                f"The store {self.root} was made by a newer workbench (schema {version}, this one knows "
                f"{len(MIGRATIONS)}): upgrade the package."
            )
        if version == len(MIGRATIONS):
            return
        if self.read_only:
            raise StoreError(
                f"The store {self.root} is read-only and was made by an earlier workbench (schema {version} "
                f"of {len(MIGRATIONS)}): open it once where it can be written."
            )
        with self.write() as connection:
            # Another process may have migrated while this one waited for the lock.
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            for script in MIGRATIONS[version:]:
                for statement in statements(script):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
