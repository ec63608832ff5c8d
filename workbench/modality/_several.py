"""What a network that tells several labels, or several numbers, of a row is reported by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    root_mean_squared_error,
)

from workbench.modality._labelled import Labelled
from workbench.modality._metrics import Metric
from workbench.report import Report

__all__ = ["scored_several"]

Array = NDArray[Any]


def scored_several(model: Any, known: Labelled, held: Labelled) -> Report:
    """Scores on held-out rows, all labels together and each by itself, beside a control that sees no column.

    Parameters
    ----------
    model : LateFusionClassifier or LateFusionRegressor
        Fitted on `known`.
    known, held : Labelled
        Training and test rows, whose `y` is a frame.

    Returns
    -------
    Report
        With the tables ``scores`` (model, metric, value), ``labels`` (one row a label, or a number to
        predict) and ``predictions``.
    """
    predicted = np.asarray(model.predict(held.X))
    truth, names = np.asarray(held.y), [str(name) for name in held.y]
    mean = np.tile(np.asarray(known.y).mean(0), (len(truth), 1))
    table = pd.DataFrame({"id": held.ids.astype(str)})
    if model.task_ == "multilabel":
        probabilities = np.asarray(model.predict_proba(held.X))
        found, control = _label_scores(truth, predicted), _label_scores(truth, (mean > 0.5).astype(int))
        each = _by_label(names, truth, predicted, probabilities)
        headline = (
            f"Test macro F1 {found['f1_macro']:.3f} over {len(names)} labels, against "
            f"{control['f1_macro']:.3f} for always saying what most rows have ({len(truth)} test rows)."
        )
        train = {"train_accuracy": float(accuracy_score(np.asarray(known.y), model.predict(known.X)))}
        extra = {f"p_{name}": probabilities[:, k] for k, name in enumerate(names)}
    else:
        found, control = _number_scores(truth, predicted), _number_scores(truth, mean)
        each = pd.DataFrame(
            [{"target": name, **_number_scores(truth[:, k], predicted[:, k])} for k, name in enumerate(names)]
        )
        headline = (
            f"Test R² {found['r2']:.3f}, the mean over {len(names)} numbers, against {control['r2']:.3f} for "
            f"always guessing the mean ({len(truth)} test rows)."
        )
        train, extra = {}, {}
    for k, name in enumerate(names):
        table[f"true_{name}"], table[f"predicted_{name}"] = truth[:, k], predicted[:, k]
    rows = [(type(model).__name__, name, value) for name, value in found.items()]
    rows += [("control", name, value) for name, value in control.items()]
    tables = {
        "scores": pd.DataFrame(rows, columns=["model", "metric", "value"]),
        "labels": each,
        "predictions": table.assign(**extra),
    }
    scores = {f"test_{name}": value for name, value in found.items()}
    scores |= {f"control_test_{name}": value for name, value in control.items()}
    return Report("modality.fit", headline, {**scores, **train}, tables)


def _label_scores(y: Array, predicted: Array) -> dict[str, float]:
    """Of all labels: macro F1, the share of labels that are right, and of rows in which all are."""
    return {
        "f1_macro": float(f1_score(y, predicted, average="macro", zero_division=0)),
        "label_accuracy": float((y == predicted).mean()),
        "accuracy": float(accuracy_score(y, predicted)),
    }


def _by_label(names: list[str], y: Array, predicted: Array, probabilities: Array) -> pd.DataFrame:
    auc = Metric("roc_auc", "multilabel")
    rows = []
    for k, name in enumerate(names):
        pair = y[:, k], predicted[:, k]
        rows.append(
            {
                "label": name,
                "rows": int(y[:, k].sum()),
                "f1": float(f1_score(*pair, zero_division=0)),
                "precision": float(precision_score(*pair, zero_division=0)),
                "recall": float(recall_score(*pair, zero_division=0)),
                "auc": auc(y[:, [k]], probabilities[:, [k]]),
            }
        )
    return pd.DataFrame(rows)


def _number_scores(y: Array, predicted: Array) -> dict[str, float]:
    return {
        "r2": float(r2_score(y, predicted)) if len(y) > 1 else float("nan"),
        "mae": float(mean_absolute_error(y, predicted)),
        "rmse": float(root_mean_squared_error(y, predicted)),
    }
