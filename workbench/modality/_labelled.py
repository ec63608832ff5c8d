"""The rows of a data set that the family's recipes use, and how they are divided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit

from workbench.arrays import Data, Split
from workbench.errors import DatasetError

__all__ = ["Labelled"]


@dataclass(frozen=True)
class Labelled:
    """Rows that have a label.

    Attributes
    ----------
    X : DataFrame of shape (n, n_columns)
    y : ndarray of shape (n,), or DataFrame of shape (n, n_labels)
        The latter where a row has several labels, or several numbers to predict.
    ids : ndarray of int, shape (n,)
        Each row's number in the data set.
    split : ndarray of str, shape (n,), or None
        As the data set says it.
    groups : ndarray of str, shape (n,), or None
        Whose row each is: the column with the role ``user``.
    weight : ndarray of float, shape (n,), or None
        The column with the role ``weight``.
    roles : dict of str to list of str
    """

    X: pd.DataFrame
    y: NDArray[Any] | pd.DataFrame
    ids: NDArray[np.intp]
    split: NDArray[Any] | None
    groups: NDArray[Any] | None
    weight: NDArray[np.float64] | None
    roles: dict[str, list[str]]

    @classmethod
    def of(cls, data: Data) -> Self:
        """The labelled rows of a data set.

        Raises
        ------
        DatasetError
            If no column is the label, or a weight is missing or negative.
        """
        table = data.to_table()
        y: Any = table.y if table.labels is None else table.labels
        if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
            y = y.iloc[:, 0].to_numpy()
        if y is None:
            raise DatasetError(
                f"{data.ref} has no label: give a column the role 'label', or several the role 'labels'."
            )
        known = ~pd.isna(np.asarray(y, dtype=object)).reshape(len(y), -1).any(axis=1)
        users = table.roles.get("user", [])
        groups = table.X[users[0]].astype(str).to_numpy() if users else None
        whole = cls(table.X, y, np.arange(len(table.X)), table.split, groups, table.weight, table.roles)
        found = whole.take(np.flatnonzero(known))
        found._check_weights(data.ref)
        return found

    @property
    def features(self) -> list[str]:
        """The columns that may belong to a modality; who the user is does not."""
        return [str(name) for name in self.X if name not in self.roles.get("user", [])]

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Some of the rows."""

        def at(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[rows]

        return replace(
            self,
            X=self.X.iloc[rows].reset_index(drop=True),
            y=self.y.iloc[rows].reset_index(drop=True) if isinstance(self.y, pd.DataFrame) else self.y[rows],
            ids=self.ids[rows],
            split=at(self.split),
            groups=at(self.groups),
            weight=at(self.weight),
        )

    def divided(self, split: Split, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Train and test rows; drawn ones by whole groups, where there are such.

        Raises
        ------
        DatasetError
            If there are too few groups.
        """
        if split.inner:
            outer = self.divided(replace(split, inner=False), seed)[0]
            train, test = self.take(outer).divided(Split("random", split.test_size), seed)
            return outer[train], outer[test]
        drawn = split.kind == "random" or (split.kind == "auto" and self.split is None)
        if self.groups is None or not drawn:
            return split.indices(len(self.X), y=self._strata(), column=self.split, seed=seed)
        if len(np.unique(self.groups)) < 3:
            raise DatasetError(
                "Rows of one user are never divided, and there are fewer than three users to draw from: take "
                "the role 'user' away, or give the data set a split."
            )
        drawer = GroupShuffleSplit(1, test_size=split.test_size, random_state=seed)
        train, test = next(drawer.split(self.groups, groups=self.groups))
        return np.sort(train), np.sort(test)

    def _strata(self) -> NDArray[Any] | None:
        y = self.y
        if isinstance(y, pd.DataFrame):
            return None
        return y if len(np.unique(y.astype(str))) <= max(2, len(y) // 10) else None

    def _check_weights(self, ref: str) -> None:
        if self.weight is None:
            return
        wrong = ~np.isfinite(self.weight) | (self.weight < 0)
        if wrong.any():
            first = int(wrong.argmax())
            raise DatasetError(
                f"The weight of row {self.ids[first] + 1} of {ref} is {self.weight[first]:g}: it has to be a "
                "number of at least 0 in every row with a label."
            )
        if not self.weight.any():
            raise DatasetError(f"Every row of {ref} has the weight 0: give some a weight.")
