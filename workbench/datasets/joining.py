"""Series of several data sets as one: what an encoder is pre-trained on beside the data of its task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.arrays import SeriesData, Split
from workbench.datasets.importers import Imported
from workbench.errors import DatasetError

if TYPE_CHECKING:
    from workbench.datasets.dataset import Dataset
    from workbench.datasets.files import Build
    from workbench.datasets.library import Datasets

__all__ = ["join_series"]


def join_series(
    library: Datasets,
    parts: Sequence[Dataset],
    name: str,
    *,
    split: Split | None = None,
    seed: int = 0,
    domain: bool = False,
) -> Dataset:
    """Publish the series of several data sets, one after another, as the next version of `name`.

    A series is called ``<data set>/<series>``, with the version where two are of one data set. Lengths may
    differ, the number of variables may not; these keep the names that they have in the first part.

    Parameters
    ----------
    library : Datasets
    parts : sequence of Dataset
        The first is what a task is about.
    name : str
    split : Split, optional
        Divides the first part as a run on it alone would, by `seed`; the others are for training. With
        `domain` a run divides them all by itself.
    seed : int
    domain : bool
        Take the first part for the source and the others for the target of a shift, and keep their labels;
        else the labels of the others are left out.

    Returns
    -------
    Dataset
        The published version.

    Raises
    ------
    DatasetError
        If a part has another number of variables than the first.
    """
    refs = [part.ref for part in parts]
    again = next((ref for ref in refs if refs.count(ref) > 1), None)
    if again is not None:
        raise DatasetError(f"{again} is named twice: name every data set once.")
    names = [part.name for part in parts]
    names = [one if names.count(one) == 1 else ref for one, ref in zip(names, refs, strict=True)]
    found = [part.to_series() for part in parts]
    first = found[0]
    for part, series in zip(parts, found, strict=True):
        if len(series.channels) != len(first.channels):
            raise DatasetError(
                f"{part.ref} has {len(series.channels)} variables and {parts[0].ref} has "
                f"{len(first.channels)}: only data sets of as many can be joined."
            )
    labels = _labels(found, domain)
    splits = None if domain else _splits(found, split or Split(), seed)
    dtype = np.result_type(*(series.X.dtype for series in found))
    own = {role: _free(role, first.channels) for role in ("series_id", "time", "label", "split", "domain")}

    def fill(build: Build) -> Imported:
        import pyarrow as pa

        kind = None if labels is None else pa.array([y for part in labels for y in part]).type
        for i, series in enumerate(found):
            row, step = _observed(series.X)
            ids = pa.array([f"{names[i]}/{one}" for one in series.ids])
            columns: dict[str, Any] = {own["series_id"]: ids.take(pa.array(row))}
            columns[own["time"]] = step.astype(np.int32)
            for j, channel in enumerate(first.channels):
                columns[channel] = series.X[row, step, j].astype(dtype)
            if labels is not None:
                columns[own["label"]] = pa.array(labels[i], kind).take(pa.array(row))
            if splits is not None:
                columns[own["split"]] = pa.array(splits[i]).take(pa.array(row))
            if domain:
                columns[own["domain"]] = pa.array(["target" if i else "source"] * len(row))
            build.append(pa.table(columns))
        roles = {"series_id": [own["series_id"]], "time": [own["time"]], "value": list(first.channels)}
        there = {"label": labels is not None, "split": splits is not None, "domain": domain}
        return Imported(roles | {role: [own[role]] for role, is_there in there.items() if is_there})

    lineage = ", ".join(refs)
    return library.publish_build(name, fill, importer="join", source=lineage, parent=lineage)


def _labels(found: Sequence[SeriesData], domain: bool) -> list[list[Any]] | None:
    """The labels of each part, None where missing; as text where the parts' are of different kinds."""
    if found[0].y is None:
        return None
    kept = [series.y if domain or i == 0 else None for i, series in enumerate(found)]
    plain = [
        [None] * len(series.X) if y is None else [None if _missing(v) else v for v in y.tolist()]
        for series, y in zip(found, kept, strict=True)
    ]
    if len({isinstance(v, str) for part in plain for v in part if v is not None}) > 1:
        plain = [[None if v is None else _text(v) for v in part] for part in plain]
    return plain


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _missing(value: Any) -> bool:
    return value is None or value != value


def _splits(found: Sequence[SeriesData], split: Split, seed: int) -> list[list[str]]:
    first = found[0]
    _, test = split.indices(len(first.X), y=first.y, column=first.split, seed=seed)
    mine = np.full(len(first.X), "train", dtype=object)
    mine[test] = "test"
    return [mine.tolist(), *(["train"] * len(series.X) for series in found[1:])]


def _observed(X: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and step of every value before the padding; a series of nothing but NaN keeps one step."""
    present = ~np.isnan(X).all(axis=2)
    lengths = np.where(present.any(axis=1), X.shape[1] - present[:, ::-1].argmax(axis=1), 1)
    row, step = np.nonzero(np.arange(X.shape[1]) < lengths[:, None])
    return row, step


def _free(name: str, taken: Sequence[str]) -> str:
    """`name`, or with underscores where a variable is called that."""
    while name.lower() in (other.lower() for other in taken):
        name += "_"
    return name
