"""What is wrong with the fields of a log, before a model hides it: one sentence a fault."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.ctr import metrics
from workbench.ctr._columns import Columns
from workbench.ctr._vocabulary import MISSING, UNSEEN
from workbench.ctr.encoded import Encoded
from workbench.ctr.encoder import FieldEncoder

__all__ = [
    "FieldWarning",
    "UnseenValuesWarning",
    "audit_fields",
    "audit_numbers",
    "warn_fields",
    "warn_unseen",
]

#: Share of rows with a value of their own from which a field is an identifier.
_UNIQUE = 0.9
#: AUC of a single field from which it is suspected to know the label.
_LEAK = 0.99
#: Share of negative whole numbers up to which they look like a sign for something else, whatever their size.
_FEW = 0.05
#: The same where they are small beside the largest number.
_SOME = 0.25
#: Share of test rows with unseen values from which it is said.
_UNSEEN_SHARE = 0.1
#: Rows from which a field is judged: in fewer, chance alone separates the classes now and then.
_JUDGES = 50
#: How much larger a share of unseen values may be in rows to predict than it was in training.
_MORE_UNSEEN = 0.01


class FieldWarning(UserWarning):
    """A field will mislead a model: one value only, an identifier, the answer, or a count below 0."""


class UnseenValuesWarning(UserWarning):
    """Rows to predict hold values that the training rows did not."""


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
            if field.kind == "categorical" and n_values <= _UNIQUE * len(y):
                notes += _unseen_note(field.name, encoder, *ids)
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


def _unseen_note(
    name: str, encoder: FieldEncoder, seen: NDArray[np.int32], other: NDArray[np.int32]
) -> list[str]:
    """What happens to values of the test rows that are new; rare values of `min_count` are not meant."""
    if encoder.kinds_[name] == "numeric":
        return []
    train, test = (float(np.mean(part == UNSEEN)) for part in (seen, other))
    if test - train < _UNSEEN_SHARE:
        return []
    return [
        f"{test - train:.0%} of the test rows hold a value of {name!r} that the training rows do not: the "
        "models read it as no value; hash the field (n_buckets), or train on later rows."
    ]


def audit_numbers(frame: pd.DataFrame, kinds: Mapping[str, str]) -> list[str]:
    """Whole numbers that are no quantity: an identifier, or a count with negative values.

    Parameters
    ----------
    frame : DataFrame
        Its index are the numbers that rows are called by.
    kinds : mapping of str to str
        Kind of each field; only numeric ones are looked at.

    Returns
    -------
    list of str
        One sentence a column; empty if nothing is odd.
    """
    notes = []
    for name in frame.columns:
        column = frame[name]
        if kinds.get(str(name)) != "numeric" or not pd.api.types.is_numeric_dtype(column):
            continue
        values = column.dropna().to_numpy(dtype=np.float64, na_value=np.nan)
        if len(values) < 2 or not np.array_equal(values, np.round(values)):
            continue
        if len(values) > 20 and len(np.unique(values)) == len(values):
            notes.append(
                f"The field {name!r} is an identifier: every row has a whole number of its own, so what is "
                "learned from it holds for no other row; leave it out, or make it categorical and hash it."
            )
        elif 0 < np.mean(values < 0) < (_SOME if -10 * values.min() <= values.max() else _FEW):
            row = column.index[int(np.flatnonzero(column.to_numpy(na_value=np.nan) < 0)[0])]
            n = int(np.sum(values < 0))
            notes.append(
                f"The field {name!r} looks like a count but is below 0 in {n} row{'s' * (n > 1)}, first in "
                f"row {row} ({values[values < 0][0]:g}): if that means a missing one, leave it empty."
            )
    return notes


def warn_fields(encoder: FieldEncoder, columns: Columns, encoded: Encoded, y: NDArray[np.float64]) -> None:
    """Warn (`FieldWarning`) of each field that will mislead a model; a fifth of the rows judges.

    Parameters
    ----------
    encoder : FieldEncoder
        Fitted.
    columns : Columns
        What was encoded.
    encoded : Encoded
        What it became, n rows.
    y : ndarray of 0 and 1, shape (n,)
    """
    held = np.arange(len(y)) % 5 == 4
    if held.sum() < _JUDGES or min(len(np.unique(y[held])), len(np.unique(y[~held]))) < 2:
        return
    _, notes = audit_fields(encoder, (encoded[~held], y[~held]), (encoded[held], y[held]))
    numeric = [name for name, kind in encoder.kinds_.items() if kind == "numeric"]
    frame = pd.DataFrame({name: columns[name].to_pandas() for name in numeric if name in columns})
    for note in [*notes, *audit_numbers(frame, encoder.kinds_)]:
        warnings.warn(note, FieldWarning, stacklevel=4)


def warn_unseen(encoder: FieldEncoder, encoded: Encoded) -> None:
    """Say in one sentence which fields hold values to predict from that were not learned."""
    fields = [field for field in encoder.layout().fields if field.kind == "categorical"]
    shares = (encoded.ids == UNSEEN).mean(axis=0)
    if not shares.any():
        return
    found = []
    for field, share in zip(fields, shares, strict=True):
        counts = encoder.counts_.get(field.table)  # numbers in bins have none, and nothing unseen
        usual = 0.0 if counts is None else counts[UNSEEN] / max(counts.sum(), 1)  # of `min_count`
        if share > usual + _MORE_UNSEEN:
            found.append(f"{field.name!r} ({share:.0%})")
    if not found:
        return
    named = ", ".join(found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    warnings.warn(
        f"Rows hold values that were rare or absent in the training rows, in {named}{more}: they count as "
        "no value.",
        UnseenValuesWarning,
        stacklevel=3,
    )
