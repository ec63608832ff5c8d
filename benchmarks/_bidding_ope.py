"""Off-policy estimates on real logs: another bidder's value from a random one's log, against the truth."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from workbench.bidding import ReplayLog, ReplayMarket, read_replay
from workbench.bidding.ope import estimate_value, log_bids

FILES = {"1458": "ipinyou_1458_test.txt", "2997": "ipinyou_2997_test.theta.txt"}
#: Multiples of the linear bid, how often the logging bidder drew each, and how often the other one would.
FACTORS, LOGGED, OTHER = (0.5, 1.0, 2.0), (0.5, 0.3, 0.2), (0.1, 0.2, 0.7)
SEEDS = (0, 1, 2, 3, 4)


def run(campaign: str, data: Path) -> dict[str, Any]:
    """IPS, SNIPS and DR of predicted value (the replay's own pctr as the reward) and of clicks."""
    start, cpu = time.perf_counter(), time.process_time()
    log = read_replay(data / "bidding" / FILES[campaign])
    base = 70.0 * log.pctr / log.pctr.mean()
    found: dict[str, Any] = {"auctions": len(log)}
    for what, reward in (("value", log.pctr), ("clicks", log.click)):
        market = ReplayMarket(ReplayLog(price=log.price, pctr=log.pctr, click=reward))
        won = np.array([reward[factor * base >= log.price].sum() / len(log) for factor in FACTORS])
        truth = float(np.array(OTHER) @ won)
        tables = []
        for seed in SEEDS:
            logged = log_bids(market, base, FACTORS, LOGGED, seed=seed)
            tables.append(estimate_value(logged, OTHER).set_index("estimator"))
        found[f"{what}_truth"] = truth
        found[f"{what}_logging"] = float(np.array(LOGGED) @ won)
        for name in ("IPS", "SNIPS", "DR"):
            values = np.array([table.loc[name, ["value", "low", "high"]] for table in tables], dtype=float)
            found[f"{what}_{name}"] = {
                "value": float(values[:, 0].mean()),
                "sd": float(values[:, 0].std(ddof=1)),
                "half_width": float((values[:, 2] - values[:, 1]).mean() / 2),
                "covered": int(((values[:, 1] <= truth) & (truth <= values[:, 2])).sum()),
            }
    return {**found, "seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
