"""Off-policy estimates: what another bidder would have earned, from the log of one that bid at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from workbench.bidding.replay import ReplayMarket
from workbench.errors import DatasetError, UsageError

__all__ = ["LoggedBids", "estimate_value", "log_bids"]


@dataclass(frozen=True, eq=False)
class LoggedBids:
    """Auctions in which one of a few bid factors was drawn.

    Attributes
    ----------
    factors : ndarray, shape (k,)
        The bid factors that could be drawn.
    action : ndarray of int, shape (n,)
        Which was drawn.
    propensity : ndarray, shape (n, k)
        Probability of each.
    reward, cost : ndarray, shape (n,)
        What the auction brought and cost.
    value : ndarray, shape (n,)
        Context: the predicted value of the impression.
    """

    factors: NDArray[np.float64]
    action: NDArray[np.int64]
    propensity: NDArray[np.float64]
    reward: NDArray[np.float64]
    cost: NDArray[np.float64]
    value: NDArray[np.float64]

    def __post_init__(self) -> None:
        bad = ~(self.propensity[np.arange(len(self.action)), self.action] > 0)
        if bad.any():
            raise DatasetError(
                f"Row {int(bad.argmax()) + 1}: the action taken has probability 0; "
                "propensities must be of the policy that made the log."
            )


def log_bids(
    market: ReplayMarket, base: ArrayLike, factors: ArrayLike, propensity: ArrayLike, seed: int = 0
) -> LoggedBids:
    """Make a log: in each auction bid ``base × factor`` with a factor drawn by `propensity` (no budget)."""
    log, k = market.log, np.asarray(factors, dtype=np.float64)
    n = len(log)
    chances = np.broadcast_to(np.asarray(propensity, dtype=np.float64), (n, len(k)))
    draws = np.random.default_rng(seed).random(n)
    action = np.minimum((draws[:, None] > np.cumsum(chances, axis=1)).sum(axis=1), len(k) - 1)
    won = np.asarray(base) * k[action] >= log.price
    return LoggedBids(
        k, action, chances, np.where(won, log.click, 0.0), np.where(won, log.price, 0.0), log.pctr
    )


def estimate_value(
    logged: LoggedBids, target: ArrayLike, *, folds: int = 2, confidence: float = 0.95
) -> pd.DataFrame:
    """Value of another policy by IPS, SNIPS and the doubly robust estimator, with intervals.

    Parameters
    ----------
    logged : LoggedBids
    target : array-like of shape (n, k) or (k,)
        Probabilities with which the other policy would take each factor.
    folds : int
        The doubly robust estimator's model of rewards (a gradient-boosted regression on the value and the
        factor) is fitted on the other folds, never on the rows that it judges.
    confidence : float

    Returns
    -------
    DataFrame
        Columns estimator, value (mean reward of an auction), low, high, effective_rows. Intervals are
        normal, from the estimator's influence function.

    References
    ----------
    Horvitz, Thompson, JASA 1952; Swaminathan, Joachims, "The self-normalized estimator", NeurIPS 2015;
    Dudík, Langford, Li, "Doubly robust policy evaluation and learning", ICML 2011.
    """
    from scipy.stats import norm

    n, k = logged.propensity.shape
    chances = np.broadcast_to(np.asarray(target, dtype=np.float64), (n, k))
    if not np.allclose(chances.sum(axis=1), 1.0) or (chances < 0).any():
        raise UsageError("The target policy's probabilities must be at least 0 and sum to 1 in every row.")
    rows = np.arange(n)
    if ((chances > 0) & (logged.propensity <= 0)).any():
        row = int(((chances > 0) & (logged.propensity <= 0)).any(axis=1).argmax()) + 1
        raise DatasetError(f"Row {row}: the target may take a factor that the log never would; no estimate.")
    weight = chances[rows, logged.action] / logged.propensity[rows, logged.action]
    predicted = _rewards(logged, folds)
    direct = (chances * predicted).sum(axis=1)
    ips = weight * logged.reward
    snips = ips.sum() / weight.sum()
    doubly = direct + weight * (logged.reward - predicted[rows, logged.action])
    found = {
        "IPS": (ips.mean(), ips),
        "SNIPS": (snips, weight * (logged.reward - snips) / weight.mean() + snips),
        "DR": (doubly.mean(), doubly),
    }
    z = float(norm.ppf(0.5 + confidence / 2))
    effective = weight.sum() ** 2 / (weight**2).sum()
    table = []
    for name, (value, influence) in found.items():
        half = z * influence.std(ddof=1) / np.sqrt(n)
        table.append((name, value, value - half, value + half, effective))
    return pd.DataFrame(table, columns=["estimator", "value", "low", "high", "effective_rows"])


def _rewards(logged: LoggedBids, folds: int) -> NDArray[np.float64]:
    """Expected reward of every factor in every row, shape (n, k), by cross-fitting."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    n, k = logged.propensity.shape
    out = np.zeros((n, k))
    fold = np.arange(n) % folds
    X = np.column_stack([logged.value, logged.factors[logged.action]])
    # Threads that wait for one another on a busy machine would take many times as long.
    with threadpool_limits(1, "openmp"):
        for f in range(folds):
            model = HistGradientBoostingRegressor(max_iter=50, max_depth=4, random_state=0)
            model.fit(X[fold != f], logged.reward[fold != f])
            mine = fold == f
            for a in range(k):
                factor = np.full(mine.sum(), logged.factors[a])
                out[mine, a] = model.predict(np.column_stack([logged.value[mine], factor]))
    return out
