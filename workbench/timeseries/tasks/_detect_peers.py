"""Peers of anomaly detection: principal components, k-means and an isolation forest, all on sub-sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

from workbench.timeseries._windows import cut, starts
from workbench.timeseries.preprocessing import channel_scales, series_lengths, standardize

__all__ = ["detectors"]

#: Values of a window, windows learnt from, and windows of a series that are scored, at most.
_MOST_VALUES, _MOST_LEARNT, _MOST_SCORED = 800, 4000, 20_000

Scored = NDArray[np.float64]
#: From windows as rows to a score each.
Judge = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def detectors(
    train: NDArray[Any], X: NDArray[Any], window: int, quantile: float, seed: int
) -> dict[str, Callable[[], tuple[Scored, float]]]:
    """Name → scores of every step of `X`, (n, T), and the threshold, a quantile of the training's."""
    size = max(2, min(window, _MOST_VALUES // X.shape[2], int(series_lengths(train).max())))
    mean, scale = channel_scales(train)
    normal, tested = (standardize(part, mean, scale).astype(float) for part in (train, X))
    n_train, n_test = series_lengths(train), series_lengths(X)

    def detector(make: Callable[[NDArray[np.float64]], Judge]) -> Callable[[], tuple[Scored, float]]:
        def scored() -> tuple[Scored, float]:
            most = max(2, _MOST_LEARNT // len(normal))
            windows = [
                cut(one[:length], starts(int(length), size, most), size)
                for one, length in zip(normal, n_train, strict=True)
            ]
            learnt = np.concatenate(windows)
            judge = make(learnt.reshape(len(learnt), -1).astype(np.float64))
            before = _score_steps(normal, n_train, size, judge)
            return _score_steps(tested, n_test, size, judge), float(np.nanquantile(before, quantile))

        return scored

    return {
        "Sub-PCA": detector(_principal),
        "KMeansAD": detector(lambda windows: _distance(windows, seed)),
        "Isolation forest": detector(lambda windows: _isolation(windows, seed)),
    }


def _principal(windows: NDArray[np.float64]) -> Judge:
    """Squared distance from the components that hold nine tenths of the variance."""
    model = PCA(svd_solver="full").fit(windows)
    kept = int(np.searchsorted(model.explained_variance_ratio_.cumsum(), 0.9)) + 1
    components = model.components_[: min(kept, len(model.components_))]

    def judge(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = rows - model.mean_
        return ((centred - centred @ components.T @ components) ** 2).mean(axis=1)

    return judge


def _distance(windows: NDArray[np.float64], seed: int) -> Judge:
    model = KMeans(min(20, len(windows)), n_init=3, random_state=seed).fit(windows)
    return lambda rows: model.transform(rows).min(axis=1)


def _isolation(windows: NDArray[np.float64], seed: int) -> Judge:
    model = IsolationForest(random_state=seed).fit(windows)
    return lambda rows: -model.score_samples(rows)


def _score_steps(X: NDArray[np.float64], lengths: NDArray[np.int64], size: int, judge: Judge) -> Scored:
    """Mean score of the windows over each step, (n, T); NaN beyond a series' end."""
    result = np.full(X.shape[:2], np.nan)
    for row, (one, length) in enumerate(zip(X, lengths, strict=True)):
        if length < size:
            result[row, :length] = 0.0
            continue
        first = starts(int(length), size, _MOST_SCORED)
        total, count = np.zeros(length + 1), np.zeros(length + 1)
        for part in np.array_split(first, max(1, len(first) // 2000)):
            windows = cut(one[:length], part, size)
            found = judge(windows.reshape(len(windows), -1).astype(np.float64))
            np.add.at(total, part, found)
            np.add.at(total, part + size, -found)
            np.add.at(count, part, 1)
            np.add.at(count, part + size, -1)
        seen = np.maximum(count.cumsum()[:length], 1)
        result[row, :length] = total.cumsum()[:length] / seen
    return result
