"""Writing a version to a file that others read: CSV, Parquet, or ``.ts``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from workbench.datasets.files import Column, first_sentence
from workbench.datasets.names import identifier, literal
from workbench.datasets.reading import TABLE, connect
from workbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from workbench.arrays import SeriesData
    from workbench.datasets.dataset import DatasetFile

__all__ = ["export", "export_batches"]

# A spreadsheet takes text that begins so for a formula; an apostrophe before it makes it text.
_FORMULA = r"^[=+\-@\t\r]"


def export(dataset: DatasetFile, path: Path) -> list[Path]:
    """Write `dataset` to `path`; returns the files written.

    In a CSV, text that a spreadsheet would run as a formula gets an apostrophe before it. A ``.ts`` with
    a split becomes two files, ``…_TRAIN.ts`` and ``…_TEST.ts``.

    Raises
    ------
    UsageError
        If the suffix is none of ``.csv``, ``.parquet``, ``.ts``.
    DatasetError
        If the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet", ".ts"):
        raise UsageError(f"{path.name!r} must end in .csv, .parquet or .ts.")
    try:
        if suffix == ".ts":
            return _export_ts(dataset.to_series(), path, dataset.name)
        part = path.with_name(path.name + ".part")
        try:
            with dataset._reader.cursor() as cursor:
                _copy(cursor, TABLE, dataset.columns, part, suffix)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, duckdb.IOException) as error:
        problem = (
            error.strerror if isinstance(error, OSError) and error.strerror else first_sentence(str(error))
        )
        raise DatasetError(f"{path} cannot be written: {problem.rstrip('.')}.") from error
    return [path]


def export_batches(batches: Any, path: Path) -> Path:
    """Write a reader of Arrow batches, the result of a query, as ``.csv`` or ``.parquet``."""
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise UsageError(f"{path.name!r} must end in .csv or .parquet.")
    part = path.with_name(path.name + ".part")
    try:
        with connect() as connection:
            connection.register("batches", batches)
            described = connection.execute("DESCRIBE batches").fetchall()
            columns = [Column(row[0], row[1]) for row in described]
            _copy(connection, "batches", columns, part, suffix)
        os.replace(part, path)
    except (OSError, duckdb.IOException) as error:
        problem = getattr(error, "strerror", None) or first_sentence(str(error))
        raise DatasetError(f"{path} cannot be written: {problem.rstrip('.')}.") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _copy(
    cursor: duckdb.DuckDBPyConnection, table: str, columns: Sequence[Column], part: Path, suffix: str
) -> None:
    chosen = []
    for column in columns:
        name = identifier(column.name)
        if suffix == ".csv" and column.type == "VARCHAR":
            shown = identifier(_neutral(column.name))
            chosen.append(
                f"CASE WHEN regexp_matches({name}, '{_FORMULA}') AND TRY_CAST({name} AS DOUBLE) IS NULL "
                f"THEN '''' || {name} ELSE {name} END AS {shown}"
            )
        else:
            chosen.append(name)
    form = "(FORMAT parquet)" if suffix == ".parquet" else "(FORMAT csv, HEADER)"
    cursor.execute(f"COPY (SELECT {', '.join(chosen)} FROM {table}) TO {literal(part)} {form}").fetchall()


def _neutral(name: str) -> str:
    return "'" + name if name[:1] in "=+-@\t\r" else name


def _export_ts(data: SeriesData, path: Path, name: str) -> list[Path]:
    if data.split is None or not set(data.split) <= {"train", "test"} or len(set(data.split)) < 2:
        _write_ts(data, np.arange(len(data.X)), path, name)
        return [path]
    written = []
    for part in ("train", "test"):
        target = path.with_name(f"{path.stem}_{part.upper()}{path.suffix}")
        _write_ts(data, np.flatnonzero(data.split == part), target, name)
        written.append(target)
    return written


def _write_ts(data: SeriesData, rows: np.ndarray[Any, Any], path: Path, name: str) -> None:
    present = ~np.isnan(data.X).all(axis=2)
    T = data.X.shape[1]
    lengths = np.where(present.any(axis=1), T - np.argmax(present[:, ::-1], axis=1), 1)
    equal = len(set(lengths.tolist())) == 1
    target = data.y is not None and data.y.dtype.kind == "f"
    lines = [
        f"@problemName {name.replace(' ', '_')}",
        "@timeStamps false",
        f"@missing {str(bool(np.isnan(data.X[present]).any())).lower()}",
        f"@univariate {str(data.X.shape[2] == 1).lower()}",
        f"@dimensions {data.X.shape[2]}",
        f"@equalLength {str(equal).lower()}",
    ]
    if equal:
        lines.append(f"@seriesLength {lengths[0]}")
    labels: list[str] | None = None
    if target:
        assert data.y is not None  # noqa: S101
        labels = [repr(float(value)) for value in data.y]
        lines.append("@targetLabel true")
    elif data.y is None:
        lines.append("@classLabel false")
    else:
        # Words apart by spaces, values by commas, channels by colons: a label may hold none of them.
        labels = ["?" if value is None else _word(str(value)) for value in data.y]
        lines.append("@classLabel true " + " ".join(sorted(set(labels) - {"?"})))
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write("\n".join([*lines, "@data", ""]))
            for i in rows:
                values = data.X[i, : lengths[i]].T
                text = ":".join(
                    ",".join("?" if value != value else repr(value) for value in channel.tolist())
                    for channel in values
                )
                file.write(text if labels is None else f"{text}:{labels[i]}")
                file.write("\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _word(label: str) -> str:
    return "_".join(label.replace(",", " ").replace(":", " ").split()) or "_"
