"""What DuckDB says of a delimited file in thirty lines, as one sentence with file, line and column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from workbench.datasets.files import first_sentence
from workbench.datasets.importers import Source
from workbench.datasets.importers.text_file import NOT_UTF8, first_bad_byte
from workbench.errors import ImportFailed

__all__ = ["explained", "file_of", "line_ends_differ"]

_WORDS = {
    "BIGINT": "whole number", "DOUBLE": "number", "DATE": "date", "BOOLEAN": "true or false",
    "TIMESTAMP": "point in time", "TIMESTAMP WITH TIME ZONE": "point in time", "TIME": "time of day",
}  # fmt: skip


def line_ends_differ(error: duckdb.Error) -> bool:
    """Whether DuckDB may have failed because some lines end in CR LF and others in LF."""
    return "aximum line size" in str(error) or "new line" in str(error).lower()


def file_of(error: duckdb.Error) -> str | None:
    """The path that an error names."""
    found = re.search(r"(?:file = |sniffing file \")(.*?)\"?\.?$", str(error), re.MULTILINE)
    return found[1] if found else None


def explained(error: duckdb.Error, source: Source, path: Path, names: Sequence[str] = ()) -> Exception:
    """The fault of the file `source`, read from `path`, whose columns are `names`."""
    text, file = str(error), source.path
    found = re.search(r"CSV Error on Line: (\d+)", text)
    line = int(found[1]) if found else None
    if "unicode" in text or "not utf-8" in text or "utf-8 encoded" in text:
        line, column = first_bad_byte(path)
        return ImportFailed(NOT_UTF8, file=file, line=line, column=column)
    if found := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text):
        problem = f"has {found[2]} columns where {found[1]} are expected: make all rows the same length."
        return ImportFailed(problem, file=file, line=line)
    if found := re.search(r'converting column "(.*?)"\. Could not convert string "(.*?)" to \'(.*?)\'', text):
        kind = _WORDS.get(found[3], found[3])
        dated = "DATE" in found[3] or "TIMESTAMP" in found[3]
        dates = ", name the format (dates='%d.%m.%Y')" if dated else ""
        return ImportFailed(
            f"{found[2]!r} in column {found[1]!r} is not a {kind} like the rows above: correct it{dates}, or "
            f"import that column as text (types={{{found[1]!r}: 'VARCHAR'}}).",
            file=file,
            line=line,
            column=names.index(found[1]) + 1 if found[1] in names else None,
        )
    if "nterminated quote" in text:
        return ImportFailed("a quoted text is not closed.", file=file, line=line)
    if "aximum line size" in text:
        return ImportFailed("a line is longer than 2 MB: look whether this is a CSV file.", file=file)
    if "automatically detect the CSV" in text:
        line, column = first_bad_byte(path)
        if line is not None:
            return ImportFailed(NOT_UTF8, file=file, line=line, column=column)
        return ImportFailed("no delimiter makes rows of equal length: name the delimiter.", file=file)
    if isinstance(error, duckdb.InvalidInputException | duckdb.ConversionException):
        return ImportFailed(first_sentence(text.replace(str(path), file.name)), file=file, line=line)
    return error
