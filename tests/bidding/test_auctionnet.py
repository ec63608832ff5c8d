"""AuctionNet's shape: its sizes, its rules against a plain transcription, its score."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bidding.auctionnet import (
    BUDGETS,
    CPA_TARGETS,
    DAY_PROFILE,
    MIN_BUDGET,
    AuctionNetMarket,
    ThresholdPID,
    auctionnet_score,
    generate_day,
)
from workbench.bidding.kernels import uniform
from workbench.errors import UsageError


@pytest.fixture(scope="module")
def day():
    return generate_day(6_000, random_state=1)


def test_constants_and_traffic(day):
    # A mean budget of 3125; every category of eight bidders has the same targets in another order.
    assert BUDGETS.sum() == 150_000
    assert (CPA_TARGETS.reshape(6, 8).mean(axis=1) == 95).all()
    assert len(DAY_PROFILE) == 48
    assert day.p_value.shape[1] == 48
    assert len(day.p_value) == pytest.approx(6_000, rel=0.15)
    assert day.p_value.mean() == pytest.approx(5e-4, rel=0.25)
    assert (day.p_value >= 0).all()
    shares = np.diff(day.bounds) / len(day.p_value)
    assert np.abs(shares / (DAY_PROFILE / DAY_PROFILE.sum()) - 1).max() < 0.6


def test_costs_and_wins_against_a_plain_transcription(day):
    budgets = np.full(48, 3.0)
    market = AuctionNetMarket(day, budgets=budgets)
    out = market.run(lambda t, seen, left: market.targets, seed=5)
    spent, wins, cost = np.zeros(48), np.zeros(48), np.zeros((48, 48))
    for t in range(48):
        for r in range(day.bounds[t], day.bounds[t + 1]):
            live = budgets - spent >= MIN_BUDGET
            bids = np.where(live, market.targets * day.p_value[r].astype(float), 0.0)
            order = np.argsort(-bids, kind="stable")
            seen_above = True
            for k in range(3):
                a, price = order[k], bids[order[k + 1]]
                if bids[a] <= 0 or price <= market.reserve:
                    break
                wins[a] += 1
                seen = uniform(5, r, k) < (1.0, 0.8, 0.6)[k] and (k < 2 or seen_above)
                seen_above = seen
                if seen:
                    cost[t, a] += price
                    spent[a] += price
    np.testing.assert_allclose(out.cost, cost)
    np.testing.assert_array_equal(out.wins.sum(axis=0), wins)
    assert (spent <= budgets + out.bids.max()).all()


def test_conversions_follow_the_predictions(day):
    market = AuctionNetMarket(day, budgets=np.full(48, 1e9))
    outs = [market.run(lambda t, seen, left: market.targets, seed=s) for s in range(40)]
    expected = np.sum([o.value.sum() for o in outs])
    got = np.sum([o.conversions.sum() for o in outs])
    # Truth is cut off unevenly around the prediction, by at most 30 % of it.
    assert abs(got / expected - 1) < 0.3 * 1.0


def test_threshold_controller_uses_the_budget(day):
    market = AuctionNetMarket(day, budgets=BUDGETS * 6_000 / 500_000)
    out = market.run(ThresholdPID(start=60.0))
    assert 0.7 < out.cost.sum() / market.budgets.sum() <= 1.05
    states = out.states()
    assert states.shape == (48, 48, 16)
    np.testing.assert_allclose(states[10, :, 0], 1 - 10 / 48)
    np.testing.assert_allclose(states[10, :, 1], 1 - out.cost[:10].sum(axis=0) / market.budgets)
    np.testing.assert_allclose(states[10, :, 14], out.views[7:10].sum())


def test_score_by_hand():
    np.testing.assert_allclose(auctionnet_score([10, 10, 0], [500, 2000, 0], [100, 100, 100]), [10, 2.5, 0])


def test_unusable_sizes_are_refused(day):
    with pytest.raises(UsageError, match="at least 48"):
        generate_day(10)
    with pytest.raises(UsageError, match="budget above 0"):
        AuctionNetMarket(day, budgets=np.zeros(48))
