"""A market: a log of requests, an auction, budgets and a clock, in which bidders are tried."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from workbench.bidding import kernels
from workbench.bidding._checks import column, is_number
from workbench.bidding.episode import Episode, Interval
from workbench.bidding.log import BidLog, ReplayLog
from workbench.bidding.outcome import Outcome
from workbench.errors import DatasetError, UsageError

__all__ = ["AuctionMarket", "Policy"]


@runtime_checkable
class Policy(Protocol):
    """Bids for all merchants, interval by interval."""

    def bids(self, interval: Interval) -> NDArray[np.float64]:
        """Bids per click of the interval's candidates (``interval.rows``)."""

    def observe(self, result: Outcome) -> None:
        """What happened in the interval."""


class AuctionMarket:
    """Auctions over a log, with budgets that are exact to the auction.

    Parameters
    ----------
    log : BidLog
    mechanism : {"gsp", "vcg", "first", "second"}, default="gsp"
        Candidates are ranked by pctr × bid. ``"second"`` is the second-price auction of one slot.
    slots : int, default=3
    position_effects : array-like of shape (slots,), optional
        Probability that a slot is seen, falling from the first to the last; by default all 1.
    reserve : float, default=0
        Lowest price, of a click or of a seen impression; bidders below it are left out before the auction.
    reserve_unit : {"click", "impression"}, default="click"
    budgets : None, str, float, mapping or array-like of shape (n_merchants,)
        None is unlimited. ``"fraction:0.333"`` (or the number alone) gives each merchant that share of
        what it would pay in this market with its own bids and no budget. Else money by merchant.
    interval : str or int, default="1h"
        How often bidders may change their mind: a length of time, or into how many equal parts to cut.
    feedback : {"expected", "sampled"}, default="expected"
        Book expectations (deterministic), or draw clicks and conversions and charge clicks.

    Raises
    ------
    UsageError
        If an option is not usable.
    DatasetError
        If a budget is zero, negative, missing, or names an unknown merchant.
    """

    def __init__(
        self,
        log: BidLog,
        mechanism: str = "gsp",
        *,
        slots: int = 3,
        position_effects: ArrayLike | None = None,
        reserve: float = 0.0,
        reserve_unit: str = "click",
        budgets: str | float | Mapping[Any, float] | ArrayLike | None = None,
        interval: str | int = "1h",
        feedback: str = "expected",
    ) -> None:
        if not isinstance(log, BidLog):
            raise DatasetError(
                f"A market takes a BidLog, not {type(log).__name__}; BidLog.from_frame reads a table."
            )
        if mechanism not in kernels.MECHANISMS:
            raise UsageError(f"mechanism must be one of {', '.join(kernels.MECHANISMS)}, not {mechanism!r}.")
        if mechanism == "second" and slots != 1:
            raise UsageError("A second-price auction has one slot; set slots=1, or take gsp or vcg.")
        if not isinstance(slots, (int, np.integer)) or slots < 1:
            raise UsageError(f"slots must be a whole number of at least 1, not {slots!r}.")
        if feedback not in ("expected", "sampled"):
            raise UsageError(f"feedback must be expected or sampled, not {feedback!r}.")
        if reserve_unit not in ("click", "impression"):
            raise UsageError(f"reserve_unit must be click or impression, not {reserve_unit!r}.")
        if not is_number(reserve) or not 0 <= reserve < np.inf:
            raise UsageError(f"reserve must be a number of at least 0, not {reserve!r}.")
        self.log = log
        self.mechanism, self.slots, self.feedback = mechanism, int(slots), feedback
        self.reserve, self.reserve_unit = float(reserve), reserve_unit
        self.interval = interval
        self.position_effects = _exposure(position_effects, self.slots)
        self.bounds = _bounds(log, interval)
        self.budget_spec = budgets
        self.budgets = self._budgets(budgets)

    @property
    def n_merchants(self) -> int:
        """Merchants."""
        return self.log.n_merchants

    @property
    def n_intervals(self) -> int:
        """Intervals of a day."""
        return len(self.bounds) - 1

    def with_options(self, **changes: Any) -> AuctionMarket:
        """The same market with some of the constructor's options changed."""
        options = {
            "mechanism": self.mechanism,
            "slots": self.slots,
            "position_effects": self.position_effects,
            "reserve": self.reserve,
            "reserve_unit": self.reserve_unit,
            "budgets": self.budget_spec,
            "interval": self.interval,
            "feedback": self.feedback,
            **changes,
        }
        if "slots" in changes and "position_effects" not in changes:
            options["position_effects"] = None
        return AuctionMarket(changes.get("log", self.log), **{k: v for k, v in options.items() if k != "log"})

    def with_steps(self, n: int) -> AuctionMarket:
        """The same market and budgets with `n` decision intervals of equal numbers of requests."""
        finer = copy(self)
        finer.interval, finer.bounds = n, _bounds(self.log, min(n, self.log.n_requests))
        finer.__dict__.pop("manual", None)
        return finer

    @cached_property
    def manual(self) -> Outcome:
        """The merchants' own bids with unlimited budgets, in expectation."""
        free = np.full(self.n_merchants, np.inf)
        return Episode(self, budgets=free, feedback="expected").run(self.log.bid)

    def episode(self, seed: int = 0, **options: Any) -> Episode:
        """A fresh pass through the log: full budgets, the clock at the start."""
        return Episode(self, seed=seed, **options)

    def run(self, policy: Policy | ArrayLike, seed: int = 0, **options: Any) -> Outcome:
        """Run the whole log.

        Parameters
        ----------
        policy : Policy, or array
            Bids per click of shape (n_candidates,), or factors on the merchants' own bids of shape
            (n_merchants,) or (n_intervals, n_merchants).
        seed : int
            Of sampled feedback.
        **options
            See :meth:`episode`.

        Returns
        -------
        Outcome
        """
        episode = self.episode(seed, **options)
        if isinstance(policy, Policy):
            while not episode.done:
                policy.observe(episode.step(policy.bids(episode.interval())))
            return episode.outcome
        values = np.asarray(policy, dtype=np.float64)
        if values.shape == (self.log.n_candidates,):
            return episode.run(column(values, "bid"))
        try:
            factors = np.broadcast_to(values, (self.n_intervals, self.n_merchants))
        except ValueError:
            raise UsageError(
                f"Bids must have shape ({self.log.n_candidates},), factors ({self.n_merchants},) or "
                f"({self.n_intervals}, {self.n_merchants}), not {values.shape}."
            ) from None
        for row in factors:
            column(row, "factor")
            episode.step_factors(np.ascontiguousarray(row))
        return episode.outcome

    def run_many(
        self, policies: Sequence[Policy | ArrayLike], seeds: Sequence[int] = (0,), n_jobs: int | None = None
    ) -> list[list[Outcome]]:
        """Every policy with every seed, side by side in threads; ``[policy][seed]``."""
        jobs = [(policy, seed) for policy in policies for seed in seeds]
        with ThreadPoolExecutor(n_jobs or os.cpu_count()) as pool:
            done = list(pool.map(lambda job: self.run(*job), jobs))
        return [done[i : i + len(seeds)] for i in range(0, len(done), len(seeds))]

    def replay(self, merchant: Any) -> ReplayLog:
        """One merchant's own auctions, the others bidding as in the log and without budgets.

        The price is per impression: what the merchant's score has to reach for the last slot. A click is
        worth the conversions that it leads to; `click` holds its expectation.
        """
        code = int(self.log.merchant_codes([merchant])[0])
        mine = np.flatnonzero(self.log.merchant == code)
        request = self.log.request_of[mine]
        price = kernels.price_to_win(request, mine, self.log.indptr, self.log.bid, self.log.pctr, self.slots)
        floor = self.reserve * (self.log.pctr[mine] if self.reserve_unit == "click" else 1.0)
        value = self.log.pcvr[mine] * self.log.ppb[mine]
        return ReplayLog(
            price=np.maximum(price, floor),
            pctr=self.log.pctr[mine],
            click=self.log.pctr[mine],
            bid=self.log.bid[mine] * self.log.pctr[mine],
            hour=self.log.hour[request],
            pcvr=self.log.pcvr[mine],
            value_per_click=float(value.mean()),
            source=str(merchant),
        )

    def parallel_env(self, **options: Any) -> Any:
        """The market as a PettingZoo ``ParallelEnv``; see `workbench.bidding.env.MarketEnv`."""
        from workbench.bidding.env import MarketEnv

        return MarketEnv(self, **options)

    def gym_env(self, merchant: Any, **options: Any) -> Any:
        """One merchant's view as a Gymnasium environment; see `workbench.bidding.env.BidderEnv`."""
        from workbench.bidding.env import BidderEnv

        return BidderEnv(self, merchant, **options)

    def _budgets(self, budgets: Any) -> NDArray[np.float64]:
        n, names = self.n_merchants, self.log.merchants
        if budgets is None:
            return np.full(n, np.inf)
        if isinstance(budgets, str):
            kind, _, number = budgets.partition(":")
            try:
                budgets = float(number)
            except ValueError:
                kind = ""
            if kind != "fraction":
                raise UsageError(f"budgets must read like 'fraction:0.333', not {self.budget_spec!r}.")
        if is_number(budgets):
            if not 0 < budgets < np.inf:
                raise UsageError(f"The budget fraction must be above 0, not {budgets:g}.")
            # Merchants that pay nothing with their own bids get no budget, as the fraction says.
            return float(budgets) * self.manual.cost.sum(axis=(0, 2))
        if isinstance(budgets, Mapping):
            values = np.full(n, np.inf)
            values[self.log.merchant_codes(list(budgets))] = [float(v) for v in budgets.values()]
        else:
            values = np.asarray(budgets, dtype=np.float64).copy()
            if values.shape != (n,):
                raise DatasetError(f"There must be one budget for each of {n} merchants, not {values.shape}.")
        bad = ~(values > 0)
        if bad.any():
            row = int(bad.argmax())
            raise DatasetError(
                f"Row {row + 1}: the budget of merchant {str(names[row])!r} is {values[row]:g}; "
                "it must be above 0 (leave the merchant out of the log instead)."
            )
        return values


def _exposure(effects: ArrayLike | None, slots: int) -> NDArray[np.float64]:
    values = np.ones(slots) if effects is None else np.array(effects, dtype=np.float64)
    if values.shape != (slots,):
        raise UsageError(f"There must be one position effect for each of {slots} slots, not {values.shape}.")
    if not ((values > 0) & (values <= 1)).all() or (np.diff(values) > 0).any():
        raise UsageError("Position effects must lie in (0, 1] and not rise from one slot to the next.")
    return values


def _bounds(log: BidLog, interval: str | int) -> NDArray[np.int64]:
    """First request of each interval, and the end."""
    if isinstance(interval, (int, np.integer)):
        if not 1 <= interval <= log.n_requests:
            raise UsageError(
                f"interval must cut the {log.n_requests} requests into 1 to {log.n_requests} parts, "
                f"not {interval}."
            )
        return np.linspace(0, log.n_requests, interval + 1).astype(np.int64)
    try:
        hours = np.nan if is_number(interval) else pd.Timedelta(interval) / pd.Timedelta("1h")
    except ValueError:
        hours = np.nan
    if not hours > 0:
        raise UsageError(f"interval must be a length of time such as '1h' or '15min', not {interval!r}.")
    first = np.floor(log.hour[0])
    n = int(np.floor((log.hour[-1] - first) / hours)) + 1
    if n > 100_000:
        raise UsageError(f"interval {interval!r} cuts the log into {n:,} parts; take a longer one.")
    return np.r_[0, np.searchsorted(log.hour, first + hours * np.arange(1, n)), log.n_requests].astype(
        np.int64
    )
