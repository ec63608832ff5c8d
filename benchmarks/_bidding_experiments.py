"""Cells of the paper's tables and figures: one bidder, one setting, one seed."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from workbench.bidding import AuctionMarket, BidLog, LogGenerator
from workbench.bidding.experiment import make_bidder

SEEDS = (0, 1, 2, 3)
#: The same for every learner: its tuning budget.
EPISODES, REQUESTS = 100, 4_000
LEARNERS = ("Bandit", "A2C", "DDPG", "DCMAB")
RULES = ("Manual", "UniformScale", "Linear", "ORTB", "PID", "AdaptivePacing", "MirrorDescent", "OnlineLP")
MODES = ("paper", "multiplier")


@cache
def days() -> tuple[BidLog, BidLog]:
    """A training and a test day of one world."""
    world = LogGenerator(n_calibration=8_000)
    return world.sample(REQUESTS, seed=1), world.sample(REQUESTS, seed=2)


def specs() -> dict[str, dict[str, Any]]:
    """Every cell by name: what differs from the main setting (budgets a third, GSP, three clusters)."""
    cells: dict[str, dict[str, Any]] = {}
    for name in RULES:
        cells[f"table1/{name}"] = {"bidder": name}
        cells[f"reserve/{name}"] = {"bidder": name, "reserve": 0.3, "effects": (1.0, 0.6, 0.3)}
    for mode in MODES:
        for seed in SEEDS:
            for name in LEARNERS:
                cells[f"table1/{name}/{mode}/{seed}"] = _cell(name, mode, seed, reward="self")
            for reward in ("coord", 0.5):
                cells[f"table2/DCMAB-{reward}/{mode}/{seed}"] = _cell("DCMAB", mode, seed, reward=reward)
            for k in (1, 2, 3):
                cells[f"table3/Coord{k}/{mode}/{seed}"] = _cell("DCMAB", mode, seed, coordinated_agents=k)
    for seed in SEEDS:
        for n in (1, 2, 4, 5, 10):
            cells[f"fig5a/N{n}/multiplier/{seed}"] = _cell("DCMAB", "multiplier", seed, n_merchant_clusters=n)
        for fraction in (0.5, 1.0):
            cell = _cell("DCMAB", "multiplier", seed)
            cells[f"fig5b/{fraction}/multiplier/{seed}"] = {**cell, "fraction": fraction}
        cell = _cell("DCMAB", "multiplier", seed)
        cells[f"reserve/DCMAB/multiplier/{seed}"] = {**cell, "reserve": 0.3, "effects": (1.0, 0.6, 0.3)}
    return cells


def _cell(name: str, mode: str, seed: int, **params: Any) -> dict[str, Any]:
    return {
        "bidder": name,
        "params": {"bratio_mode": mode, "random_state": seed, "reward": "coord", **params},
    }


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Fit on the training day, evaluate on the test day."""
    start = time.perf_counter()
    # Reserve and fraction are of the median merchant's bid and of its manual cost.
    options = {"budgets": spec.get("fraction", 1 / 3), "position_effects": spec.get("effects")}
    train, test = days()
    reserve = spec.get("reserve", 0.0) * float(sorted(train.bid)[len(train.bid) // 2])
    fitted_in, tried_in = (AuctionMarket(log, reserve=reserve, **options) for log in (train, test))
    params = {**spec.get("params", {})}
    if spec["bidder"] in LEARNERS:
        params["n_episodes"] = EPISODES
    bidder = make_bidder(spec["bidder"], **params).fit(fitted_in)
    out = bidder.simulate(tried_in, count=True) if spec["bidder"] in RULES else bidder.simulate(tried_in)
    curve = [entry["gmv"] for entry in getattr(bidder, "history_", [])]
    return {
        **out.scores(),
        "unlimited_manual": float(tried_in.manual.revenue.sum()),
        "curve": curve[:: max(1, len(curve) // 10)],
        "requests": REQUESTS,
        "episodes": EPISODES if spec["bidder"] in LEARNERS else 0,
        "seconds": time.perf_counter() - start,
    }
