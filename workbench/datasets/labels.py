"""Labels by hand: some series, intervals or rows get, change or lose their label, as a new version.

Versions are immutable, so a change of labels is a version like any other: runs of earlier ones stay what they
were, and the next run uses the new labels at once. What has no label is None (partial labels).

A version is one file that needs nothing else: it is checksummed, sent to another host and deleted on its own.
So the data are copied, in one pass; a file of labels beside the data would save that, and every reader,
the SQL box and each run would have to join the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported
from workbench.datasets.names import identifier, literal
from workbench.datasets.reading import TABLE
from workbench.datasets.roles import Roles, is_number, is_time, layout
from workbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from workbench.datasets.dataset import Dataset

__all__ = ["mark_steps", "set_labels", "versions"]

Interval = tuple[Any, Any, Any, Any]


def set_labels(
    dataset: Dataset,
    series: Mapping[Any, Any] | None = None,
    *,
    intervals: Sequence[Interval] | None = None,
    rows: Mapping[int, Any] | None = None,
    column: str | None = None,
    role: str = "label",
) -> Dataset:
    """Publish the next version of `dataset` with these labels changed; all others stay.

    Parameters
    ----------
    dataset : Dataset
    series : mapping of series id to label, optional
        None as a label clears it.
    intervals : sequence of (series id, start, end, label), optional
        Every step with ``start <= time < end``; the series id is None where there is one recording only.
    rows : mapping of row number (from 0, in the order of the file) to label, optional
    column : str, optional
        Of the labels: that with the role ``label`` if not given, else a new one, ``label``.
    role : {"label", "anomaly"}
        What the column is.

    Returns
    -------
    Dataset
        The new version.

    Raises
    ------
    DatasetError, UsageError
        In one sentence; nothing is kept.
    """
    given = [name for name, value in (("series", series), ("intervals", intervals), ("rows", rows)) if value]
    if len(given) != 1:
        raise UsageError("Give labels by series, by intervals or by rows: one of them, and not empty.")
    known = {known.name: known.type for known in dataset.columns}
    name = column or next(iter(dataset.roles.get(role, [])), role)
    labels: Iterable[Any]
    if series:
        labels, match = series.values(), _match_series(dataset, list(series))
        table = _table(list(series), [None] * len(series), list(series.values()))
    elif intervals:
        if any(len(interval) != 4 for interval in intervals):
            raise UsageError("An interval is (series id, start, end, label).")
        labels, match = [interval[3] for interval in intervals], _match_interval(dataset, intervals)
        table = _table(
            [interval[0] for interval in intervals],
            [(interval[1], interval[2]) for interval in intervals],
            list(labels),
        )
    else:
        assert rows is not None  # noqa: S101
        labels, match = rows.values(), _match_rows(dataset, list(rows))
        table = _table(list(rows), [None] * len(rows), list(rows.values()))
    type_ = _type([label for label in labels if label is not None], known.get(name))
    old = f"d.{identifier(name)}::{type_}" if name in known else f"NULL::{type_}"
    # The last of several that apply stands, as when they are given one after the other.
    new = f"CASE WHEN c.place IS NULL THEN {old} ELSE c.label::{type_} END AS {identifier(name)}"
    others = [f"d.{identifier(other)}" for other in known if other != name]
    listed = [new if other == name else f"d.{identifier(other)}" for other in known]
    sql = (
        f"SELECT {', '.join(listed if name in known else [*others, new])} FROM "
        "(SELECT rowid AS row, * FROM origin.data) d LEFT JOIN "
        "(SELECT p.row, max(l.place) AS place, arg_max(l.label, l.place) AS label FROM labels l, "
        f"(SELECT rowid AS row, * FROM origin.data) p WHERE {match} GROUP BY p.row) c ON c.row = d.row "
        "ORDER BY d.row"
    )

    def fill(build: Build) -> Imported:
        connection = build.connection
        connection.execute(f"ATTACH {literal(dataset.path)} AS origin (READ_ONLY)").fetchall()
        connection.register("labels", table)
        try:
            build.run(f"CREATE TABLE data AS {sql}", None, "labelling")
        finally:
            connection.unregister("labels")
            connection.execute("DETACH origin").fetchall()
        return Imported(_roles(dataset.roles, name, role))

    from workbench.datasets.library import Datasets

    changed = f"labels of {len(table)} {given[0]}"
    return Datasets(dataset._store).publish_build(
        dataset.name, fill, importer="labels", source=changed, parent=dataset.ref
    )


def mark_steps(dataset: Dataset, spans: Sequence[tuple[Any, int, int, bool]]) -> Dataset:
    """Publish the next version of `dataset` with steps of series marked as anomalous or as not.

    Parameters
    ----------
    dataset : Dataset
        With a row a step.
    spans : sequence of (series id, first step, last step, anomalous)
        Steps count from 0 in the order of time; the series id does not matter where there is one series.

    Returns
    -------
    Dataset
        The new version.

    Raises
    ------
    DatasetError, UsageError
        In one sentence; nothing is kept.
    """
    roles = dataset.roles
    if not dataset.is_series or layout(roles) != "long":
        raise DatasetError(f"{dataset.ref} has no row for every step: label its series instead.")
    owner = identifier(roles["series_id"][0]) if "series_id" in roles else None
    order = identifier(roles["time"][0]) if "time" in roles else "rowid"
    part = f"PARTITION BY {owner} " if owner else ""
    steps = (
        f"SELECT rowid AS row, {f'{owner}::VARCHAR' if owner else 'NULL'} AS id, "
        f"row_number() OVER ({part}ORDER BY {order}, rowid) - 1 AS step FROM {TABLE}"
    )
    where = "id = ? AND step BETWEEN ? AND ?" if owner else "step BETWEEN ? AND ?"
    rows: dict[int, int] = {}
    for id_, first, last, anomalous in spans:
        given: list[Any] = [*([str(id_)] if owner else []), int(first), int(last)]
        found = dataset._reader.rows(f"SELECT row FROM ({steps}) WHERE {where}", given)
        if len(found) != given[-1] - given[-2] + 1:
            raise DatasetError(f"{dataset.ref} has no steps {first} to {last} of the series {id_}.")
        rows |= {row: int(anomalous) for (row,) in found}
    return set_labels(dataset, rows=rows, role="anomaly")


def versions(datasets: Sequence[Dataset]) -> pd.DataFrame:
    """Which of `datasets` were made by labelling, and how far they are labelled.

    Columns ``ref, parent, change, created, column, labelled, missing, classes``: rows with and without a
    label, and the number of different ones.
    """
    import pandas as pd

    found = []
    for dataset in datasets:
        if dataset.importer != "labels":
            continue
        column = next(iter(dataset.roles.get("label", [])), None)
        facts = next((each for each in dataset.profile["columns"] if each["name"] == column), None)
        missing = facts["missing"] if facts else dataset.n_rows
        found.append(
            {
                "ref": dataset.ref,
                "parent": dataset.parent,
                "change": dataset.source,
                "created": dataset.created,
                "column": column,
                "labelled": dataset.n_rows - missing,
                "missing": missing,
                "classes": facts["distinct"] if facts else 0,
            }
        )
    columns = ["ref", "parent", "change", "created", "column", "labelled", "missing", "classes"]
    return pd.DataFrame(found, columns=columns)


def _match_series(dataset: Dataset, ids: list[Any]) -> str:
    owner = dataset.roles.get("series_id")
    if owner is None:
        if dataset.is_series and layout(dataset.roles) != "wide":
            raise DatasetError(f"{dataset.ref} is one series: label intervals of it.")
        return _match_rows(dataset, ids)
    index = dataset.series_index()["id"]
    known = set(index.tolist())
    missing = next((one for one in ids if one not in known), None)
    if missing is not None:
        raise DatasetError(f"There is no series {missing!r}.")
    return f"p.{identifier(owner[0])}::VARCHAR = l.key"


def _match_interval(dataset: Dataset, intervals: Sequence[Interval]) -> str:
    time, owner = dataset.roles.get("time"), dataset.roles.get("series_id")
    if time is None:
        raise DatasetError(f"{dataset.ref} has no time: give a column that role, or label rows.")
    if owner is not None:
        _match_series(dataset, [interval[0] for interval in intervals])
    elif any(interval[0] is not None for interval in intervals):
        raise DatasetError(f"{dataset.ref} is one series: the series of an interval is None.")
    column = f"p.{identifier(time[0])}"
    stamped = is_time(next(known.type for known in dataset.columns if known.name == time[0]))
    for _, start, end, _ in intervals:
        if not start < end:
            raise UsageError(f"An interval must end after it starts, not at {end} after {start}.")
    low, high = ("l.low::TIMESTAMP", "l.high::TIMESTAMP") if stamped else ("l.low::DOUBLE", "l.high::DOUBLE")
    same = f"p.{identifier(owner[0])}::VARCHAR = l.key AND " if owner else ""
    return f"{same}{column} >= {low} AND {column} < {high}"


def _match_rows(dataset: Dataset, numbers: list[Any]) -> str:
    for number in numbers:
        if not isinstance(number, int | np.integer) or not 0 <= number < dataset.n_rows:
            raise DatasetError(f"There is no row {number!r}: rows are numbered 0 to {dataset.n_rows - 1}.")
    return "p.row = l.key::BIGINT"


def _table(keys: list[Any], spans: list[Any], labels: list[Any]) -> pa.Table:
    """Keys, spans and labels as text, which SQL casts to what the columns are."""
    import pyarrow as pa

    def text(value: Any) -> str | None:
        return None if value is None else str(value.item() if isinstance(value, np.generic) else value)

    columns = {
        "place": pa.array(range(len(keys)), pa.int64()),
        "key": pa.array([text(key) for key in keys], pa.string()),
        "low": pa.array([None if span is None else text(span[0]) for span in spans], pa.string()),
        "high": pa.array([None if span is None else text(span[1]) for span in spans], pa.string()),
        "label": pa.array([text(label) for label in labels], pa.string()),
    }
    return pa.table(columns)


def _type(labels: list[Any], known: str | None) -> str:
    """What holds the labels that are there and those that come."""
    whole = all(isinstance(label, int | np.integer) and not isinstance(label, bool) for label in labels)
    real = all(isinstance(label, int | float | np.number) and not isinstance(label, bool) for label in labels)
    for label in labels:
        if isinstance(label, float | np.floating) and not np.isfinite(label):
            raise DatasetError(f"The label {label} is not finite: clear a label with None.")
    if known is not None and (known == "VARCHAR" or not labels):
        return known
    if known == "BOOLEAN" and all(label in (0, 1) for label in labels):
        return known
    if known is not None and not (is_number(known) and real):
        return "VARCHAR"
    if whole:
        return known if known in ("DOUBLE", "FLOAT") else "BIGINT"
    return "DOUBLE" if real else "VARCHAR"


def _roles(roles: Roles, name: str, role: str) -> Roles:
    changed = {known: [own for own in names if own != name] for known, names in roles.items()}
    return {known: names for known, names in changed.items() if names} | {role: [name]}
