"""CSV, TSV and their kin, streamed by DuckDB; its findings are put into one sentence each."""

from __future__ import annotations

import csv
import glob
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from workbench.datasets.files import Build, first_sentence
from workbench.datasets.importers import Imported, Source
from workbench.datasets.names import identifier
from workbench.errors import ImportFailed, UsageError

__all__ = ["read_csv"]

#: ``import_files(..., options={...})`` for this format.
OPTIONS = ("delimiter", "encoding", "header", "null", "types")

_DELIMITERS = (",", "\t", ";", "|", " ")
_SNIFF_ROWS, _SNIFF_CELLS = 20_480, 1_000_000  # looked at before types are settled; sniffing is slow
_CHUNK = 1 << 20
_WIDE = 1000  # columns from which the delimiter is counted instead of tried out, which takes minutes
_MAX_COLUMNS = 25_000  # about a minute; every later statement pays for each column, too
_EXACT = "9007199254740992"  # 2**53: whole numbers below are doubles, and no other rounds to them
_WHOLE = (
    "CASE WHEN {0} IS NULL OR ({0} = trunc({0}) AND abs({0}) < " + _EXACT + ") THEN {0}::BIGINT "
    "WHEN {0} = trunc({0}) AND isfinite({0}) THEN error('large number in {1}.') "
    "ELSE error('fraction in {1}.') END"
)
_WHOLE_TEXT = (
    "CASE WHEN {0} IS NULL OR regexp_full_match({0}, '\\s*[+-]?\\d+\\s*') THEN {0}::BIGINT "
    "ELSE error('fraction in {1}.') END"
)
_NOT_UTF8 = "is not UTF-8 text: save it as UTF-8, or name its encoding (for example 'latin-1')."
_WORDS = {"BIGINT": "whole number", "DOUBLE": "number", "DATE": "date", "BOOLEAN": "true or false"}


@dataclass(frozen=True)
class _Dialect:
    """How one file is written, settled before it is read."""

    source: Source
    path: Path
    options: dict[str, Any]
    types: dict[str, str]
    settled: bool = True  # whether every row was looked at for the types

    def select(self, through_text: frozenset[int]) -> tuple[str, list[Any]]:
        """SQL that reads the file exactly so, and its parameters.

        DuckDB rounds ``1.5`` without a word when a column is read as BIGINT. Where the types rest on a part
        of the file, whole numbers are therefore read as DOUBLE and checked (`through_text`: as text, for
        those that DOUBLE does not hold exactly).
        """
        read, checks = [], []
        for number, (name, type_) in enumerate(self.types.items()):
            column = identifier(name)
            if type_ == "BIGINT" and not self.settled:
                type_ = "VARCHAR" if number in through_text else "DOUBLE"
                check = _WHOLE_TEXT if number in through_text else _WHOLE
                checks.append(f"{check.format(column, number)} AS {column}")
            read.append(f"{identifier(name)}: '{type_}'")
        settings = ", ".join(f"{key} = ?" for key in self.options)
        chosen = f"* REPLACE ({', '.join(checks)})" if checks else "*"
        sql = f"{chosen} FROM read_csv(?, auto_detect = false, columns = {{{', '.join(read)}}}, {settings})"
        return sql, [glob.escape(str(self.path)), *self.options.values()]


def read_csv(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from delimited files whose columns agree."""
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise UsageError(f"CSV files have no option {unknown.pop()!r}: there are {', '.join(OPTIONS)}.")
    dialects = [_sniffed(source, build, options) for source in sources]
    _check_columns_agree(dialects)
    types = _common_types(dialects)
    through_text: frozenset[int] = frozenset()
    for again in (False, True):
        dialects = [
            replace(dialect, types=dict(zip(dialect.types, types, strict=True))) for dialect in dialects
        ]
        try:
            _load(dialects, build, through_text)
        except duckdb.Error as error:
            build.connection.execute("DROP TABLE IF EXISTS data")
            if again or re.search(r"(fraction|large number) in \d+\.", str(error)) is None:
                raise _explained(error, dialects) from error
            types, through_text = _settled(dialects, build, types)
        else:
            return Imported()
    raise AssertionError("all columns are settled by one look at every row")


def _settled(
    dialects: Sequence[_Dialect], build: Build, types: Sequence[str]
) -> tuple[list[str], frozenset[int]]:
    """Look at every row: which columns of whole numbers hold fractions, or numbers too large for DOUBLE."""
    settled, through_text = list(types), set[int]()
    numbers = [number for number, type_ in enumerate(types) if type_ == "BIGINT"]
    for dialect in dialects:
        names = [identifier(name) for name in dialect.types]
        whole = "regexp_full_match({0}, '\\s*[+-]?\\d+\\s*')"
        looks = [
            f"bool_or(NOT {whole.format(names[number])} AND NOT ({names[number]}::DOUBLE "
            f"= trunc({names[number]}::DOUBLE) AND abs({names[number]}::DOUBLE) <= {_EXACT})), "
            f"max(abs({names[number]}::DOUBLE)) >= {_EXACT}"
            for number in numbers
        ]
        as_text = replace(
            dialect,
            settled=True,
            types={
                name: "VARCHAR" if type_ == "BIGINT" else type_
                for name, type_ in zip(dialect.types, types, strict=True)
            },
        )
        sql, values = as_text.select(frozenset())
        row = build.connection.execute(f"SELECT {', '.join(looks)} FROM (SELECT {sql})", values).fetchall()[0]
        for number, fraction, large in zip(numbers, row[::2], row[1::2], strict=True):
            if fraction:
                settled[number] = "DOUBLE"
            elif large:
                through_text.add(number)
    return settled, frozenset(through_text)


def _load(dialects: Sequence[_Dialect], build: Build, through_text: frozenset[int]) -> None:
    parts, parameters = [], []
    names = {name.lower() for name in dialects[0].types}
    extra = "split" if dialects[0].source.part else "file" if len(dialects) > 1 else None
    for dialect in dialects:
        sql, values = dialect.select(through_text)
        if extra is None or extra in names:
            parts.append(f"SELECT {sql}")
        else:
            parts.append(f"SELECT ? AS {extra}, {sql}")
            parameters.append(dialect.source.part or dialect.source.stem)
        parameters += values
    build.run("CREATE TABLE data AS " + " UNION ALL ".join(parts), parameters)


def _sniffed(source: Source, build: Build, options: Mapping[str, Any]) -> _Dialect:
    path = source.path
    n_columns, delimiter = _check_text(path, source, options)
    if n_columns > _MAX_COLUMNS:
        raise ImportFailed(
            f"has {n_columns:,} columns, and {_MAX_COLUMNS:,} are the most: leave some out, or save it with "
            "rows and columns exchanged.",
            file=source.path,
            line=1,
        )
    build.expect(n_columns)
    given: dict[str, Any] = {"sample_size": max(100, min(_SNIFF_ROWS, _SNIFF_CELLS // n_columns))}
    if n_columns > _WIDE:
        given |= {"delim": delimiter, "quote": '"', "escape": '"'}
    for ours, theirs in (("delimiter", "delim"), ("encoding", "encoding"), ("null", "nullstr")):
        if ours in options:
            given[theirs] = options[ours]
    if "header" in options:
        given["header"] = bool(options["header"])
    found = _sniff(path, given, build, source)
    if len(found["Columns"]) == 1 and "delimiter" not in options:
        if _delimited_by_spaces(path, source):
            given["delim"] = " "
            found = _sniff(path, given, build, source)
        elif "header" not in options and _is_data(found["Columns"][0]):
            given["header"] = False
            found = _sniff(path, given, build, source)
    if found["Delimiter"] == ";":  # as written where the comma is the decimal sign
        other = _sniff(path, given | {"decimal_separator": ","}, build, source)
        if _n_numbers(other) > _n_numbers(found):
            found, given = other, given | {"decimal_separator": ","}
    types = {column["name"]: column["type"] for column in found["Columns"]}
    settled: dict[str, Any] = {
        key: given[key] for key in ("encoding", "nullstr", "decimal_separator") if key in given
    }
    settled |= {
        "delim": found["Delimiter"],
        "quote": _character(found["Quote"]),
        "escape": _character(found["Escape"]),
        "skip": found["SkipRows"],
        "header": found["HasHeader"],
        "comment": _character(found["Comment"]),
    }
    if not settled["quote"] and _has_quotes(path, settled["delim"]):
        settled |= {"quote": '"', "escape": '"'}  # DuckDB gives quotes up where one is not closed
    for key, name in (("dateformat", "DateFormat"), ("timestampformat", "TimestampFormat")):
        if found.get(name):
            settled[key] = found[name]
    if found["HasHeader"]:
        _check_header(path, source, settled)
    for name, type_ in dict(options.get("types") or {}).items():
        if name not in types:
            raise ImportFailed(f"has no column {name!r} to be read as {type_}.", file=source.path)
        if not re.fullmatch(r"[A-Za-z]+( [A-Za-z]+)*(\(\d+(, ?\d+)?\))?", type_):
            raise UsageError(f"{type_!r} is not a column type.")
        types[name] = type_
    return _Dialect(source, path, settled, types, settled=_n_lines(path) < given["sample_size"])


def _n_lines(path: Path) -> float:
    """Lines of a small file; infinity for a large one, which is not read through for that."""
    return path.read_bytes().count(b"\n") if path.stat().st_size < 8 << 20 else math.inf


def _sniff(path: Path, given: Mapping[str, Any], build: Build, source: Source) -> dict[str, Any]:
    settings = "".join(f", {key} = ?" for key in given)
    try:
        cursor = build.connection.execute(
            f"FROM sniff_csv(?{settings})",
            [glob.escape(str(path)), *given.values()],
        )
        row = cursor.fetchone()
    except duckdb.Error as error:
        raise _explained(error, [_Dialect(source, path, {}, {})]) from error
    names = [column[0] for column in cursor.description or ()]
    return dict(zip(names, row or (), strict=True))


def _has_quotes(path: Path, delimiter: str) -> bool:
    """Whether a field near the beginning starts with a quote."""
    with path.open("rb") as file:
        head = file.read(_CHUNK)
    start = b"(?:^|" + re.escape(delimiter.encode()) + b')"'
    return re.search(start, head, re.MULTILINE) is not None


def _n_numbers(found: Mapping[str, Any]) -> int:
    return sum(column["type"] in ("DOUBLE", "BIGINT") for column in found["Columns"])


def _character(text: str | None) -> str:
    return "" if text in (None, "(empty)") else str(text)


def _check_text(path: Path, source: Source, options: Mapping[str, Any]) -> tuple[int, str]:
    """Refuse what is no text; returns about how many columns the first line has, and what parts them."""
    with path.open("rb") as file:
        head = file.read(_CHUNK)
    if not head.strip():
        raise ImportFailed("is empty.", file=source.path)
    if "encoding" not in options and b"\0" not in head:
        try:
            head[: head.rfind(b"\n") + 1].decode()
        except UnicodeDecodeError as error:
            before = head[: error.start].decode()
            raise ImportFailed(
                _NOT_UTF8,
                file=source.path,
                line=before.count("\n") + 1,
                column=len(before) - before.rfind("\n"),
            ) from error
    if b"\0" in head and "encoding" not in options:
        raise ImportFailed(
            "is not text (it holds zero bytes): if it is UTF-16, name the encoding 'utf-16'.",
            file=source.path,
        )
    first = head.partition(b"\n")[0]
    candidates = [str(options["delimiter"])] if options.get("delimiter") else _DELIMITERS
    delimiter = max(candidates, key=lambda candidate: first.count(candidate.encode()))
    return 1 + first.count(delimiter.encode()), delimiter


def _check_header(path: Path, source: Source, settled: Mapping[str, Any]) -> None:
    """Names given twice, and files with nothing below their header."""
    encoding = settled.get("encoding", "utf-8-sig")
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        for _ in range(settled["skip"]):
            file.readline()
        quote = settled["quote"]
        rows = csv.reader(
            file,
            delimiter=settled["delim"],
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        )
        try:
            names = next(rows, [])
            row = next(rows, None)
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
                line=settled["skip"] + 1,
                column=places[1],
            )


def _delimited_by_spaces(path: Path, source: Source) -> bool:
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


def _is_data(column: Mapping[str, str]) -> bool:
    """Whether what was taken for the header of a single text column is a row: it is all numbers."""
    return column["type"] == "VARCHAR" and re.fullmatch(r"[\d\s.,:;+-]+", column["name"]) is not None


def _check_columns_agree(dialects: Sequence[_Dialect]) -> None:
    first = dialects[0]
    for other in dialects[1:]:
        if list(other.types) == list(first.types):
            continue
        if len(other.types) != len(first.types):
            problem = f"has {len(other.types)} columns, but {first.source.path.name} has {len(first.types)}"
            raise ImportFailed(f"{problem}.", file=other.source.path)
        for number, (ours, theirs) in enumerate(zip(first.types, other.types, strict=True), 1):
            if ours != theirs:
                raise ImportFailed(
                    f"has a column {theirs!r} where {first.source.path.name} has {ours!r}.",
                    file=other.source.path,
                    line=1,
                    column=number,
                )


def _common_types(dialects: Sequence[_Dialect]) -> list[str]:
    common = []
    for types in zip(*(dialect.types.values() for dialect in dialects), strict=True):
        kinds = set(types)
        if len(kinds) == 1:
            common.append(types[0])
        elif kinds == {"BIGINT", "DOUBLE"}:
            common.append("DOUBLE")
        else:
            common.append("VARCHAR")
    return common


def _explained(error: duckdb.Error, dialects: Sequence[_Dialect]) -> Exception:
    """One sentence with file, line and column from what DuckDB says in thirty lines."""
    text = str(error)
    named = re.search(r"(?:file = |sniffing file \")(.*?)\"?\.?$", text, re.MULTILINE)
    dialect = next(
        (d for d in dialects if named and Path(named[1]) == Path(glob.escape(str(d.path)))), None
    ) or next((d for d in dialects if named and Path(named[1]) == d.path), dialects[0])
    file = dialect.source.path
    found = re.search(r"CSV Error on Line: (\d+)", text)
    line = int(found[1]) if found else None
    if "unicode" in text or "not utf-8" in text or "utf-8 encoded" in text:
        line, column = _first_bad_byte(dialect.path)
        return ImportFailed(_NOT_UTF8, file=file, line=line, column=column)
    if found := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text):
        problem = f"has {found[2]} columns where {found[1]} are expected: make all rows the same length."
        return ImportFailed(problem, file=file, line=line)
    if found := re.search(r'converting column "(.*?)"\. Could not convert string "(.*?)" to \'(.*?)\'', text):
        names = list(dialect.types)
        return ImportFailed(
            f"{found[2]!r} in column {found[1]!r} is not a {_WORDS.get(found[3], found[3])} like the rows "
            f"above: correct it, or import that column as text (types={{{found[1]!r}: 'VARCHAR'}}).",
            file=file,
            line=line,
            column=names.index(found[1]) + 1 if found[1] in names else None,
        )
    if "nterminated quote" in text:
        return ImportFailed("a quoted text is not closed.", file=file, line=line)
    if "aximum line size" in text:
        return ImportFailed("a line is longer than 2 MB: is this a CSV file?", file=file, line=line)
    if "automatically detect the CSV" in text:
        line, column = _first_bad_byte(dialect.path)
        if line is not None:
            return ImportFailed(_NOT_UTF8, file=file, line=line, column=column)
        return ImportFailed("no delimiter makes rows of equal length: name the delimiter.", file=file)
    if isinstance(error, duckdb.InvalidInputException | duckdb.ConversionException):
        return ImportFailed(first_sentence(text.replace(str(dialect.path), file.name)), file=file, line=line)
    return error


def _first_bad_byte(path: Path) -> tuple[int | None, int | None]:
    """Line and column of the first byte that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return number, len(line[: error.start].decode()) + 1
    return None, None
