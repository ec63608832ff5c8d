"""Bidding as a Markov decision process, solved by dynamic programming."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from workbench.bidding.base import ReplayBidder
from workbench.bidding.replay import ReplayMarket, Step
from workbench.errors import UsageError

__all__ = ["RLBBidder", "SSMDPBidder"]

#: Values of V(t, b) kept at most: 400 MB.
_CELLS = 50_000_000


class RLBBidder(ReplayBidder):
    """Reinforcement learning to bid: value iteration over auctions left and budget left.

    ``V(t, b)`` is the expected number of clicks from t auctions and a budget of b; the bid for an
    impression of value θ is the largest a with ``θ + V(t − 1, b − a) − V(t − 1, b) ≥ 0``. Prices and the
    budget are whole numbers.

    Parameters
    ----------
    horizon : int, default=1000
        Auctions of an episode.
    max_price : int, default=300
        Bids and prices above are cut.
    smoothing : int, default=1
        Added to the count of every price (Laplace).
    mean_value : float, optional
        Mean click probability; by default clicks over auctions of the training log.

    Attributes
    ----------
    value_ : ndarray of shape (horizon + 1, budget + 1)
    mean_value_ : float
    pmf_ : ndarray of shape (max_price + 1,)
        Probability of each market price.

    References
    ----------
    Cai, Ren, Zhang, Malialis, Wang, Yu, Guo, "Real-time bidding by reinforcement learning in display
    advertising", WSDM 2017, arXiv 1701.02490.
    """

    _recipe = "bidding.replay"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "horizon": [Interval(Integral, 1, None, closed="left")],
        "max_price": [Interval(Integral, 1, None, closed="left")],
        "smoothing": [Interval(Integral, 0, None, closed="left")],
        "mean_value": [Interval(Real, 0, 1, closed="both"), None],
    }
    _own_value = True

    def __init__(
        self,
        horizon: int = 1000,
        max_price: int = 300,
        smoothing: int = 1,
        mean_value: float | None = None,
    ) -> None:
        self.horizon = horizon
        self.max_price = max_price
        self.smoothing = smoothing
        self.mean_value = mean_value

    def _fit_replay(self, market: ReplayMarket) -> None:
        log = market.log
        counts = np.bincount(
            np.clip(log.price, 0, self.max_price).astype(np.int64), minlength=self.max_price + 1
        )
        self._solve(counts, float(log.click.mean()), market.budget)

    def fit_counts(self, counts: NDArray[np.int64], mean_value: float, budget: float) -> RLBBidder:
        """Fit from a histogram of market prices and the click rate instead of a log."""
        self._validate_params()
        self.n_merchants_in_ = 1
        self._solve(np.asarray(counts), mean_value, budget)
        return self

    def _solve(self, counts: NDArray[np.int64], mean_value: float, budget: float) -> None:
        if not np.isfinite(budget) or budget < 1:
            raise UsageError("A whole-number budget of at least 1 is needed for dynamic programming.")
        budget = self._useful(budget)
        if self.horizon * budget > _CELLS:
            raise UsageError(
                f"{self.horizon:,} auctions with a budget of {budget:,.0f} are more than the {_CELLS:,} "
                "values that dynamic programming can hold; take shorter episodes, or larger coins."
            )
        mass = counts[: self.max_price + 1].astype(np.float64) + self.smoothing
        self.pmf_ = mass / mass.sum()
        self.mean_value_ = float(mean_value if self.mean_value is None else self.mean_value)
        self.value_ = value_iteration(self.pmf_, self.mean_value_, self.horizon, budget)

    def _useful(self, budget: float) -> int:
        """The budget in whole coins, no more than could be spent with every bid at its largest."""
        return int(min(budget, self.horizon * self.max_price))

    def _replay_policy(self, market: ReplayMarket) -> _ValueRule:
        return _ValueRule(self)


class _ValueRule:
    """Bids by the value function: a bid depends on what is left of the budget."""

    def __init__(self, bidder: RLBBidder) -> None:
        self._b = bidder

    def bids(self, step: Step) -> NDArray[np.float64]:
        t, b = self._b.value_.shape[0] - 1, self._b.value_.shape[1] - 1
        before, top = self._b.value_[t - 1], self._b.max_price
        return np.array([float(best_bid(before, v, b, top)) for v in self._values(step.pctr)])

    def replay(self, market: ReplayMarket) -> NDArray[np.float64]:
        b = self._b
        budget = b._useful(market.budget)
        if market.horizon > b.horizon or budget > b.value_.shape[1] - 1:
            raise UsageError(
                f"The bidder was fitted for {b.horizon} auctions and a budget of "
                f"{b.value_.shape[1] - 1}; set market.episode, or fit with a larger horizon and budget."
            )
        log = market.log
        return replay_values(
            b.value_, self._values(log.pctr), log.price, log.click, market.horizon, budget,
            b.max_price,
        )  # fmt: skip

    def _values(self, pctr: NDArray[np.float64]) -> NDArray[np.float64]:
        return pctr if self._b._own_value else np.full(len(pctr), self._b.mean_value_)


class SSMDPBidder(RLBBidder):
    """The same decision process with every impression worth the mean click probability.

    Parameters
    ----------
    horizon, max_price, smoothing, mean_value
        As of `RLBBidder`.

    References
    ----------
    Yuan, Wang, "Sequential selection of correlated ads by POMDPs", CIKM 2012, in the form of the WSDM
    2017 paper's baseline.
    """

    _own_value = False


@njit(cache=True, nogil=True)
def value_iteration(
    pmf: NDArray[np.float64], mean_value: float, horizon: int, budget: int
) -> NDArray[np.float64]:
    """Expected clicks by auctions left and budget left, shape (horizon + 1, budget + 1).

    Who has no budget left takes no part, not even where the price is 0: V(t, 0) = 0.
    """
    value = np.zeros((horizon + 1, budget + 1))
    for t in range(1, horizon + 1):
        before = value[t - 1]
        for b in range(1, budget + 1):
            gain = 0.0
            for price in range(min(b, len(pmf) - 1) + 1):
                better = mean_value + before[b - price] - before[b]
                # The gain falls with the price, for V rises with the budget.
                if better < 0.0:
                    break
                gain += pmf[price] * better
            value[t, b] = before[b] + gain
    return value


@njit(cache=True, nogil=True)
def best_bid(before: NDArray[np.float64], theta: float, budget: int, max_price: int) -> int:
    """The largest a with ``theta + V(t−1, b−a) − V(t−1, b) ≥ 0``."""
    top = min(budget, max_price)
    bid = 0
    for a in range(top + 1):
        if theta + before[budget - a] - before[budget] < 0.0:
            break
        bid = a
    return bid


@njit(cache=True, nogil=True)
def replay_values(
    value: NDArray[np.float64],
    theta: NDArray[np.float64],
    price: NDArray[np.float64],
    click: NDArray[np.float64],
    episode: int,
    budget: int,
    max_price: int,
) -> NDArray[np.float64]:
    """Bids made, wins, clicks and cost of a replay in episodes."""
    out = np.zeros(4)
    left = budget
    for i in range(len(theta)):
        t = episode - i % episode
        if t == episode:
            left = budget
        if left <= 0:
            continue
        bid = best_bid(value[t - 1], theta[i], left, max_price)
        out[0] += 1.0
        if bid >= price[i]:
            out[1] += 1.0
            out[2] += click[i]
            out[3] += price[i]
            left -= int(np.ceil(price[i]))
    return out
