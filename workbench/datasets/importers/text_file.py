"""What the bytes of a text file tell before it is read: its encoding, its line ends, what it is not."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.datasets.files import Build
from workbench.datasets.importers import Source
from workbench.errors import ImportFailed, UsageError

__all__ = ["NOT_UTF8", "Bytes", "as_utf8", "first_bad_byte", "one_line_end", "scan"]

NOT_UTF8 = "is not UTF-8 text: save it as UTF-8, or name its encoding (for example 'latin-1')."
_CHUNK = 1 << 20
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
    mixed_line_ends : bool
        Some lines end in CR LF, others in LF (or texts in quotes hold line breaks).
    """

    zero_padded: bool
    mixed_line_ends: bool


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


def scan(path: Path, source: Source, delimiter: str) -> Bytes:
    """One pass over all bytes, for what DuckDB takes without a word.

    Raises
    ------
    ImportFailed
        If there is a zero byte, with its line.
    """
    separator = np.zeros(256, bool)
    separator[[10, 13, 34, *delimiter.encode()[:1]]] = True
    after = separator.copy()
    after[48:58] = True
    last, padded, n_lf, n_crlf, n_lines = b"\n", False, 0, 0, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if b"\0" in chunk:
                line = n_lf + 1 + chunk[: chunk.index(b"\0")].count(b"\n")
                raise ImportFailed(
                    "holds a zero byte, which no text does: repair the file.", file=source.path, line=line
                )
            n_lf += chunk.count(b"\n")
            n_crlf += chunk.count(b"\r\n") + (last[-1:] == b"\r" and chunk[:1] == b"\n")
            if not padded:
                # A separator, 0, a digit, and a digit or separator: not 0.5, nor 01/02/2024 or 08:15.
                codes = np.frombuffer(last + chunk + b"\n", np.uint8)
                zeros = np.flatnonzero(codes[1:-2] == 48)
                zeros = zeros[separator[codes[zeros]]]
                digit = (codes[zeros + 2] >= 48) & (codes[zeros + 2] <= 57)
                padded = bool((digit & after[codes[np.minimum(zeros + 3, len(codes) - 1)]]).any())
            last = (last + chunk)[-3:]
            n_lines += 1
    return Bytes(padded, 0 < n_crlf < n_lf)


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
