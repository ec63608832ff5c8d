"""AuctionNet's rules as they read, in plain NumPy: what the workbench's kernels are timed against.

Tick by tick: sort bids, price the three slots, draw exposures and conversions; while anybody has spent more
than is left, drop a random share of its wins and run the tick again.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import truncnorm

from workbench.bidding.auctionnet import MIN_BUDGET, N_AGENTS, N_TICKS, RESERVE, SLOT_EXPOSURE, AuctionNetDay


def run_day(day: AuctionNetDay, budgets: np.ndarray, start: float, seed: int = 0) -> float:
    """One day of 48 threshold controllers; returns the money spent."""
    rng = np.random.default_rng(seed)
    remaining, alpha = budgets.copy(), np.full(N_AGENTS, start)
    for t in range(N_TICKS):
        p = day.p_value[day.bounds[t] : day.bounds[t + 1]].astype(np.float64)
        bids = np.where(remaining >= MIN_BUDGET, alpha, 0.0) * p
        cost = tick(p, bids, remaining, day.sigma[t], day.spread, rng)
        left = np.maximum(remaining, 1e-9)
        pace = cost * (N_TICKS - t) / left
        alpha = alpha * np.where(pace < 0.7, 1.2, np.where(pace > 1.1, 0.7, 1.0))
        remaining = remaining - cost
    return float((budgets - remaining).sum())


def tick(
    p: np.ndarray,
    bids: np.ndarray,
    remaining: np.ndarray,
    sigma: np.ndarray,
    spread: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Cost of each bidder in one tick, run again until nobody overspends."""
    rows = np.arange(len(p))
    bids = bids.copy()
    while True:
        order = np.argsort(-bids, axis=1)
        cost = np.zeros(N_AGENTS)
        seen_above = np.ones(len(p), dtype=bool)
        winners = []
        for k in range(3):
            winner, price = order[:, k], bids[rows, order[:, k + 1]]
            sold = (bids[rows, winner] > 0) & (price > RESERVE)
            seen = sold & (rng.random(len(p)) < SLOT_EXPOSURE[k]) & (seen_above if k == 2 else True)
            seen_above = seen
            np.add.at(cost, winner[seen], price[seen])
            value = p[rows, winner]
            s = np.maximum(sigma[winner] * value, 1e-12)
            truth = truncnorm.rvs(-2 * spread[0, winner], 2 * spread[1, winner], value, s, random_state=rng)
            _ = seen & (rng.random(len(p)) < np.clip(truth, 0, 1))
            winners.append((winner, sold))
        over = cost > np.maximum(remaining, 0)
        if not over.any():
            return cost
        for a in np.flatnonzero(over):
            share = (cost[a] - max(remaining[a], 0)) / cost[a]
            for winner, sold in winners:
                mine = np.flatnonzero((winner == a) & sold)
                if len(mine):
                    drop = rng.choice(mine, int(np.ceil(share * len(mine))), replace=False)
                    bids[drop, a] = 0.0
