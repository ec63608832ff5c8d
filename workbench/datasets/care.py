"""Looking after versions: what changed, where they come from, how large they are, which may go."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.datasets import catalog
from workbench.datasets.names import identifier
from workbench.datasets.profile import kind_of, sample
from workbench.datasets.reading import TABLE
from workbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.datasets.dataset import Dataset, DatasetFile
    from workbench.store import StoreDir

__all__ = ["Diff", "diff", "ks", "lineage", "psi", "retain", "sizes", "verify"]

_BINS = 10
_CATEGORIES = 50
_EMPTY = 1e-4  # the share that an empty bin counts as, as is usual for the PSI


@dataclass(frozen=True)
class Diff:
    """What differs between two versions.

    Attributes
    ----------
    schema : DataFrame
        ``column, before, after``: types; None where there is no such column. Changed ones only.
    rows : dict
        ``before, after``; and ``added, removed`` where the columns are the same (duplicates counted).
    drift : DataFrame
        ``column, kind, psi, ks, missing_before, missing_after``, the most drifted first. A PSI below 0.1 is
        commonly taken for none, above 0.25 for much.
    """

    schema: pd.DataFrame
    rows: dict[str, int]
    drift: pd.DataFrame


def diff(before: DatasetFile, after: DatasetFile) -> Diff:
    """Compare two versions; distributions by about :data:`~profile.SAMPLE_ROWS` rows of each."""
    import pandas as pd

    old, new = ({column.name: column.type for column in each.columns} for each in (before, after))
    changed = [
        {"column": name, "before": old.get(name), "after": new.get(name)}
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    rows = {"before": before.n_rows, "after": after.n_rows}
    if not changed and list(old) == list(new):
        rows |= _changed_rows(before, after)
    drift = []
    for name in old:
        kind = kind_of(old[name])
        if name in new and kind_of(new[name]) == kind and kind != "other":
            drift.append({"column": name, "kind": kind} | _drift(before, after, name, kind))
    columns = ["column", "kind", "psi", "ks", "missing_before", "missing_after"]
    frame = pd.DataFrame(drift, columns=columns).sort_values("psi", ascending=False, ignore_index=True)
    return Diff(pd.DataFrame(changed, columns=["column", "before", "after"]), rows, frame)


def _changed_rows(before: DatasetFile, after: DatasetFile) -> dict[str, int]:
    from workbench.datasets.names import literal
    from workbench.datasets.reading import connect

    with connect() as connection:
        for alias, each in (("a", before), ("b", after)):
            connection.execute(f"ATTACH {literal(each.path)} AS {alias} (READ_ONLY)").fetchall()
        counts = [
            connection.execute(f"SELECT count(*) FROM (FROM {x}.data EXCEPT ALL FROM {y}.data)").fetchall()[
                0
            ][0]
            for x, y in (("b", "a"), ("a", "b"))
        ]
    return {"added": counts[0], "removed": counts[1]}


def _drift(before: DatasetFile, after: DatasetFile, name: str, kind: str) -> dict[str, float | None]:
    column = identifier(name)
    missing = [
        each._reader.rows(f"SELECT count(*) - count({column}) FROM {TABLE}")[0][0] / max(each.n_rows, 1)
        for each in (before, after)
    ]
    found: dict[str, float | None] = {"missing_before": missing[0], "missing_after": missing[1]}
    if kind in ("number", "time"):
        read = f"epoch({column})::DOUBLE" if kind == "time" else f"{column}::DOUBLE"
        old, new = (_sample(each, read) for each in (before, after))
        if len(old) and len(new):
            edges = np.unique(np.quantile(old, np.linspace(0, 1, _BINS + 1)[1:-1]))
            shares = [
                _shares(np.searchsorted(edges, values, side="right"), len(edges) + 1) for values in (old, new)
            ]
            return found | {"psi": psi(*shares), "ks": ks(old, new)}
        return found | {"psi": None, "ks": None}
    counts = [
        dict(
            each._reader.rows(
                f"SELECT {column}::VARCHAR, count(*) FROM {TABLE} WHERE {column} IS NOT NULL GROUP BY 1"
            )
        )
        for each in (before, after)
    ]
    if not all(counts):
        return found | {"psi": None, "ks": None}
    kept = sorted(counts[0], key=lambda word: (-counts[0][word], word))[:_CATEGORIES]
    shares = []
    for count in counts:
        listed = [count.get(word, 0) for word in kept]
        shares.append(np.array([*listed, sum(count.values()) - sum(listed)]) / sum(count.values()))
    return found | {"psi": psi(*shares), "ks": None}


def _sample(dataset: DatasetFile, read: str) -> NDArray[Any]:
    table = dataset._reader.arrow(f"SELECT {read} AS value FROM {TABLE}{sample(dataset.n_rows)}")
    values = table["value"].to_numpy()
    return np.sort(values[np.isfinite(values)])


def _shares(places: NDArray[Any], n: int) -> NDArray[Any]:
    return np.bincount(places, minlength=n) / max(len(places), 1)


def psi(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Population stability index of two vectors of shares: ``sum((b - a) ln(b / a))``."""
    a, b = np.maximum(before, _EMPTY), np.maximum(after, _EMPTY)
    return float(np.sum((b - a) * np.log(b / a)))


def ks(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Kolmogorov-Smirnov distance of two sorted samples: the largest difference of their distributions."""
    every = np.concatenate([before, after])
    shares = [np.searchsorted(values, every, side="right") / len(values) for values in (before, after)]
    return float(np.abs(shares[0] - shares[1]).max())


def lineage(store: StoreDir, ref: str | None = None) -> pd.DataFrame:
    """What was made of what: ``parent, child, how, created, kept`` (whether the parent is still there).

    Parameters
    ----------
    store : StoreDir
    ref : str, optional
        Only what `ref` comes from and what was made of it.

    Returns
    -------
    DataFrame
        Columns parent, child and how, one row an edge.
    """
    import pandas as pd

    rows = store.connection.execute(
        "SELECT name || '@' || version AS ref, parent, importer, created FROM dataset_versions "
        "ORDER BY created"
    ).fetchall()
    refs = {row["ref"] for row in rows}
    edges = [
        {
            "parent": parent,
            "child": row["ref"],
            "how": row["importer"],
            "created": row["created"],
            "kept": parent in refs,
        }
        for row in rows
        for parent in (row["parent"].split(", ") if row["parent"] else [])
    ]
    if ref is not None:
        entry = catalog.entry(store, ref)
        wanted = _reach(entry.ref, edges, "child", "parent") | _reach(entry.ref, edges, "parent", "child")
        edges = [edge for edge in edges if edge["parent"] in wanted and edge["child"] in wanted]
    return pd.DataFrame(edges, columns=["parent", "child", "how", "created", "kept"])


def _reach(ref: str, edges: list[dict[str, Any]], at: str, to: str) -> set[str]:
    found, waiting = {ref}, [ref]
    while waiting:
        here = waiting.pop()
        for edge in edges:
            if edge[at] == here and edge[to] not in found:
                found.add(edge[to])
                waiting.append(edge[to])
    return found


def sizes(store: StoreDir) -> pd.DataFrame:
    """One row a version, the largest first.

    Columns ``ref, name, version, n_rows, n_bytes, created, n_runs, latest``.
    """
    import pandas as pd

    rows = store.connection.execute(
        "SELECT v.name || '@' || v.version AS ref, v.name, v.version, v.n_rows, v.n_bytes, v.created, "
        "(SELECT count(*) FROM runs r WHERE r.dataset = v.name || '@' || v.version) AS n_runs, "
        "v.version = (SELECT max(version) FROM dataset_versions o WHERE o.name = v.name) AS latest "
        "FROM dataset_versions v ORDER BY v.n_bytes DESC, ref"
    ).fetchall()
    columns = ["ref", "name", "version", "n_rows", "n_bytes", "created", "n_runs", "latest"]
    frame = pd.DataFrame([tuple(row) for row in rows], columns=columns)
    frame["latest"] = frame["latest"].astype(bool)
    return frame


def retain(
    store: StoreDir,
    *,
    keep: int = 3,
    days: float | None = None,
    name: str | None = None,
    dry_run: bool = False,
) -> list[str]:
    """Delete old versions that no run refers to; returns them.

    Parameters
    ----------
    store : StoreDir
    keep : int
        The newest versions of each data set, which stay in any case.
    days : float, optional
        Only those older than that.
    name : str, optional
        Of this data set only.
    dry_run : bool
        Say what would go, and delete nothing.

    Returns
    -------
    list of str
        ``name@version`` of what was, or would be, deleted.
    """
    if keep < 1:
        raise UsageError(f"At least one version of each data set is kept, not {keep}.")
    frame = sizes(store)
    if name is not None:
        catalog.entry(store, name)
        frame = frame[frame["name"] == name]
    age = frame.groupby("name")["version"].rank(ascending=False)
    old = frame["created"] < time.time() - days * 86400 if days is not None else frame["created"] > 0
    found = frame[(age > keep) & old & (frame["n_runs"] == 0)].sort_values(["name", "version"])
    gone = []
    for ref in found["ref"]:
        if dry_run:
            gone.append(ref)
            continue
        try:
            gone += catalog.delete(store, ref)
        except DatasetError:
            continue  # a run was submitted in between
    return gone


def verify(datasets: list[Dataset]) -> pd.DataFrame:
    """Compare files with their checksums: ``ref, problem`` (None where there is none)."""
    import pandas as pd

    rows = []
    for dataset in datasets:
        problem = None
        try:
            dataset.verify()
        except DatasetError as error:
            problem = str(error)
        rows.append({"ref": dataset.ref, "problem": problem})
    return pd.DataFrame(rows, columns=["ref", "problem"])
