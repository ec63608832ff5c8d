"""How well anomalies are found and steps foretold; none of these adjusts points to segments.

A point-adjusted F1 counts a whole anomalous segment as found when one of its steps is: random scores then
look excellent. Here stand instead the area under the precision-recall curve, its volume over tolerances
around the segments (VUS-PR), and the plain F1 over windows of time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, f1_score

__all__ = [
    "auc_pr",
    "backtest",
    "interval_coverage",
    "pinball_loss",
    "rolling_origins",
    "vus_pr",
    "window_f1",
]


def auc_pr(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve (average precision) over single steps.

    Parameters
    ----------
    labels : array-like of 0 and 1, shape (T,)
    scores : array-like of float, shape (T,)
        Higher is stranger; steps whose score is NaN are left out.

    Returns
    -------
    float
    """
    true, found = _pair(labels, scores)
    return float(average_precision_score(true, found))


def vus_pr(labels: ArrayLike, scores: ArrayLike, max_buffer: int = 100) -> float:
    """Volume under the precision-recall surface: the mean over buffers of the range-aware area.

    A buffer of ℓ steps adds, to both sides of a segment, ℓ/2 steps whose labels fall from 1 as √(1 − i/ℓ).
    Recall is measured against the mean of the mass with and without buffers, and multiplied by the share
    of segments of which any step is found.

    Parameters
    ----------
    labels : array-like of 0 and 1, shape (T,)
    scores : array-like of float, shape (T,)
        Higher is stranger; steps whose score is NaN are left out.
    max_buffer : int
        The largest ℓ; all from 0 are averaged.

    Returns
    -------
    float

    References
    ----------
    J. Paparrizos, P. Boniol, T. Palpanas, R. S. Tsay, A. Elmore, M. J. Franklin. Volume Under the Surface.
    PVLDB 15(11), 2022.
    """
    true, found = _pair(labels, scores)
    order = np.argsort(-found, kind="stable")
    # Steps of equal score are found together.
    ends = np.flatnonzero(np.append(np.diff(found[order]) != 0, True))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    mass = float(true.sum())
    areas = []
    for buffer in range(max_buffer + 1):
        soft = _buffered(true, buffer)
        hit = np.cumsum(soft[order])[ends]
        first, last = _segments(soft > 0)
        earliest = np.array([rank[a : b + 1].min() for a, b in zip(first, last, strict=True)])
        existing = np.searchsorted(np.sort(earliest), ends, side="right") / len(first)
        recall = np.minimum(hit / ((mass + soft.sum()) / 2), 1) * existing
        precision = hit / (ends + 1)
        areas.append(float(np.sum(np.diff(recall, prepend=0.0) * precision)))
    return float(np.mean(areas))


def window_f1(labels: ArrayLike, predicted: ArrayLike, window: int = 1) -> float:
    """F1 over consecutive windows, each anomalous where any of its steps is; 1 compares single steps.

    Parameters
    ----------
    labels, predicted : array-like of 0 and 1, shape (T,)
    window : int
        Steps of a window; the last one may be shorter.

    Returns
    -------
    float
    """
    true, found = _pair(labels, predicted)
    first = np.arange(0, len(true), window)
    any_true, any_found = (np.maximum.reduceat(a, first) > 0 for a in (true, found))
    return float(f1_score(any_true, any_found, zero_division=0.0))


def rolling_origins(
    n_steps: int, horizon: int, n_origins: int, *, stride: int | None = None, min_history: int = 1
) -> list[int]:
    """Lengths of history from which to foretell `horizon` steps, the last one ending with the series.

    Parameters
    ----------
    n_steps, horizon, n_origins : int
    stride : int, optional
        Steps between origins; default: the horizon, so that nothing is foretold twice.
    min_history : int

    Returns
    -------
    list of int
        In rising order.

    Raises
    ------
    ValueError
        If not even one origin has `min_history` steps before it.
    """
    step = horizon if stride is None else stride
    origins = [n_steps - horizon - i * step for i in range(n_origins)]
    found = sorted(origin for origin in origins if origin >= min_history)
    if not found:
        raise ValueError(
            f"{n_steps} steps are too few to foretell {horizon} from a history of at least {min_history}."
        )
    return found


def backtest(
    forecast: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    X: ArrayLike,
    origins: list[int],
    horizon: int,
) -> pd.DataFrame:
    """Forecasts from several origins beside what came: what `forecast` is given ends at the origin.

    Parameters
    ----------
    forecast : callable
        From histories (n, t, d) to the steps after them, (n, horizon, d).
    X : array-like of shape (n, T, d)
    origins : list of int
        As of `rolling_origins`.
    horizon : int

    Returns
    -------
    DataFrame
        Columns series, origin, step (1 to horizon), channel, true, forecast, error.
    """
    series = np.asarray(X, dtype=np.float64)
    n, _, d = series.shape
    frames = []
    for origin in origins:
        true = series[:, origin : origin + horizon]
        found = np.asarray(forecast(series[:, :origin].copy()))
        if found.shape != true.shape:
            raise ValueError(f"The forecast has shape {found.shape}, not {true.shape}.")
        row, step, channel = (index.ravel() for index in np.indices((n, horizon, d)))
        frames.append(
            pd.DataFrame(
                {
                    "series": row,
                    "origin": origin,
                    "step": step + 1,
                    "channel": channel,
                    "true": true.ravel(),
                    "forecast": found.ravel(),
                    "error": (found - true).ravel(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def pinball_loss(true: ArrayLike, forecast: ArrayLike, quantile: float) -> float:
    """Mean loss of a quantile's forecast: q for each unit below the truth, 1 − q for each above."""
    difference = np.asarray(true, dtype=float) - np.asarray(forecast, dtype=float)
    return float(np.maximum(quantile * difference, (quantile - 1) * difference).mean())


def interval_coverage(true: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of values that lie in their intervals."""
    values = np.asarray(true)
    return float(((values >= np.asarray(low)) & (values <= np.asarray(high))).mean())


def _pair(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    true, found = np.asarray(labels, dtype=float), np.asarray(scores, dtype=float)
    if true.ndim != 1 or true.shape != found.shape:
        raise ValueError(f"Labels and scores must be of one length, not {true.shape} and {found.shape}.")
    if not np.isin(true, (0.0, 1.0)).all():
        raise ValueError("Labels must be 0 (normal) or 1 (anomalous) at every step.")
    seen = ~np.isnan(found)
    if not true[seen].any():
        raise ValueError("No step is labelled anomalous: there is nothing to find.")
    return true[seen], found[seen]


def _segments(labels: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last steps of the runs of True."""
    edges = np.diff(labels.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def _buffered(labels: NDArray[np.float64], buffer: int) -> NDArray[np.float64]:
    soft = labels.copy()
    if buffer < 2:
        return soft
    fall = np.sqrt(1 - np.arange(1, buffer // 2 + 1) / buffer)
    for first, last in zip(*_segments(labels > 0), strict=True):
        after, before = soft[last + 1 : last + 1 + len(fall)], soft[max(first - len(fall), 0) : first]
        after += fall[: len(after)]
        before += fall[: len(before)][::-1]
    return np.minimum(soft, 1.0)
