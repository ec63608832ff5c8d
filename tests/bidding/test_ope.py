"""Off-policy estimates against the replay's truth."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bidding import ReplayLog, ReplayMarket
from workbench.bidding.ope import LoggedBids, estimate_value, log_bids
from workbench.errors import DatasetError, UsageError

FACTORS = np.array([0.5, 1.0, 2.0])
LOGGING = np.array([0.4, 0.4, 0.2])
TARGET = np.array([0.1, 0.2, 0.7])


@pytest.fixture(scope="module")
def market():
    rng = np.random.default_rng(0)
    n = 8_000
    pctr = np.clip(rng.lognormal(-3, 0.7, n), 0, 1)
    price = rng.gamma(2.0, 20, n) + 1
    return ReplayMarket(ReplayLog(price=price, pctr=pctr, click=(rng.random(n) < pctr).astype(float)))


def truth(market, base):
    rewards = [market.log.click[base * f >= market.log.price].sum() / len(market.log) for f in FACTORS]
    return float(TARGET @ rewards)


def test_estimates_cover_the_truth(market):
    base = 800 * market.log.pctr
    goal = truth(market, base)
    logs = [log_bids(market, base, FACTORS, LOGGING, seed=seed) for seed in range(6)]
    tables = [estimate_value(logged, TARGET).set_index("estimator") for logged in logs]
    naive = np.mean([logged.reward.mean() for logged in logs])
    for name in ("IPS", "SNIPS", "DR"):
        covered = [t.loc[name, "low"] < goal < t.loc[name, "high"] for t in tables]
        assert sum(covered) >= 5
        assert abs(np.mean([t.loc[name, "value"] for t in tables]) - goal) < 0.5 * abs(naive - goal)


def test_intervals_hold_what_they_promise(market):
    base = 800 * market.log.pctr
    goal = truth(market, base)
    inside = []
    for seed in range(100):
        logged = log_bids(market, base, FACTORS, LOGGING, seed=seed)
        weight = (TARGET / LOGGING)[logged.action] * logged.reward
        half = 1.96 * weight.std() / np.sqrt(len(weight))
        inside.append(abs(weight.mean() - goal) < half)
    # The log is one fixed population, so that intervals that allow for another one are wide, never narrow.
    assert np.mean(inside) >= 0.9


def test_ips_and_snips_by_hand():
    logged = LoggedBids(
        factors=np.array([1.0, 2.0]), action=np.array([0, 1, 1, 0]), propensity=np.full((4, 2), 0.5),
        reward=np.array([1.0, 2.0, 0.0, 4.0]), cost=np.zeros(4), value=np.arange(4.0),
    )  # fmt: skip
    table = estimate_value(logged, [0.25, 0.75]).set_index("estimator")
    # Weights 0.5, 1.5, 1.5, 0.5.
    assert table.loc["IPS", "value"] == pytest.approx((0.5 + 3.0 + 2.0) / 4)
    assert table.loc["SNIPS", "value"] == pytest.approx(5.5 / 4.0)
    assert table.loc["IPS", "effective_rows"] == pytest.approx(16 / 5)


def test_doubly_robust_takes_from_the_model_what_weights_alone_leave_to_chance(market):
    """Where rewards are predictable its interval is narrower than those of weights alone, and not off."""
    log = market.log
    certain = ReplayMarket(ReplayLog(price=log.price, pctr=log.pctr, click=log.pctr))
    base = 800 * log.pctr
    logged = log_bids(certain, base, FACTORS, LOGGING, seed=3)
    table = estimate_value(logged, TARGET).set_index("estimator")
    width = table["high"] - table["low"]
    assert width["DR"] < 0.8 * min(width["IPS"], width["SNIPS"])
    assert table.loc["DR", "low"] < truth(certain, base) < table.loc["DR", "high"]


def test_what_cannot_be_estimated_is_refused(market):
    base = 800 * market.log.pctr
    logged = log_bids(market, base, FACTORS, [0.5, 0.5, 0.0])
    with pytest.raises(DatasetError, match="never would"):
        estimate_value(logged, TARGET)
    with pytest.raises(UsageError, match="sum to 1"):
        estimate_value(logged, [0.5, 0.1, 0.1])
