"""Generated logs with the shape of the one in the DCMAB paper, where no real log may leave its owner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from workbench.bidding.clusters import rank_and_cut
from workbench.bidding.log import BidLog
from workbench.bidding.market import AuctionMarket
from workbench.errors import UsageError

__all__ = ["LogGenerator", "generate_log"]

#: Of the paper's figure 4 and table 1 (arXiv 1802.09756): shares of merchants and of revenue by cluster,
#: revenue per impression in CNY, and revenue with a third of the budget over unlimited revenue.
MERCHANT_SHARES = (0.89, 0.06, 0.05)
REVENUE_SHARES = (0.15, 0.23, 0.62)
REVENUE_PER_IMPRESSION = 18_532 / 203_195
MANUAL_AT_A_THIRD = 5_347 / 18_984
#: Not stated in the paper; the level does not matter to an auction without reserve.
COST_PER_REVENUE = 0.36


@dataclass(frozen=True, eq=False)
class _World:
    """What stays the same from one day to the next."""

    tier: NDArray[np.int32]
    bid: NDArray[np.float64]
    ctr: NDArray[np.float64]
    cvr: NDArray[np.float64]
    ppb: NDArray[np.float64]
    taste: NDArray[np.float64]


class LogGenerator:
    """Merchants and consumers that stay, and days of requests drawn from them.

    Many small sellers, a few large ones that are candidates far more often (each of three tiers makes a
    third of the candidates where the numbers allow), and conversion rates that rise during the hours.
    Pay per buy, bids and that rise are calibrated by running the auction on a first day, so that rank-and-cut
    clusters hold 89, 6 and 5 % of the merchants and 15, 23 and 62 % of the revenue, and manual bids with a
    third of the budget earn 28 % of what they earn without one.

    Parameters
    ----------
    n_merchants : int, default=1000
        From 400 on (with 60 candidates) the shares can be met: the few large sellers have to fill a third
        of the candidates.
    n_candidates : int, default=60
        Candidates of a request.
    n_consumers : int, default=5000
    hours : float, default=3
    conversion_spread : float, default=0.1
        How far a request's conversion rate lies from the merchant's own (deviation of its logarithm).
        The paper's bid falls with that rate wherever bids fall, and yet its agents reach 96 to 103 % of
        unlimited revenue; at 0.1 one action for all reaches 94 % by its formula, at 0.5 no more than 40 %.
    n_calibration : int, default=20000
        Requests of the day that the calibration runs on.
    random_state : int, default=0
    """

    def __init__(
        self,
        n_merchants: int = 1000,
        n_candidates: int = 60,
        n_consumers: int = 5000,
        hours: float = 3.0,
        conversion_spread: float = 0.1,
        n_calibration: int = 20_000,
        random_state: int = 0,
    ) -> None:
        if not 4 <= n_candidates < n_merchants:
            raise UsageError("n_candidates must be at least 4 and smaller than n_merchants.")
        if n_consumers < 1 or n_calibration < 1:
            raise UsageError("n_consumers and n_calibration must be at least 1.")
        if not (0 < hours < np.inf and 0 <= conversion_spread < np.inf):
            raise UsageError("hours must be above 0, and conversion_spread at least 0.")
        self.n_merchants, self.n_candidates, self.n_consumers = n_merchants, n_candidates, n_consumers
        self.hours, self.n_calibration, self.random_state = hours, n_calibration, random_state
        self.conversion_spread = conversion_spread
        self.trend = 0.0
        self._world = self._draw_world()
        self._calibrate()

    def sample(self, n_requests: int, seed: int = 0) -> BidLog:
        """Draw one day of requests."""
        return self._draw_day(n_requests, seed)

    def _draw_world(self) -> _World:
        rng = np.random.default_rng([self.random_state, 1])
        n = self.n_merchants
        sizes = np.maximum(1, np.round(np.array(MERCHANT_SHARES[1:]) * n)).astype(int)
        tier = np.zeros(n, dtype=np.int32)
        tier[n - sizes.sum() :] = np.repeat([1, 2], sizes)
        return _World(
            tier=tier,
            bid=rng.lognormal(0.0, 0.2, n),
            ctr=0.03 * rng.lognormal(0.0, 0.1, n),
            cvr=0.02 * rng.lognormal(0.0, 0.1, n),
            ppb=rng.lognormal(0.0, 0.1, n),
            taste=rng.lognormal(0.0, 0.25, self.n_consumers),
        )

    def _draw_day(self, n_requests: int, seed: int) -> BidLog:
        if n_requests < 1:
            raise UsageError("n_requests must be at least 1.")
        rng = np.random.default_rng([self.random_state, 2, seed])
        w, k = self._world, self.n_candidates
        merchant = _draw_candidates(n_requests, self._quota(), np.bincount(w.tier, minlength=3), rng)
        hour = np.sort(rng.random(n_requests)) * self.hours
        consumer = rng.integers(0, self.n_consumers, n_requests).astype(np.int32)
        rise = 1.0 + self.trend * (hour / self.hours - 0.5)
        fit = rng.lognormal(-0.125, 0.5, n_requests * k)
        spread = self.conversion_spread
        intent = rng.lognormal(-(spread**2) / 2, spread, n_requests * k)
        taste = np.repeat(w.taste[consumer] * rise, k)
        return BidLog(
            indptr=np.arange(n_requests + 1, dtype=np.int64) * k,
            hour=hour,
            consumer=consumer,
            merchant=merchant,
            bid=w.bid[merchant],
            pctr=np.minimum(w.ctr[merchant] * fit, 1.0),
            pcvr=np.minimum(w.cvr[merchant] * intent * taste, 1.0),
            ppb=w.ppb[merchant],
            merchants=np.array([f"m{i:04d}" for i in range(self.n_merchants)], dtype=object),
            consumers=np.arange(self.n_consumers),
        )

    def _quota(self) -> NDArray[np.int64]:
        """Candidates of a request from each tier; what the large sellers cannot fill goes to the small."""
        sizes = np.bincount(self._world.tier, minlength=3)
        large = np.minimum(sizes[1:], round(self.n_candidates / 3))
        return np.array([self.n_candidates - large.sum(), *large])

    def _calibrate(self) -> None:
        w = self._world
        low, high = -1.9, 1.9
        for step in range(10):
            log = self._draw_day(self.n_calibration, seed=-1 & 0xFFFF)
            market = AuctionMarket(log, budgets=1 / 3)
            revenue = market.manual.revenue.sum(axis=(0, 2))
            cluster = rank_and_cut(revenue, log.presence, 3)
            if step >= 3:
                ratio = market.run(1.0).scores()["gmv"] / revenue.sum()
                low, high = (self.trend, high) if ratio > MANUAL_AT_A_THIRD else (low, self.trend)
                self.trend = (low + high) / 2
            else:
                cluster = w.tier
            impressions = market.manual.wins.sum()
            for i, share in enumerate(REVENUE_SHARES):
                # The clusters are found from the revenue, so that tiers stand in until they settle.
                mine = cluster == i
                earned = revenue[mine].sum()
                if earned > 0:
                    w.ppb[mine] *= share * REVENUE_PER_IMPRESSION * impressions / earned
            cost = market.manual.cost.sum()
            w.bid[:] *= COST_PER_REVENUE * REVENUE_PER_IMPRESSION * impressions / cost


def generate_log(n_requests: int = 20_000, *, day: int = 0, **world: int) -> BidLog:
    """One day of a `LogGenerator`; days of equal `world` options share merchants and consumers."""
    return LogGenerator(**world).sample(n_requests, seed=day)


def _draw_candidates(
    n_requests: int, quota: NDArray[np.int64], sizes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int32]:
    out = np.empty(n_requests * int(quota.sum()), dtype=np.int32)
    _shuffle_tiers(rng.random(len(out)), quota, sizes, out)
    return out


@njit(cache=True, nogil=True)
def _shuffle_tiers(
    draws: NDArray[np.float64], quota: NDArray[np.int64], sizes: NDArray[np.int64], out: NDArray[np.int32]
) -> None:
    """The first `quota` places of a Fisher–Yates shuffle of each tier, for every request."""
    deck = np.arange(sizes.sum())
    at = 0
    while at < len(out):
        first = 0
        for i in range(len(sizes)):
            for k in range(quota[i]):
                j = k + int(draws[at] * (sizes[i] - k))
                deck[first + k], deck[first + j] = deck[first + j], deck[first + k]
                out[at] = deck[first + k]
                at += 1
            first += sizes[i]
