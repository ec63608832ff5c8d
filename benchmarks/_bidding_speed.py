"""Speed of the auction kernels, of AuctionNet's full loop, and of DCMAB's training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _bidding_plain import run_day

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


def auctions(n_bidders: int) -> dict[str, float]:
    """Auctions a second, top-3 GSP, budgets exact to the auction (a third of them run out)."""
    log = dense_log(100_000, n_bidders)
    free = AuctionMarket(log)
    cost = free.manual.cost.sum(axis=(0, 2))
    # A third of the bidders leave half way, so that exclusion is at work without emptying the market.
    share = np.where(np.arange(n_bidders) % 3 == 0, 0.5, 2.0)
    market = AuctionMarket(log, budgets=share * cost)
    seconds = best_of(lambda: market.episode().run(log.bid))
    return {"auctions_per_second": log.n_requests / seconds}


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


CELLS: dict[str, Callable[[], dict[str, float]]] = {
    "auctions_10": lambda: auctions(10),
    "auctions_48": lambda: auctions(48),
    "auctionnet_loop": full_loop,
    "dcmab_training": training,
}
