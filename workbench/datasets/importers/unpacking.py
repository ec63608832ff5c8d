"""Compressed files: unpacked into the build's folder, with an eye on bombs."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from workbench.datasets.files import Build
from workbench.datasets.importers import Source
from workbench.errors import ImportFailed

__all__ = ["BOMB_BYTES", "BOMB_RATIO", "DAMAGED", "check_zip", "unpacked"]

#: What is raised by readers of archives that were cut short or changed.
DAMAGED = (
    ValueError, KeyError, OSError, EOFError, SyntaxError, NotImplementedError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

#: What unpacks to more than both is refused; real tables pack three to thirty times.
BOMB_BYTES, BOMB_RATIO = 256 << 20, 100
_CHUNK = 1 << 20


@contextmanager
def unpacked(sources: Sequence[Source], build: Build) -> Iterator[list[Source]]:
    """The sources with every ``.gz`` among them unpacked; faults still name the file as it was given.

    DuckDB reads a plain file with all cores and a packed one with one, so this costs no time.
    """
    originals: dict[Path, Path] = {}
    plain = []
    for number, source in enumerate(sources):
        if source.path.suffix.lower() == ".gz":
            folder = build.folder / f"unpacked-{number}"
            folder.mkdir()
            target = folder / source.path.name[: -len(".gz")]
            _unpack(source.path, target, build)
            originals[target] = source.path
            source = replace(source, path=target)
        plain.append(source)
    try:
        yield plain
    except ImportFailed as error:
        original = originals.get(Path(error.file)) if error.file is not None else None
        if original is None:
            raise
        raise ImportFailed(error.problem, file=original, line=error.line, column=error.column) from error


def check_zip(path: Path) -> None:
    """Refuse a zip archive that unpacks to far more than it is.

    Raises
    ------
    ImportFailed
    zipfile.BadZipFile
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(info.file_size for info in members)
        if any(info.flag_bits & 1 for info in members):
            raise ImportFailed("is encrypted: save it without a password.", file=path)
    if total > BOMB_BYTES and total > BOMB_RATIO * path.stat().st_size:
        raise ImportFailed(
            f"unpacks to more than {BOMB_RATIO} times its size: unpack it yourself if you trust it.",
            file=path,
        )


def _unpack(path: Path, target: Path, build: Build) -> None:
    packed, written = path.stat().st_size, 0
    try:
        with gzip.open(path) as file, target.open("wb") as out:
            while chunk := file.read(_CHUNK):
                written += len(chunk)
                if written > BOMB_BYTES and written > BOMB_RATIO * packed:
                    raise ImportFailed(
                        f"unpacks to more than {BOMB_RATIO} times its size, which no honest table does: "
                        "unpack it yourself if you trust it.",
                        file=path,
                    )
                out.write(chunk)
                build.say(0.0, f"unpacking {path.name}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportFailed("is damaged or cut short: copy it again.", file=path) from error
