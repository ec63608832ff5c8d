"""CSV, TSV and their kin, streamed by DuckDB.

::

    text_file.py    encoding, line ends, what is no table
    first_lines.py  what the first lines show
    dialect.py      delimiter, quotes, header, types
    csv_columns.py  columns read so that no cell changes without a word
    csv_faults.py   faults as one sentence each
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported, Source
from workbench.datasets.importers.csv_columns import EXACT, MISSING, Look, Reading, look_sql, looked, settled
from workbench.datasets.importers.csv_faults import explained, file_of, line_ends_differ
from workbench.datasets.importers.dialect import OPTIONS, Dialect, sniffed
from workbench.datasets.importers.text_file import one_line_end, scan
from workbench.datasets.names import identifier
from workbench.errors import ImportFailed, UsageError

__all__ = ["read_csv"]

_LARGE = 128 << 20  # bytes of CSV above which the time counts more than the size
_HOW = ("plain", "instant", "number", "text")  # the later, the more careful


def read_csv(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from delimited files whose columns agree."""
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise UsageError(f"CSV files have no option {unknown.pop()!r}: there are {', '.join(OPTIONS)}.")
    dialects = [sniffed(source, build, options) for source in sources]
    _check_columns_agree(dialects)
    dialects = _with(dialects, _common(dialects))
    notes = list(dict.fromkeys(note for dialect in dialects for note in dialect.notes))
    readings = dialects[0].readings.values()
    numbers = any(reading.type == "BIGINT" and reading.how != "plain" for reading in readings)
    times = any(_as_instant(reading) != reading for reading in readings)
    found = [
        scan(dialect.path, dialect.source, dialect.options["delim"], numbers=numbers, times=times)
        for dialect in dialects
    ]
    if sum(dialect.path.stat().st_size for dialect in dialects) > _LARGE:
        build.hurry()
    if any(each.offsets for each in found):
        dialects = _with(dialects, [_as_instant(reading) for reading in readings])
    settle, settled_, same_ends = any(each.zero_padded for each in found), False, False
    while True:
        if settle and not settled_:
            dialects, more = _settled(dialects, build)
            notes += more
            settled_ = True
        try:
            _load(dialects, build)
            if settled_ or not _rounded(dialects[0], build):
                break
            settle = True
        except duckdb.Error as error:
            odd = "odd cell in" in str(error) or isinstance(error, duckdb.ConversionException)
            if line_ends_differ(error) and not same_ends:
                same_ends = True
                dialects = [replace(dialect, path=one_line_end(dialect.path, build)) for dialect in dialects]
            elif odd and not settled_:
                settle = True
            else:
                raise _odd_cell(error, dialects, build) or _explained(error, dialects) from error
        build.connection.execute("DROP TABLE IF EXISTS data")
    notes += _afterwards(dialects[0], build)
    return Imported(notes=tuple(dict.fromkeys(notes)))


def _settled(dialects: Sequence[Dialect], build: Build) -> tuple[list[Dialect], list[str]]:
    """Look at every row: how to read columns whose first rows do not tell; and notes."""
    first = dialects[0]
    names = [
        name for name, reading in first.readings.items()
        if name not in first.given and (reading.how != "plain" or reading.type in ("DOUBLE", "DATE"))
    ]  # fmt: skip
    looks: dict[str, Look] = {}
    for dialect in dialects if names else ():
        source, values = dialect.text()
        row = build.connection.execute(
            f"SELECT {look_sql(names, dialect.formats, dialect.signs)} FROM {source}", values
        ).fetchall()[0]
        for name, look in looked(row, names).items():
            looks[name] = looks[name] + look if name in looks else look
    readings, notes = list(first.readings.items()), list[str]()
    for place, (name, before) in enumerate(readings):
        if name not in looks:
            continue
        look = looks[name]
        after, note = settled(name, look, before)
        if after.type == "VARCHAR" and look.values and not (look.padded or look.large):
            _refuse(name, dialects, build)
        readings[place] = (name, after)
        notes += [note] if note else []
    return _with(dialects, [reading for _, reading in readings]), notes


def _rounded(dialect: Dialect, build: Build) -> bool:
    """Whether a whole number is so large that DOUBLE may have rounded it; DuckDB knows the extremes."""
    read = [identifier(name) for name, reading in dialect.readings.items() if reading.how == "number"]
    if not read:
        return False
    extremes = ", ".join(f"min({name}), max({name})" for name in read)
    row = build.connection.execute(f"SELECT {extremes} FROM data").fetchall()[0]
    return any(value is not None and abs(value) >= EXACT for value in row)


def _refuse(name: str, dialects: Sequence[Dialect], build: Build) -> None:
    """Read `name` until the cell that is not like those above: an ImportFailed with its place."""
    for dialect in dialects:
        sql, values = dialect.one(name, MISSING)
        try:
            build.connection.execute(sql, values)
        except duckdb.Error as error:
            raise _explained(error, dialects) from error


def _odd_cell(error: duckdb.Error, dialects: Sequence[Dialect], build: Build) -> ImportFailed | None:
    """The cell that a check refused, where that is what happened."""
    name = next((name for name in dialects[0].readings if f"odd cell in {name}" in str(error)), None)
    if name is None:
        return None
    column = identifier(name)
    for dialect in dialects:
        reading = dialect.readings[name]
        source, values = dialect.text()
        row = build.connection.execute(
            f"SELECT n, cell FROM (SELECT row_number() OVER () AS n, {column} AS cell FROM {source}) "
            f"WHERE {reading.refuses('cell')} LIMIT 1",
            values,
        ).fetchone()
        if row is not None:
            return ImportFailed(
                f"{row[1]!r} in column {name!r} is not {reading.type}: correct it, or import that column as "
                f"text (types={{{name!r}: 'VARCHAR'}}).",
                file=dialect.source.path,
                line=row[0] + dialect.options["skip"] + bool(dialect.options["header"]),
                column=list(dialect.readings).index(name) + 1,
            )
    return None


def _as_instant(reading: Reading) -> Reading:
    stamped = reading.type == "TIMESTAMP" and reading.how == "plain" and not reading.format
    return replace(reading, how="instant") if stamped else reading


def _with(dialects: Sequence[Dialect], readings: Sequence[Reading]) -> list[Dialect]:
    return [
        replace(dialect, readings=dict(zip(dialect.readings, readings, strict=True))) for dialect in dialects
    ]


def _load(dialects: Sequence[Dialect], build: Build) -> None:
    parts, parameters = [], []
    names = {name.lower() for name in dialects[0].readings}
    extra = "split" if dialects[0].source.part else "file" if len(dialects) > 1 else None
    for dialect in dialects:
        sql, values = dialect.select()
        if extra is None or extra in names:
            parts.append(f"SELECT {sql}")
        else:
            parts.append(f"SELECT ? AS {extra}, {sql}")
            parameters.append(dialect.source.part or dialect.source.stem)
        parameters += values
    sql = "CREATE TABLE data AS " + " UNION ALL ".join(parts)
    try:
        build.run(sql, parameters)
    except duckdb.OutOfMemoryException as error:
        if "max_temp_directory_size" in str(error):
            raise  # it is the disk that is full
        build.spare()
        build.run(sql, parameters)


def _afterwards(dialect: Dialect, build: Build) -> list[str]:
    """What only the whole table tells: dates that may be read two ways, a column that is not there."""
    notes = []
    format_ = dialect.formats.get("DATE", "") + dialect.formats.get("TIMESTAMP", "")
    stamped = [name for name, reading in dialect.readings.items() if reading.type in ("DATE", "TIMESTAMP")]
    if stamped and "%d" in format_ and "%m" in format_ and not format_.startswith("%Y"):
        days = ", ".join(f"max(day({identifier(name)}))" for name in stamped)
        row = build.connection.execute(f"SELECT {days} FROM data").fetchall()[0]
        for name, day in zip(stamped, row, strict=True):
            if day is not None and day <= 12:
                notes.append(
                    f"Dates in {name!r} were read as {format_}, and none of them tells day from month: if it "
                    "is the other way round, name their format (dates='%m/%d/%Y')."
                )
    last, place = list(dialect.readings)[-1], len(dialect.readings) - 1
    if place > 0 and last == f"column{place}" and dialect.options["header"]:
        column = identifier(last)
        if build.connection.execute(f"SELECT count({column}) FROM data").fetchall()[0][0] == 0:
            build.connection.execute(f"ALTER TABLE data DROP COLUMN {column}")
            notes.append("The last column, which has no name and no cell, was left out.")
    return notes


def _check_columns_agree(dialects: Sequence[Dialect]) -> None:
    first = dialects[0]
    for other in dialects[1:]:
        if list(other.readings) == list(first.readings):
            continue
        if len(other.readings) != len(first.readings):
            counts = f"{len(other.readings)} columns, but {first.source.path.name} has {len(first.readings)}"
            raise ImportFailed(f"has {counts}.", file=other.source.path)
        for number, (ours, theirs) in enumerate(zip(first.readings, other.readings, strict=True), 1):
            if ours != theirs:
                raise ImportFailed(
                    f"has a column {theirs!r} where {first.source.path.name} has {ours!r}.",
                    file=other.source.path,
                    line=1,
                    column=number,
                )


def _common(dialects: Sequence[Dialect]) -> list[Reading]:
    """One reading for each column of all files: the most careful one that holds them all."""
    common = []
    for readings in zip(*(dialect.readings.values() for dialect in dialects), strict=True):
        types = {reading.type for reading in readings}
        careful = max(readings, key=lambda reading: _HOW.index(reading.how))
        if len(types) == 1:
            common.append(careful)
        elif types == {"BIGINT", "DOUBLE"}:
            common.append(replace(careful, type="DOUBLE", how="text" if careful.how == "text" else "plain"))
        else:
            common.append(Reading("VARCHAR"))
    return common


def _explained(error: duckdb.Error, dialects: Sequence[Dialect]) -> Exception:
    named = Path(file_of(error) or "")
    own = next((d for d in dialects if named in (d.path, Path(glob.escape(str(d.path))))), dialects[0])
    return explained(error, own.source, own.path, list(own.readings))
