"""Labels of two classes as 0 and 1, and log odds as probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from workbench.ctr._columns import FieldsError

__all__ = ["binary_codes", "probabilities"]


def binary_codes(labels: NDArray[Any], *, classes: Any = None) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The two classes, and each label as 0 or 1.

    Raises
    ------
    FieldsError
        If there are not two.
    """
    missing = pd.isna(labels)
    if missing.any():
        raise FieldsError(f"Input y contains NaN: the label of row {int(missing.argmax())} is missing.")
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise FieldsError("Input y contains infinity.")
    check_classification_targets(labels)
    found, codes = np.unique(labels.astype(str) if labels.dtype == object else labels, return_inverse=True)
    if labels.dtype == object:
        found = np.array([labels[codes == i][0] for i in range(len(found))])
    if classes is not None:
        known = np.unique(np.asarray(classes))
        if not np.isin(found, known).all():
            wrong = found[~np.isin(found, known)][0]
            raise FieldsError(f"y holds the class {str(wrong)!r}, which is not one of {known.tolist()}.")
        found, codes = known, np.searchsorted(known, labels)
    if len(found) == 1:
        raise FieldsError(
            f"All rows have the one class {str(found[0])!r}: both clicks and non-clicks are needed."
        )
    if len(found) != 2:
        raise FieldsError(
            f"Only binary classification is supported. The type of the target is "
            f"{type_of_target(labels)}: the label has {len(found)} classes; choose a column with two."
        )
    return found, codes


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of both classes, (n, 2), from log odds."""
    from scipy.special import expit

    return np.column_stack([expit(-logits), expit(logits)])
