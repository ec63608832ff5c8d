"""What the estimators of this family share: checking a table, its target and its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from workbench.modality.columns import ModalitiesError, check_rivals

__all__ = ["TableEstimator", "Target", "check_comparison", "holdout_rows"]

#: An analysis needs rows for training, validation and test.
_LEAST_ROWS = 10


@dataclass(frozen=True)
class Target:
    """A checked target as numbers.

    Attributes
    ----------
    task : {"multiclass", "multilabel", "regression"}
    codes : ndarray
        Class numbers (n,), indicators (n, K) or values (n, K).
    classes : ndarray
        The classes; names or numbers of the labels, for several; empty for regression.
    flat : bool
        Whether a regression target came with one dimension.
    """

    task: str
    codes: NDArray[Any]
    classes: NDArray[Any]
    flat: bool = True

    def rows_with(self, present: NDArray[np.bool_]) -> NDArray[np.intp]:
        """How many of the rows `present` have each class, or each label."""
        if self.task == "multiclass":
            return np.bincount(self.codes[present], minlength=len(self.classes))
        return np.count_nonzero(self.codes[present] > 0.5, axis=0)

    @property
    def n_outputs(self) -> int:
        return len(self.classes) if self.task == "multiclass" else int(self.codes.shape[1])


class TableEstimator(BaseEstimator):
    """Base of the estimators that read one table with modalities."""

    def _check_table(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """`X` as a frame with string names; arrays get ``x0, x1, …``."""
        if hasattr(X, "to_pandas") and hasattr(X, "columns"):  # polars, pyarrow-backed, …
            X = X.to_pandas()
        if isinstance(X, pd.DataFrame):
            # Numbers are no names to scikit-learn either: such columns are called as those of an array.
            names = [name if isinstance(name, str) else f"x{name}" for name in X.columns]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ModalitiesError(f"The table has two columns named {twice!r}: rename one.")
            _check_feature_names(self, X, reset=reset)
            _check_n_features(self, X, reset=reset)
            if not names:
                raise ModalitiesError(
                    "0 feature(s) in the table: it has no column, and at least 1 is required."
                )
            if len(X) < (2 if reset else 1):
                raise ModalitiesError(f"The table has {len(X)} sample(s), which is too few.")
            return X.set_axis(names, axis=1)
        options: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
        array = validate_data(self, X, reset=reset, ensure_min_samples=2 if reset else 1, **options)
        given = getattr(self, "feature_names_in_", None)
        columns = [f"x{i}" for i in range(array.shape[1])] if given is None else list(given)
        return pd.DataFrame(array, columns=columns)

    def _check_target(self, y: Any, n: int, *, classification: bool) -> Target:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        _refuse_odd_target(y, classification=classification)
        if not classification:
            values = _check_y(y, multi_output=True, y_numeric=True, estimator=self).astype(np.float64)
            check_consistent_length(values, np.empty((n, 0)))
            flat = values.ndim == 1
            return Target("regression", values.reshape(n, -1), np.empty(0), flat)
        names = [str(name) for name in y] if isinstance(y, pd.DataFrame) else None
        if isinstance(y, (pd.Series, pd.DataFrame)):
            y = y.to_numpy()
        y = _check_y(y, multi_output=True, estimator=self)
        check_consistent_length(y, np.empty((n, 0)))
        kind = type_of_target(y, input_name="y")
        if kind == "multilabel-indicator":
            y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
            odd = ~np.isin(y, (0, 1))
            if odd.any():
                raise ModalitiesError(
                    f"Several labels a row are given as 0 and 1, but one is {y[odd][0]}: recode it."
                )
            classes = np.arange(y.shape[1]) if names is None else np.array(names)
            return Target("multilabel", y.astype(np.float64), classes)
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] > 1:
            raise ModalitiesError(
                "y has several columns that are not indicators of 0 and 1: give one class a row, or one "
                "indicator column a label."
            )
        y = _check_y(y, estimator=self)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ModalitiesError(
                f"All rows have the one class {str(classes[0])!r}: there is nothing to tell apart."
            )
        return Target("multiclass", codes.astype(np.int64), classes)

    def _check_weights(self, sample_weight: Any, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Weights with a mean of 1 over the rows that count."""
        weights = _check_sample_weight(
            sample_weight, frame.index.to_numpy()[:, None], dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise ModalitiesError("All sample weights are zero.")
        return weights / weights[weights > 0].mean()

    def _check_groups(self, groups: Any, frame: pd.DataFrame) -> NDArray[Any] | None:
        if groups is None:
            return None
        groups = column_or_1d(groups)
        check_consistent_length(frame, groups)
        if pd.isna(groups).any():
            raise ModalitiesError(
                f"Row {int(pd.isna(groups).argmax()) + 1} has no group: every row needs one, or none has."
            )
        return np.unique(groups.astype(str) if groups.dtype == object else groups, return_inverse=True)[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.non_deterministic = False
        return tags


def check_comparison(
    frame: pd.DataFrame,
    modalities: Mapping[str, Sequence[str]],
    target: Target,
    weights: NDArray[np.float64],
) -> list[str]:
    """Refuse a table on which modalities cannot be compared; returns notes about what is merely odd.

    Raises
    ------
    ModalitiesError
        If there is one modality, too few rows, one class among the rows that count, or a modality that is
        absent in every row of a class.
    """
    check_rivals(modalities, frame.shape[1])
    if len(frame) < _LEAST_ROWS:
        raise ModalitiesError(
            f"The table has {len(frame)} samples; at least {_LEAST_ROWS} are needed for training, validation "
            "and test."
        )
    if target.task == "regression":
        if np.ptp(target.codes[weights > 0], axis=0).max() == 0:
            raise ModalitiesError("The target is the same in every row: there is nothing to tell apart.")
        return []
    word = "class" if target.task == "multiclass" else "label"
    counted, everywhere = target.rows_with(weights > 0), target.rows_with(weights >= 0)
    for name, columns in modalities.items():
        seen = target.rows_with(frame[list(columns)].notna().any(axis=1).to_numpy())
        never = np.flatnonzero((seen == 0) & (everywhere > 0))
        if len(never):
            raise ModalitiesError(
                f"The modality {name!r} is absent in every row of the {word} "
                f"{str(target.classes[never[0]])!r}: its absence alone would tell the {word}."
            )
    if target.task == "multilabel":
        return _constant_labels(target, counted, int(np.count_nonzero(weights)))
    if np.count_nonzero(counted) < 2:
        raise ModalitiesError("All rows with a weight have one class: there is nothing to tell apart.")
    rare = int(counted.argmin())
    if counted[rare] >= 3:
        return []
    return [
        f"The class {str(target.classes[rare])!r} has {counted[rare]} rows, fewer than the three parts "
        "(training, validation, test): it is missing from some."
    ]


def _refuse_odd_target(y: Any, *, classification: bool) -> None:
    """What a target of objects may hold that scikit-learn has no clear sentence for."""
    values = np.asarray(y) if isinstance(y, (list, tuple, np.ndarray, pd.Series)) else np.empty(0)
    if values.ndim != 1 or values.dtype.kind not in "OUS":
        return
    missing = pd.isna(values)
    if missing.any():
        raise ModalitiesError(f"Row {int(missing.argmax()) + 1} has no label: leave such rows out.")
    if not classification:
        word = next((value for value in values if isinstance(value, str) and not _is_number(value)), None)
        if word is not None:
            raise ModalitiesError(f"The target holds text ({str(word)!r}): a regression predicts numbers.")
    elif values.dtype == object and len({isinstance(value, str) for value in values}) > 1:
        kinds = sorted({type(value).__name__ for value in values})
        raise ModalitiesError(
            f"The labels are of several types ({', '.join(kinds)}): make them all text, or all numbers."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _constant_labels(target: Target, counted: NDArray[np.intp], n: int) -> list[str]:
    same = target.classes[(counted == 0) | (counted == n)]
    if len(same) == len(target.classes):
        raise ModalitiesError("Every label is the same in all rows: there is nothing to tell apart.")
    return [
        f"The label {str(name)!r} is the same in every row: nothing can be learned of it." for name in same
    ]


def holdout_rows(
    target: Target, share: float, groups: Any, seed: int, *, what: str = "validation"
) -> NDArray[np.bool_]:
    """Draw a share of the rows: whole groups where there are such, else stratified by class where possible.

    Returns
    -------
    ndarray of bool, shape (n,)
        All false where fewer than two rows would be drawn or left.
    """
    n = len(target.codes)
    chosen = np.zeros(n, dtype=bool)
    size = round(share * n)
    if size < 1 or n - size < 2:
        return chosen
    if groups is not None:
        groups = np.asarray(groups)
        if len(np.unique(groups)) < 2:
            raise ModalitiesError(f"All rows belong to one group, so none can be kept for {what}.")
        split: Any = GroupShuffleSplit(1, test_size=share, random_state=seed)
        chosen[next(split.split(chosen, groups=groups))[1]] = True
        return chosen
    strata = target.codes if target.task == "multiclass" else None
    if strata is not None:
        counts = np.bincount(strata)
        if counts[counts > 0].min() >= 2 and min(size, n - size) >= len(counts):
            split = StratifiedShuffleSplit(1, test_size=size, random_state=seed)
            chosen[next(split.split(chosen, strata))[1]] = True
            return chosen
    split = ShuffleSplit(1, test_size=size, random_state=seed)
    chosen[next(split.split(chosen))[1]] = True
    return chosen
