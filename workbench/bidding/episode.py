"""One pass through a market's log: budgets, clock and sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.bidding import kernels
from workbench.bidding._checks import column
from workbench.bidding.outcome import Outcome
from workbench.errors import RunError, UsageError

if TYPE_CHECKING:
    from workbench.bidding.log import BidLog
    from workbench.bidding.market import AuctionMarket

__all__ = ["Episode", "Interval"]


@dataclass(frozen=True, eq=False)
class Interval:
    """What bidders may look at before an interval begins.

    Attributes
    ----------
    market : AuctionMarket
    t, start, stop : int
        Number of the interval, and its requests.
    rows : slice
        Its candidates in the log's candidate arrays.
    remaining : ndarray, shape (n_merchants,)
        Unspent budgets; infinite where there is none.
    """

    market: AuctionMarket
    t: int
    start: int
    stop: int
    rows: slice
    remaining: NDArray[np.float64]

    @property
    def log(self) -> BidLog:
        """The log that the interval is a part of."""
        return self.market.log

    @property
    def bid(self) -> NDArray[np.float64]:
        """The merchants' own bids of the interval's candidates."""
        return self.log.bid[self.rows]

    @property
    def merchant(self) -> NDArray[np.int32]:
        """The merchant of each candidate."""
        return self.log.merchant[self.rows]

    @property
    def value(self) -> NDArray[np.float64]:
        """Expected revenue from a click, pcvr × ppb."""
        return self.log.pcvr[self.rows] * self.log.ppb[self.rows]

    @property
    def time_left(self) -> float:
        """Share of the log's requests from the start of the interval on."""
        return 1.0 - self.start / self.log.n_requests


class Episode:
    """Runs a market interval by interval.

    Parameters
    ----------
    market : AuctionMarket
    seed : int
    groups : ndarray of int32, shape (n_requests,), optional
        Consumer group of each request; sums are kept by group.
    count : bool
        Count every bid made (for auction depth and bid shares), at some cost in speed.
    budgets, feedback
        In place of the market's.

    Attributes
    ----------
    spent : ndarray, shape (n_merchants,)
    outcome : Outcome
        Sums so far.
    t : int
        Number of intervals done.
    """

    def __init__(
        self,
        market: AuctionMarket,
        *,
        seed: int = 0,
        groups: NDArray[np.int32] | None = None,
        count: bool = False,
        budgets: NDArray[np.float64] | None = None,
        feedback: str | None = None,
    ) -> None:
        self.market, self.seed, self.count = market, int(seed), count
        self.budgets = market.budgets if budgets is None else budgets
        self.sampled = (feedback or market.feedback) == "sampled"
        self.groups = np.zeros(market.log.n_requests, dtype=np.int32) if groups is None else groups
        n_groups = 1 if groups is None else int(groups.max()) + 1
        self.spent = np.zeros(market.n_merchants)
        self.outcome = Outcome.empty(market, n_groups, self.budgets)
        self.t = 0
        self._bids: NDArray[np.float64] | None = None

    @property
    def done(self) -> bool:
        """Whether the last interval has been played."""
        return self.t == self.market.n_intervals

    def interval(self) -> Interval:
        """The interval to come."""
        if self.done:
            raise RunError("The episode is over; start another one.")
        start, stop = (int(b) for b in self.market.bounds[self.t : self.t + 2])
        rows = slice(int(self.market.log.indptr[start]), int(self.market.log.indptr[stop]))
        remaining = np.maximum(self.budgets - self.spent, 0.0)
        return Interval(self.market, self.t, start, stop, rows, remaining)

    def step(self, bids: NDArray[np.float64]) -> Outcome:
        """Run the next interval with the given bids of its candidates; returns its own sums."""
        rows = self.interval().rows
        if np.shape(bids) != (rows.stop - rows.start,):
            raise UsageError(
                f"The interval has {rows.stop - rows.start} candidates, not {np.shape(bids)} bids."
            )
        self._buffer()[rows] = column(bids, "bid")
        return self._advance(self._buffer())

    def step_factors(self, factor: NDArray[np.float64]) -> Outcome:
        """Run the next interval with the merchants' own bids times a factor each."""
        rows, log = self.interval().rows, self.market.log
        kernels.apply_factors(rows.start, rows.stop, log.merchant, log.bid, factor, self._buffer())
        return self._advance(self._buffer())

    def step_actions(
        self,
        action: NDArray[np.float64],
        cluster: NDArray[np.int32],
        ratio: NDArray[np.float64],
        bid_range: float,
        mode: int,
    ) -> Outcome:
        """Run the next interval with DCMAB's table of actions, shape (merchant, consumer clusters)."""
        here, log = self.interval(), self.market.log
        kernels.cluster_bids(
            here.start, here.stop, log.indptr, log.merchant, self.groups, cluster, log.bid, ratio,
            action, bid_range, mode, self._buffer(),
        )  # fmt: skip
        return self._advance(self._buffer())

    def run(self, bids: NDArray[np.float64]) -> Outcome:
        """Run everything that is left with the given bids, shape (n_candidates,)."""
        while not self.done:
            self._advance(bids)
        return self.outcome

    def _buffer(self) -> NDArray[np.float64]:
        if self._bids is None:
            self._bids = np.empty(self.market.log.n_candidates)
        return self._bids

    def _advance(self, bids: NDArray[np.float64]) -> Outcome:
        here, market, log = self.interval(), self.market, self.market.log
        sums = self.outcome.at(self.t)
        kernels.run_auctions(
            here.start, here.stop, log.indptr, log.merchant, self.groups, bids, log.pctr, log.pcvr, log.ppb,
            self.budgets, self.spent, market.position_effects, kernels.MECHANISMS[market.mechanism],
            market.reserve, market.reserve_unit == "click", self.sampled, self.seed, self.count,
            sums.cost[0], sums.revenue[0], sums.clicks[0], sums.wins[0], sums.entered[0], sums.welfare[0],
        )  # fmt: skip
        self.t += 1
        return sums
