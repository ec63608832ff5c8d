"""Further cells: SHARK's estimate against permutation, and DIN on Beauty."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from _selection_data import beauty, criteo, host, parts
from _selection_logs import encoder, log, strengths, table
from scipy.stats import spearmanr

from workbench.ctr import DeepFMClassifier, DINClassifier, FieldEncoder, metrics
from workbench.selection.scores import field_gradients, permutation_importance

__all__ = ["BEAUTY", "run_beauty", "run_shark"]

#: Name → kind of the history (a multi-valued field is averaged) and activation.
BEAUTY = {
    "mean pooling, ReLU": ("multi", "relu"),
    "mean pooling, Dice": ("multi", "dice"),
    "DIN, ReLU": ("sequence", "relu"),
    "DIN, Dice": ("sequence", "dice"),
}


def run_shark(data: Path, name: str, seed: int) -> dict[str, Any]:
    """Rank correlation of F-Permutation with 5 shuffles of each of 39 fields, and both times.

    Beside it that of permutation with itself, on two halves of the rows: no estimate can be expected to agree
    with it much better. In the planted log the fields' true strengths are known too.
    """
    if name == "criteo":
        X, y = criteo(data)
        train, validation, test = parts(len(y))
        judged = np.r_[validation, test]
        model = host(seed, []).set_params(encoder=FieldEncoder(min_count=5), n_epochs=2)
        model.fit(X.iloc[train], y[train])
        rows, labels = model.encoder_.encode(X.iloc[judged]), y[judged].astype(float)
    else:
        past, later = log(100_000, 2 * seed), log(10_000, 2 * seed + 1)
        model = DeepFMClassifier(batch_size=512, encoder=encoder(), random_state=seed, device="cpu")
        model.fit(table(past).drop_columns(["click"]), past.click)
        rows = model.encoder_.encode(table(later).drop_columns(["click"]))
        labels = later.click.astype(float)
    layout = model.encoder_.layout()
    field_gradients(model, rows[:100], labels[:100])  # compiled and loaded before it is timed
    began = time.perf_counter()
    scores = field_gradients(model, rows, labels)
    fast = time.perf_counter() - began
    began = time.perf_counter()
    truth = permutation_importance(model, layout, rows, labels, n_repeats=5, seed=seed)
    slow = time.perf_counter() - began
    even = np.arange(len(labels)) % 2 == 0
    halves = [
        permutation_importance(model, layout, rows[part], labels[part], n_repeats=5, seed=seed)
        for part in (even, ~even)
    ]

    def agreement(one: Any, other: Any) -> float:
        return float(spearmanr(one, other).statistic)

    found = {
        "signed": agreement(scores["signed"], truth),
        "signed, first order": agreement(field_gradients(model, rows, labels, order=1)["signed"], truth),
        "absolute": agreement(scores["absolute"], truth),
        "halves of permutation": agreement(*halves),
        "ratio of times": slow / fast,
        "auc": metrics.auc(labels, model.decide_encoded(rows)),
        "rows": len(labels),
    }
    if name == "planted":
        known = [strengths()[field] for field in layout.names]
        found |= {
            "planted, signed": agreement(scores["signed"], known),
            "planted, permutation": agreement(truth, known),
        }
    return found


def run_beauty(data: Path, name: str, seed: int) -> dict[str, Any]:
    """Share of a user's pairs (bought, not bought) that are ranked right: GAUC of the last item."""
    kind, activation = BEAUTY[name]
    frame, y, test = beauty(data, seed)
    X = frame.drop(columns="user")
    reader = FieldEncoder(kinds={"history": kind}, shared={"history": "item"}, max_length=20)
    model = DINClassifier(
        embedding_dim=16,
        hidden=(80, 40),
        activation=activation,
        n_epochs=2,
        batch_size=512,
        learning_rate=2e-3,
        l2=1.0,
        l2_by_frequency=True,
        encoder=reader,
        random_state=seed,
        device="cpu",
    ).fit(X[~test], y[~test])
    p = model.predict_proba(X[test])[:, 1]
    return {
        "gauc": metrics.gauc(y[test], p, frame["user"][test]),
        "auc": metrics.auc(y[test], p),
        "logloss": metrics.logloss(y[test], p),
    }
