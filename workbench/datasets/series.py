"""From rows to ``(n, T, d)`` arrays, by the roles. Everything is vectorised; the database only filters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.datasets.files import Column
from workbench.datasets.names import identifier
from workbench.datasets.reading import TABLE, Reader
from workbench.datasets.roles import Roles, layout
from workbench.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from workbench.arrays import SeriesData

__all__ = ["labels", "read_index", "read_series", "read_times", "splits"]


@dataclass(frozen=True)
class _Query:
    """The parts of the SQL that reads the series of one table."""

    reader: Reader
    roles: Roles
    types: dict[str, str]

    def column(self, role: str) -> str | None:
        names = self.roles.get(role)
        return identifier(names[0]) if names else None

    @property
    def id(self) -> str:
        found = self.column("series_id")
        if found is not None:
            return found
        # Without names: the rows of a wide table are numbered, a long table is one series.
        return "rowid" if layout(self.roles) == "wide" else "0"

    def where(self, ids: Sequence[Any] | NDArray[Any] | None) -> tuple[str, list[Any]]:
        if ids is None:
            return "", []
        wanted = [_plain(item) for item in ids]
        if not wanted:
            return "WHERE false", []
        marks = ", ".join("?" * len(wanted))
        condition = f"WHERE {self.id} IN ({marks})"
        if len({type(item) for item in wanted}) == 1:
            # Lets DuckDB pass over the row groups that hold other series, where they lie in order.
            return f"{condition} AND {self.id} BETWEEN ? AND ?", [*wanted, min(wanted), max(wanted)]
        return condition, wanted


#: Roles whose column says one thing of a whole series.
_FIXED = ("label", "split", "domain")


def read_index(
    reader: Reader, roles: Roles, columns: Sequence[Column], ids: Sequence[Any] | None = None
) -> pd.DataFrame:
    """One row a series, in the order of the table: ``id, label, split, length``, and ``domain`` if there is.

    Raises
    ------
    DatasetError
        If a label, the split or the domain varies within a series, or a series id or a time is missing.
    """
    query = _Query(reader, roles, {column.name: column.type for column in columns})
    shape = layout(roles)
    where, wanted = query.where(ids)
    label, split, time = query.column("label"), query.column("split"), query.column("time")
    if shape == "wide":
        parts = [f"{query.id} AS id", f"{label or 'NULL'} AS label", f"{split or 'NULL'} AS split"]
        parts.append(f"{len(roles['value'])} AS length")
        if query.column("domain"):
            parts.append(f"{query.column('domain')} AS domain")
        frame = _frame(reader.arrow(f"SELECT {', '.join(parts)} FROM {TABLE} {where}", wanted))
        if query.column("series_id") and frame["id"].duplicated().any():
            again = frame["id"][frame["id"].duplicated()].iloc[0]
            raise DatasetError(
                f"The series {_plain(again)!r} has more than one row; in a wide table each has one."
            )
        return frame

    def constant(column: str | None, name: str) -> str:
        if column is None:
            return f"NULL AS {name}, true AS {name}_constant"
        return (
            f"first({column}) AS {name}, min({column}) IS NOT DISTINCT FROM max({column}) "
            f"AND count({column}) IN (0, count(*)) AS {name}_constant"
        )

    length = f"count(DISTINCT {time})" if shape == "fully long" else "count(*)"
    fixed = [role for role in _FIXED if role in roles or role != "domain"]
    constants = ", ".join(constant(query.column(role), role) for role in fixed)
    rows = reader.arrow(
        f"SELECT {query.id} AS id, {length} AS length, {constants}, "
        f"count(*) - count({time}) AS no_time, min(rowid) AS first_row "
        f"FROM {TABLE} {where} GROUP BY ALL ORDER BY first_row"
        if query.id != "0"
        else f"SELECT 0 AS id, {length} AS length, {constants}, count(*) - count({time}) AS no_time "
        f"FROM {TABLE}",
        wanted if query.id != "0" else [],
    )
    frame = _frame(rows)
    if frame["id"].isna().any():
        raise DatasetError(
            f"The column {query.column('series_id')} has empty cells; every row needs a series."
        )
    if frame["no_time"].any():
        raise DatasetError(f"The column {time} has empty cells; every row needs a time.")
    for role in fixed:
        varying = frame.loc[~frame[f"{role}_constant"].astype(bool), "id"]
        if len(varying):
            name = varying.iloc[0] if query.column("series_id") else None
            raise DatasetError(_varies(role, str(query.column(role)), name))
    return frame[["id", "label", "split", "length", *fixed[2:]]]


def read_series(
    reader: Reader,
    roles: Roles,
    columns: Sequence[Column],
    *,
    ids: Sequence[Any] | NDArray[Any] | None = None,
    index: pd.DataFrame | None = None,
) -> SeriesData:
    """The series as one array; only those of `ids`, in that order, where given."""
    from workbench.arrays import SeriesData

    query = _Query(reader, roles, {column.name: column.type for column in columns})
    if ids is not None and query.id == "0":
        if list(ids) != [0]:
            raise DatasetError("The data set is one series, called 0: it has no others to choose from.")
        ids = None
    if ids is not None and layout(roles) == "long" and not {"domain", "anomaly", "exogenous"} & set(roles):
        index, X, channels = _some(query, ids)
    else:
        if ids is not None or index is None:
            index = read_index(reader, roles, columns, None if ids is None else list(ids))
        read = {"wide": _wide, "long": _long, "fully long": _fully_long}[layout(roles)]
        X, channels = read(query, index, ids)
    steps = {
        role: _long(replace(query, roles={**roles, "value": roles[role]}), index, ids)[0]
        for role in ("anomaly", "exogenous")
        if role in roles
    }
    if ids is not None:
        import pandas as pd

        order = pd.Index(index["id"]).get_indexer(pd.Index(list(ids)))
        if (order < 0).any():
            raise DatasetError(f"There is no series {_plain(list(ids)[int(np.argmax(order < 0))])!r}.")
        X, index = X[order], index.iloc[order]
        steps = {role: values[order] for role, values in steps.items()}
    return SeriesData(
        X=X,
        y=labels(index["label"]) if "label" in roles else None,
        split=splits(index["split"]) if "split" in roles else None,
        ids=labels(index["id"]),
        channels=channels,
        domain=splits(index["domain"]) if "domain" in index else None,
        anomaly=_marked(steps["anomaly"]) if "anomaly" in steps else None,
        exogenous=steps.get("exogenous"),
    )


def read_times(
    reader: Reader, roles: Roles, columns: Sequence[Column], id_: Any = None
) -> pd.DatetimeIndex | None:
    """The times of the steps of one series, in UTC; None where they are no dates."""
    import pandas as pd

    query = _Query(reader, roles, {column.name: column.type for column in columns})
    time = query.column("time")
    if time is None or not query.types[roles["time"][0]].startswith(("TIMESTAMP", "DATE")):
        return None
    named = query.column("series_id") is not None
    where, wanted = (f"WHERE {query.id}::VARCHAR = ?", [str(id_)]) if named else ("", [])
    every = f"{time}" if layout(roles) != "fully long" else f"DISTINCT {time}"
    found = reader.arrow(f"SELECT epoch_us(time) FROM (SELECT {every} AS time FROM {TABLE} {where})", wanted)
    return pd.DatetimeIndex(np.sort(found.column(0).to_numpy()).astype("datetime64[us]"))


def _marked(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Steps (n, T, 1) that are marked: not 0, not empty; (n, T)."""
    marked: NDArray[np.bool_] = np.nan_to_num(values[:, :, 0]) != 0
    return marked


def _wide(query: _Query, index: pd.DataFrame, ids: Any) -> tuple[NDArray[Any], tuple[str, ...]]:
    names = query.roles["value"]
    where, wanted = query.where(ids)
    X = np.empty((len(index), len(names), 1), _dtype(query, names))
    columns = ", ".join(identifier(name) for name in names)
    with query.reader.cursor() as cursor:
        batches = cursor.sql(f"SELECT {columns} FROM {TABLE} {where}", params=wanted)
        start = 0
        for batch in batches.to_arrow_reader(10_000):
            stop = start + batch.num_rows
            for j, column in enumerate(batch.columns):
                X[start:stop, j, 0] = _floats(column)
            start = stop
    return X, ("value",)


def _long(query: _Query, index: pd.DataFrame, ids: Any) -> tuple[NDArray[Any], tuple[str, ...]]:
    names = query.roles["value"]
    where, wanted = query.where(ids)
    columns = ", ".join(f"{identifier(name)} AS c{j}" for j, name in enumerate(names))
    table = query.reader.arrow(
        f"SELECT {query.id} AS id, {query.column('time')} AS time, {columns} FROM {TABLE} {where}",
        wanted,
    )
    values = [table.column(2 + j) for j in range(len(names))]
    X = _assemble(_codes(table["id"]), _ticks(table["time"]), values, len(index), _dtype(query, names))
    return X, tuple(names)


def _some(query: _Query, ids: Any) -> tuple[pd.DataFrame, NDArray[Any], tuple[str, ...]]:
    """A few series of the long layout and their index, in one query."""
    import pandas as pd

    names = query.roles["value"]
    where, wanted = query.where(ids)
    columns = ", ".join(f"{identifier(name)} AS c{j}" for j, name in enumerate(names))
    label, split, time = query.column("label"), query.column("split"), query.column("time")
    table = query.reader.arrow(
        f"SELECT {query.id} AS id, {time} AS time, {label or 'NULL'} AS label, {split or 'NULL'} AS split, "
        f"{columns} FROM {TABLE} {where}",
        wanted,
    )
    codes = _codes(table["id"])
    if table["time"].null_count:
        raise DatasetError(f"The column {time} has empty cells; every row needs a time.")
    _, firsts, lengths = np.unique(codes, return_index=True, return_counts=True)
    for role, column in (("label", label), ("split", split)):
        if column is None:
            continue
        words = _codes(table[role])
        varying = words != words[firsts][codes]
        if varying.any():
            raise DatasetError(_varies(role, column, table["id"][int(np.argmax(varying))].as_py()))
    index = table.select(["id", "label", "split"]).take(firsts).to_pandas()
    index["length"] = lengths
    values = [table[f"c{j}"] for j in range(len(names))]
    X = _assemble(codes, _ticks(table["time"]), values, len(index), _dtype(query, names))
    return pd.DataFrame(index), X, tuple(names)


def _varies(role: str, column: str, series: Any) -> str:
    where = "the one series" if series is None else f"the series {_plain(series)!r}"
    return (
        f"The {role} {column} varies within {where}: take the role {role!r} away (what marks single steps "
        "has the role 'anomaly'), or cut the series so that each piece has one."
    )


def _fully_long(query: _Query, index: pd.DataFrame, ids: Any) -> tuple[NDArray[Any], tuple[str, ...]]:
    channel, value, time = query.column("channel"), query.column("value"), query.column("time")
    where, wanted = query.where(ids)
    channels = [
        row[0] for row in query.reader.rows(f"SELECT {channel} FROM {TABLE} GROUP BY 1 ORDER BY min(rowid)")
    ]
    if None in channels:
        raise DatasetError(f"The column {channel} has empty cells; every value needs a channel.")
    columns = ", ".join(f"any_value({value}) FILTER ({channel} = ?) AS c{j}" for j in range(len(channels)))
    table = query.reader.arrow(
        f"SELECT {query.id} AS id, {time} AS time, {columns}, "
        f"count(*) - count(DISTINCT {channel}) AS again, min(rowid) AS first_row "
        f"FROM {TABLE} {where} GROUP BY {query.id}, {time} ORDER BY first_row",
        [*channels, *wanted],
    )
    again = np.asarray(table["again"])
    if again.any():
        row = int(np.argmax(again))
        raise DatasetError(
            f"The series {table['id'][row].as_py()!r} has two values of one channel at time "
            f"{table['time'][row].as_py()}: aggregate them first."
        )
    values = [table[f"c{j}"] for j in range(len(channels))]
    dtype = _dtype(query, query.roles["value"])
    X = _assemble(_codes(table["id"]), _ticks(table["time"]), values, len(index), dtype)
    return X, tuple(map(str, channels))


def _assemble(
    codes: NDArray[np.integer], ticks: NDArray[Any], values: Sequence[pa.ChunkedArray], n: int, dtype: Any
) -> NDArray[Any]:
    """Scatter rows into ``(n, T, d)``: series by `codes` (0..n-1), steps by the order of `ticks`."""
    lengths = np.bincount(codes, minlength=n)
    T, d = int(lengths.max(initial=0)), len(values)
    _check_memory(n * T * d * np.dtype(dtype).itemsize, n, T, d)
    same = codes[1:] == codes[:-1]
    ordered = bool(np.all(codes[1:] >= codes[:-1]) and np.all((ticks[1:] >= ticks[:-1]) | ~same))
    order = slice(None) if ordered else np.lexsort((ticks, codes))
    codes = codes[order]
    if bool((lengths == T).all()):
        X = np.empty((n, T, d), dtype)
        for j, column in enumerate(values):
            X[:, :, j] = _floats(column)[order].reshape(n, T)
        return X
    steps = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    X = np.full((n, T, d), np.nan, dtype)
    for j, column in enumerate(values):
        X[codes, steps, j] = _floats(column)[order]
    return X


def _codes(ids: pa.ChunkedArray) -> NDArray[np.integer]:
    """Number the series 0, 1, … in the order in which they first appear."""
    import pyarrow as pa

    encoded = ids.combine_chunks().dictionary_encode(null_encoding="encode")
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy(zero_copy_only=False)


def _ticks(time: pa.ChunkedArray) -> NDArray[Any]:
    """Times as numbers that sort alike."""
    ticks = time.to_numpy()
    if ticks.dtype == object:  # DATE and TIME
        ticks = np.asarray(ticks, dtype=str)
    return ticks.view(np.int64) if ticks.dtype.kind == "M" else ticks


def _floats(column: Any) -> NDArray[Any]:
    """A column as floats, NaN where empty; words that mark steps as 1, but "normal" and the like as 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        normal = pc.is_in(pc.utf8_lower(column), pa.array(["", "0", "false", "no", "normal"]))
        column = pc.and_(pc.is_valid(column), pc.invert(normal))

    if pa.types.is_decimal(column.type) or pa.types.is_boolean(column.type):
        column = column.cast(pa.int8() if pa.types.is_boolean(column.type) else pa.float64())
    return column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()


def _dtype(query: _Query, names: Sequence[str]) -> Any:
    return np.float32 if all(query.types[name] == "FLOAT" for name in names) else np.float64


def labels(column: pd.Series) -> NDArray[Any]:
    """Numbers as numbers (NaN where missing); text as str, or objects with None where missing."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_extension_array_dtype(column):
        return column.to_numpy()
    missing = column.isna().to_numpy()
    values = np.array(column, dtype=object)
    if not missing.any():
        return values.astype(str) if all(isinstance(value, str) for value in values) else values
    values[missing] = None
    return values


def splits(column: pd.Series) -> NDArray[Any]:
    """The side of the split of each series."""
    return column.fillna("").astype(str).str.lower().to_numpy(dtype=str)


def _plain(value: Any) -> Any:
    """A NumPy scalar as Python writes it."""
    return value.item() if isinstance(value, np.generic) else value


def _frame(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas()


def _check_memory(n_bytes: int, n: int, T: int, d: int) -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if n_bytes > physical * 0.8:
        raise DatasetError(
            f"{n} series padded to {T} steps of {d} channels need {n_bytes / 1e9:.0f} GB, more than this "
            "machine has: cut them into windows first."
        )
