"""What is wrong with the fields of a log, before a model hides it: one sentence a fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.ctr import metrics
from workbench.ctr._vocabulary import MISSING
from workbench.ctr.encoded import Encoded
from workbench.ctr.encoder import FieldEncoder

__all__ = ["audit_fields"]

#: Share of rows with a value of their own from which a field is an identifier.
_UNIQUE = 0.9
#: AUC of a single field from which it is suspected to know the label.
_LEAK = 0.99


def audit_fields(
    encoder: FieldEncoder,
    train: tuple[Encoded, NDArray[np.float64]],
    test: tuple[Encoded, NDArray[np.float64]],
) -> tuple[pd.DataFrame, list[str]]:
    """What each field alone can tell, and sentences about those that will mislead.

    A field alone predicts the click rate of its value (categories) or the number itself. The distance
    between its AUC on the training rows and on others shows what it only memorises.

    Returns
    -------
    table : DataFrame with the columns field, kind, values, missing, train_auc, test_auc
        List fields are judged by their number of values.
    notes : list of str
    """
    layout = encoder.layout()
    rows: list[tuple[Any, ...]] = []
    notes: list[str] = []
    (seen, y), (other, z) = train, test
    first = layout.count("categorical")
    numbers = layout.count("numeric")
    for place, field in enumerate(layout.fields):
        if field.kind == "categorical":
            ids = seen.ids[:, place], other.ids[:, place]
            n_values = int(np.count_nonzero(np.bincount(ids[0], minlength=field.rows)))
            missing = float(np.mean(ids[0] == MISSING))
            rate = _rates(ids[0], y, field.rows)
            scores: list[NDArray[Any]] = [rate[part] for part in ids]
        elif field.kind == "numeric":
            values = seen.numbers[:, place - first], other.numbers[:, place - first]
            n_values = len(np.unique(values[0][~np.isnan(values[0])]))
            missing = float(np.mean(np.isnan(values[0])))
            sign = 1.0 if metrics.auc(y, np.nan_to_num(values[0])) >= 0.5 else -1.0
            scores = [sign * np.nan_to_num(part) for part in values]
        else:
            lists = seen.lists[place - first - numbers], other.lists[place - first - numbers]
            n_values, missing = field.rows - 2, float(np.mean((lists[0] == MISSING).all(axis=1)))
            scores = [(part != MISSING).sum(axis=1) for part in lists]
        alone = metrics.auc(y, scores[0]), metrics.auc(z, scores[1])
        rows.append((field.name, field.kind, n_values, missing, *alone))
        if not field.is_list:
            notes += _notes(field.name, field.kind, n_values, len(y), alone)
    columns = ["field", "kind", "values", "missing", "train_auc", "test_auc"]
    return pd.DataFrame(rows, columns=columns), notes


def _rates(ids: NDArray[np.int32], y: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Click rate of each value, drawn a little towards that of all rows."""
    clicks, count = np.bincount(ids, y, n), np.bincount(ids, minlength=n)
    return (clicks + y.mean()) / (count + 1.0)


def _notes(name: str, kind: str, n_values: int, n: int, alone: tuple[float, float]) -> list[str]:
    if n_values <= 1:
        return [f"The field {name!r} has one value only and can tell nothing: leave it out."]
    if kind == "categorical" and n_values > _UNIQUE * n:
        return [
            f"The field {name!r} is an identifier: nearly every row has a value of its own, so a model can "
            f"only memorise it (AUC {alone[0]:.3f} on the training rows, {alone[1]:.3f} on others); leave "
            "it out, or hash it."
        ]
    if alone[1] > _LEAK:
        return [
            f"The field {name!r} alone reaches an AUC of {alone[1]:.3f}: it may hold the answer (leakage); "
            "leave it out if it is not known when the prediction is made."
        ]
    return []
