"""Bidders that follow their spending: feedback control and dual descent."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from workbench.bidding import formulas
from workbench.bidding.base import MarketBidder, ReplayBidder
from workbench.bidding.market import AuctionMarket
from workbench.bidding.outcome import Outcome
from workbench.bidding.replay import ReplayMarket, ReplayOutcome, Step
from workbench.errors import DatasetError, UsageError

__all__ = ["AdaptivePacingBidder", "MirrorDescentBidder", "PIDBidder"]

_POSITIVE = Interval(Real, 0, None, closed="neither")
_STEPS = Interval(Integral, 1, None, closed="left")


class _FactorBidder(MarketBidder, ReplayBidder):
    """Multiplies each merchant's own bid by a factor that follows from what was spent in each step."""

    n_steps: int
    n_passes: int

    def _fit_market(self, market: AuctionMarket) -> None:
        # Yesterday's last multipliers are today's first: fitting is living through the training log.
        self.start_ = self._neutral(market.n_merchants)
        for _ in range(self.n_passes):
            policy = self._policy(market)
            market.with_steps(self.n_steps).run(policy)
            self.start_ = policy.mean()

    def simulate(self, X: Any, seed: int = 0, **options: Any) -> Outcome | ReplayOutcome:
        """Bid in a market (in `n_steps` steps) and give back all sums."""
        market = self._as_market(X)
        if isinstance(market, AuctionMarket):
            return super().simulate(market.with_steps(self.n_steps), seed, **options)
        return super().simulate(market, seed)

    def _policy(self, market: AuctionMarket) -> _FactorPolicy:
        return _FactorPolicy(self, market, self.start_.copy())

    @abstractmethod
    def _neutral(self, n: int) -> NDArray[np.float64]:
        """The state in which every bid stays as it is."""

    @abstractmethod
    def _factor(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """What bids are multiplied by."""

    @abstractmethod
    def _next(self, state: NDArray[np.float64], speed: NDArray[np.float64], memory: dict[str, Any]) -> Any:
        """State after a step in which the budget was spent at `speed` times its even rate."""


class _FactorPolicy:
    def __init__(self, bidder: _FactorBidder, market: AuctionMarket, state: NDArray[np.float64]) -> None:
        self._bidder, self._state = bidder, state
        self._memory: dict[str, Any] = {}
        self._rate = market.budgets / bidder.n_steps
        self._limited = np.isfinite(market.budgets) & (market.budgets > 0)
        self._spent = np.zeros(market.n_merchants)
        self._past: list[NDArray[np.float64]] = []

    def bids(self, interval: Any) -> NDArray[np.float64]:
        self._past.append(self._state)
        return self._bidder._factor(self._state)[interval.merchant] * interval.bid

    def observe(self, result: Outcome) -> None:
        spent = result.cost.sum(axis=(0, 2))
        speed = np.ones_like(spent)
        np.divide(spent, self._rate, out=speed, where=self._limited)
        self._state = self._bidder._next(self._state, speed, self._memory)

    def mean(self) -> NDArray[np.float64]:
        """The state's mean over the second half of the log."""
        return np.mean(self._past[len(self._past) // 2 :], axis=0)


class PIDBidder(_FactorBidder):
    """Feedback control: the bid times ``exp(p·e + i·Σe + d·Δe)``.

    In a market e is, for each merchant, the share of the budget planned to be spent so far (evenly over the
    steps) minus the share that was. In a replay with a `target` it is the target minus the cost of a click so
    far, as published; the base bid is linear.

    Parameters
    ----------
    p, i, d : float
        Gains. The defaults are for a market, whose error has the unit of a budget.
    low, high : float
        Bounds of the signal.
    n_steps : int, default=48
        Decisions in a market; rounds in a replay.
    n_passes : int, default=3
        Times that the training log is lived through.
    target : float, optional
        Reference cost of a click, for a replay.
    base_bid, mean_pctr : float, optional
        Of the linear bid of a replay.
    first_bid : float, default=1000
        Bid of a replay's first round, which has to bring data.
    min_bid : float, default=5
        Of a replay.

    References
    ----------
    Zhang, Rong, Wang, Zhu, Wang, "Feedback control of real-time display advertising", WSDM 2016,
    arXiv 1603.01055.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{name: [Interval(Real, 0, None, closed="left")] for name in ("p", "i", "d")},
        "low": [Interval(Real, None, 0, closed="right")],
        "high": [Interval(Real, 0, None, closed="left")],
        "n_steps": [_STEPS],
        "n_passes": [Interval(Integral, 0, None, closed="left")],
        **{name: [_POSITIVE, None] for name in ("target", "base_bid", "mean_pctr")},
        **{name: [Interval(Real, 0, None, closed="left")] for name in ("first_bid", "min_bid")},
    }

    def __init__(
        self,
        p: float = 5.0,
        i: float = 0.05,
        d: float = 0.0,
        low: float = -2.5,
        high: float = 0.0,
        n_steps: int = 48,
        n_passes: int = 3,
        target: float | None = None,
        base_bid: float | None = None,
        mean_pctr: float | None = None,
        first_bid: float = 1000.0,
        min_bid: float = 5.0,
    ) -> None:
        self.p = p
        self.i = i
        self.d = d
        self.low = low
        self.high = high
        self.n_steps = n_steps
        self.n_passes = n_passes
        self.target = target
        self.base_bid = base_bid
        self.mean_pctr = mean_pctr
        self.first_bid = first_bid
        self.min_bid = min_bid

    def _neutral(self, n: int) -> NDArray[np.float64]:
        return np.zeros(n)

    def _factor(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(state)

    def _next(self, state: NDArray[np.float64], speed: NDArray[np.float64], memory: dict[str, Any]) -> Any:
        change = (1.0 - speed) / self.n_steps
        error = memory.get("error", 0.0) + change
        # The start carries what the integral had come to, so that a new day does not begin at zero.
        carried = memory.setdefault("carried", state.copy())
        low, high = self.low - carried, self.high - carried
        # The sum stays where the integral part alone reaches a bound, or it would take long to come back.
        gain = max(self.i, 1e-9)
        total = np.clip(memory.get("total", 0.0) + error, low / gain, high / gain)
        memory |= {"error": error, "total": total}
        return carried + formulas.pid_signal(error, total, change, self.p, self.i, self.d, low, high)

    def _fit_replay(self, market: ReplayMarket) -> None:
        if self.target is None or self.base_bid is None:
            raise UsageError("In a replay PIDBidder needs target (a cost per click) and base_bid.")
        if not market.log.pctr.any():
            raise DatasetError("All pctr are 0, so that no auction is worth a bid; give predictions.")
        self.mean_pctr_ = float(market.log.pctr.mean() if self.mean_pctr is None else self.mean_pctr)

    def _replay_policy(self, market: ReplayMarket) -> _PIDReplay:
        return _PIDReplay(self)


class _PIDReplay:
    def __init__(self, bidder: PIDBidder) -> None:
        self._b, self.n_steps = bidder, bidder.n_steps
        self._cost = self._clicks = self._total = self._signal = 0.0
        self._error: float | None = None

    def bids(self, step: Step) -> NDArray[np.float64]:
        b = self._b
        if step.t == 0:
            return np.full(len(step.pctr), float(b.first_bid))
        base = np.floor(formulas.linear(step.pctr, float(b.base_bid or 0), b.mean_pctr_))
        return np.maximum(np.floor(base * np.exp(self._signal)), b.min_bid)

    def observe(self, result: ReplayOutcome) -> None:
        b = self._b
        self._cost, self._clicks = self._cost + result.cost, self._clicks + result.clicks
        error = float(b.target or 0) - self._cost / (self._clicks + 1)
        change = 0.0 if self._error is None else error - self._error
        self._total, self._error = self._total + error, error
        self._signal = float(formulas.pid_signal(error, self._total, change, b.p, b.i, b.d, b.low, b.high))


class AdaptivePacingBidder(_FactorBidder):
    """Adaptive pacing: value over ``1 + mu``, where mu rises with overspending.

    In a replay after every auction, as published; in a market after every step.

    Parameters
    ----------
    step : float, optional
        Size of the dual step, relative to the even rate of spending; by default one over the root of
        the number of updates.
    top : float, default=20
        Largest mu.
    n_steps : int, default=96
        Decisions in a market.
    n_passes : int, default=5
        Times that the training log is lived through.
    value_per_click : float, optional
        Of a replay; by default the log's.

    Attributes
    ----------
    start_ : ndarray of shape (n_merchants,)
        First mu.

    References
    ----------
    Balseiro, Gur, "Learning in repeated auctions with budgets: regret minimization and equilibrium",
    Management Science 65(9), 2019.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "step": [_POSITIVE, None],
        "top": [_POSITIVE],
        "n_steps": [_STEPS],
        "n_passes": [Interval(Integral, 0, None, closed="left")],
        "value_per_click": [_POSITIVE, None],
    }
    _multiplicative = False

    def __init__(
        self,
        step: float | None = None,
        top: float = 20.0,
        n_steps: int = 96,
        n_passes: int = 5,
        value_per_click: float | None = None,
    ) -> None:
        self.step = step
        self.top = top
        self.n_steps = n_steps
        self.n_passes = n_passes
        self.value_per_click = value_per_click

    def _size(self, n: int) -> float:
        return 1.0 / np.sqrt(n) if self.step is None else self.step

    def _neutral(self, n: int) -> NDArray[np.float64]:
        return np.zeros(n)

    def _factor(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1.0 / (1.0 + state)

    def _next(self, state: NDArray[np.float64], speed: NDArray[np.float64], memory: dict[str, Any]) -> Any:
        return formulas.pacing_step(state, self._size(self.n_steps), 1.0, speed, self.top)

    def _fit_replay(self, market: ReplayMarket) -> None:
        given = self.value_per_click
        self.value_per_click_ = float(market.log.value_per_click if given is None else given)
        self.start_ = self._neutral(1)
        for _ in range(self.n_passes if np.isfinite(market.budget) else 0):
            self.start_ = np.array([self._replay(market)[1]])

    def _replay(self, market: ReplayMarket) -> tuple[NDArray[np.float64], float]:
        log = market.log
        return replay_paced(
            log.pctr * self.value_per_click_, log.price, log.click, market.budget, market.horizon,
            float(self.start_[0]), self._size(market.horizon), float(self.top), self._multiplicative,
        )  # fmt: skip

    def _replay_policy(self, market: ReplayMarket) -> _PacedRule:
        if not np.isfinite(market.budget):
            raise UsageError("Pacing needs a budget: ReplayMarket(log, budget=…).")
        return _PacedRule(self)


class _PacedRule:
    """Bids by the dual, which moves after every auction."""

    def __init__(self, bidder: AdaptivePacingBidder) -> None:
        self._b = bidder

    def bids(self, step: Step) -> NDArray[np.float64]:
        return self._b.value_per_click_ * float(self._b._factor(self._b.start_)[0]) * step.pctr

    def replay(self, market: ReplayMarket) -> NDArray[np.float64]:
        return self._b._replay(market)[0]


class MirrorDescentBidder(AdaptivePacingBidder):
    """Dual mirror descent: value over mu, where mu is multiplied by ``exp(−step·(1 − spent / rate))``.

    Parameters
    ----------
    step, top, n_steps, n_passes, value_per_click
        As of `AdaptivePacingBidder`; mu stays within [1 / top, top].

    References
    ----------
    Balseiro, Lu, Mirrokni, "The best of many worlds: dual mirror descent for online allocation
    problems", Operations Research 2023, arXiv 2011.10124.
    """

    _multiplicative = True

    def _neutral(self, n: int) -> NDArray[np.float64]:
        return np.ones(n)

    def _factor(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1.0 / state

    def _next(self, state: NDArray[np.float64], speed: NDArray[np.float64], memory: dict[str, Any]) -> Any:
        moved = formulas.mirror_step(state, self._size(self.n_steps), 1.0, np.minimum(speed, 5.0))
        return np.clip(moved, 1.0, self.top)


@njit(cache=True, nogil=True)
def replay_paced(
    value: NDArray[np.float64],
    price: NDArray[np.float64],
    click: NDArray[np.float64],
    budget: float,
    episode: int,
    start: float,
    step: float,
    top: float,
    multiplicative: bool,
) -> tuple[NDArray[np.float64], float]:
    """Replay with a dual step after every auction; sums, and the mean mu of the second half.

    Paid money is counted in even rates, so that `step` has no unit.
    """
    out = np.zeros(4)
    rate = budget / episode
    mu, left = start, budget
    total, n = 0.0, len(value)
    for i in range(n):
        if i % episode == 0:
            left = budget
        bid = min(value[i] / mu if multiplicative else value[i] / (1.0 + mu), left)
        paid = 0.0
        if left > 0.0:
            out[0] += 1.0
            if bid >= price[i]:
                paid = price[i]
                left -= paid
                out[1] += 1.0
                out[2] += click[i]
                out[3] += paid
        if multiplicative:
            mu = min(max(mu * np.exp(-step * (1.0 - min(paid / rate, 5.0 / step))), 1.0 / top), top)
        else:
            mu = min(max(mu - step * (1.0 - paid / rate), 0.0), top)
        if i >= n // 2:
            total += mu
    return out, total / max(n - n // 2, 1)
