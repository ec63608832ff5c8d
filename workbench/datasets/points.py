"""What labels are given to by hand: points, rows, and stretches of a recording, small enough to be drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.datasets.names import identifier
from workbench.datasets.prepare.recordings import Resample
from workbench.datasets.prepare.step import Table
from workbench.datasets.reading import TABLE
from workbench.datasets.roles import is_number, layout
from workbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from workbench.datasets.dataset import DatasetFile

__all__ = ["MAP", "POINTS", "clusters", "coordinates", "intervals", "recording", "rows"]

POINTS = 20_000  #: points at most; of more rows every so manieth
MAP = ("map 1", "map 2")  #: columns of :func:`coordinates`: the first two principal components
_COLUMNS = 50
_CELLS = 20_000_000  # numbers that a map is computed from


def coordinates(dataset: DatasetFile, limit: int = POINTS) -> pd.DataFrame:
    """One row a point: ``id, label``, and the numbers that can be its coordinates.

    Of series, the points are series and the numbers ``mean, sd, min, max``; else the points are rows, their
    id is the row's number, and the numbers are the columns. ``map 1`` and ``map 2`` are the first two
    principal components of the standardised values, a map that needs no training.

    Raises
    ------
    DatasetError
        If there are no numbers.
    """
    if dataset.is_series and ("series_id" in dataset.roles or layout(dataset.roles) == "wide"):
        return _of_series(dataset, limit)
    names = [column.name for column in dataset.columns if is_number(column.type)]
    label = next(iter(dataset.roles.get("label", [])), None)
    names = [name for name in names if name != label][:_COLUMNS]
    if not names:
        raise DatasetError(f"{dataset.ref} has no columns of numbers to draw.")
    every = max(1, -(-dataset.n_rows // limit))
    shown = f"{identifier(label)}" if label else "NULL"
    listed = ", ".join(f"{identifier(name)}::DOUBLE" for name in names)
    table = dataset._reader.arrow(
        f"SELECT rowid, {shown}, {listed} FROM {TABLE} WHERE rowid % {every} = 0 ORDER BY rowid"
    )
    values = np.column_stack([column.to_numpy() for column in table.columns[2:]])
    frame = pd.DataFrame(values, columns=names)
    frame.insert(0, "id", table.column(0).to_numpy())
    frame.insert(1, "label", pd.Series(table.column(1).to_pylist(), dtype=object))
    used = [name for name in names if name not in _not_measured(dataset)]
    return _mapped(frame, frame[used or names].to_numpy())


def _not_measured(dataset: DatasetFile) -> set[str]:
    roles = ("series_id", "time", "split", "weight", "user", "item", "request", "candidate")
    return {name for role in roles for name in dataset.roles.get(role, [])}


def _of_series(dataset: DatasetFile, limit: int) -> pd.DataFrame:
    index = dataset.series_index()
    every = max(1, -(-len(index) // limit))
    index = index.iloc[::every].reset_index(drop=True)
    data = dataset.series(index["id"].tolist()) if every > 1 else dataset.to_series()
    X = np.asarray(data.X, dtype=float)
    flat = X.reshape(len(X), -1)
    known = ~np.isnan(flat)
    n = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, flat, 0).sum(axis=1) / n
    sd = np.sqrt(np.where(known, (flat - mean[:, None]) ** 2, 0).sum(axis=1) / n)
    frame = pd.DataFrame(
        {
            "id": data.ids,
            "label": pd.Series(list(data.y) if data.y is not None else [None] * len(X), dtype=object),
            "mean": mean,
            "sd": sd,
            "min": np.where(known, flat, np.inf).min(axis=1),
            "max": np.where(known, flat, -np.inf).max(axis=1),
        }
    )
    step = max(1, -(-flat.size // _CELLS))
    return _mapped(frame, flat[:, ::step])


def _mapped(frame: pd.DataFrame, values: NDArray[Any]) -> pd.DataFrame:
    """Add the first two principal components; missing values count as the mean of their column."""
    finite = np.isfinite(values)
    n = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, values, 0).sum(axis=0) / n
    centred = np.where(finite, values - mean, 0)
    scale = np.sqrt((centred**2).sum(axis=0) / n)
    Z = centred / np.where(scale > 0, scale, 1)
    found = _principal(Z)
    for place, name in enumerate(MAP):
        frame.insert(2 + place, name, found[:, place])
    return frame


def _principal(Z: NDArray[Any]) -> NDArray[Any]:
    if min(Z.shape) < 2:
        return np.column_stack([Z[:, 0], np.zeros(len(Z))])
    from sklearn.decomposition import PCA

    solver = "covariance_eigh" if Z.shape[1] <= 500 else "randomized"
    return np.asarray(PCA(2, svd_solver=solver, random_state=0).fit_transform(Z))


def clusters(x: NDArray[Any], y: NDArray[Any], k: int, seed: int = 0) -> NDArray[np.intp]:
    """k-means on two standardised coordinates: the cluster of each point, the largest cluster first.

    Points with a missing coordinate are in cluster -1.
    """
    from sklearn.cluster import KMeans

    Z = np.column_stack([x, y]).astype(float)
    known = np.isfinite(Z).all(axis=1)
    if k < 2 or k > known.sum():
        raise UsageError(f"The number of clusters must be from 2 to {int(known.sum())}, not {k}.")
    kept = Z[known]
    scale = kept.std(axis=0)
    standard = (kept - kept.mean(axis=0)) / np.where(scale > 0, scale, 1)
    found = KMeans(k, n_init=4, random_state=seed).fit_predict(standard)
    order = np.argsort(-np.bincount(found, minlength=k), kind="stable")
    rank = np.empty(k, dtype=np.intp)
    rank[order] = np.arange(k)
    result = np.full(len(Z), -1, dtype=np.intp)
    result[known] = rank[found]
    return result


def rows(
    dataset: DatasetFile, column: str | None = None, contains: str = "", *, limit: int = 500, offset: int = 0
) -> tuple[pd.DataFrame, int]:
    """Rows with their number in the column ``row``, where `column` as text contains `contains`; and how many.

    An empty text finds the rows in which `column` is missing.
    """
    where, parameters = "", list[Any]()
    if column is not None:
        if column not in {known.name for known in dataset.columns}:
            raise DatasetError(f"{dataset.ref} has no column {column!r}.")
        name = identifier(column)
        where = f"WHERE contains(lower({name}::VARCHAR), ?)" if contains else f"WHERE {name} IS NULL"
        parameters = [contains.lower()] if contains else []
    n = int(dataset._reader.rows(f"SELECT count(*) FROM {TABLE} {where}", parameters)[0][0])
    taken = "row" in {known.name.lower() for known in dataset.columns}
    number = '"row number"' if taken else '"row"'
    with dataset._reader.cursor() as cursor:
        found = cursor.execute(
            f"SELECT rowid AS {number}, * FROM {TABLE} {where} ORDER BY rowid LIMIT ? OFFSET ?",
            [*parameters, int(limit), int(offset)],
        ).df()
    return found, n


def recording(dataset: DatasetFile, series: Any = None, *, limit: int = 4000) -> pd.DataFrame:
    """A series over time: the time, its channels (as wide columns) and, where there is one, its label.

    Of more than `limit` steps, the smallest and largest of each stretch are kept, so that no peak is lost.
    """
    roles = dataset.roles
    if "time" not in roles or "value" not in roles:
        raise DatasetError(f"{dataset.ref} is no recording: give columns the roles 'time' and 'value'.")
    time, label = roles["time"][0], next(iter(roles.get("label", [])), None)
    names = [time, *roles.get("channel", []), *roles["value"], *([label] if label else [])]
    where, parameters = "true", list[Any]()
    if "series_id" in roles:
        where, parameters = f"{identifier(roles['series_id'][0])}::VARCHAR = ?", [str(series)]
    n = dataset._reader.rows(f"SELECT count(*) FROM {TABLE} WHERE {where}", parameters)[0][0]
    if not n:
        raise DatasetError(f"There is no series {series!r} in {dataset.ref}.")
    chosen = where
    if n > limit:
        chosen = f"rowid IN ({_kept(dataset, where, limit)})"
    with dataset._reader.cursor() as cursor:
        frame = cursor.execute(
            f"SELECT {', '.join(map(identifier, names))} FROM {TABLE} WHERE {chosen} "
            f"ORDER BY {identifier(time)}",
            parameters,
        ).df()
    if "channel" not in roles:
        return frame
    channel, value = roles["channel"][0], roles["value"][0]
    wide = frame.pivot_table(index=time, columns=channel, values=value, observed=True)
    wide.columns = [str(name) for name in wide.columns]
    if label:
        wide[label] = frame.groupby(time)[label].first()
    return wide.reset_index()


def _kept(dataset: DatasetFile, where: str, limit: int) -> str:
    """SQL for the rows with the smallest and the largest value of each channel in each stretch of time."""
    table = Table(TABLE, dataset.columns, dataset.roles)
    tick, values = table.tick(Resample()), dataset.roles["value"]
    channels = [identifier(name) for name in dataset.roles.get("channel", [])]
    stretches = max(1, limit // (2 * len(values)))
    ends = ", ".join(
        f"{how}(rowid, {identifier(name)}) FILTER (isfinite({identifier(name)}::DOUBLE))"
        for name in values
        for how in ("arg_min", "arg_max")
    )
    span = f"SELECT min({tick}) AS low, max({tick}) AS high FROM {TABLE} WHERE {where}"
    place = f"floor(({tick} - low)::DOUBLE / greatest(high - low, 1e-300) * {stretches})"
    groups = ", ".join([place, *channels])
    # The condition stands twice, but its one parameter is named once.
    return (
        f"SELECT unnest([{ends}]) FROM {TABLE}, ({span.replace('?', '$1')}) "
        f"WHERE {where.replace('?', '$1')} GROUP BY {groups}"
    )


def intervals(times: pd.Series, labels: pd.Series) -> list[tuple[Any, Any, Any]]:
    """Stretches of equal labels that are not missing: (start, time of the last step, label)."""
    known = labels.notna().to_numpy()
    text = labels.astype(object).where(labels.notna(), None).to_numpy()
    starts = [i for i in range(len(text)) if known[i] and (i == 0 or text[i] != text[i - 1])]
    found = []
    for start in starts:
        end = start
        while end + 1 < len(text) and text[end + 1] == text[start]:
            end += 1
        found.append((times.iloc[start], times.iloc[end], text[start]))
    return found


def counts(dataset: DatasetFile) -> pd.DataFrame:
    """How many series (or rows, where labels belong to rows) have each label: ``label, n``; None for none."""
    label, sid = (dataset.roles.get(role, [None])[0] for role in ("label", "series_id"))
    what = f"count(DISTINCT {identifier(sid)})" if sid else "count(*)"
    by = identifier(label) if label else "NULL"
    found = dataset._reader.rows(f"SELECT {by}, {what} FROM {TABLE} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 200")
    return pd.DataFrame(
        {"label": pd.Series([row[0] for row in found], dtype=object), "n": [row[1] for row in found]}
    )


def series_names(dataset: DatasetFile, limit: int = 10_000) -> list[Any]:
    """The series in the order of the file; unlike the index, whatever their labels are."""
    name = identifier(dataset.roles["series_id"][0])
    found = dataset._reader.rows(
        f"SELECT {name} FROM (SELECT {name}, min(rowid) AS first FROM {TABLE} GROUP BY 1) "
        f"ORDER BY first LIMIT {int(limit)}"
    )
    return [row[0] for row in found]
