"""What a task cannot be done on, said before a run is queued for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from workbench.arrays import Split
from workbench.errors import DatasetError

__all__ = ["channels", "refusal_of", "refuse", "refuse_columns"]


def refusal_of(recipe: str) -> Callable[[Mapping[str, Any], Any, Split], None]:
    """What a recipe refuses of a `Dataset`, as its attribute ``refuse``; arguments else as of `refuse`."""

    def refuse_dataset(params: Mapping[str, Any], dataset: Any, split: Split) -> None:
        refuse(recipe, params, dataset.series_index(), channels(dataset), split)

    return refuse_dataset


def channels(dataset: Any) -> pd.DataFrame:
    """What the profile of a `Dataset` knows of its measured columns, as `refuse` wants it."""
    values = set(dataset.roles.get("value", ()))
    return pd.DataFrame(
        [
            {
                "name": column["name"],
                "n": dataset.n_rows,
                "missing": column["missing"],
                "least": column.get("min"),
                "most": column.get("max"),
            }
            for column in dataset.profile["columns"]
            if column["name"] in values
        ],
        columns=["name", "n", "missing", "least", "most"],
    )


def refuse(
    recipe: str,
    params: Mapping[str, Any],
    index: pd.DataFrame,
    columns: pd.DataFrame,
    split: Split = Split(),  # noqa: B008  (immutable)
) -> None:
    """Raise one sentence if a recipe is bound to fail.

    Parameters
    ----------
    recipe : str
    params : mapping
        The estimator's parameters, those that differ from their defaults.
    index : DataFrame with the columns id, label, length, and perhaps split
        One row a series.
    columns : DataFrame with the columns name, n, missing, least, most
        Of the measured channels: values, how many are missing, and the extremes.
    split : Split

    Raises
    ------
    DatasetError
    """
    kind = recipe.rpartition(".")[2]
    n, longest = len(index), int(index["length"].max()) if len(index) else 0
    refuse_columns(columns)
    if kind in ("represent", "classify", "regress", "cluster"):
        _refuse_few(params, n, _n_train(index, split))
    if kind in ("classify", "regress"):
        _refuse_labels(kind, index["label"].dropna())
    if kind == "cluster":
        wanted = int(params.get("n_clusters", 8))
        if wanted > _n_train(index, split):
            raise DatasetError(f"{n} series cannot be put into {wanted} groups: take fewer.")
    if kind in ("forecast", "detect", "impute") and longest < 8:
        raise DatasetError(f"The longest series has {longest} steps: there is too little to see.")
    if kind == "forecast":
        _refuse_horizon(params, longest, split)
    window = params.get("window" if kind in ("detect", "impute") else "window_size")
    if window is not None and int(window) > longest:
        raise DatasetError(
            f"The longest series has {longest} steps: a window of {window} does not fit; choose a shorter."
        )


def refuse_columns(columns: pd.DataFrame, of: str = "") -> None:
    """Raise one sentence if there is nothing to learn from measured channels; arguments as of `refuse`.

    Parameters
    ----------
    columns : DataFrame
    of : str
        Whose they are, where that is not plain.

    Raises
    ------
    DatasetError
    """
    empty = columns.loc[columns["missing"] >= columns["n"], "name"]
    if len(empty):
        raise DatasetError(f"The channel {empty.iloc[0]!r}{of} holds no value: take its role 'value' away.")
    if len(columns) and (columns["least"] == columns["most"]).all():
        raise DatasetError(f"Every channel{of} is constant: there is nothing to learn.")


def _n_train(index: pd.DataFrame, split: Split) -> int:
    """How many series are learnt from."""
    if split.kind != "random" and "split" in index and index["split"].notna().any():
        return int((index["split"].astype(str).str.lower() == "train").sum())
    return len(index) - max(round(len(index) * split.test_size), 1)


def _refuse_few(params: Mapping[str, Any], n: int, n_train: int) -> None:
    if n < 4:
        raise DatasetError(
            f"{n} series are too few: some must be learnt from, some judged by. Cut them into windows first."
            if n != 1
            else "One series is too few: some must be learnt from, some judged by. Cut it into windows first."
        )
    for name, size in _batches(params):
        if size > n_train:
            raise DatasetError(
                f"{name} of {size} is more than the {n_train} series that are learnt from: choose {n_train} "
                "or less."
            )


def _batches(params: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Batch sizes that were chosen: the estimator's, and those of encoders set up by hand."""
    if params.get("batch_size") is not None:
        yield "A batch_size", int(params["batch_size"])
    encoders = params.get("encoders", ())
    for one in encoders if isinstance(encoders, list) else ():
        if isinstance(one, Mapping) and (size := one.get("params", {}).get("batch_size")) is not None:
            yield f"A batch_size for {str(one['$estimator']).rpartition('.')[2]}", int(size)


def _refuse_labels(kind: str, labels: pd.Series) -> None:
    if labels.empty:
        raise DatasetError("No series has a label: give a column the role 'label', or label some series.")
    if kind == "classify" and labels.nunique() < 2:
        raise DatasetError(
            f"All labelled series are of one class, {labels.iloc[0]!r}: label some of another."
        )
    if kind == "regress" and not pd.api.types.is_numeric_dtype(labels.infer_objects()):
        raise DatasetError("The labels are no numbers: classify these series instead.")


def _refuse_horizon(params: Mapping[str, Any], longest: int, split: Split) -> None:
    horizon = int(params.get("horizon", 24))
    before = longest - max(round(longest * split.test_size), 1)
    if horizon >= min(before, longest - before):
        raise DatasetError(
            f"The longest series has {longest} steps: foretelling {horizon} of them needs more than "
            f"that on either side of the cut at {1 - split.test_size:.0%}; foretell fewer steps."
        )
    window = params.get("window")
    if window is not None and int(window) + horizon > before:
        raise DatasetError(
            f"The longest series has {before} steps to learn from: a window of {window} and the {horizon} "
            "after it do not fit; choose a shorter window."
        )
