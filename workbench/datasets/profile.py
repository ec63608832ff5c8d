"""The profile of a version: computed once when it is published, drawn by pages ever after.

Counts, extremes and means are exact. Quantiles, histograms and most frequent values are taken from at
most :data:`SAMPLE_ROWS` rows, chosen by a hash of the row's number; ``"sampled"`` tells whether.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np

from workbench.datasets.files import Column
from workbench.datasets.names import identifier
from workbench.datasets.roles import Roles, is_number, is_time

__all__ = ["SAMPLE_ROWS", "profile"]

SAMPLE_ROWS = 100_000
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS = 30
_TOP = 10
_BATCH = 100  # columns a query
_TEXT_LENGTH = 80  # characters kept of a frequent value


def profile(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[Column], n_rows: int, roles: Roles
) -> dict[str, Any]:
    """Describe the table ``data`` of `connection` as JSON.

    Returns
    -------
    dict
        ``n_rows, sampled, columns`` (a list: name, type, kind, missing, distinct and, by kind, min, max,
        mean, std, quantiles, histogram, top) and, for time series, ``series``.
    """
    every = max(1, -(-n_rows // SAMPLE_ROWS))
    sample = "data" if every == 1 else f"(SELECT * FROM data WHERE hash(rowid) % {every} = 0)"
    described = []
    for start in range(0, len(columns), _BATCH):
        batch = columns[start : start + _BATCH]
        described += _exact(connection, batch)
        _add_distributions(connection, described[start:], batch, sample)
    result: dict[str, Any] = {"n_rows": n_rows, "sampled": every > 1, "columns": described}
    series = _series(connection, roles)
    if series is not None:
        result["series"] = series
    return result


def kind_of(type_: str) -> str:
    """``number``, ``boolean``, ``time``, ``text``, or ``other`` (lists, structs, blobs)."""
    if type_ == "BOOLEAN":
        return "boolean"
    if is_number(type_):
        return "number"
    if is_time(type_):
        return "time"
    return "text" if type_ == "VARCHAR" or type_.startswith("ENUM") else "other"


def _exact(connection: duckdb.DuckDBPyConnection, columns: Sequence[Column]) -> list[dict[str, Any]]:
    parts = []
    for column in columns:
        name, kind = identifier(column.name), kind_of(column.type)
        # min, max and mean of the finite values: one NaN would hide all the rest.
        finite = f"CASE WHEN isfinite({name}) THEN {name} END" if column.type in ("FLOAT", "DOUBLE") else name
        parts.append(f"count({finite})" if finite != name else f"count({name})")
        parts.append(f"approx_count_distinct({name})" if kind != "other" else "NULL")
        if kind in ("number", "time"):
            parts += [f"min({finite})", f"max({finite})"]
        else:
            parts += ["NULL", "NULL"]
        if kind == "number":
            parts += [f"avg({finite}::DOUBLE)", f"stddev_samp(({finite})::DOUBLE)"]
        else:
            parts += ["NULL", "NULL"]
    row = connection.execute(f"SELECT count(*), {', '.join(parts)} FROM data").fetchone()
    assert row is not None  # noqa: S101
    n_rows, values = row[0], iter(row[1:])
    described = []
    for column, (present, distinct, low, high, mean, std) in zip(columns, _sixes(values), strict=True):
        entry: dict[str, Any] = {
            "name": column.name,
            "type": column.type,
            "kind": kind_of(column.type),
            "missing": n_rows - present,
            "distinct": None if distinct is None else min(distinct, present),
        }
        if entry["kind"] in ("number", "time"):
            entry |= {"min": _plain(low), "max": _plain(high)}
        if entry["kind"] == "number":
            entry |= {"mean": _plain(mean), "std": _plain(std)}
        described.append(entry)
    return described


def _sixes(values: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
    return zip(*[values] * 6, strict=True)


def _add_distributions(
    connection: duckdb.DuckDBPyConnection,
    described: list[dict[str, Any]],
    columns: Sequence[Column],
    sample: str,
) -> None:
    numeric = [
        (entry, column)
        for entry, column in zip(described, columns, strict=True)
        if entry["kind"] in ("number", "time") and column.type not in ("TIME",)
    ]
    if numeric:
        parts = ", ".join(
            f"epoch({identifier(column.name)})::DOUBLE AS c{j}"
            if entry["kind"] == "time"
            else f"{identifier(column.name)}::DOUBLE AS c{j}"
            for j, (entry, column) in enumerate(numeric)
        )
        arrays = connection.execute(f"SELECT {parts} FROM {sample} AS s").fetchnumpy()
        for j, (entry, _) in enumerate(numeric):
            values = np.ma.filled(np.ma.asarray(arrays[f"c{j}"], dtype=float), np.nan)
            _add_histogram(entry, values[np.isfinite(values)])
    for entry, column in zip(described, columns, strict=True):
        few = entry["kind"] == "number" and (entry["distinct"] or 0) <= 20
        if entry["kind"] in ("text", "boolean") or few:
            name = identifier(column.name)
            entry["top"] = [
                [_plain(value), count]
                for value, count in connection.execute(
                    f"SELECT {name}, count(*) AS n FROM {sample} AS s WHERE {name} IS NOT NULL "
                    f"GROUP BY ALL ORDER BY n DESC, {name} LIMIT {_TOP}"
                ).fetchall()
            ]


def _add_histogram(entry: dict[str, Any], values: np.ndarray[Any, Any]) -> None:
    if not len(values):
        return
    quantiles = np.quantile(values, _QUANTILES)
    if entry["kind"] == "number":
        entry["quantiles"] = {str(q): _plain(value) for q, value in zip(_QUANTILES, quantiles, strict=True)}
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(high - low):
        return
    bins = 1 if low == high else _BINS
    try:
        counts, edges = np.histogram(values, bins=bins)
    except ValueError:  # the range is too small for so many bins
        counts, edges = np.array([len(values)]), np.array([low, high])
    entry["histogram"] = {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "epoch": entry["kind"] == "time",
    }


def _series(connection: duckdb.DuckDBPyConnection, roles: Roles) -> dict[str, Any] | None:
    """Number, lengths and classes of the series of a long table."""
    if "time" not in roles or "value" not in roles or "series_id" not in roles:
        return None
    sid, time = identifier(roles["series_id"][0]), identifier(roles["time"][0])
    length = f"count(DISTINCT {time})" if "channel" in roles else "count(*)"
    extra = ""
    for role in ("label", "split"):
        extra += f", first({identifier(roles[role][0])})" if role in roles else ", NULL"
        extra += f" AS {role}"
    groups = f"(SELECT {length} AS length{extra} FROM data GROUP BY {sid})"
    row = connection.execute(
        f"SELECT count(*), min(length), median(length), max(length) FROM {groups}"
    ).fetchone()
    assert row is not None  # noqa: S101
    result: dict[str, Any] = {
        "n_series": row[0],
        "length": {"min": row[1], "median": row[2], "max": row[3]},
        "n_channels": len(roles["value"]),
    }
    for role in ("label", "split"):
        if role in roles:
            result[role] = [
                [_plain(value), count]
                for value, count in connection.execute(
                    f"SELECT {role}, count(*) AS n FROM {groups} GROUP BY 1 ORDER BY n DESC, 1 LIMIT 100"
                ).fetchall()
            ]
    return result


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value[:_TEXT_LENGTH]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    number = float(value)
    return number if math.isfinite(number) else None
