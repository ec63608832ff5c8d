"""Parquet (a file or a folder), Arrow IPC and JSON lines: formats that bring their own types."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from workbench.datasets.files import Build, first_sentence
from workbench.datasets.importers import Imported, Source
from workbench.datasets.importers.frames import check_columns
from workbench.datasets.importers.text_file import without_mark
from workbench.datasets.names import identifier, suffix_of
from workbench.errors import ImportFailed, UsageError

__all__ = ["read_arrow", "read_jsonl", "read_parquet"]


def read_parquet(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from Parquet files, or every one below a folder (``key=value`` folders are columns)."""
    _no_options(options)
    return _read(
        sources, build, "read_parquet(?, union_by_name = true, hive_partitioning = true)", ".parquet"
    )


def read_jsonl(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from files with one JSON object a line, or one list of objects."""
    _no_options(options)
    sources = [
        source if source.path.is_dir() else replace(source, path=without_mark(source.path, build))
        for source in sources
    ]
    kinds = {_json_kind(source.path) for source in sources}
    if len(kinds) > 1:
        raise ImportFailed("Some of the files are lists, others have an object a line: import them apart.")
    function = f"read_json(?, format = '{kinds.pop()}', records = true, sample_size = 200000)"
    return _read(sources, build, function, ".jsonl")


def _json_kind(path: Path) -> str:
    with path.open("rb") as file:
        first = file.readline().lstrip()
        if first[:1] == b"[":
            return "array"
        alone = suffix_of(path) == ".json" and first and not file.readline().strip()
        if alone or first.strip() == b"{":  # over many lines
            raise ImportFailed(
                "is one JSON object, not a row a line: write one object for each row.", file=path
            )
    return "newline_delimited"


def read_arrow(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from Arrow IPC (Feather) files, batch by batch."""
    import pyarrow as pa
    import pyarrow.dataset

    _no_options(options)
    for source in sources:
        try:
            with source.path.open("rb") as file:
                whole = file.read(6) == b"ARROW1"
            if whole:
                reader = pyarrow.dataset.dataset(source.path, format="ipc").scanner().to_reader()
            else:  # a stream, which has no table of contents at its end
                reader = pa.ipc.open_stream(pa.memory_map(str(source.path)))
            check_columns(reader.schema.names, file=source.path)
            reader = _without_halves(_validated(reader))
            if source.part and "split" not in reader.schema.names:
                reader = _with_split(reader, source.part)
            build.append(reader)
        except (pa.ArrowException, OSError, duckdb.Error, UnicodeDecodeError) as error:
            build.connection.execute("DROP TABLE IF EXISTS data")
            raise ImportFailed("is damaged, cut short or not an Arrow file.", file=source.path) from error
    return Imported()


def _validated(reader: Any) -> Any:
    """The same, every batch looked at: by offsets or counts that do not agree DuckDB would be led astray."""
    import pyarrow as pa

    def batches() -> Iterator[Any]:
        for batch in reader:
            batch.validate(full=True)
            yield batch

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def _without_halves(reader: Any) -> Any:
    """Numbers of 16 bits as numbers of 32, which DuckDB has."""
    import pyarrow as pa

    halves = [pa.types.is_float16(field.type) for field in reader.schema]
    if not any(halves):
        return reader
    fields = zip(reader.schema, halves, strict=True)
    schema = pa.schema([field.with_type(pa.float32()) if half else field for field, half in fields])

    def batches() -> Iterator[Any]:
        for batch in reader:
            yield batch.cast(schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _with_split(reader: Any, part: str) -> Any:
    import pyarrow as pa

    schema = reader.schema.append(pa.field("split", pa.string()))

    def batches() -> Any:
        for batch in reader:
            column = pa.array([part] * batch.num_rows, pa.string())
            yield pa.RecordBatch.from_arrays([*batch.columns, column], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _read(sources: Sequence[Source], build: Build, function: str, suffix: str) -> Imported:
    parts: list[str] = []
    parameters: list[Any] = []
    notes: list[str] = []
    for source in sources:
        paths = _files(source.path, suffix)
        sql = f"SELECT * FROM {function}"
        values: list[Any] = [[glob.escape(str(path)) for path in paths]]
        try:
            described = build.connection.execute(f"DESCRIBE {sql}", values).fetchall()
        except duckdb.Error as error:
            raise _explained(error, source.path, paths) from error
        names = [row[0] for row in described]
        check_columns(names, file=source.path)
        loose = [identifier(row[0]) for row in described if row[1] == "JSON"]  # values of several types
        if loose:
            notes += [
                f"{name} holds values of several kinds, and became text that is JSON." for name in loose
            ]
            texts = ", ".join(f"{name}::VARCHAR AS {name}" for name in loose)
            sql = sql.replace("SELECT *", f"SELECT * REPLACE ({texts})")
        if source.part and "split" not in (name.lower() for name in names):
            sql = sql.replace("SELECT ", "SELECT ? AS split, ")
            values.insert(0, source.part)
        parts.append(sql)
        parameters += values
    try:
        build.run("CREATE TABLE data AS " + " UNION ALL BY NAME ".join(parts), parameters)
    except duckdb.Error as error:
        paths = [path for source in sources for path in _files(source.path, suffix)]
        raise _explained(error, sources[0].path, paths) from error
    return Imported(notes=tuple(dict.fromkeys(notes)))


def _files(path: Path, suffix: str) -> list[Path]:
    if not path.is_dir():
        if path.stat().st_size == 0:
            raise ImportFailed("is empty.", file=path)
        return [path]
    found = sorted(file for file in path.rglob(f"*{suffix}") if file.is_file())
    if not found:
        raise ImportFailed(f"holds no {suffix} file.", file=path)
    return found


def _explained(error: duckdb.Error, file: Path, paths: Sequence[Path]) -> Exception:
    text = str(error)
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in text:
        return error
    file = next((path for path in paths if str(path) in text or glob.escape(str(path)) in text), file)
    if "JSON" in text:
        line, problem = _first_bad_json(file)
        return ImportFailed(problem or first_sentence(text), file=file, line=line)
    if "ecompression" in text or "magic bytes" in text or "too small" in text or "footer" in text:
        return ImportFailed("is damaged, cut short or not a Parquet file.", file=file)
    return ImportFailed(first_sentence(text), file=file)


def _first_bad_json(path: Path) -> tuple[int | None, str | None]:
    """The first line that is no JSON object, and what is wrong with it."""
    with path.open("rb") as file:
        if file.read(4096).lstrip()[:1] == b"[":
            return None, "is not a whole list of JSON objects: it was cut short, or damaged."
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                if line.strip() and not isinstance(json.loads(line), dict):
                    return number, "is not one JSON object a line."
            except (ValueError, RecursionError) as error:
                told = error.msg.lower() if isinstance(error, json.JSONDecodeError) else "not UTF-8 text"
                if isinstance(error, RecursionError):
                    told = "too many brackets within each other"
                return number, f"is not one JSON object a line ({told})."
    return None, None


def _no_options(options: Mapping[str, Any]) -> None:
    if options:
        raise UsageError(f"Files of this format have no option {next(iter(options))!r}.")
