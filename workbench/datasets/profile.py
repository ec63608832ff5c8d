"""The profile of a version: computed once when it is published, drawn by pages ever after.

A table of at most :data:`SAMPLE_ROWS` rows is described exactly. Of a larger one, counts, extremes and
means are exact, and ``distinct`` of ids and names is DuckDB's estimate, all in one pass; deviations,
quantiles, histograms, most frequent values and ``distinct`` of all else come from about
:data:`SAMPLE_ROWS` rows, chosen by a hash of the row's number. ``"sampled"`` tells which it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from workbench.datasets.files import Column
from workbench.datasets.names import identifier
from workbench.datasets.roles import Roles, is_number, is_time

__all__ = ["SAMPLE_ROWS", "histogram", "kind_of", "profile", "sample"]

SAMPLE_ROWS = 100_000
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS = 30
_SALT = 1_000_003
_TOP = 10
_FEW = 10_000  # different values in the sample, up to which their number is taken from it
_BATCH_COLUMNS, _BATCH_CELLS = 2000, 10_000_000  # read at once
_TEXT_LENGTH = 80  # characters kept of a frequent value
_EXACT_DOUBLE = 2.0**53  # whole numbers beyond are not all doubles


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
    where = sample(n_rows)
    described: list[dict[str, Any]] = []
    width = max(1, min(_BATCH_COLUMNS, _BATCH_CELLS // min(max(n_rows, 1), SAMPLE_ROWS)))
    for start in range(0, len(columns), width):
        described += _describe(connection, columns[start : start + width], where)
    if where:
        for start in range(0, len(columns), _BATCH_COLUMNS):
            stop = start + _BATCH_COLUMNS
            _put_exact(connection, columns[start:stop], described[start:stop], n_rows)
    result: dict[str, Any] = {"n_rows": n_rows, "sampled": bool(where), "columns": described}
    series = _series(connection, roles)
    if series is not None:
        result["series"] = series
    return result


def sample(n_rows: int) -> str:
    """The WHERE that chooses about :data:`SAMPLE_ROWS` of a table's rows; empty where it has no more."""
    every = max(1, -(-n_rows // SAMPLE_ROWS))
    # Not hash(rowid) itself: made-up data often has hash(i) in it, and would follow the choice.
    return "" if every == 1 else f" WHERE hash(rowid + {_SALT}) % {every} = 0"


def kind_of(type_: str) -> str:
    """``number``, ``boolean``, ``time``, ``text``, or ``other`` (lists, structs, blobs)."""
    if type_ == "BOOLEAN":
        return "boolean"
    if is_number(type_):
        return "number"
    if is_time(type_):
        return "time"
    return "text" if type_ == "VARCHAR" or type_.startswith("ENUM") else "other"


def histogram(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Counts and edges of sorted finite `values`; None where their range is no number."""
    low, high = float(values[0]), float(values[-1])
    if not math.isfinite(high - low):
        return None
    edges = np.linspace(low, high, 2 if low == high else _BINS + 1)
    if low == high or np.any(edges[1:] <= edges[:-1]):  # the range is too small for so many bins
        return np.array([len(values)]), np.array([low, high])
    places = np.searchsorted(values, edges[1:-1], side="left")
    return np.diff(np.concatenate([[0], places, [len(values)]])), edges


def _describe(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[Column], where: str
) -> list[dict[str, Any]]:
    """What the rows that `where` chooses tell of some columns."""
    reads = []
    for j, column in enumerate(columns):
        name, kind = identifier(column.name), kind_of(column.type)
        if kind == "number":
            read = f"{name}::DOUBLE"
        elif kind == "time":
            # Of a time of day there is no epoch; other times count from 1970.
            read = f"epoch({name})::DOUBLE"
        else:
            read = f"{name} IS NOT NULL" if kind == "other" else f"{name}::VARCHAR"
        reads.append(f"{read} AS c{j}")
    with connection.cursor() as cursor:
        table = cursor.sql(f"SELECT {', '.join(reads)} FROM data{where}").to_arrow_table()
    described = []
    for column, values in zip(columns, table.columns, strict=True):
        kind = kind_of(column.type)
        entry: dict[str, Any] = {"name": column.name, "type": column.type, "kind": kind}
        if kind in ("number", "time"):
            _describe_numbers(entry, values.to_numpy(), whole="INT" in column.type)
        elif kind == "other":
            entry |= {"missing": int(np.sum(~values.to_numpy())), "distinct": None}
        else:
            _describe_words(entry, values)
        described.append(entry)
    if not where:
        _put_extremes(connection, columns, described)
    return described


def _describe_numbers(entry: dict[str, Any], values: NDArray[Any], *, whole: bool) -> None:
    # min, max and mean of the finite values: one NaN would hide all the rest.
    ordered = np.sort(values[np.isfinite(values)])
    entry |= {"missing": len(values) - len(ordered), "distinct": 0, "min": None, "max": None}
    if entry["kind"] == "number":
        entry |= {"mean": None, "std": None}
    if not len(ordered):
        return
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    entry["distinct"] = len(starts)
    if entry["kind"] == "number":
        cast = int if whole and max(abs(ordered[0]), abs(ordered[-1])) < _EXACT_DOUBLE else _plain
        entry |= {"min": cast(ordered[0]), "max": cast(ordered[-1])}
        with np.errstate(over="ignore", invalid="ignore"):
            entry["mean"] = _plain(ordered.mean())
            entry["std"] = _plain(ordered.std(ddof=1)) if len(ordered) > 1 else None
        places = np.array(_QUANTILES) * (len(ordered) - 1)
        below, above = ordered[np.floor(places).astype(int)], ordered[np.ceil(places).astype(int)]
        share = places - np.floor(places)
        quantiles = below * (1 - share) + above * share
        entry["quantiles"] = {str(q): _plain(value) for q, value in zip(_QUANTILES, quantiles, strict=True)}
        if len(starts) <= 20:
            counts = np.diff(np.append(starts, len(ordered)))
            order = np.argsort(-counts, kind="stable")[:_TOP]
            entry["top"] = [[cast(ordered[starts[i]]), int(counts[i])] for i in order]
    drawn = histogram(ordered)
    if drawn is not None:
        entry["histogram"] = {
            "edges": drawn[1].tolist(),
            "counts": drawn[0].tolist(),
            "epoch": entry["kind"] == "time",
        }


def _describe_words(entry: dict[str, Any], values: Any) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    counted = pa.RecordBatch.from_struct_array(values.drop_null().value_counts())
    order = [("counts", "descending"), ("values", "ascending")]
    first = counted.take(pc.select_k_unstable(counted, _TOP, order)) if len(counted) else counted
    top = zip(first["values"].to_pylist(), first["counts"].to_pylist(), strict=True)
    boolean = entry["kind"] == "boolean"
    entry["missing"], entry["distinct"] = values.null_count, len(counted)
    entry["top"] = [[value == "true" if boolean else value[:_TEXT_LENGTH], count] for value, count in top]


def _put_extremes(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[Column],
    described: Sequence[dict[str, Any]],
) -> None:
    """Extremes that doubles do not hold: of times, and of very large whole numbers."""
    chosen = [
        (entry, _plain_time(column))
        for entry, column in zip(described, columns, strict=True)
        if entry["distinct"]
        and (
            entry["kind"] == "time"
            or (entry["kind"] == "number" and "INT" in entry["type"] and isinstance(entry["min"], float))
        )
    ]
    if not chosen:
        return
    parts = ", ".join(
        f"min({name}) FILTER (isfinite({name})), max({name}) FILTER (isfinite({name}))"
        if entry["type"] not in ("TIME",) and entry["kind"] == "time"
        else f"min({name}), max({name})"
        for entry, name in chosen
    )
    (row,) = connection.execute(f"SELECT {parts} FROM data").fetchall()
    for (entry, _), low, high in zip(chosen, row[::2], row[1::2], strict=True):
        entry |= {"min": _plain(low), "max": _plain(high)}


def _put_exact(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[Column],
    described: Sequence[dict[str, Any]],
    n_rows: int,
) -> None:
    """Put what the whole table says in the place of what the sample said."""
    lows, highs = _extremes(connection, columns)
    finite, parts = [], []
    for column, entry, low, high in zip(columns, described, lows, highs, strict=True):
        name, kind = _plain_time(column), kind_of(column.type)
        odd = any(isinstance(value, float) and not math.isfinite(value) for value in (low, high))
        only = f" FILTER (isfinite({name}))" if odd else ""
        finite.append(not odd)
        parts.append(f"count({name}){only}")
        # Of few different values the sample holds nearly all; measures are nearly all different.
        counted = (kind == "text" or "INT" in column.type) and entry["distinct"] > _FEW
        parts.append(f"approx_count_distinct({name})" if counted else "NULL")
        parts += [f"min({name}){only}", f"max({name}){only}"] if odd else ["NULL"] * 2
        exact = column.type in ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "DOUBLE")
        parts.append(f"avg({name if exact else f'{name}::DOUBLE'}){only}" if kind == "number" else "NULL")
    (row,) = connection.execute(f"SELECT {', '.join(parts)} FROM data").fetchall()
    for number, entry in enumerate(described):
        present, distinct, low, high, mean = row[5 * number : 5 * number + 5]
        entry |= {
            "missing": n_rows - present,
            "distinct": entry["distinct"] if distinct is None else min(distinct, present),
        }
        if entry["kind"] in ("number", "time"):
            found = (lows[number], highs[number]) if finite[number] else (low, high)
            entry |= {"min": _plain(found[0]), "max": _plain(found[1])}
        if entry["kind"] == "number":
            entry["mean"] = _plain(mean)


def _plain_time(column: Column) -> str:
    """A column as SQL that fetches without pytz, which DuckDB wants for time zones: those become UTC."""
    name = identifier(column.name)
    return f"timezone('UTC', {name})" if column.type == "TIMESTAMP WITH TIME ZONE" else name


def _extremes(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[Column]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Extremes of numbers and times, NaN and infinity among them.

    Asked for alone, DuckDB has them in its statistics; with anything else it would read the table.
    """
    parts = [
        f"min({_plain_time(column)}), max({_plain_time(column)})"
        if kind_of(column.type) in ("number", "time")
        else "NULL, NULL"
        for column in columns
    ]
    (row,) = connection.execute(f"SELECT {', '.join(parts)} FROM data LIMIT 1").fetchall()
    return row[::2], row[1::2]


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
