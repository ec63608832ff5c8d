"""What a task cannot be done on, said before a run is queued for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from workbench.arrays import Split
from workbench.errors import DatasetError

__all__ = ["refuse"]


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
    index : DataFrame with the columns id, label, length
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
    empty = columns.loc[columns["missing"] >= columns["n"], "name"]
    if len(empty):
        raise DatasetError(f"The channel {empty.iloc[0]!r} holds no value: take its role 'value' away.")
    if len(columns) and (columns["least"] == columns["most"]).all():
        raise DatasetError("Every channel is constant: there is nothing to learn.")
    labels = index["label"].dropna()
    if kind in ("classify", "regress", "cluster") and n < 4:
        raise DatasetError(
            f"{n} series are too few: some must be learnt from, some judged by. Cut them into windows first."
        )
    if kind in ("classify", "regress") and labels.empty:
        raise DatasetError("No series has a label: give a column the role 'label', or label some series.")
    if kind == "classify" and labels.nunique() < 2:
        raise DatasetError(
            f"All labelled series are of one class, {labels.iloc[0]!r}: label some of another."
        )
    if kind == "regress" and not pd.api.types.is_numeric_dtype(labels.infer_objects()):
        raise DatasetError("The labels are no numbers: classify these series instead.")
    if kind == "cluster":
        wanted = int(params.get("n_clusters", 8))
        if wanted > n * (1 - split.test_size):
            raise DatasetError(f"{n} series cannot be put into {wanted} groups: take fewer.")
    if kind == "forecast":
        horizon = int(params.get("horizon", 24))
        room = int(longest * min(split.test_size, 1 - split.test_size))
        if horizon >= room:
            raise DatasetError(
                f"The longest series has {longest} steps: foretelling {horizon} of them needs more than "
                f"that on either side of the cut at {1 - split.test_size:.0%}; foretell fewer steps."
            )
    if kind in ("forecast", "detect", "impute") and longest < 8:
        raise DatasetError(f"The longest series has {longest} steps: there is too little to see.")
