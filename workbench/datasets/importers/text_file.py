"""What the bytes of a text file tell before it is read: its encoding, its line ends, what it is not."""

from __future__ import annotations

import codecs
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.datasets.files import Build
from workbench.datasets.importers import Source
from workbench.errors import ImportFailed, UsageError

__all__ = [
    "NOT_UTF8",
    "Bytes",
    "as_utf8",
    "first_bad_byte",
    "not_utf8",
    "one_line_end",
    "scan",
    "without_mark",
]

NOT_UTF8 = "is not UTF-8 text: save it as UTF-8, or name its encoding (for example 'latin-1')."
_CHUNK = 1 << 20
_SCAN_CHUNK = 1 << 18  # fits the processor's cache: measured
_THREADS = min(4, os.cpu_count() or 1)
_MARKS = (  # the longer mark first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_JSON_LINE = re.compile(rb"\s*\{\s*\"[^\n]*\}\s*(?:\n|$)")


@dataclass(frozen=True)
class Bytes:
    """What one pass over all bytes of a file found.

    Attributes
    ----------
    zero_padded : bool
        Some cell may be a number with a leading zero (``007``).
    offsets : bool
        Some cell may be a time stamp with an offset (``12:00+02:00``).
    """

    zero_padded: bool
    offsets: bool


def as_utf8(source: Source, build: Build, encoding: str | None) -> tuple[Path, list[str]]:
    """The file as UTF-8: itself, or a copy in the build's folder; and notes on what was done.

    Raises
    ------
    ImportFailed
        If it is empty, no text, or in another encoding that nothing names.
    """
    path, notes = source.path, list[str]()
    with path.open("rb") as file:
        head = file.read(_CHUNK)
    if not head.strip():
        raise ImportFailed("is empty.", file=path)
    if encoding is None:
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
        if encoding is not None:
            notes.append(f"{path.name} was read as {encoding.upper()}.")
    if encoding is not None:
        target = build.folder / f"as-utf8-{len(list(build.folder.glob('as-utf8-*')))}" / path.name
        target.parent.mkdir()
        _transcode(path, target, encoding)
        path = target
    elif b"\0" in head:
        raise ImportFailed(
            "is not text (it holds zero bytes): if it is UTF-16, name the encoding 'utf-16'.", file=path
        )
    else:
        _check_utf8(head, path)
    if _WEB_PAGE.match(head):
        raise ImportFailed("is a web page, not a table: download the file itself.", file=path)
    if _JSON_LINE.match(head):
        raise ImportFailed("holds JSON, not delimited text: rename it to .jsonl.", file=path)
    return path, notes


def without_mark(path: Path, build: Build) -> Path:
    """A file that begins with a byte-order mark as UTF-8 without one, copied to the build's folder."""
    with path.open("rb") as file:
        head = file.read(4)
    marks = (*_MARKS, (codecs.BOM_UTF8, "utf-8"))
    encoding = next((name for mark, name in marks if head.startswith(mark)), None)
    if encoding is None:
        return path
    target = build.folder / f"unmarked-{len(list(build.folder.glob('unmarked-*')))}" / path.name
    target.parent.mkdir()
    _transcode(path, target, encoding)
    return target


def scan(path: Path, source: Source, delimiter: str, *, numbers: bool, times: bool) -> Bytes:
    """One pass over all bytes, for what DuckDB takes without a word.

    Parameters
    ----------
    path : Path
    source : Source
        What faults name.
    delimiter : str
    numbers, times : bool
        Whether there are columns of whole numbers, of time stamps, to look out for.

    Returns
    -------
    Bytes

    Raises
    ------
    ImportFailed
        If there is a zero byte, with its line.
    """
    size = path.stat().st_size
    separator = ord(delimiter[:1] or ",")

    def look(start: int) -> Bytes:
        # One byte of what stands before and three of what follows, so that no cell is cut. The ends of the
        # file are the ends of a line.
        here = os.pread(file.fileno(), _SCAN_CHUNK + 3 + bool(start), max(start - 1, 0))
        if b"\0" in here:
            raise ImportFailed(
                "holds a zero byte, which no text does: repair the file.",
                file=source.path,
                line=_line_of_zero(path),
            )
        here = (b"" if start else b"\n") + here + (b"\n\n" if start + _SCAN_CHUNK + 3 >= size else b"")
        return Bytes(numbers and _has_padded(here, separator), times and _has_offsets(here))

    # NumPy lets go of the interpreter's lock, so that the threads do work side by side.
    with path.open("rb") as file, ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(look, range(0, size, _SCAN_CHUNK)))
    return Bytes(any(each.zero_padded for each in found), any(each.offsets for each in found))


def _has_padded(here: bytes, delimiter: int) -> bool:
    """A separator, 0, a digit, then a digit or separator: not 0.5, nor 01/02/2024 or 08:15."""
    codes = np.frombuffer(here, np.uint8)
    before, second, third = codes[:-3], codes[2:-1], codes[3:]
    # First with few comparisons: separators are below 45, and most files have no such cell at all.
    maybe = codes[1:-2] == 48
    maybe &= _digit(second)
    if delimiter != 32:
        maybe &= before != 32
    maybe &= (before < 45) | (before == delimiter) if delimiter >= 45 else before < 45
    places = np.flatnonzero(maybe) if maybe.any() else ()
    if not len(places):
        return False
    before, third = before[places], third[places]
    return bool((_ends(before, delimiter) & (_ends(third, delimiter) | _digit(third))).any())


def _has_offsets(here: bytes) -> bool:
    """A digit before + or Z; or -12: where a date would have no colon."""
    for sign in (b"+", b"Z"):
        if sign in here:
            codes = np.frombuffer(here, np.uint8)
            if ((codes[1:] == sign[0]) & _digit(codes[:-1])).any():
                return True
    codes = np.frombuffer(here, np.uint8)
    maybe = codes[:-3] == 45
    maybe &= codes[3:] == 58
    places = np.flatnonzero(maybe) if maybe.any() else np.empty(0, np.int64)
    return bool((_digit(codes[places + 1]) & _digit(codes[places + 2])).any())


def _ends(codes: NDArray[np.uint8], delimiter: int) -> NDArray[np.bool_]:
    """Whether a cell ends, or begins, at each of these bytes."""
    return (codes == delimiter) | (codes == 10) | (codes == 13) | (codes == 34)


def _digit(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (codes - np.uint8(48)) < 10  # below 48 it wraps around


def _line_of_zero(path: Path) -> int:
    with path.open("rb") as file:
        return next(number for number, line in enumerate(file, 1) if b"\0" in line)


def one_line_end(path: Path, build: Build) -> Path:
    """A copy in which every line ends in LF."""
    target = build.folder / f"lines-{len(list(build.folder.glob('lines-*')))}" / path.name
    target.parent.mkdir()
    with path.open("rb") as file, target.open("wb") as out:
        waiting = b""
        while chunk := file.read(_CHUNK):
            chunk = (waiting + chunk).replace(b"\r\n", b"\n")
            waiting = b"\r" if chunk.endswith(b"\r") else b""
            out.write(chunk[: len(chunk) - len(waiting)])
        out.write(waiting)
    return target


def first_bad_byte(path: Path) -> tuple[int | None, int | None]:
    """Line and column of the first byte that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return number, len(line[: error.start].decode()) + 1
    return None, None


def not_utf8(path: Path) -> ImportFailed:
    """What to say of a file of a format whose text is UTF-8 always."""
    line, column = first_bad_byte(path)
    return ImportFailed("is not UTF-8 text: save it as UTF-8.", file=path, line=line, column=column)


def _check_utf8(head: bytes, path: Path) -> None:
    try:
        head[: head.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError as error:
        before = head[: error.start].decode()
        raise ImportFailed(
            NOT_UTF8, file=path, line=before.count("\n") + 1, column=len(before) - before.rfind("\n")
        ) from error


def _transcode(path: Path, target: Path, encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise UsageError(f"There is no encoding {encoding!r}: try 'latin-1', 'cp1252' or 'utf-16'.") from None
    try:
        with (
            path.open(encoding=encoding, newline="") as file,
            target.open("w", encoding="utf-8", newline="") as out,
        ):
            while text := file.read(_CHUNK):
                out.write(text.removeprefix("\ufeff"))
    except UnicodeError as error:
        problem = f"is not text in the encoding {encoding!r}: name the right one."
        raise ImportFailed(problem, file=path) from error
