"""How well predicted click probabilities rank and how well they are calibrated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from workbench.errors import DatasetError

__all__ = [
    "Interval",
    "auc",
    "bootstrap",
    "calibration_curve",
    "calibration_error",
    "gauc",
    "logloss",
    "normalized_entropy",
    "rela_impr",
]

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate, and the ends of its interval."""

    value: float
    low: float
    high: float


def auc(y: ArrayLike, score: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Area under the ROC curve: the chance that a click is scored above a non-click, ties counting half.

    Parameters
    ----------
    y : array-like of 0 and 1, shape (n,)
    score : array-like, shape (n,)
    sample_weight : array-like, shape (n,), optional

    Returns
    -------
    float
        NaN where all of `y` is of one class.
    """
    y, score, weight = _arrays(y, score, sample_weight)
    order = np.argsort(score, kind="stable")
    return _sorted_auc(*_tied(y[order], score[order], weight[order]))


def gauc(y: ArrayLike, score: ArrayLike, user: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """AUC within each user, weighted by impressions [1]_.

    Users whose impressions are all of one class have no AUC and take no part. NaN if none is left.

    References
    ----------
    .. [1] Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", arXiv 1706.06978, section
       5.3 (its weighted AUC).
    """
    y, score, weight = _arrays(y, score, sample_weight)
    areas, sizes = _user_areas(y, score, _user_codes(user, len(y)), weight)
    known = ~np.isnan(areas)
    return float(np.average(areas[known], weights=sizes[known])) if known.any() else float("nan")


def logloss(y: ArrayLike, probability: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean negative log-likelihood in nats; probabilities are kept 1e-15 away from 0 and 1."""
    y, probability, weight = _arrays(y, probability, sample_weight, of="probability")
    p = np.clip(probability, 1e-15, 1 - 1e-15)
    return float(np.average(-(y * np.log(p) + (1 - y) * np.log1p(-p)), weights=weight))


def normalized_entropy(y: ArrayLike, probability: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Log loss over that of always predicting the base rate [1]_; below 1 is better than knowing nothing.

    References
    ----------
    .. [1] He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014, eq. (1).
    """
    labels, _, weight = _arrays(y, probability, sample_weight)
    rate = float(np.average(labels, weights=weight))
    if not 0 < rate < 1:
        return float("nan")
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    return logloss(y, probability, sample_weight) / entropy


def rela_impr(area: float, base: float) -> float:
    """Relative improvement of an AUC over a base model's, in percent: chance (0.5) counts as nothing [1]_.

    NaN where the base model is chance itself, so that there is nothing to improve on.

    References
    ----------
    .. [1] Zhou et al., arXiv 1706.06978, section 5.3.
    """
    return ((area - 0.5) / (base - 0.5) - 1.0) * 100.0 if base != 0.5 else float("nan")


def calibration_curve(
    y: ArrayLike, probability: ArrayLike, *, n_bins: int = 10, sample_weight: ArrayLike | None = None
) -> pd.DataFrame:
    """Predicted against observed rate in bins of equally many rows.

    Returns
    -------
    DataFrame with the columns predicted, observed, low, high, n
        `low` and `high` are Wilson's 95 % interval of the observed rate.
    """
    y, probability, weight = _arrays(y, probability, sample_weight, of="probability")
    order = np.argsort(probability, kind="stable")
    edges = np.unique(np.linspace(0, len(y), min(n_bins, len(y)) + 1).astype(int))[:-1]
    total, clicks, expected = (
        np.add.reduceat(part[order], edges) for part in (weight, weight * y, weight * probability)
    )
    n = np.diff([*edges, len(y)])
    rate = clicks / total
    z2 = 1.959964**2
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2) / (1 + z2 / n) * np.sqrt(rate * (1 - rate) / n + z2 / (4 * n**2))
    return pd.DataFrame(
        {
            "predicted": expected / total,
            "observed": rate,
            "low": np.maximum(middle - half, 0.0),
            "high": np.minimum(middle + half, 1.0),
            "n": n,
        }
    )


def calibration_error(y: ArrayLike, probability: ArrayLike, *, n_bins: int = 10) -> float:
    """Mean distance between predicted and observed rate over bins of equally many rows."""
    curve = calibration_curve(y, probability, n_bins=n_bins)
    return float(np.average((curve["predicted"] - curve["observed"]).abs(), weights=curve["n"]))


def bootstrap(
    metric: str | Callable[..., float],
    y: ArrayLike,
    score: ArrayLike,
    *,
    base: ArrayLike | None = None,
    user: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> Interval:
    """A metric with its percentile bootstrap interval over rows, or over users where these are given.

    Parameters
    ----------
    metric : {"auc", "auc_gain", "gauc", "logloss", "normalized_entropy", "rela_impr"} or callable
        A callable is given (y, score, sample_weight). ``"auc_gain"`` is the AUC less `base`'s, and
        ``"rela_impr"`` its relative improvement; both models are judged on the same resampled rows.
    y, score : array-like, shape (n,)
    base : array-like, shape (n,), optional
        The base model's scores.
    user : array-like, shape (n,), optional
        Whole users are drawn, since one user's impressions are not independent.
    level : float
    n_resamples : int
    random_state : int

    Returns
    -------
    Interval
    """
    y, score, ones = _arrays(y, score, None)
    codes = np.arange(len(y)) if user is None else _user_codes(user, len(y))
    function = _weighted_metric(metric, y, score, base, codes if user is not None else None)
    rng = np.random.default_rng(random_state)
    n_units = int(codes.max()) + 1
    drawn = np.empty(n_resamples)
    for i in range(n_resamples):
        units = np.bincount(rng.integers(n_units, size=n_units), minlength=n_units).astype(float)
        drawn[i] = function(units[codes])
    tail = (1 - level) / 2
    finite = drawn[np.isfinite(drawn)]
    low, high = np.quantile(finite, [tail, 1 - tail]) if len(finite) else (np.nan, np.nan)
    return Interval(function(ones), float(low), float(high))


def _weighted_metric(
    metric: str | Callable[..., float], y: Floats, score: Floats, base: ArrayLike | None, user: Any
) -> Callable[[Floats], float]:
    """The metric as a function of the weights alone; what does not depend on them is computed once."""
    if callable(metric):
        return lambda weight: float(metric(y, score, weight))
    if metric == "auc":
        return _auc_of_weights(y, score)
    if metric in ("auc_gain", "rela_impr"):
        if base is None:
            raise DatasetError("A comparison with a base model needs its scores: give `base`.")
        ours, theirs = _auc_of_weights(y, score), _auc_of_weights(y, np.asarray(base, dtype=float))
        if metric == "auc_gain":
            return lambda weight: ours(weight) - theirs(weight)
        return lambda weight: rela_impr(ours(weight), theirs(weight))
    if metric == "gauc":
        if user is None:
            raise DatasetError("GAUC is an AUC within users: give `user`.")
        return lambda weight: gauc(y, score, user, weight)
    if metric in ("logloss", "normalized_entropy"):
        chosen = logloss if metric == "logloss" else normalized_entropy
        return lambda weight: chosen(y, score, weight)
    raise DatasetError(
        f"There is no metric {metric!r}; take auc, auc_gain, gauc, logloss, normalized_entropy or rela_impr."
    )


def _auc_of_weights(y: Floats, score: Floats) -> Callable[[Floats], float]:
    order = np.argsort(score, kind="stable")
    y, score = y[order], score[order]
    starts = np.flatnonzero(np.r_[True, np.diff(score) != 0])

    def of(weight: Floats) -> float:
        weight = weight[order]
        return _sorted_auc(np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts))

    return of


def _tied(y: Floats, score: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weight of clicks and of non-clicks at each distinct score, ascending; the rows are sorted."""
    starts = np.flatnonzero(np.r_[True, np.diff(score) != 0])
    return np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts)


def _sorted_auc(clicks: Floats, others: Floats) -> float:
    total = clicks.sum() * others.sum()
    if total <= 0:
        return float("nan")
    below = np.cumsum(others) - others
    return float((clicks * (below + others / 2)).sum() / total)


def _user_areas(y: Floats, score: Floats, user: NDArray[np.intp], weight: Floats) -> tuple[Floats, Floats]:
    """AUC (NaN for one class) and weight of each user, without a loop over users."""
    n_users = int(user.max()) + 1
    order = np.lexsort((score, user))
    y, score, user, weight = y[order], score[order], user[order], weight[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(score) != 0) | (np.diff(user) != 0)])
    clicks, others = np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts)
    owner = user[starts]
    all_clicks = np.bincount(owner, clicks, n_users)
    all_others = np.bincount(owner, others, n_users)
    before = np.cumsum(all_others) - all_others  # non-clicks of the users before
    below = np.cumsum(others) - others - before[owner]
    area = np.bincount(owner, clicks * (below + others / 2), n_users)
    pairs = all_clicks * all_others
    with np.errstate(invalid="ignore", divide="ignore"):
        areas: Floats = np.where(pairs > 0, area / pairs, np.nan)
    return areas, (all_clicks + all_others).astype(np.float64)


def _user_codes(user: ArrayLike, n: int) -> NDArray[np.intp]:
    codes = pd.factorize(np.asarray(user))[0]
    if len(codes) != n:
        raise DatasetError(f"Labels and users differ in length: {n}, {len(codes)}.")
    if (codes < 0).any():
        raise DatasetError(f"The user of row {int((codes < 0).argmax())} is missing.")
    return codes


def _arrays(
    y: ArrayLike, score: ArrayLike, weight: ArrayLike | None, *, of: str = "score"
) -> tuple[Floats, Floats, Floats]:
    labels, scores = np.asarray(y, dtype=float).ravel(), np.asarray(score, dtype=float).ravel()
    weights = np.ones_like(labels) if weight is None else np.asarray(weight, dtype=float).ravel()
    if not len(labels) == len(scores) == len(weights):
        raise DatasetError(
            f"Labels, scores and weights differ in length: {len(labels)}, {len(scores)}, {len(weights)}."
        )
    if len(labels) == 0:
        raise DatasetError("There is no row to judge.")
    if np.isnan(scores).any():
        raise DatasetError(f"The {of} of row {int(np.isnan(scores).argmax())} is missing.")
    outside = (scores < 0) | (scores > 1) if of == "probability" else np.zeros(1, dtype=bool)
    if outside.any():
        row = int(outside.argmax())
        raise DatasetError(f"Probabilities lie between 0 and 1, but row {row} holds {scores[row]:g}.")
    if not (weights >= 0).all() or not weights.any():
        raise DatasetError("Weights must be 0 or more, and not all 0.")
    wrong = ~np.isin(labels, (0.0, 1.0))
    if wrong.any():
        row = int(wrong.argmax())
        raise DatasetError(f"Labels must be 0 or 1, but row {row} holds {labels[row]:g}.")
    return labels, scores, weights
