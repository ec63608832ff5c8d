"""What the bytes of a text file tell before it is read: its encoding, its line ends, what it is not."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench.datasets.files import Build
from workbench.datasets.importers import Source
from workbench.errors import ImportFailed, UsageError

__all__ = ["NOT_UTF8", "Bytes", "as_utf8", "first_bad_byte", "one_line_end", "scan"]

NOT_UTF8 = "is not UTF-8 text: save it as UTF-8, or name its encoding (for example 'latin-1')."
_CHUNK = 1 << 20
_SCAN_CHUNK = 1 << 18  # fits the processor's cache: measured
_BEHIND = re.compile(rb"-\d\d:")
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

    Raises
    ------
    ImportFailed
        If there is a zero byte, with its line.
    """
    padded = offsets = False
    rest = b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_SCAN_CHUNK):
            if b"\0" in chunk:
                raise ImportFailed(
                    "holds a zero byte, which no text does: repair the file.",
                    file=source.path,
                    line=_line_of_zero(path),
                )
            here = rest + chunk
            padded = padded or (numbers and _has_padded(here, ord(delimiter[:1] or ",")))
            offsets = offsets or (times and _has_offsets(here))
            rest = here[-4:]  # looked at again, with what follows
    padded = padded or (numbers and _has_padded(rest + b"\n\n", ord(delimiter[:1] or ",")))
    return Bytes(padded, offsets)


def _has_padded(here: bytes, delimiter: int) -> bool:
    """A separator, 0, a digit, then a digit or separator: not 0.5, nor 01/02/2024 or 08:15."""
    codes = np.frombuffer(here, np.uint8)
    before = codes[:-3]
    separated = (before == delimiter) | (before == 10) | (before == 34) | (before == 13)
    places = np.flatnonzero((codes[1:-2] == 48) & separated)
    second, third = codes[places + 2], codes[places + 3]
    ends = (third == delimiter) | (third == 10) | (third == 13) | (third == 34) | _digit(third)
    return bool((_digit(second) & ends).any())


def _has_offsets(here: bytes) -> bool:
    """A digit before + or Z; or -12: where a date would have no colon."""
    for sign in (b"+", b"Z"):
        if sign in here:
            codes = np.frombuffer(here, np.uint8)
            if ((codes[1:] == sign[0]) & _digit(codes[:-1])).any():
                return True
    return _BEHIND.search(here) is not None


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
