"""Cells of the paper's tables and figures: one bidder, one setting, one seed.

Every bidder is tuned alike first: at most `TRIALS` settings, fitted on the training day and judged on a
validation day, the one with the most GMV taken to every cell.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from workbench.bidding import AuctionMarket, BidLog, LogGenerator
from workbench.bidding.experiment import make_bidder

SEEDS = (0, 1, 2, 3)
REQUESTS = 4_000
TRIALS = 4
EPISODES = 30
LEARNERS = ("Bandit", "A2C", "DDPG", "DCMAB")
STEPWISE = ("IQL", "DRLB", "USCB")
RULES = (
    "Manual", "UniformScale", "Linear", "ORTB", "PID", "AdaptivePacing", "MirrorDescent", "OnlineLP",
    "Truthful", "OCPC",
)  # fmt: skip
BESIDE = ("Manual", "UniformScale", "AdaptivePacing")
#: What each kind of learner is given in every cell, tuned or not.
EFFORT: dict[str, dict[str, Any]] = {
    **{
        # So few updates have to reach the target networks sooner than thousands of them; and noise that
        # died out in so few episodes would leave what was found first.
        name: {
            "n_episodes": EPISODES,
            "n_workers": 8,
            "updates_per_interval": 6,
            "batch_size": 32,
            "tau": 0.05,
            "final_noise": 0.2,
        }
        for name in LEARNERS
    },
    # Without a replay an episode costs it less: as much of a processor's time is more of them. Its noise is
    # learned.
    "A2C": {"n_episodes": 100, "n_workers": 8},
    "IQL": {"n_steps": 24, "n_updates": 1_500, "n_days": 6},
    "DRLB": {"n_steps": 24, "n_episodes": 20, "updates_per_episode": 100},
    "USCB": {"n_steps": 24, "n_episodes": 40, "updates_per_episode": 40},
}
_RATES = [{"actor_lr": rate, "noise": noise} for rate in (3e-4, 1e-3) for noise in (0.4, 0.2)]
_STEPS = [{"step": step, "n_steps": n} for step in (None, 0.3) for n in (96, 48)]
#: The settings tried; a bidder with nothing to set has one.
GRID: dict[str, list[dict[str, Any]]] = {
    "UniformScale": [{"factor": factor} for factor in (None, 0.3, 0.25, 0.2)],
    "ORTB": [{"curve": curve, "c": c} for curve in ("hyperbola", "squared") for c in (None, 0.05)],
    "PID": [{"p": p, "i": i} for p in (2.0, 5.0) for i in (0.05, 0.2)],
    "AdaptivePacing": _STEPS,
    "MirrorDescent": _STEPS,
    "OnlineLP": [{"n_steps": n} for n in (6, 12, 24, 48)],
    "OCPC": [{"threshold": threshold} for threshold in (0.2, 0.4, 0.6, 0.8)],
    "IQL": [{"expectile": e, "temperature": t} for e in (0.7, 0.9) for t in (3.0, 10.0)],
    "DRLB": [
        {"reward_source": source, "lr": lr} for source in ("rewardnet", "direct") for lr in (1e-3, 3e-4)
    ],
    "USCB": [{"move": move, "noise": noise} for move in (0.3, 0.1) for noise in (0.5, 1.0)],
    **dict.fromkeys(LEARNERS, _RATES),
}


@cache
def days(spread: float = 0.1) -> tuple[BidLog, BidLog, BidLog]:
    """A training, a test and a validation day of one world."""
    world = LogGenerator(n_calibration=8_000, conversion_spread=spread)
    train, test, validation = (world.sample(REQUESTS, seed=seed) for seed in (1, 2, 3))
    return train, test, validation


def specs() -> dict[str, dict[str, Any]]:
    """Every cell by name: what differs from the main setting.

    That is budgets of a third, GSP for three slots that are all seen, no reserve, three clusters, and the
    published formula of a bid.
    """
    cells: dict[str, dict[str, Any]] = {}
    rooms: dict[str, dict[str, Any]] = {
        "reserve": {"reserve": 0.3},
        "positions": {"effects": (1.0, 0.6, 0.3)},
    }
    for name in RULES:
        cells[f"table1/{name}"] = {"bidder": name}
        for room, setting in rooms.items():
            cells[f"{room}/{name}"] = {"bidder": name, **setting}
    for name in (*BESIDE, "Linear"):
        cells[f"spread/{name}"] = {"bidder": name, "spread": 0.5}
        for fraction in (0.5, 1.0):
            cells[f"fig5b/{fraction:g}/{name}"] = {"bidder": name, "fraction": fraction}
    for seed in SEEDS:
        for name in LEARNERS:
            cells[f"table1/{name}-self/{seed}"] = _cell(name, seed, reward="self")
        for name in STEPWISE:
            cells[f"table1/{name}/{seed}"] = {"bidder": name, "params": {"random_state": seed}}
        cells[f"table2/DCMAB-coord/{seed}"] = _cell("DCMAB", seed)
        for k in (1, 2):
            cells[f"table3/Coord{k}/{seed}"] = _cell("DCMAB", seed, coordinated_agents=k)
        for room, setting in rooms.items():
            cells[f"{room}/DCMAB-coord/{seed}"] = {**_cell("DCMAB", seed), **setting}
        for fraction in (0.5, 1.0):
            cells[f"fig5b/{fraction:g}/DCMAB-coord/{seed}"] = {**_cell("DCMAB", seed), "fraction": fraction}
        for n in (1, 2, 4, 5, 10):
            cells[f"fig5a/N{n}/{seed}"] = _cell("DCMAB", seed, n_merchant_clusters=n)
        for mode in ("paper", "multiplier"):
            cells[f"spread/DCMAB-coord-{mode}/{seed}"] = {
                **_cell("DCMAB", seed, bratio_mode=mode),
                "spread": 0.5,
            }
        cells[f"bratio/DCMAB-coord-multiplier/{seed}"] = _cell("DCMAB", seed, bratio_mode="multiplier")
    return cells


def _cell(name: str, seed: int, **params: Any) -> dict[str, Any]:
    return {"bidder": name, "params": {"random_state": seed, "reward": "coord", **params}}


def tune(name: str) -> dict[str, Any]:
    """The best of the bidder's settings by GMV on the validation day."""
    start, cpu = time.perf_counter(), time.process_time()
    train, _, validation = days()
    fitted_in, tried_in = (AuctionMarket(log, budgets=1 / 3) for log in (train, validation))
    found = []
    for setting in GRID.get(name, [{}])[:TRIALS]:
        params = {"reward": "coord", "random_state": 100, **EFFORT.get(name, {})}
        out = make_bidder(name, **{**params, **setting}).fit(fitted_in).simulate(tried_in)
        found.append((float(out.revenue.sum()), setting))
    best = max(found, key=lambda pair: pair[0])
    return {
        "best": best[1],
        "tried": [[gmv, setting] for gmv, setting in found],
        "gmv": best[0],
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
    }


def run(spec: dict[str, Any], tuned: dict[str, Any]) -> dict[str, Any]:
    """Fit on the training day, evaluate on the test day, with the settings that tuning chose."""
    start, cpu = time.perf_counter(), time.process_time()
    # Reserve and fraction are of the median merchant's bid and of its manual cost.
    options = {"budgets": spec.get("fraction", 1 / 3), "position_effects": spec.get("effects")}
    train, test, _ = days(spec["spread"]) if "spread" in spec else days()
    reserve = spec.get("reserve", 0.0) * float(sorted(train.bid)[len(train.bid) // 2])
    fitted_in, tried_in = (AuctionMarket(log, reserve=reserve, **options) for log in (train, test))
    name = spec["bidder"]
    bidder = make_bidder(name, **{**EFFORT.get(name, {}), **tuned, **spec.get("params", {})}).fit(fitted_in)
    out = bidder.simulate(tried_in, count=True)
    history = getattr(bidder, "history_", [])
    clusters = {}
    if name in LEARNERS:
        rows = out.table(bidder.merchant_cluster_, int(bidder.n_merchant_clusters))
        clusters = {f"gmv_{i + 1}": float(v) for i, v in enumerate(rows["gmv"][:-1])}
    return {
        **out.scores(),
        **clusters,
        "unlimited_manual": float(tried_in.manual.revenue.sum()),
        "curve": [round(entry["gmv"], 1) for entry in history if "gmv" in entry],
        "requests": REQUESTS,
        "episodes": len(history),
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
    }
