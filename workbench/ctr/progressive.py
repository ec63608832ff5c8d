"""Progressive evaluation: each part of a log is predicted before it is learned."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from workbench.ctr import metrics
from workbench.ctr._base import CTRClassifier
from workbench.ctr._columns import FieldsError
from workbench.ctr._labels import binary_codes
from workbench.ctr.audit import UnseenValuesWarning

__all__ = ["progressive_evaluation"]


def progressive_evaluation(model: CTRClassifier, parts: Iterable[tuple[Any, ArrayLike]]) -> pd.DataFrame:
    """Go through the parts of a log in the order of time; test on each, then train on it [1]_.

    Every figure is of rows that the model had not seen, as in production, and all rows are used for both.

    Parameters
    ----------
    model : CTR classifier
        Trained in place by `partial_fit`. One that is fitted already is tested on the first part too.
    parts : iterable of (X, y)
        The days of the log, say; each is asked for only when its turn comes. `y` may hold one class only
        after the first part.

    Returns
    -------
    DataFrame with a row a part
        part, n (rows), clicks, predicted and observed (mean rates), auc, logloss, normalized_entropy; NaN
        where there was no model yet, and AUC and normalised entropy also for rows of one class.

    References
    ----------
    .. [1] McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013, section 5.1
       (progressive validation).

    Examples
    --------
    >>> from workbench.ctr import FMClassifier, splits
    >>> X = pd.DataFrame({"ad": ["a", "b"] * 300})
    >>> y, day = np.array([1, 0] * 300), np.repeat([1, 2, 3], 200)
    >>> parts = ((X.iloc[rows], y[rows]) for rows in splits.split_by_period(day))
    >>> table = progressive_evaluation(FMClassifier(learning_rate=0.1, batch_size=20, random_state=0), parts)
    >>> table["auc"].tolist()
    [nan, 1.0, 1.0]
    """
    rows = []
    for part, (X, y) in enumerate(parts):
        labels = np.asarray(y)
        known = hasattr(model, "weights_")
        classes = model.classes_ if known else None
        _, codes = binary_codes(labels, classes=classes)
        row: dict[str, Any] = {"part": part, "n": len(codes), "clicks": int(codes.sum())}
        if known:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnseenValuesWarning)  # new values are what a new day brings
                p = model.predict_proba(X)[:, 1]
            row |= {
                "predicted": float(p.mean()),
                "observed": float(codes.mean()),
                "auc": metrics.auc(codes, p),
                "logloss": metrics.logloss(codes, p),
                "normalized_entropy": metrics.normalized_entropy(codes, p),
            }
        rows.append(row)
        model.partial_fit(X, labels)
    if not rows:
        raise FieldsError("There is no part of a log to evaluate on.")
    columns = ["part", "n", "clicks", "predicted", "observed", "auc", "logloss", "normalized_entropy"]
    return pd.DataFrame(rows, columns=columns)
