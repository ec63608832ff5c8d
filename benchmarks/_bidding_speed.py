"""Speed of the auction kernels, of AuctionNet's full loop, and of DCMAB's training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _bidding_plain import run_day
from numba import njit

from workbench.bidding import AuctionMarket, BidLog, DCMABBidder, LogGenerator
from workbench.bidding.auctionnet import BUDGETS, AuctionNetMarket, ThresholdPID, generate_day


def best_of(function: Callable[[], Any], repeats: int = 5) -> float:
    """Least process seconds of several calls, the first (which compiles) left out."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def best_in_turn(*functions: Callable[[], Any], repeats: int = 25) -> list[float]:
    """Least process seconds of each function, called in turn so that a busy machine slows all alike."""
    for function in functions:
        function()
    seconds = [math.inf] * len(functions)
    for _ in range(repeats):
        for i, function in enumerate(functions):
            start = time.process_time()
            function()
            seconds[i] = min(seconds[i], time.process_time() - start)
    return seconds


def dense_log(n_requests: int, n_bidders: int, seed: int = 0) -> BidLog:
    """Every bidder in every auction."""
    rng = np.random.default_rng(seed)
    n = n_requests * n_bidders
    return BidLog(
        indptr=np.arange(n_requests + 1, dtype=np.int64) * n_bidders,
        hour=np.zeros(n_requests),
        consumer=np.zeros(n_requests, dtype=np.int32),
        merchant=np.tile(np.arange(n_bidders, dtype=np.int32), n_requests),
        bid=rng.lognormal(0, 0.5, n),
        pctr=rng.beta(2, 60, n),
        pcvr=rng.beta(2, 60, n),
        ppb=np.ones(n),
        merchants=np.arange(n_bidders),
        consumers=np.arange(1),
    )


@njit(cache=True)
def plain_loop(
    score: np.ndarray, budget: np.ndarray, spent: np.ndarray, cost: np.ndarray, wins: np.ndarray
) -> None:
    """What one would write first: scores at hand, insertion into the top four, cost and wins alone."""
    for r in range(score.shape[0]):
        s0 = s1 = s2 = s3 = 0.0
        a0 = a1 = a2 = -1
        for a in range(score.shape[1]):
            s = score[r, a]
            if s > s3 and spent[a] < budget[a]:
                if s > s0:
                    s3, s2, s1, s0, a2, a1, a0 = s2, s1, s0, s, a1, a0, a
                elif s > s1:
                    s3, s2, s1, a2, a1 = s2, s1, s, a1, a
                elif s > s2:
                    s3, s2, a2 = s2, s, a
                else:
                    s3 = s
        for a, price in ((a0, s1), (a1, s2), (a2, s3)):
            if a >= 0:
                spent[a] += price
                cost[a] += price
                wins[a] += 1


def auctions(n_bidders: int) -> dict[str, float]:
    """Auctions a second, top-3 GSP, budgets exact to the auction (a third of them run out)."""
    log = dense_log(100_000, n_bidders)
    free = AuctionMarket(log)
    manual = free.manual.cost.sum(axis=(0, 2))
    # A third of the bidders leave half way, so that exclusion is at work without emptying the market.
    share = np.where(np.arange(n_bidders) % 3 == 0, 0.5, 2.0)
    market = AuctionMarket(log, budgets=share * manual)
    score = (log.pctr * log.bid).reshape(-1, n_bidders)
    found: dict[str, Any] = {}

    def ours() -> None:
        found["ours"] = market.episode().run(log.bid).cost.sum(axis=(0, 2))

    def plain() -> None:
        found["plain"] = np.zeros(n_bidders)
        wins = np.zeros(n_bidders, dtype=np.int64)
        plain_loop(score, market.budgets, np.zeros(n_bidders), found["plain"], wins)

    seconds = best_in_turn(ours, plain)
    np.testing.assert_allclose(found["ours"], found["plain"])
    rates = [log.n_requests / s for s in seconds]
    return {"auctions_per_second": rates[0], "plain_per_second": rates[1], "ratio": rates[0] / rates[1]}


def full_loop() -> dict[str, float]:
    """A whole AuctionNet day with 48 threshold controllers, and the plain transcription on a part of one."""
    market = AuctionNetMarket(generate_day(500_000))
    ours = best_of(lambda: market.run(ThresholdPID()), 3)
    small = generate_day(20_000)
    budgets = BUDGETS * 20_000 / 500_000
    theirs = best_of(lambda: run_day(small, budgets, 15.0), 1)
    rate, plain = len(market.day.p_value) / ours, len(small.p_value) / theirs
    return {"auctions_per_second": rate, "plain_per_second": plain, "ratio": rate / plain}


def training() -> dict[str, float]:
    """Wall seconds of 250 episodes on about 200,000 impressions (300 merchants, 60 candidates)."""
    log = LogGenerator(n_merchants=300, n_calibration=5_000).sample(67_000)
    market = AuctionMarket(log, budgets=1 / 3)
    market.manual  # noqa: B018  (computed once, before the clock starts)
    start, cpu = time.perf_counter(), time.process_time()
    DCMABBidder(n_episodes=250, n_workers=1, bratio_mode="multiplier", random_state=0).fit(market)
    return {"wall_seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}


def what_if() -> dict[str, float]:
    """Seconds of the page's what-if: 100,000 auctions with moved sliders, twice, and their budgets."""
    free = AuctionMarket(LogGenerator(n_calibration=5_000).sample(100_000))
    free.manual  # noqa: B018  (computed when the page opens)

    def moved() -> None:
        market = free.with_options(slots=3, reserve=0.01, budgets=0.35)
        market.run(0.35)
        market.run(1.0)

    return {"cpu_seconds": best_of(moved)}


CELLS: dict[str, Callable[[], dict[str, float]]] = {
    "auctions_10": lambda: auctions(10),
    "auctions_48": lambda: auctions(48),
    "auctionnet_loop": full_loop,
    "dcmab_training": training,
    "what_if": what_if,
}
