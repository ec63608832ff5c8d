"""What the first lines of a delimited file show, and what is wrong with them."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.datasets.importers import Source
from workbench.errors import ImportFailed

__all__ = [
    "check_delimiter", "check_header", "delimited_by_spaces", "excel_options", "first_rows", "has_quotes",
    "n_lines", "shape", "time_formats",
]  # fmt: skip

_DELIMITERS = (",", "\t", ";", "|", " ")
#: Ways of writing times that DuckDB does not look for; the day first where both fit.
_TIMES = (
    "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d-%m-%Y %H:%M", "%m/%d/%Y %I:%M %p",
    "%d.%m.%y %H:%M:%S", "%d.%m.%y %H:%M", "%d/%m/%y %H:%M", "%m/%d/%y %H:%M",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y",
    "%d-%b-%Y %H:%M:%S", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%Y%m%d %H:%M:%S", "%Y%m%dT%H%M%S",
)  # fmt: skip
_TIME_ROWS = 200
_SEPARATOR = re.compile(rb"(?:\xef\xbb\xbf)?\"?sep=([,;\t|])\"?\r?\n", re.IGNORECASE)
_CHUNK = 1 << 20


def excel_options(path: Path) -> dict[str, Any]:
    """What the line ``sep=;`` says, by which Excel knows the delimiter; it is no row."""
    with path.open("rb") as file:
        found = _SEPARATOR.match(file.read(16))
    return {"delimiter": found[1].decode("ascii"), "skip": 1} if found else {}


def shape(path: Path, options: Mapping[str, Any]) -> tuple[int, str]:
    """About how many columns the first line has, and what parts them."""
    with path.open("rb") as file:
        first = file.readline(64 << 20).partition(b"\r")[0]
    candidates = [str(options["delimiter"])] if options.get("delimiter") else _DELIMITERS
    delimiter = max(candidates, key=lambda candidate: first.count(candidate.encode()))
    return 1 + first.count(delimiter.encode()), delimiter


def n_lines(path: Path) -> float:
    """Lines of a small file; infinity for a large one, which is not read through for that."""
    return path.read_bytes().count(b"\n") if path.stat().st_size < 8 << 20 else math.inf


def has_quotes(path: Path, delimiter: str) -> bool:
    """Whether a field near the beginning starts with a quote."""
    with path.open("rb") as file:
        head = file.read(_CHUNK)
    start = b"(?:^|" + re.escape(delimiter.encode()) + b')"'
    return re.search(start, head, re.MULTILINE) is not None


def first_rows(path: Path, delimiter: str, n: int) -> list[list[str]]:
    """The first `n` lines of a file, each apart."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = [line.rstrip("\r\n") for line in islice(file, n)]
    lines += [""] * (n - len(lines))
    return [next(csv.reader([line], delimiter=delimiter), []) for line in lines]


def check_delimiter(path: Path, source: Source, named: str, skipped: int) -> None:
    """Refuse a named delimiter that parts nothing, where another would."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        line = next(islice(file, skipped, None), "")
    if named in line:
        return
    other = max(_DELIMITERS[:-1], key=line.count)
    if other in line:
        shown = {"\t": "tab"}.get(other, other)
        raise ImportFailed(
            f"the delimiter that was named, {named!r}, does not stand in line {skipped + 1}, but {shown!r} "
            "does: name that, or none.",
            file=source.path,
            line=skipped + 1,
        )


def check_header(path: Path, source: Source, settings: Mapping[str, Any]) -> None:
    """Names given twice, and files with nothing below their header."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for _ in range(settings["skip"]):
            file.readline()
        quote = settings["quote"]
        rows = csv.reader(
            file,
            delimiter=settings["delim"],
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        )
        try:
            names = next(rows, [])
            row = next((row for row in rows if row), None)
        except csv.Error:
            return  # DuckDB words it better
    if row is None:
        raise ImportFailed("has a header but no rows.", file=source.path)
    # An empty name (as R writes above its row names) gets one from DuckDB; two of them too.
    for name, count in Counter(name.strip().lower() for name in names).items():
        if name and count > 1:
            places = [number + 1 for number, other in enumerate(names) if other.strip().lower() == name]
            raise ImportFailed(
                f"the column name {names[places[0] - 1].strip()!r} is used {count} times: give each its own.",
                file=source.path,
                line=settings["skip"] + 1,
                column=places[1],
            )


def delimited_by_spaces(path: Path, source: Source) -> bool:
    """Where DuckDB finds one column: are they several, apart by spaces? Refuses ragged and odd files."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        first = file.readline().rstrip("\r\n")
        delimiter = max(_DELIMITERS, key=first.count)
        expected = first.count(delimiter) + 1
        if expected > 1:
            file.seek(0)
            for row in (rows := csv.reader(file, delimiter=delimiter)):
                if row and len(row) != expected:
                    if delimiter == " ":
                        return False  # words, not columns
                    shown = {"\t": "tab"}.get(delimiter, delimiter)
                    raise ImportFailed(
                        f"has {len(row)} columns where line 1 has {expected} (delimiter {shown!r}): "
                        "make all rows the same length, or name the delimiter.",
                        file=source.path,
                        line=rows.line_num,
                    )
            return delimiter == " "
        odd = set(re.findall(r"[\^~#\x01\x1f]|(?<!\d):(?!\d)", first))
        if len(odd) == 1:
            raise ImportFailed(
                f"seems to have one column only, but {odd.pop()!r} stands in line 1: if that is the "
                "delimiter, name it.",
                file=source.path,
                line=1,
            )
    return False


def time_formats(path: Path, found: Mapping[str, Any], missing: Collection[str]) -> dict[str, list[str]]:
    """Formats in :data:`_TIMES` that fit a column's first cells, for columns of text and of odd dates.

    `found` is what the sniffer says. Of two-digit numbers it takes the first for the year, which people
    hardly ever write.
    """
    columns = [
        (place, column["name"])
        for place, column in enumerate(found["Columns"])
        if column["type"] == "VARCHAR"
        or (column["type"] == "DATE" and str(found["DateFormat"]).startswith("%y"))
        or (column["type"] == "TIMESTAMP" and str(found["TimestampFormat"]).startswith("%y"))
    ]
    if not columns:
        return {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for _ in range(found["SkipRows"] + bool(found["HasHeader"])):
            file.readline()
        try:
            rows = list(islice(csv.reader(file, delimiter=found["Delimiter"]), _TIME_ROWS))
        except csv.Error:
            return {}
    fitting = {}
    for place, name in columns:
        cells = {row[place].strip() for row in rows if place < len(row)} - {"", *missing}
        formats = [format_ for format_ in _TIMES if cells and all(_fits(cell, format_) for cell in cells)]
        if formats:
            fitting[name] = formats
    return fitting


def _fits(cell: str, format_: str) -> bool:
    try:
        datetime.strptime(cell, format_)
    except ValueError:
        return False
    return True
