"""What a data set looks like to an estimator: arrays and frames, with the labels and the split beside them.

These are the only shapes that recipes see. :mod:`workbench.datasets` makes them from DuckDB; in a
notebook they are made by hand, so that a recipe runs without any store.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.errors import DatasetError, UsageError

__all__ = ["Data", "SeriesData", "Split", "TableData"]


@dataclass(frozen=True)
class SeriesData:
    """Time series in tslearn's layout.

    Attributes
    ----------
    X : ndarray of float, shape (n, T, d)
        NaN-padded at the end where lengths differ.
    y : ndarray, shape (n,), or None
        Labels; a missing one is None (or NaN for numbers).
    split : ndarray of str, shape (n,), or None
        ``"train"`` or ``"test"`` as the data set says it.
    ids : ndarray, shape (n,)
        The series' names, unique.
    channels : tuple of str, length d
    domain : ndarray of str, shape (n,), or None
        ``"source"`` or ``"target"``, where the series come from two populations.
    anomaly : ndarray of bool, shape (n, T), or None
        Which steps are anomalous.
    exogenous : ndarray of float, shape (n, T, e), or None
        Columns that are known ahead.
    """

    X: NDArray[np.floating[Any]]
    y: NDArray[Any] | None
    split: NDArray[Any] | None
    ids: NDArray[Any]
    channels: tuple[str, ...]
    domain: NDArray[Any] | None = None
    anomaly: NDArray[np.bool_] | None = None
    exogenous: NDArray[np.floating[Any]] | None = None


@dataclass(frozen=True)
class TableData:
    """A table with one row a sample.

    Attributes
    ----------
    X : DataFrame, shape (n, p)
    y : ndarray, shape (n,), or None
    split : ndarray of str, shape (n,), or None
    roles : dict of str to list of str
        The columns of `X` by role.
    weight : ndarray of float, shape (n,), or None
        How much each row counts, where a column has the role ``weight``; NaN where it is empty.
    labels : DataFrame, shape (n, n_labels), or None
        The columns with the role ``labels``, where a row has several labels or several numbers to predict;
        there is no `y` then.
    """

    X: pd.DataFrame
    y: NDArray[Any] | None
    split: NDArray[Any] | None
    roles: dict[str, list[str]] = field(default_factory=dict)
    weight: NDArray[np.float64] | None = None
    labels: pd.DataFrame | None = None


class Data(Protocol):
    """What a recipe is given: a data set that turns itself into arrays."""

    @property
    def ref(self) -> str:
        """``name@version``."""

    def to_series(self) -> SeriesData:
        """The data as series, from the roles."""

    def to_table(self) -> TableData:
        """The data as a table, from the roles."""


@dataclass(frozen=True)
class Split:
    """How the rows (or series) of a data set are divided into train and test.

    Parameters
    ----------
    kind : {"auto", "column", "random"}
        ``"column"`` takes the data set's own ``split`` role; ``"random"`` draws a test share, stratified
        by label where every class has two members; ``"auto"`` is ``"column"`` where there is one.
    test_size : float
        Share of the test part when drawn at random.
    inner : bool
        Leave the test part out altogether, and divide the train part by `test_size` once more: what is
        chosen by such a test part has not seen the real one.
    """

    kind: Literal["auto", "column", "random"] = "auto"
    test_size: float = 0.3
    inner: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("auto", "column", "random"):
            raise UsageError(f"Split {self.kind!r} is not one of auto, column, random.")
        if not 0 < self.test_size < 1:
            raise UsageError(f"test_size must lie between 0 and 1, not {self.test_size}.")

    def indices(
        self,
        n: int,
        *,
        y: NDArray[Any] | None = None,
        column: NDArray[Any] | None = None,
        seed: int = 0,
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row numbers of the train part and of the test part, each ascending."""
        if self.inner:
            outer, _ = replace(self, inner=False).indices(n, y=y, column=column, seed=seed)
            within = Split("random", self.test_size).indices(
                len(outer), y=None if y is None else y[outer], seed=seed
            )
            return outer[within[0]], outer[within[1]]
        if self.kind == "column" and column is None:
            raise DatasetError(
                "The data set has no split column: give one the role 'split', or split at random."
            )
        if column is not None and self.kind != "random":
            names = np.char.lower(column.astype(str))
            train, test = np.flatnonzero(names == "train"), np.flatnonzero(names == "test")
            if len(train) == 0 or len(test) == 0:
                raise DatasetError("The split column must hold both 'train' and 'test'.")
            return train, test
        from sklearn.model_selection import train_test_split

        if n < 2:
            raise DatasetError("At least two rows are needed to split them into train and test.")
        stratify = None
        if y is not None and not pd.isna(y).any():
            _, counts = np.unique(y.astype(str), return_counts=True)
            room = min(round(n * self.test_size), n - round(n * self.test_size))
            if counts.min() >= 2 and len(counts) <= room:
                stratify = y.astype(str)
        train, test = train_test_split(
            np.arange(n), test_size=self.test_size, random_state=seed, stratify=stratify
        )
        return np.sort(train), np.sort(test)
