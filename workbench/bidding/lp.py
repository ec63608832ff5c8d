"""Buying by a linear programme: the cheapest value first, until the budget is gone."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from workbench.bidding import kernels
from workbench.bidding.base import MarketBidder, ReplayBidder
from workbench.bidding.market import AuctionMarket
from workbench.bidding.outcome import Outcome
from workbench.bidding.replay import ReplayMarket, ReplayOutcome, Step

__all__ = ["OnlineLPBidder", "greedy_ratio"]


def greedy_ratio(price: NDArray[np.float64], value: NDArray[np.float64], budget: float) -> float:
    """The offline optimum's ratio: the largest price over value bought when buying in that order.

    The linear programme ``max Σ v·x`` subject to ``Σ price·x ≤ budget`` and 0 ≤ x ≤ 1 buys whatever has
    ``price / value`` up to this one (Dantzig 1957); bidding ratio × value buys the same.
    """
    good = value > 0
    ratio = price[good] / value[good]
    order = np.argsort(ratio, kind="stable")
    bought = np.cumsum(price[good][order]) <= budget
    return float(ratio[order][bought][-1]) if bought.any() else 0.0


class OnlineLPBidder(MarketBidder, ReplayBidder):
    """Online linear programming: the ratio that would have spent what is left on the rest of the past day.

    Parameters
    ----------
    n_steps : int, default=12
        Decisions.
    n_levels : int, default=64
        Points kept of each curve of cost against ratio.
    cap : float, optional
        Largest ratio (in AuctionNet 1.5 times the cost target).

    Attributes
    ----------
    ratio_, cost_ : ndarray of shape (n_steps, n_merchants, n_levels)
        Ratio of price to value, ascending, and the cost of buying everything up to it, from each step
        of the training log to its end.

    References
    ----------
    Agrawal, Wang, Ye, "A dynamic near-optimal algorithm for online linear programming", Operations
    Research 2014; in AuctionNet's form (arXiv 2412.10798).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "n_levels": [Interval(Integral, 2, None, closed="left")],
        "cap": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(self, n_steps: int = 12, n_levels: int = 64, cap: float | None = None) -> None:
        self.n_steps = n_steps
        self.n_levels = n_levels
        self.cap = cap

    def _fit_market(self, market: AuctionMarket) -> None:
        log = market.log
        rows = np.arange(log.n_candidates)
        price = kernels.price_to_win(log.request_of, rows, log.indptr, log.bid, log.pctr, market.slots)
        step = np.minimum(log.request_of * self.n_steps // log.n_requests, self.n_steps - 1)
        self._curves(price, log.pctr * log.pcvr * log.ppb, log.merchant, step, market.n_merchants)

    def _fit_replay(self, market: ReplayMarket) -> None:
        n = len(market.log)
        step = np.arange(n) * self.n_steps // n
        # One episode's worth of the log, so that the curve is in the same money as the budget.
        self._curves(market.log.price, market.log.pctr, np.zeros(n, dtype=np.int32), step, 1)
        self.cost_ *= market.horizon / n

    def _curves(self, price: Any, value: Any, owner: Any, step: Any, n: int) -> None:
        good = np.flatnonzero(value > 0)
        ratio = price[good] / value[good]
        order = good[np.lexsort((ratio, owner[good]))]
        shape = (self.n_steps, n, self.n_levels)
        self.ratio_, self.cost_ = np.zeros(shape), np.zeros(shape)
        for t in range(self.n_steps):
            rows = order[step[order] >= t]
            ends = np.cumsum(np.bincount(owner[rows], minlength=n))
            total = np.r_[0.0, np.cumsum(price[rows])]
            for m in np.flatnonzero(np.diff(np.r_[0, ends])):
                first, last = (ends[m - 1] if m else 0), ends[m]
                picked = rows[np.linspace(first, last - 1, self.n_levels).astype(np.int64)]
                self.ratio_[t, m] = price[picked] / value[picked]
                at = np.linspace(first, last - 1, self.n_levels).astype(np.int64)
                self.cost_[t, m] = total[at + 1] - total[first]

    def ratios(self, t: int, remaining: NDArray[np.float64]) -> NDArray[np.float64]:
        """Price over value to accept at step `t` with these budgets left, shape (n_merchants,)."""
        cost, ratio = self.cost_[t], self.ratio_[t]
        last = (cost <= remaining[:, None]).sum(axis=1) - 1
        found = np.where(
            last >= 0, np.take_along_axis(ratio, np.maximum(last, 0)[:, None], 1)[:, 0], ratio[:, 0]
        )
        return np.minimum(found, np.inf if self.cap is None else self.cap)

    def simulate(self, X: Any, seed: int = 0, **options: Any) -> Outcome | ReplayOutcome:
        """Bid in a market (in `n_steps` steps) and give back all sums."""
        market = self._as_market(X)
        if isinstance(market, AuctionMarket):
            return super().simulate(market.with_steps(self.n_steps), seed, **options)
        return super().simulate(market, seed)

    def _policy(self, market: AuctionMarket) -> _LPPolicy:
        return _LPPolicy(self)

    def _replay_policy(self, market: ReplayMarket) -> _LPPolicy:
        return _LPPolicy(self)


class _LPPolicy:
    def __init__(self, bidder: OnlineLPBidder) -> None:
        self._bidder, self.n_steps = bidder, bidder.n_steps

    def bids(self, requests: Any) -> NDArray[np.float64]:
        t = min(requests.t, self._bidder.n_steps - 1)
        if isinstance(requests, Step):
            return self._bidder.ratios(t, np.array([requests.remaining]))[0] * requests.pctr
        return self._bidder.ratios(t, requests.remaining)[requests.merchant] * requests.value

    def observe(self, result: Any) -> None:
        """The remaining budget says it all."""
