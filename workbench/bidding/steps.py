"""Campaigns seen step by step: what bidders that move one multiplier over a day look at and learn from.

A campaign is a merchant of a market, or one episode of a replay. Its bids are a multiplier (alpha) on the
predicted value of each impression; a bidder chooses alpha anew in each step from what the campaign has seen.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.bidding.base import MarketBidder, ReplayBidder
from workbench.bidding.lp import greedy_ratio
from workbench.bidding.market import AuctionMarket
from workbench.bidding.outcome import Outcome
from workbench.bidding.replay import ReplayMarket, ReplayOutcome, Step
from workbench.errors import UsageError

__all__ = ["LONG", "SHORT", "Choice", "StepBidder", "Trace", "Units", "play"]

Array = NDArray[np.float64]
#: Numbers in a campaign's long and short state.
LONG, SHORT = 16, 7


@dataclass(frozen=True, eq=False)
class Units:
    """What a campaign's figures are measured in, learned from a training log; each of shape (n,) or (1,).

    Attributes
    ----------
    alpha : ndarray
        The multiplier that a day begins with.
    value : ndarray
        Mean predicted value of an impression.
    reward : ndarray
        What a day brings.
    """

    alpha: Array
    value: Array
    reward: Array


class Trace:
    """What campaigns saw and did in each step of a day; arrays of shape (n_steps, n).

    Attributes
    ----------
    seen, predicted : ndarray
        Auctions of the step, and the sum of their predicted values.
    alpha, cost, wins, reward, results : ndarray
        The multiplier, money paid, impressions won, what they brought, and how many conversions (in a
        replay clicks) that was.
    choice : ndarray of shape (n_steps, n, ·)
        Whatever a bidder notes beside its multiplier.
    budgets : ndarray, shape (n,)
    """

    def __init__(self, n: int, n_steps: int, budgets: Array, units: Units) -> None:
        self.n, self.n_steps, self.budgets, self.units = n, n_steps, budgets, units
        self.seen, self.predicted, self.alpha, self.cost, self.wins = np.zeros((5, n_steps, n))
        self.reward, self.results = np.zeros((2, n_steps, n))
        self.choice = np.zeros((n_steps, n, 3))

    @classmethod
    def join(cls, traces: list[Trace]) -> Trace:
        """The campaigns of several traces side by side."""
        first = traces[0]
        out = cls(
            sum(t.n for t in traces), first.n_steps, np.concatenate([t.budgets for t in traces]), first.units
        )
        for name in ("seen", "predicted", "alpha", "cost", "wins", "reward", "results", "choice"):
            setattr(out, name, np.concatenate([getattr(t, name) for t in traces], axis=1))
        return out

    def budget_left(self, t: int) -> Array:
        """Share of the budget unspent before step `t`; 1 where there is no budget."""
        spent = self.cost[:t].sum(axis=0)
        given = np.isfinite(self.budgets) & (self.budgets > 0)
        used = np.divide(spent, self.budgets, out=np.zeros(self.n), where=given)
        return np.clip(1.0 - used, 0.0, 1.0)

    def short_state(self, t: int) -> Array:
        """DRLB's seven numbers before step `t`, shape (n, 7).

        Share of the day gone, of the budget left, and of the decisions left; the rate at which the budget
        fell in the last step; the last step's price of an impression, win rate and reward, in `Units`.
        """
        left, gone = self.budget_left(t), t / self.n_steps
        out = np.zeros((self.n, SHORT))
        out[:, 0], out[:, 1], out[:, 2] = gone, left, 1.0 - gone
        if t > 0:
            before = self.budget_left(t - 1)
            fell = np.divide(left - before, before, out=np.zeros(self.n), where=before > 0)
            out[:, 3] = fell * (self.n_steps - t + 1)
            out[:, 4] = self._price(t - 1, t)
            out[:, 5] = _ratio(self.wins[t - 1], self.seen[t - 1])
            out[:, 6] = self.reward[t - 1] / self.units.reward * self.n_steps
        return np.clip(out, -5.0, 5.0)

    def long_state(self, t: int) -> Array:
        """AuctionNet's sixteen numbers before step `t`, shape (n, 16), in `Units`.

        Time left and budget left; means of an auction so far and over the last three steps of the bid; the
        price paid, the prediction, the reward and the win rate, each so far and then each over the last three
        steps; the mean prediction of the step to come; and its auctions, those of the last three steps and of
        all before, over those that the day should have. (AuctionNet has the least winning cost in the place
        of the price paid, and the auctions' numbers themselves.)
        """
        last = max(0, t - 3)
        # The day's auctions as the steps so far foretell them: a state holds nothing of what is to come.
        total = self.seen[: t + 1].sum(axis=0) * self.n_steps / (t + 1)
        bids = self.alpha * self.predicted / (self.units.alpha * self.units.value)
        reward = self.reward / self.units.reward * total
        columns = [np.full(self.n, 1.0 - t / self.n_steps), self.budget_left(t)]
        columns += [_ratio(bids[f:t].sum(0), self.seen[f:t].sum(0)) for f in (0, last)]
        for f in (0, last):
            seen = self.seen[f:t].sum(axis=0)
            columns += [
                self._price(f, t),
                _ratio(self.predicted[f:t].sum(0), seen) / self.units.value,
                _ratio(reward[f:t].sum(0), seen),
                _ratio(self.wins[f:t].sum(0), seen),
            ]
        columns += [_ratio(self.predicted[t], self.seen[t]) / self.units.value]
        counts = (self.seen[t], self.seen[last:t].sum(axis=0), self.seen[:t].sum(axis=0))
        columns += [count / np.maximum(total, 1) for count in counts]
        return np.clip(np.stack(columns, axis=1), -5.0, 5.0)

    def _price(self, first: int, stop: int) -> Array:
        """Price of an impression in the units of the first bid for a mean one."""
        paid = _ratio(self.cost[first:stop].sum(axis=0), self.wins[first:stop].sum(axis=0))
        return paid / (self.units.alpha * self.units.value)


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


#: ``choose(trace, t)``: the bidder's weights in step t, shape (n, k).
Choice = Callable[[Trace, int], Array]
#: ``price(weights, value, chance)``: bids from the weights (rows, k), predicted values and click (or
#: conversion) chances of single impressions.
Price = Callable[[Array, Array, Array], Array]


class _MarketSteps:
    """A market's policy that asks `choose` in every step."""

    def __init__(self, market: AuctionMarket, units: Units, choose: Choice, price: Price) -> None:
        self.trace = Trace(market.n_merchants, market.n_intervals, market.budgets, units)
        self._choose, self._price = choose, price
        log = market.log
        ppb = np.bincount(log.merchant, log.ppb, log.n_merchants) / np.maximum(log.presence, 1)
        self._per_result = np.where(ppb > 0, ppb, 1.0)

    def bids(self, interval: Any) -> Array:
        trace, t, merchant = self.trace, interval.t, interval.merchant
        self._t = t
        log, rows, value = interval.log, interval.rows, interval.value
        trace.seen[t] = np.bincount(merchant, minlength=trace.n)
        trace.predicted[t] = np.bincount(merchant, log.pctr[rows] * value, trace.n)
        weights = self._choose(trace, t)
        trace.alpha[t] = weights[:, 0]
        return self._price(weights[merchant], value, log.pcvr[rows])

    def observe(self, result: Outcome) -> None:
        t = self._t
        self.trace.cost[t] = result.cost.sum(axis=(0, 2))
        self.trace.wins[t] = result.wins.sum(axis=(0, 2))
        self.trace.reward[t] = result.revenue.sum(axis=(0, 2))
        self.trace.results[t] = self.trace.reward[t] / self._per_result


class _ReplaySteps:
    """A replay's policy that asks `choose` in every step; one trace an episode."""

    def __init__(
        self, market: ReplayMarket, n_steps: int, units: Units, choose: Choice, price: Price
    ) -> None:
        self.n_steps, self._units, self._choose, self._price = n_steps, units, choose, price
        self._budget = np.array([market.budget])
        self.traces: list[Trace] = []

    def bids(self, step: Step) -> Array:
        if step.t == 0:
            self.traces.append(Trace(1, self.n_steps, self._budget, self._units))
        trace = self.traces[-1]
        self._t = step.t
        trace.seen[step.t], trace.predicted[step.t] = len(step.pctr), step.pctr.sum()
        weights = self._choose(trace, step.t)
        trace.alpha[step.t] = weights[:, 0]
        return self._price(np.broadcast_to(weights, (len(step.pctr), weights.shape[1])), step.pctr, step.pctr)

    def observe(self, result: ReplayOutcome) -> None:
        trace, t = self.traces[-1], self._t
        trace.cost[t], trace.wins[t], trace.reward[t] = result.cost, result.impressions, result.clicks
        trace.results[t] = result.clicks


def multiply(weights: Array, value: Array, chance: Array) -> Array:
    """The first weight times the value."""
    return weights[:, 0] * value


def play(
    market: AuctionMarket | ReplayMarket,
    n_steps: int,
    units: Units,
    choose: Choice,
    price: Price = multiply,
    seed: int = 0,
) -> Trace:
    """Live through a log in `n_steps` steps (an episode of a replay each) and give back what happened."""
    if isinstance(market, AuctionMarket):
        stepped = market.with_steps(n_steps)
        policy = _MarketSteps(stepped, units, choose, price)
        stepped.run(policy, seed=seed)
        return policy.trace
    steps = min(n_steps, market.horizon)
    replay = _ReplaySteps(market, steps, units, choose, price)
    market.run(replay)
    # The log's last episode may be too short for so many steps; it is no whole day to learn from.
    whole = [t for t in replay.traces if (t.seen > 0).all()]
    return Trace.join(whole or replay.traces)


class StepBidder(MarketBidder, ReplayBidder):
    """Base of bidders that choose the multipliers of campaigns step by step, by one policy for all.

    Subclasses learn in ``_learn`` and decide in ``_choose``.
    """

    n_steps: int
    alpha_: Array
    value_: Array
    reward_: Array

    @property
    def units(self) -> Units:
        """What states, multipliers and rewards are measured in."""
        return Units(self.alpha_, self.value_, self.reward_)

    @abstractmethod
    def _learn(self, market: AuctionMarket | ReplayMarket) -> None:
        """Learn the policy; the units are known."""

    @abstractmethod
    def _choose(self, trace: Trace, t: int) -> Array:
        """Weights of all campaigns in step `t`, shape (n, k)."""

    def _price(self, weights: Array, value: Array, chance: Array) -> Array:
        """Bids for single impressions."""
        return multiply(weights, value, chance)

    def _fit_market(self, market: AuctionMarket) -> None:
        log, n = market.log, market.n_merchants
        presence = np.maximum(log.presence, 1)
        value = np.bincount(log.merchant, log.pctr * log.pcvr * log.ppb, n) / presence
        own = np.bincount(log.merchant, log.pctr * log.bid, n) / presence
        cost, earned = (a.sum(axis=(0, 2)) for a in (market.manual.cost, market.manual.revenue))
        share = np.ones(n)
        np.divide(market.budgets, cost, out=share, where=np.isfinite(market.budgets) & (cost > 0))
        some = float(value[value > 0].mean()) if (value > 0).any() else 1.0
        self.value_ = np.where(value > 0, value, some)
        # The day begins with the merchant's own bid cut to the budget, as a multiple of the value.
        self.alpha_ = np.maximum(np.clip(share, 0.05, 1.0) * own, 1e-9 * some) / self.value_
        self.reward_ = np.maximum(earned, max(0.1 * float(earned.mean()), 1e-12))
        self._learn(market)

    def _fit_replay(self, market: ReplayMarket) -> None:
        if not np.isfinite(market.budget):
            raise UsageError(f"{type(self).__name__} needs a budget: ReplayMarket(log, budget=…).")
        log = market.log
        given = market.rate * len(log)
        # The day begins with the ratio at which the whole log would have been bought.
        mean = float(log.price.mean() / max(log.pctr.mean(), 1e-12))
        ratio = greedy_ratio(log.price, log.pctr, given) or mean
        bought = log.price <= ratio * log.pctr
        episodes = len(log) / market.horizon
        self.alpha_ = np.array([ratio])
        self.value_ = np.array([max(float(log.pctr.mean()), 1e-12)])
        self.reward_ = np.array([max(float(log.pctr[bought].sum()) / episodes, 1e-12)])
        self._learn(market)

    def _policy(self, market: AuctionMarket) -> _MarketSteps:
        return _MarketSteps(market, self.units, self._choose, self._price)

    def _replay_policy(self, market: ReplayMarket) -> _ReplaySteps:
        return _ReplaySteps(market, min(self.n_steps, market.horizon), self.units, self._choose, self._price)

    def simulate(self, X: Any, seed: int = 0, **options: Any) -> Outcome | ReplayOutcome:
        """Bid in a market (in `n_steps` steps) or a replay and give back all sums."""
        market = self._as_market(X)
        if isinstance(market, AuctionMarket):
            return super().simulate(market.with_steps(self.n_steps), seed, **options)
        return super().simulate(market, seed)
