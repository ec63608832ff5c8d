"""Bidders under more than a budget: M-PID and OCPC."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from workbench.bidding import formulas
from workbench.bidding.base import FixedPolicy, MarketBidder, ReplayBidder
from workbench.bidding.market import AuctionMarket
from workbench.bidding.replay import ReplayMarket, ReplayOutcome, Step
from workbench.errors import UsageError

__all__ = ["MPIDBidder", "OCPCBidder"]

_POSITIVE = Interval(Real, 0, None, closed="neither")
_GAIN = Interval(Real, 0, None, closed="left")
#: How far a dual may move from the one that a day begins with, up or down.
_DRIFT = 100.0


class MPIDBidder(ReplayBidder):
    """Most clicks under a budget and a limit on the cost of a click, with both duals under feedback control.

    Each step moves the budget's dual p and the limit's dual q by ``p ← p·exp(−u_p)``, ``q ← q·exp(−u_q)``,
    where u are PID signals of spending against plan and of cost per click against the limit, mixed by
    ``[[α, 1 − α], [1 − β, β]]``.

    Parameters
    ----------
    cpc : float
        Limit on the cost of a click.
    gain, integral, derivative : float
        Gains of both controllers.
    alpha, beta : float
        Mixing weights.
    n_steps : int, default=96

    Attributes
    ----------
    duals_ : ndarray of shape (2,)
        First p and q: those at which the training log's spending and cost of a click meet their limits.

    References
    ----------
    Yang, Li, Chen, et al., "Bid optimization by multivariable control in display advertising", KDD 2019,
    arXiv 1905.10928.
    """

    _recipe = "bidding.replay"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "cpc": [_POSITIVE],
        **{name: [_GAIN] for name in ("gain", "integral", "derivative")},
        **{name: [Interval(Real, 0, 1, closed="both")] for name in ("alpha", "beta")},
        "n_steps": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        cpc: float = 1.0,
        gain: float = 0.2,
        integral: float = 0.01,
        derivative: float = 0.0,
        alpha: float = 0.8,
        beta: float = 0.8,
        n_steps: int = 96,
    ) -> None:
        self.cpc = cpc
        self.gain = gain
        self.integral = integral
        self.derivative = derivative
        self.alpha = alpha
        self.beta = beta
        self.n_steps = n_steps

    def _fit_replay(self, market: ReplayMarket) -> None:
        if not np.isfinite(market.budget):
            raise UsageError("MPIDBidder needs a budget: ReplayMarket(log, budget=…).")
        log = market.log
        rate = float(log.pcvr.mean()) if log.pcvr is not None else 1.0
        p = q = rate / self.cpc / 2
        given = market.rate * len(log)
        for _ in range(200):
            bids = self._bids(log.pctr, log.pcvr, p, q)
            won = bids >= log.price
            cost, clicks = float(log.price[won].sum()), float(log.pctr[won].sum())
            p *= np.exp(np.clip(0.3 * (cost / given - 1), -0.3, 0.3))
            q *= np.exp(np.clip(0.3 * (cost / max(clicks, 1e-12) / self.cpc - 1), -0.3, 0.3))
            p, q = max(p, 1e-12), max(q, 1e-12)
        self.duals_ = np.array([p, q])

    def _bids(self, ctr: Any, cvr: Any, p: float, q: float) -> NDArray[np.float64]:
        return formulas.mpid(ctr, np.ones_like(ctr) if cvr is None else cvr, p, q, float(self.cpc))

    def _replay_policy(self, market: ReplayMarket) -> _MPIDPolicy:
        return _MPIDPolicy(self, market)


class _MPIDPolicy:
    def __init__(self, bidder: MPIDBidder, market: ReplayMarket) -> None:
        self._b, self.n_steps, self._plan = bidder, bidder.n_steps, market.budget / bidder.n_steps
        self._start()

    def _start(self) -> None:
        self._p, self._q = (float(d) for d in self._b.duals_)
        self._total, self._before = np.zeros(2), np.zeros(2)

    def bids(self, step: Step) -> NDArray[np.float64]:
        if step.t == 0:
            self._start()  # a new budget owes nothing to the one before
        cvr = step.market.log.pcvr
        return self._b._bids(
            step.pctr, None if cvr is None else cvr[step.start : step.stop], self._p, self._q
        )

    def observe(self, result: ReplayOutcome) -> None:
        b = self._b
        cpc = result.cost / result.clicks if result.clicks else b.cpc
        error = np.clip([1 - result.cost / self._plan, 1 - cpc / b.cpc], -1.0, 1.0)
        self._total += error
        u = b.gain * error + b.integral * self._total + b.derivative * (error - self._before)
        self._before = error
        mixed = np.array([[b.alpha, 1 - b.alpha], [1 - b.beta, b.beta]]) @ u
        # Steps without a click say little, and many of them would drive a dual to nothing.
        low, high = b.duals_ / _DRIFT, b.duals_ * _DRIFT
        p, q = np.clip(np.array([self._p, self._q]) * np.exp(-mixed), low, high)
        self._p, self._q = float(p), float(q)


class OCPCBidder(MarketBidder):
    """Optimised cost per click: bids moved within a range that does not lower a merchant's return.

    For each request the ads are ranked by expected GMV ``pctr · pcvr · ppb`` at their highest allowed
    bid, so far as the ranges allow; the bid of a ranked ad is the smallest that keeps its rank.

    Parameters
    ----------
    threshold : float, default=0.4
        Largest relative change of a bid.
    trim : float, default=0.1
        Share of lowest and of highest conversion rates left out of a merchant's expectation.

    Attributes
    ----------
    expected_pcvr_ : ndarray of shape (n_merchants,)

    References
    ----------
    Zhu, Jin, Tan, et al., "Optimized cost per click in Taobao display advertising", KDD 2017,
    arXiv 1703.02091.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "threshold": [Interval(Real, 0, 1, closed="left")],
        "trim": [Interval(Real, 0, 0.5, closed="left")],
    }

    def __init__(self, threshold: float = 0.4, trim: float = 0.1) -> None:
        self.threshold = threshold
        self.trim = trim

    def _fit_market(self, market: AuctionMarket) -> None:
        from scipy.stats import trim_mean

        log = market.log
        order = np.argsort(log.merchant, kind="stable")
        parts = np.split(log.pcvr[order], np.cumsum(log.presence)[:-1])
        self.expected_pcvr_ = np.array([trim_mean(p, self.trim) if len(p) else 0.0 for p in parts])

    def _policy(self, market: AuctionMarket) -> FixedPolicy:
        def bids(requests: Any) -> NDArray[np.float64]:
            log, rows = requests.log, requests.rows
            mean = self.expected_pcvr_[requests.merchant]
            ratio = np.divide(log.pcvr[rows], mean, out=np.ones(len(mean)), where=mean > 0)
            low, high = formulas.ocpc_bounds(requests.bid, ratio, float(self.threshold))
            first = log.indptr[requests.start : requests.stop + 1] - rows.start
            return ocpc_bids(first, low, high, log.pctr[rows], requests.value, market.slots)

        return FixedPolicy(bids)


@njit(cache=True, nogil=True)
def ocpc_bids(
    indptr: NDArray[np.int64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    pctr: NDArray[np.float64],
    value: NDArray[np.float64],
    slots: int,
) -> NDArray[np.float64]:
    """Bids that rank candidates by ``pctr · value`` as far as their ranges allow (algorithm 1 of OCPC).

    Repeatedly: among the remaining ads whose highest score is at least the largest lowest score, take the
    one of greatest value; its score caps those of the others.
    """
    out = low.copy()
    for r in range(len(indptr) - 1):
        first, last = indptr[r], indptr[r + 1]
        top = pctr[first:last] * high[first:last]
        bottom = pctr[first:last] * low[first:last]
        left = np.ones(last - first, dtype=np.bool_)
        for _ in range(min(slots, last - first)):
            floor = -1.0
            for i in range(last - first):
                if left[i] and bottom[i] > floor:
                    floor = bottom[i]
            best, best_value = -1, -1.0
            for i in range(last - first):
                worth = pctr[first + i] * value[first + i]
                if left[i] and top[i] >= floor and worth > best_value:
                    best, best_value = i, worth
            left[best] = False
            if pctr[first + best] > 0.0:
                out[first + best] = top[best] / pctr[first + best]
            for i in range(last - first):
                if left[i] and top[i] > top[best]:
                    top[i] = max(top[best], bottom[i])
    return out
