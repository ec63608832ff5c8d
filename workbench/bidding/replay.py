"""Replay of one bidder's log: the market price of every auction is known, and a win costs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import ArrayLike, NDArray

from workbench.bidding._checks import column, is_number
from workbench.bidding.log import ReplayLog
from workbench.errors import DatasetError, UsageError

__all__ = ["AuctionRule", "ReplayMarket", "ReplayOutcome", "ReplayPolicy", "Step"]


@dataclass(frozen=True, eq=False)
class Step:
    """Auctions start … stop − 1 of an episode, before they are bid for."""

    market: ReplayMarket
    start: int
    stop: int
    t: int
    remaining: float
    time_left: float

    @property
    def pctr(self) -> NDArray[np.float64]:
        """The predicted click rate of each impression of the step."""
        return self.market.log.pctr[self.start : self.stop]


@dataclass(frozen=True)
class ReplayOutcome:
    """What a replay came to."""

    auctions: int
    bids: int
    impressions: int
    clicks: float
    cost: float
    budget: float

    @property
    def ecpc(self) -> float:
        """Cost over clicks, NaN without a click."""
        return self.cost / self.clicks if self.clicks else float("nan")

    def table(self) -> pd.DataFrame:
        """What came of it as a table."""
        row = {n: getattr(self, n) for n in ("auctions", "bids", "impressions", "clicks", "cost", "ecpc")}
        use = self.cost / self.budget if np.isfinite(self.budget) else float("nan")
        return pd.DataFrame([{**row, "win_rate": self.impressions / self.auctions, "budget_use": use}])


class ReplayPolicy(Protocol):
    """Bids step by step."""

    n_steps: int

    def bids(self, step: Step) -> NDArray[np.float64]:
        """Bids for the impressions of a step."""

    def observe(self, result: ReplayOutcome) -> None:
        """Be told what came of the bids."""


@runtime_checkable
class AuctionRule(Protocol):
    """Bids auction by auction, each bid after the one before it is known: compiled, a whole log at once."""

    def bids(self, step: Step) -> NDArray[np.float64]:
        """Bids with the whole budget and time still left."""

    def replay(self, market: ReplayMarket) -> NDArray[np.float64]:
        """Bids made, wins, clicks and cost of the whole log."""


@dataclass(frozen=True, eq=False)
class ReplayMarket:
    """A log, a budget and the rules of its replay.

    Attributes
    ----------
    log : ReplayLog
        With every price known.
    budget : float
        Of one episode.
    episode : int, optional
        Auctions after which the budget is given anew; the last episode may be shorter. By default one.
    ties_win : bool
        Whether a bid equal to the price wins.
    overspend : bool
        If False a bid is cut to what is left of the budget; if True the bidder stops once the budget is
        spent, having perhaps paid a little more.
    max_bid : float
    """

    log: ReplayLog
    budget: float = np.inf
    episode: int | None = None
    ties_win: bool = True
    overspend: bool = False
    max_bid: float = np.inf

    def __post_init__(self) -> None:
        if not isinstance(self.log, ReplayLog):
            raise DatasetError(
                f"A replay takes a ReplayLog, not {type(self.log).__name__}; "
                "ReplayLog.from_frame reads a table."
            )
        if not is_number(self.budget) or not self.budget > 0:
            raise UsageError(f"The budget must be above 0, not {self.budget}.")
        if self.episode is not None and not (
            isinstance(self.episode, (int, np.integer)) and self.episode >= 1
        ):
            raise UsageError(f"episode must be a number of auctions of at least 1, not {self.episode!r}.")
        if not is_number(self.max_bid) or not self.max_bid >= 0:
            raise UsageError(f"max_bid must be at least 0, not {self.max_bid!r}.")
        if not self.log.won.all():
            row = int((~self.log.won).argmax()) + 1
            raise DatasetError(f"Row {row}: the price is unknown, so a win cannot be replayed.")

    @property
    def horizon(self) -> int:
        """Auctions of a whole episode."""
        return min(self.episode or len(self.log), len(self.log))

    @property
    def rate(self) -> float:
        """Budget per auction."""
        return self.budget / self.horizon

    def run(self, policy: ReplayPolicy | AuctionRule | ArrayLike) -> ReplayOutcome:
        """Replay with fixed bids of shape (n,), or with a policy that bids step by step or by auction."""
        n, size = len(self.log), self.horizon
        if isinstance(policy, AuctionRule):
            return self._outcome(policy.replay(self), n)
        total = np.zeros(4)
        fixed = None if hasattr(policy, "bids") else column(np.broadcast_to(policy, n), "bid")
        for first in range(0, n, size):
            last, spent = min(first + size, n), 0.0
            steps = 1 if fixed is not None else min(policy.n_steps, last - first)  # type: ignore[union-attr]
            cuts = np.linspace(first, last, steps + 1).astype(np.int64)
            for t in range(steps):
                start, stop = int(cuts[t]), int(cuts[t + 1])
                if fixed is None:
                    left = 1.0 - t / steps
                    step = Step(self, start, stop, t, self.budget - spent, left)
                    bids = column(policy.bids(step), "bid")  # type: ignore[union-attr]
                else:
                    bids = fixed[start:stop]
                sums = self._auctions(bids, start, stop, spent)
                spent += sums[3]
                total += sums
                if fixed is None:
                    policy.observe(self._outcome(sums, stop - start))  # type: ignore[union-attr]
        return self._outcome(total, n)

    def _auctions(self, bids: Any, start: int, stop: int, spent: float) -> NDArray[np.float64]:
        log = self.log
        return replay_auctions(
            np.minimum(bids, self.max_bid), log.price[start:stop], log.click[start:stop],
            self.budget, spent, self.ties_win, self.overspend,
        )  # fmt: skip

    def _outcome(self, sums: NDArray[np.float64], auctions: int) -> ReplayOutcome:
        episodes = -(-auctions // self.horizon)
        bids, impressions, clicks, cost = (float(s) for s in sums)
        return ReplayOutcome(auctions, int(bids), int(impressions), clicks, cost, self.budget * episodes)


@njit(cache=True, nogil=True)
def replay_auctions(
    bids: NDArray[np.float64],
    price: NDArray[np.float64],
    click: NDArray[np.float64],
    budget: float,
    spent: float,
    ties_win: bool,
    overspend: bool,
) -> NDArray[np.float64]:
    """Bids made, wins, clicks and cost of auctions in order, having spent `spent` before."""
    out = np.zeros(4)
    for i in range(len(bids)):
        left = budget - spent - out[3]
        if left <= 0.0:
            break
        bid = bids[i] if overspend else min(bids[i], left)
        out[0] += 1.0
        if bid > price[i] or (ties_win and bid == price[i]):
            out[1] += 1.0
            out[2] += click[i]
            out[3] += price[i]
    return out
