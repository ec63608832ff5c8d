"""Which shapelets carry a representation, and where they are seen in the series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize
from sklearn.svm import SVC

from workbench.timeseries.evaluation import folds, robust_scaler

__all__ = [
    "explained_by_classes",
    "importance",
    "kept_by_accuracy",
    "kept_by_spread",
    "match_table",
    "shapelet_table",
]

Array = NDArray[np.floating[Any]]


def explained_by_classes(Z: Array, y: NDArray[Any]) -> NDArray[np.float64]:
    """Share of each feature's variance that lies between the classes (η², 0 to 1); 0 for a constant."""
    centred = Z - Z.mean(axis=0)
    total = np.square(centred).sum(axis=0)
    between = np.zeros(Z.shape[1])
    for label in np.unique(y):
        part = centred[y == label]
        between += len(part) * np.square(part.mean(axis=0))
    return np.divide(between, total, out=np.zeros_like(between), where=total > 1e-12)


def importance(
    names: list[str],
    kinds: list[str],
    costs: NDArray[np.float64],
    Z: Array,
    y: NDArray[Any] | None,
    *,
    C: float,
    seed: int,
) -> pd.DataFrame:
    """The importance table of the features of an embedding.

    With labels a feature's score is `explained_by_classes`, without it is its share of the
    embedding's variance. `kept` marks the smallest set of best features that does as well as all.

    Parameters
    ----------
    names, kinds : list of str
        Of each feature.
    costs : ndarray
        Multiplications for one series.
    Z : ndarray of shape (n, p)
        Training embeddings.
    y : ndarray of shape (n,), or None
        Their labels, without missing ones.
    C : float
        Penalty of the probe.
    seed : int
        Shuffles the folds.

    Returns
    -------
    DataFrame
        Columns feature, component, kind, score, cost, kept; best first.
    """
    unit = normalize(Z)
    splitter = None if y is None else folds(y, seed)
    if y is None or len(np.unique(y)) < 2:
        variance = unit.var(axis=0)
        score = variance / max(variance.sum(), np.finfo(float).tiny)
        n_kept = kept_by_spread(score)
    else:
        score = explained_by_classes(unit, y)
        n_kept = len(score) if splitter is None else kept_by_accuracy(Z, y, C=C, seed=seed)
    order = np.argsort(-score, kind="stable")
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    table = pd.DataFrame(
        {
            "feature": np.arange(len(score)),
            "component": names,
            "kind": kinds,
            "score": score.astype(float),
            "cost": costs.astype(float),
            "kept": rank < n_kept,
        }
    )
    return table.iloc[order].reset_index(drop=True)


def kept_by_accuracy(Z: Array, y: NDArray[Any], *, C: float, seed: int) -> int:
    """The fewest best features whose accuracy is within one standard error of that of all.

    Features are ranked anew inside every fold, so that the choice does not see what it is tested on.
    """
    splitter = folds(y, seed)
    if splitter is None:
        return Z.shape[1]

    def accuracies(k: int) -> NDArray[np.float64]:
        best = SelectKBest(explained_by_classes, k=k)
        model = make_pipeline(Normalizer(), best, robust_scaler(), SVC(C=C, gamma="scale"))
        scores: NDArray[np.float64] = cross_val_score(model, Z, y, cv=splitter)
        return scores

    whole = accuracies(Z.shape[1])
    enough = whole.mean() - whole.std(ddof=1) / np.sqrt(len(whole))
    size = 1
    while size < Z.shape[1]:
        if accuracies(size).mean() >= enough:
            return size
        size = max(size + 1, int(size * 1.5))
    return Z.shape[1]


def kept_by_spread(score: NDArray[np.float64], share: float = 0.95) -> int:
    """The fewest best features that together hold `share` of the scores' sum."""
    running = np.cumsum(np.sort(score)[::-1])
    return int(np.searchsorted(running, share * running[-1]) + 1)


def shapelet_table(
    shapelets: list[Array],
    chosen: list[int],
    names: list[str],
    measures: list[str],
    channels: tuple[str, ...],
) -> pd.DataFrame:
    """The chosen shapelets drawn out: one row a shapelet, channel and step."""
    parts = [
        pd.DataFrame(
            {
                "shapelet": names[i],
                "measure": measures[i],
                "channel": np.repeat(np.asarray(channels, dtype=object), len(shapelets[i])),
                "step": np.tile(np.arange(len(shapelets[i])), len(channels)),
                "value": shapelets[i].T.ravel().astype(float),
            }
        )
        for i in chosen
    ]
    return pd.concat(parts, ignore_index=True)


def match_table(
    start: NDArray[np.int64],
    value: Array,
    chosen: list[int],
    names: list[str],
    measures: list[str],
    lengths: list[int],
    ids: NDArray[Any],
    most: int = 5,
) -> pd.DataFrame:
    """The series that match each chosen shapelet best: one row a shapelet and rank."""
    parts = []
    for i in chosen:
        # A distance is good when small, a similarity when large.
        order = np.argsort(value[:, i] if measures[i] == "euclidean" else -value[:, i], kind="stable")[:most]
        parts.append(
            pd.DataFrame(
                {
                    "shapelet": names[i],
                    "series": order,
                    "id": ids[order],
                    "rank": np.arange(1, len(order) + 1),
                    "start": start[order, i],
                    "length": lengths[i],
                    "score": value[order, i].astype(float),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
