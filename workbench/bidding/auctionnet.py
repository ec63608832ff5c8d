"""Traffic, market and score of the shape that AuctionNet has: 48 bidders, 48 ticks, three slots.

Rules and constants are those of the NeurIPS 2024 benchmark (Su et al., arXiv 2412.10798), with one
difference that is ours: a bidder whose budget is used up leaves at that very auction, where the benchmark
runs a tick again and again with a random part of the over-spenders' bids removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import ArrayLike, NDArray

from workbench.bidding.kernels import best_four, uniform
from workbench.errors import UsageError

__all__ = ["AuctionNetDay", "AuctionNetMarket", "AuctionNetOutcome", "auctionnet_score", "generate_day"]

N_AGENTS = N_TICKS = 48
SLOT_EXPOSURE = np.array([1.0, 0.8, 0.6])
RESERVE = 1e-4
MIN_BUDGET = 0.1

# fmt: off
BUDGETS = np.array([
    2900, 4350, 3000, 2400, 4800, 2000, 2050, 3500, 4600, 2000, 2800, 2350, 2050, 2900, 4750, 3450,
    2000, 3500, 2200, 2700, 3100, 2100, 4850, 4100, 2000, 4800, 3050, 4250, 2850, 2250, 2000, 3900,
    2000, 3250, 4450, 3550, 2700, 2100, 4650, 2000, 3400, 2650, 2300, 4100, 4800, 4450, 2000, 2050,
], dtype=np.float64)
CPA_TARGETS = np.array([
    100, 70, 90, 110, 60, 130, 120, 80, 70, 130, 100, 110, 120, 90, 60, 80,
    130, 80, 110, 100, 90, 120, 60, 70, 120, 60, 90, 70, 100, 110, 130, 80,
    120, 90, 70, 80, 100, 110, 60, 130, 90, 100, 110, 80, 60, 70, 130, 120,
], dtype=np.float64)
#: Share of the day's traffic in each tick, in ten thousandths.
DAY_PROFILE = np.array([
    230, 108, 88, 48, 48, 33, 34, 30, 43, 49, 111, 124, 185, 173, 261, 241,
    364, 331, 381, 324, 372, 329, 335, 255, 237, 222, 262, 201, 222, 205, 227, 208,
    241, 206, 200, 165, 175, 169, 204, 198, 250, 251, 311, 286, 301, 257, 254, 253,
], dtype=np.float64)
# fmt: on


@dataclass(frozen=True, eq=False)
class AuctionNetDay:
    """One day of page views.

    Attributes
    ----------
    p_value : ndarray of float32, shape (n_views, 48)
        Predicted conversion probability for each bidder.
    sigma : ndarray, shape (48, 48)
        Standard deviation of the prediction over the prediction, by tick and bidder.
    bounds : ndarray of int64, shape (49,)
        First page view of each tick, and the end.
    spread : ndarray, shape (2, 48)
        Where each bidder's true probability is cut off below and above, in standard deviations over 2.
    """

    p_value: NDArray[np.float32]
    sigma: NDArray[np.float64]
    bounds: NDArray[np.int64]
    spread: NDArray[np.float64]


def generate_day(n_views: int = 500_000, random_state: int = 0) -> AuctionNetDay:
    """Draw a day of about `n_views` page views.

    The day's profile is perturbed by up to 40 % in windows of four ticks; the mean prediction of 5e-4 by
    a factor a category (eight bidders) in U(0.3, 1.7) in windows of eight ticks, and a factor a bidder
    in U(0.5, 1.5); predictions are Gaussian with a relative deviation around 0.5, cut to [0, 1].
    """
    if n_views < N_TICKS:
        raise UsageError(f"n_views must be at least {N_TICKS}, one a tick.")
    rng = np.random.default_rng([7, random_state])
    profile = DAY_PROFILE / DAY_PROFILE.sum() * np.repeat(rng.uniform(0.6, 1.4, 12), 4)
    counts = np.maximum(1, np.round(profile * n_views)).astype(np.int64)
    category = np.repeat(np.repeat(rng.uniform(0.3, 1.7, (6, 6)), 8, axis=0), 8, axis=1)
    mean = 5e-4 * category * rng.uniform(0.5, 1.5, N_AGENTS)
    ratio = rng.normal(0.5, 0.1, N_AGENTS) * rng.uniform(0.8, 1.2, (N_TICKS, N_AGENTS))
    tick = np.repeat(np.arange(N_TICKS), counts)
    p = rng.standard_normal((len(tick), N_AGENTS), dtype=np.float32)
    p *= (mean * np.abs(ratio)).astype(np.float32)[tick]
    p += mean.astype(np.float32)[tick]
    np.clip(p, 0.0, 1.0, out=p)
    sigma = np.clip(rng.normal(0.15, 0.06, (N_TICKS, N_AGENTS)), 0.0, 0.3)
    return AuctionNetDay(p, sigma, np.r_[0, np.cumsum(counts)], rng.uniform(0, 1, (2, N_AGENTS)))


@dataclass(eq=False)
class AuctionNetOutcome:
    """Sums by tick and bidder, each of shape (48, 48).

    ``cost``, ``conversions``, ``wins`` (slots won), ``exposed``, ``value`` (predictions of exposed wins),
    ``bids`` and ``predictions`` (sums over page views), ``alpha`` (bid over prediction). ``least`` of shape
    (48,) is the mean fourth-highest bid of a tick, and ``views`` its page views.
    """

    cost: NDArray[np.float64]
    conversions: NDArray[np.float64]
    wins: NDArray[np.float64]
    exposed: NDArray[np.float64]
    value: NDArray[np.float64]
    bids: NDArray[np.float64]
    predictions: NDArray[np.float64]
    alpha: NDArray[np.float64]
    least: NDArray[np.float64]
    views: NDArray[np.int64]
    budgets: NDArray[np.float64]
    targets: NDArray[np.float64]

    def scores(self) -> NDArray[np.float64]:
        """`auctionnet_score` of each bidder."""
        return auctionnet_score(self.conversions.sum(axis=0), self.cost.sum(axis=0), self.targets)

    def table(self) -> pd.DataFrame:
        """Score, conversions, cost and share of the budget spent, one row a bidder."""
        cost = self.cost.sum(axis=0)
        return pd.DataFrame(
            {
                "bidder": np.arange(1, N_AGENTS + 1),
                "score": self.scores(),
                "conversions": self.conversions.sum(axis=0),
                "cost": cost,
                "budget_use": cost / self.budgets,
            }
        )

    def states(self) -> NDArray[np.float64]:
        """The 16 numbers a bidder sees before each tick, shape (48 ticks, 48 bidders, 16).

        Time left, budget left; means so far of bid, bid in the last three ticks, least winning cost,
        prediction, conversion and win rate, then least winning cost, prediction, conversion and win rate of
        the last three; the tick's own mean prediction and page views, views of the last three, views so far.
        """
        return np.stack([self.state(t) for t in range(N_TICKS)])

    def state(self, t: int) -> NDArray[np.float64]:
        """The state before tick `t`, shape (48, 16); see `states`."""
        n = self.views
        left = 1.0 - self.cost[:t].sum(axis=0) / self.budgets

        def mean(values: NDArray[np.float64], first: int) -> NDArray[np.float64]:
            return values[first:t].sum(axis=0) / max(n[first:t].sum(), 1)

        last = max(0, t - 3)
        least = np.repeat((self.least * n)[:, None], N_AGENTS, axis=1)
        columns = [np.full(N_AGENTS, 1.0 - t / N_TICKS), left, mean(self.bids, 0), mean(self.bids, last)]
        columns += [mean(v, 0) for v in (least, self.predictions, self.conversions, self.wins)]
        columns += [mean(v, last) for v in (least, self.predictions, self.conversions, self.wins)]
        columns += [
            self.predictions[t] / n[t],
            *(np.full(N_AGENTS, float(v)) for v in (n[t], n[last:t].sum(), n[:t].sum())),
        ]
        return np.stack(columns, axis=1)


#: ``strategy(t, outcome so far, remaining budgets) -> alpha`` of all bidders; a bid is alpha × prediction.
Strategy = Callable[[int, AuctionNetOutcome, NDArray[np.float64]], ArrayLike]


class AuctionNetMarket:
    """Generalised second-price auctions of single impressions for three slots.

    Parameters
    ----------
    day : AuctionNetDay
    budgets, targets : array-like of shape (48,), optional
        Money, and the cost per conversion that each bidder aims at.
    reserve : float
        Price floor of a page view. A slot whose price would be the reserve itself stays unsold.
    """

    def __init__(
        self,
        day: AuctionNetDay,
        budgets: ArrayLike | None = None,
        targets: ArrayLike | None = None,
        reserve: float = RESERVE,
    ) -> None:
        self.day, self.reserve = day, reserve
        self.budgets = np.array(BUDGETS if budgets is None else budgets, dtype=np.float64)
        self.targets = np.array(CPA_TARGETS if targets is None else targets, dtype=np.float64)
        if self.budgets.shape != (N_AGENTS,) or not (self.budgets > 0).all():
            raise UsageError("There must be a budget above 0 for each of the 48 bidders.")

    def run(self, strategy: Strategy, seed: int = 0) -> AuctionNetOutcome:
        """Run the day tick by tick."""
        day = self.day
        names = ("cost", "conversions", "wins", "exposed", "value", "bids", "predictions", "alpha")
        sums: dict[str, Any] = {name: np.zeros((N_TICKS, N_AGENTS)) for name in names}
        sums |= {"least": np.zeros(N_TICKS), "views": np.diff(day.bounds)}
        out = AuctionNetOutcome(**sums, budgets=self.budgets, targets=self.targets)
        spent = np.zeros(N_AGENTS)
        for t in range(N_TICKS):
            start, stop = day.bounds[t : t + 2]
            out.predictions[t] = day.p_value[start:stop].sum(axis=0, dtype=np.float64)
            alpha = np.maximum(np.broadcast_to(strategy(t, out, self.budgets - spent), N_AGENTS), 0.0)
            out.alpha[t] = alpha
            out.bids[t] = alpha * out.predictions[t]
            out.least[t] = run_tick(
                start, stop, day.p_value, day.sigma[t], day.spread, out.alpha[t], self.budgets, spent,
                SLOT_EXPOSURE, self.reserve, seed,
                out.cost[t], out.conversions[t], out.wins[t], out.exposed[t], out.value[t],
            )  # fmt: skip
        return out


def auctionnet_score(conversions: ArrayLike, cost: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Conversions, times ``(target / cost per conversion)²`` where that is below 1."""
    got, paid = np.asarray(conversions, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.minimum((np.asarray(target) * got / paid) ** 2, 1.0)
    return got * np.where(paid > 0, penalty, 1.0)


class ThresholdPID:
    """AuctionNet's controller: raise alpha by 20 % when spending runs slow, cut it by 30 % when fast."""

    def __init__(self, start: ArrayLike = 15.0) -> None:
        self.start = start

    def __call__(self, t: int, out: AuctionNetOutcome, remaining: NDArray[np.float64]) -> Any:
        if t == 0:
            return np.broadcast_to(np.asarray(self.start, dtype=np.float64), N_AGENTS)
        pace = out.cost[t - 1] * (N_TICKS - t) / np.maximum(remaining, 1e-9)
        return out.alpha[t - 1] * np.where(pace < 0.7, 1.2, np.where(pace > 1.1, 0.7, 1.0))


@njit(cache=True, nogil=True, error_model="numpy")
def _true_value(p: float, sigma: float, below: float, above: float, seed: int, row: int, agent: int) -> float:
    """A draw from N(p, sigma²) cut to ``p - 2·below·sigma … p + 2·above·sigma`` and to [0, 1].

    By rejection from the uniform, whose acceptance is good on so narrow an interval.
    """
    low, width = -2.0 * below, 2.0 * (below + above)
    z = 0.0
    for k in range(64):
        z = low + width * uniform(seed, row, 1000 + 128 * agent + 2 * k)
        if uniform(seed, row, 1001 + 128 * agent + 2 * k) <= np.exp(-0.5 * z * z):
            break
    return min(max(p + sigma * z, 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def run_tick(
    start: int,
    stop: int,
    p_value: NDArray[np.float32],
    sigma: NDArray[np.float64],
    spread: NDArray[np.float64],
    alpha: NDArray[np.float64],
    budgets: NDArray[np.float64],
    spent: NDArray[np.float64],
    exposure: NDArray[np.float64],
    reserve: float,
    seed: int,
    cost: NDArray[np.float64],
    conversions: NDArray[np.float64],
    wins: NDArray[np.float64],
    exposed: NDArray[np.float64],
    value: NDArray[np.float64],
) -> float:
    """Auctions of the page views start … stop − 1; returns the mean fourth-highest bid."""
    n = p_value.shape[1]
    live = np.empty(n)
    for a in range(n):
        live[a] = alpha[a] if budgets[a] - spent[a] >= MIN_BUDGET else 0.0
    scores = np.empty(n)
    bits, keys = scores.view(np.int64), np.empty(n + 15, dtype=np.int64)
    top, at = np.zeros(4), np.zeros(4, dtype=np.uint64)
    least = 0.0
    for r in range(start, stop):
        for a in range(n):
            scores[a] = live[a] * p_value[r, a]
        best_four(scores, bits, keys, n, 0, top, at)
        least += top[3]
        above_seen = True
        for k in range(3):
            # The price of a slot is the next bid; where that is below the reserve, the slot stays unsold.
            price = top[k + 1]
            if top[k] <= 0.0 or price <= reserve:
                break
            a = at[k]
            wins[a] += 1.0
            seen = uniform(seed, r, k) < exposure[k] and (k < 2 or above_seen)
            above_seen = seen
            if not seen:
                continue
            p = np.float64(p_value[r, a])
            exposed[a] += 1.0
            value[a] += p
            cost[a] += price
            spent[a] += price
            if budgets[a] - spent[a] < MIN_BUDGET:
                live[a] = 0.0
            if uniform(seed, r, 8 + k) < _true_value(p, sigma[a] * p, spread[0, a], spread[1, a], seed, r, a):
                conversions[a] += 1.0
    return least / max(stop - start, 1)
