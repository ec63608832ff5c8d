"""Judging a ranking of fields the way ERASE does: train anew on the best k, and score on other rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from workbench.ctr import metrics
from workbench.ctr._base import CTRClassifier
from workbench.ctr._columns import FieldsError
from workbench.ctr.encoded import Encoded
from workbench.ctr.encoder import FieldEncoder
from workbench.selection._base import FieldSelector
from workbench.selection._size import latency_ms, n_bytes

__all__ = ["REQUEST", "auc_by_k", "default_ks", "fit_on", "judge", "overlap", "repeated"]

#: Rows of the request whose latency is measured.
REQUEST = 100


def fit_on(
    host: CTRClassifier,
    encoder: FieldEncoder,
    encoded: Encoded,
    codes: NDArray[Any],
    names: Sequence[str],
    *,
    seed: int,
) -> CTRClassifier:
    """A new host model on those fields of encoded rows."""
    layout = encoder.layout()
    keep = np.isin(layout.names, list(names))
    model = clone(host)
    if model.random_state is None:
        model.set_params(random_state=seed)
    return model.fit_encoded(encoder.restrict(set(names)), encoded.keep(layout, keep), codes)


def judge(
    model: CTRClassifier, encoder: FieldEncoder, encoded: Encoded, codes: NDArray[Any]
) -> NDArray[np.float64]:
    """Predicted probabilities of encoded rows that hold more fields than the model reads."""
    from scipy.special import expit

    layout = encoder.layout()
    keep = np.isin(layout.names, [field["name"] for field in model.layout_])
    probability: NDArray[np.float64] = expit(model.decide_encoded(encoded.keep(layout, keep)))
    return probability


def default_ks(n_fields: int) -> list[int]:
    """About six numbers of fields, from one to all."""
    steps = np.unique(np.round(np.geomspace(1, n_fields, min(6, n_fields))).astype(int))
    return [int(k) for k in steps]


def auc_by_k(
    host: CTRClassifier,
    encoder: FieldEncoder,
    train: tuple[Encoded, NDArray[Any]],
    test: tuple[Encoded, NDArray[Any]],
    ranked: Sequence[str],
    ks: Iterable[int],
    *,
    seed: int,
    around: Callable[[str], Any],
    known: dict[frozenset[str], tuple[float, ...]] | None = None,
) -> pd.DataFrame:
    """AUC of new models on the best k fields of a ranking.

    Parameters
    ----------
    host : CTRClassifier
        Trained anew for each k.
    encoder : FieldEncoder
        Fitted; it has encoded the rows.
    train : tuple of (Encoded, ndarray)
        Rows and their labels.
    test : tuple of (Encoded, ndarray)
    ranked : sequence of str
        The best field first.
    ks : iterable of int
    seed : int
    around : callable
        ``around(name)`` is a context for each training: a stage of a run.
    known : dict, optional
        Results by set of fields; rankings that agree need not be trained twice.

    Returns
    -------
    DataFrame with the columns k, auc, low, high, bytes, latency_ms, seconds
        The interval is of the test rows (bootstrap), not of the training.
    """
    known = {} if known is None else known
    rows = []
    layout = encoder.layout()
    for k in ks:
        names = frozenset(ranked[:k])
        if names not in known:
            with around(f"retrain {len(known) + 1}"):
                began = time.perf_counter()
                model = fit_on(host, encoder, *train, sorted(names), seed=seed)
                area = metrics.bootstrap(
                    "auc", test[1], judge(model, encoder, *test), n_resamples=200, random_state=seed
                )
                seconds = time.perf_counter() - began
                own = np.isin(layout.names, [field["name"] for field in model.layout_])
                request = test[0][:REQUEST].keep(layout, own)
                known[names] = (*area, n_bytes(model), latency_ms(model, request), seconds)
        rows.append((k, *known[names]))
    return pd.DataFrame(rows, columns=["k", "auc", "low", "high", "bytes", "latency_ms", "seconds"])


def overlap(sets: Sequence[Iterable[str]]) -> float:
    """Mean Jaccard similarity of all pairs of sets: 1 where every seed kept the same fields."""
    members = [frozenset(one) for one in sets]
    pairs = [(a, b) for i, a in enumerate(members) for b in members[i + 1 :]]
    if not pairs:
        return float("nan")
    return float(np.mean([len(a & b) / max(len(a | b), 1) for a, b in pairs]))


def repeated(
    selector: FieldSelector,
    encoder: FieldEncoder,
    train: tuple[Encoded, NDArray[Any]],
    seeds: Iterable[int],
) -> pd.DataFrame:
    """Searches with other seeds: other first weights, and other rows kept for judging.

    Returns
    -------
    DataFrame with the columns seed, field, score and kept
        A search that left no field has scores of 0.
    """
    parts = []
    for seed in seeds:
        search = clone(selector).set_params(random_state=seed)
        search.classes_ = np.array([0, 1])
        try:
            found = search.fit_encoded(encoder, *train).ranking()[["field", "score", "kept"]]
        except FieldsError:
            found = pd.DataFrame({"field": list(encoder.kinds_), "score": 0.0, "kept": False})
        parts.append(found.assign(seed=seed))
    return pd.concat(parts, ignore_index=True)[["seed", "field", "score", "kept"]]
