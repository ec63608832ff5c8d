"""How a delimited file is written: delimiter, quotes, header and types, settled before it is read."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from workbench.datasets.files import Build
from workbench.datasets.importers import Source
from workbench.datasets.importers.csv_columns import (
    MISSING,
    WHOLE,
    Reading,
    look_sql,
    looked,
    readings_of,
    settled,
)
from workbench.datasets.importers.csv_faults import explained, line_ends_differ
from workbench.datasets.importers.first_lines import (
    check_delimiter,
    check_header,
    delimited_by_spaces,
    excel_options,
    first_rows,
    has_quotes,
    n_lines,
    shape,
    time_formats,
)
from workbench.datasets.importers.text_file import as_utf8, one_line_end
from workbench.datasets.names import identifier
from workbench.errors import ImportFailed, UsageError

__all__ = ["OPTIONS", "Dialect", "sniffed"]

#: ``import_files(..., options={...})`` for this format.
OPTIONS = ("delimiter", "encoding", "header", "skip", "null", "decimal", "thousands", "dates", "types")

_SNIFF_ROWS, _SNIFF_CELLS = 20_480, 1_000_000  # looked at before types are settled; sniffing is slow
_WIDE = 1000  # columns from which the delimiter is counted instead of tried out, which takes minutes
_MAX_COLUMNS = 25_000  # every later statement pays for each column, too
_TYPE = re.compile(r"[A-Za-z]+( [A-Za-z]+)*(\(\d+(, ?\d+)?\))?")


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Attributes
    ----------
    source : Source
    path : Path
        The file itself, or a copy of it in UTF-8.
    options : dict
        Of DuckDB's ``read_csv``.
    readings : dict of str to Reading
        By the column's name.
    formats : dict of str to str
        Of dates and time stamps, where they are not ISO.
    signs : tuple of str
        The decimal and the thousands sign.
    given : frozenset of str
        Columns whose types the user named.
    whole_file : bool
        Whether every row was looked at for the types.
    notes : list of str
        What the user should know.
    """

    source: Source
    path: Path
    options: dict[str, Any] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    signs: tuple[str, str] = (".", "")
    given: frozenset[str] = frozenset()
    whole_file: bool = True
    notes: list[str] = field(default_factory=list)

    def select(self) -> tuple[str, list[Any]]:
        """What follows SELECT, to read the file exactly so; and its parameters."""
        chosen = [reading.select(name) for name, reading in self.readings.items()]
        checks = ", ".join(each for each in chosen if each is not None)
        source, values = self._read({name: reading.read_as for name, reading in self.readings.items()})
        return f"{f'* REPLACE ({checks})' if checks else '*'} FROM {source}", values

    def text(self, limit: int | None = None) -> tuple[str, list[Any]]:
        """What follows FROM, to read all cells as text."""
        source, values = self._read(dict.fromkeys(self.readings, "VARCHAR"))
        return source if limit is None else f"(FROM {source} LIMIT {int(limit)})", values

    def one(self, name: str, missing: Sequence[str]) -> tuple[str, list[Any]]:
        """A query that fails at the first cell of `name` that is not of its type."""
        type_ = {"BIGINT": "DOUBLE"}.get(self.readings[name].type, self.readings[name].type)
        options = self.options | {"nullstr": ["", *missing]}
        source, values = replace(self, options=options)._read(
            dict.fromkeys(self.readings, "VARCHAR") | {name: type_}
        )
        return f"SELECT count({identifier(name)}) FROM {source}", values

    def _read(self, types: Mapping[str, str]) -> tuple[str, list[Any]]:
        read = ", ".join(f"{identifier(name)}: '{type_}'" for name, type_ in types.items())
        settings = ", ".join(f"{key} = ?" for key in self.options)
        sql = f"read_csv(?, auto_detect = false, columns = {{{read}}}, {settings})"
        return sql, [glob.escape(str(self.path)), *self.options.values()]


def sniffed(source: Source, build: Build, options: Mapping[str, Any]) -> Dialect:
    """Find out how a file is written.

    Raises
    ------
    ImportFailed
        Where it is no table, or nobody can tell how it is written.
    """
    path, notes = as_utf8(source, build, options.get("encoding"))
    options = excel_options(path) | dict(options)
    n_columns, delimiter = shape(path, options)
    if n_columns > _MAX_COLUMNS:
        raise ImportFailed(
            f"has {n_columns:,} columns, and {_MAX_COLUMNS:,} are the most: leave some out, or save it with "
            "rows and columns exchanged.",
            file=source.path,
            line=1,
        )
    build.expect(n_columns)
    given = _given(options, n_columns, delimiter)
    try:
        found = _sniff(path, given, build)
    except duckdb.Error as error:
        if not line_ends_differ(error):
            raise explained(error, source, path) from error
        path = one_line_end(path, build)
        found = _sniff_or_explain(path, given, build, source)
    found, given = _second_thoughts(found, given, path, source, build, options)
    if "dates" not in options and len(found["Columns"]) <= _WIDE:
        found, given, more = _with_times(found, given, path, build)
        notes += more
    settings = _settings(found, given, path)
    types = {column["name"]: column["type"] for column in found["Columns"]}
    formats = {
        type_: found[name]
        for type_, name in (("DATE", "DateFormat"), ("TIMESTAMP", "TimestampFormat"))
        if found.get(name)
    }
    for key, type_ in (("dateformat", "DATE"), ("timestampformat", "TIMESTAMP")):
        if type_ in formats:
            settings[key] = formats[type_]
    if found["HasHeader"]:
        check_header(path, source, settings)
    else:
        first = ", ".join(column["name"] for column in found["Columns"][:2])
        notes.append(f"{source.path.name} has no header line: its columns are called {first}, ….")
    if found["SkipRows"]:
        lines = "line was" if found["SkipRows"] == 1 else f"{found['SkipRows']} lines were"
        notes.append(f"The first {lines} skipped: the table begins below.")
    if settings.get("decimal_separator") == ",":
        notes.append("The decimal sign is a comma.")
    signs = (settings.get("decimal_separator", "."), str(options.get("thousands", "")))
    whole_file = n_lines(path) < given["sample_size"]
    readings = readings_of(types, formats, signs, whole_file=whole_file)
    named = _named_types(options, readings, source)
    dialect = Dialect(
        source, path, settings, readings | named, formats, signs, frozenset(named), whole_file, notes
    )
    return _look_at_text(dialect, build, given["sample_size"])


def _given(options: Mapping[str, Any], n_columns: int, delimiter: str) -> dict[str, Any]:
    """What the sniffer is told."""
    given: dict[str, Any] = {"sample_size": max(100, min(_SNIFF_ROWS, _SNIFF_CELLS // n_columns))}
    if n_columns > _WIDE:
        given |= {"delim": delimiter, "quote": '"', "escape": '"'}
    for ours, theirs in (("delimiter", "delim"), ("null", "nullstr"), ("decimal", "decimal_separator")):
        if ours in options:
            given[theirs] = options[ours]
    if given.get("decimal_separator", ".") not in (".", ","):
        raise UsageError(f"The decimal sign is '.' or ',', not {options['decimal']!r}.")
    if "header" in options:
        given["header"] = bool(options["header"])
    if "skip" in options:
        given["skip"] = _whole(options["skip"])
    if "dates" in options:
        name = "timestampformat" if re.search("%[HIMSfX]", options["dates"]) else "dateformat"
        given[name] = options["dates"]
    return given


def _whole(skip: Any) -> int:
    if not re.fullmatch(r"\d{1,6}", str(skip)):
        raise UsageError(f"The lines to skip are a number such as 3, not {skip!r}.")
    return int(skip)


def _second_thoughts(
    found: dict[str, Any],
    given: dict[str, Any],
    path: Path,
    source: Source,
    build: Build,
    options: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where the sniffer is often wrong: single columns, and numbers with a decimal comma."""
    if found["SkipRows"] and "skip" not in options:
        found, given = _nothing_lost(found, given, path, source, build)
    if len(found["Columns"]) == 1 and "delimiter" in options:
        check_delimiter(path, source, str(options["delimiter"]), found["SkipRows"])
    if len(found["Columns"]) == 1 and "delimiter" not in options:
        if delimited_by_spaces(path, source):
            given = given | {"delim": " "}
            found = _sniff_or_explain(path, given, build, source)
        elif "header" not in options and _is_data(found["Columns"][0]):
            given = given | {"header": False}
            found = _sniff_or_explain(path, given, build, source)
    if found["Delimiter"] != "," and "decimal" not in options:
        other = _sniff_or_explain(path, given | {"decimal_separator": ","}, build, source)
        if _n_numbers(other) > _n_numbers(found):
            found, given = other, given | {"decimal_separator": ","}
    return found, given


def _with_times(
    found: dict[str, Any], given: dict[str, Any], path: Path, build: Build
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Dates and times written in ways that the sniffer does not know, or takes for others."""
    notes = []
    for name, formats in time_formats(path, found, MISSING).items():
        for format_ in formats:
            key = "timestampformat" if "%H" in format_ or "%I" in format_ else "dateformat"
            if key in given:
                continue  # a file has one
            try:
                other = _sniff(path, given | {key: format_}, build)
            except duckdb.Error:
                continue
            types = {column["name"]: column["type"] for column in other["Columns"]}
            if types.get(name) not in ("DATE", "TIMESTAMP"):
                continue
            found, given = other, given | {key: format_}
            if "%y" in format_:
                notes.append(
                    f"Times in {name!r} were read as {format_}: if their parts stand in another order, name "
                    "their format (dates='%y-%m-%d')."
                )
            break
    return found, given, notes


def _nothing_lost(
    found: dict[str, Any], given: dict[str, Any], path: Path, source: Source, build: Build
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where lines above the table are left out: are they a title, or rows of other lengths than the rest?"""
    rows = first_rows(path, found["Delimiter"], found["SkipRows"] + 1)
    above, below = rows[-2], len(rows[-1])
    if len(above) < 2 or len(above) == below:
        return found, given
    try:  # with another delimiter all may be equally long
        other = _sniff(path, given | {"skip": 0}, build)
    except duckdb.Error:
        other = found
    if len(other["Columns"]) > 1 and not other["SkipRows"]:
        return other, given | {"skip": 0}
    number = found["SkipRows"] + 1
    raise ImportFailed(
        f"has {below} columns where line {number - 1} has {len(above)}: make all rows the same length, or, "
        f"if the table begins here, name the lines to skip (skip={number - 1}).",
        file=source.path,
        line=number,
    )


def _settings(found: Mapping[str, Any], given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The options with which the file is read."""
    settings = {key: given[key] for key in ("nullstr", "decimal_separator") if key in given}
    settings |= {
        "delim": found["Delimiter"],
        "quote": _character(found["Quote"]),
        "escape": _character(found["Escape"]),
        "skip": found["SkipRows"],
        "header": found["HasHeader"],
        "comment": _character(found["Comment"]),
    }
    if not settings["quote"] and has_quotes(path, settings["delim"]):
        settings |= {"quote": '"', "escape": '"'}  # DuckDB gives quotes up where one is not closed
    return settings


def _named_types(
    options: Mapping[str, Any], readings: Mapping[str, Reading], source: Source
) -> dict[str, Reading]:
    """Readings of the columns whose types the user named."""
    named = {}
    for name, type_ in dict(options.get("types") or {}).items():
        if name not in readings:
            raise ImportFailed(f"has no column {name!r} to be read as {type_}.", file=source.path)
        if not _TYPE.fullmatch(type_):
            raise UsageError(f"{type_!r} is not a column type.")
        how = "text" if type_.upper() in (*WHOLE, "DOUBLE") else "plain"
        named[name] = replace(readings[name], type=type_.upper(), how=how)
    return named


def _look_at_text(dialect: Dialect, build: Build, n_rows: int) -> Dialect:
    """Columns that the sniffer takes for text may be numbers with a few words for missing values."""
    names = [
        name for name, reading in dialect.readings.items()
        if reading.type == "VARCHAR" and name not in dialect.given
    ]  # fmt: skip
    if not names or len(names) > _WIDE:
        return dialect
    source, values = dialect.text(n_rows)
    try:
        row = build.connection.execute(
            f"SELECT {look_sql(names, dialect.formats, dialect.signs)} FROM {source}", values
        ).fetchall()[0]
    except duckdb.Error as error:
        raise explained(error, dialect.source, dialect.path, list(dialect.readings)) from error
    readings, notes = dict(dialect.readings), list(dialect.notes)
    for name, look in looked(row, names).items():
        readings[name], note = settled(name, look, readings[name])
        notes += [note] if note else []
    return replace(dialect, readings=readings, notes=notes)


def _sniff(path: Path, given: Mapping[str, Any], build: Build) -> dict[str, Any]:
    settings = "".join(f", {key} = ?" for key in given)
    cursor = build.connection.execute(
        f"FROM sniff_csv(?{settings})", [glob.escape(str(path)), *given.values()]
    )
    row = cursor.fetchone()
    names = [column[0] for column in cursor.description or ()]
    return dict(zip(names, row or (), strict=True))


def _sniff_or_explain(path: Path, given: Mapping[str, Any], build: Build, source: Source) -> dict[str, Any]:
    try:
        return _sniff(path, given, build)
    except duckdb.Error as error:
        raise explained(error, source, path) from error


def _n_numbers(found: Mapping[str, Any]) -> int:
    return sum(column["type"] in ("DOUBLE", "BIGINT") for column in found["Columns"])


def _character(text: str | None) -> str:
    return "" if text in (None, "(empty)") else str(text)


def _is_data(column: Mapping[str, str]) -> bool:
    """Whether what was taken for the header of a single text column is a row: it is all numbers."""
    return column["type"] == "VARCHAR" and re.fullmatch(r"[\d\s.,:;+-]+", column["name"]) is not None
