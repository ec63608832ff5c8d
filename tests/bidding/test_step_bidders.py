"""Campaigns seen step by step: what is recorded, what is told of it, and that nothing is foretold."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bidding import AuctionMarket, DRLBBidder, ReplayLog, ReplayMarket, USCBBidder
from workbench.bidding.steps import LONG, SHORT, Trace, Units, play


def units(n=1):
    return Units(np.full(n, 2.0), np.full(n, 0.5), np.full(n, 10.0))


def steady(trace, t):
    return np.broadcast_to(trace.units.alpha, trace.n)[:, None]


def test_a_market_is_played_at_the_multiplier_of_the_value(log):
    market = AuctionMarket(log, budgets="fraction:0.333")
    alpha = np.linspace(0.2, 1.0, log.n_merchants)
    scale = Units(alpha, np.ones(log.n_merchants), np.ones(log.n_merchants))
    trace = play(market, 5, scale, steady)
    expected = market.run(alpha[log.merchant] * log.pcvr * log.ppb)
    np.testing.assert_allclose(trace.cost.sum(axis=0), expected.cost.sum(axis=(0, 2)))
    np.testing.assert_allclose(trace.reward.sum(axis=0), expected.revenue.sum(axis=(0, 2)))
    np.testing.assert_array_equal(trace.wins.sum(axis=0), expected.wins.sum(axis=(0, 2)))
    np.testing.assert_array_equal(trace.seen.sum(axis=0), log.presence)
    value = np.bincount(log.merchant, log.pctr * log.pcvr * log.ppb)
    np.testing.assert_allclose(trace.predicted.sum(axis=0), value)


def test_a_replay_is_one_campaign_an_episode():
    rng = np.random.default_rng(0)
    log = ReplayLog(price=rng.gamma(2, 20, 1100), pctr=rng.random(1100) / 10, click=rng.random(1100))
    market = ReplayMarket(log, budget=2_000.0, episode=250)
    scale = Units(np.array([700.0]), np.array([0.05]), np.array([1.0]))
    trace = play(market, 10, scale, steady)
    whole = market.run(700.0 * log.pctr)
    assert trace.n == 5
    assert trace.cost.sum() == pytest.approx(whole.cost)
    assert trace.reward.sum() == pytest.approx(whole.clicks)
    assert (trace.cost.sum(axis=0) <= 2_000).all()
    np.testing.assert_array_equal(trace.seen[:, 0], 25)


def filled():
    trace = Trace(1, 4, np.array([100.0]), units())
    trace.seen[:, 0] = [10, 20, 10, 40]
    trace.predicted[:, 0] = [4, 12, 5, 30]
    trace.alpha[:, 0] = [2, 3, 1, 2]
    trace.cost[:, 0] = [10, 30, 20, 0]
    trace.wins[:, 0] = [2, 5, 10, 0]
    trace.reward[:, 0] = [1, 2, 5, 0]
    return trace


def test_the_short_state_by_hand():
    state = filled().short_state(2)[0]
    # Half of the day is gone; 60 of 100 are left, 90 were before the last step, with three steps to go.
    np.testing.assert_allclose(state[:4], [0.5, 0.6, 0.5, (0.6 - 0.9) / 0.9 * 3])
    # 30 / 5 an impression over a first bid of 2 · 0.5, which is cut at 5; 5 of 20 won; 2 of 10 in a quarter.
    np.testing.assert_allclose(state[4:], [5.0, 0.25, 0.8])
    assert state.shape == (SHORT,)
    np.testing.assert_allclose(filled().short_state(0)[0], [0, 1, 1, 0, 0, 0, 0])


def test_the_long_state_by_hand():
    trace = filled()
    state = trace.long_state(3)[0]
    assert state.shape == (LONG,)
    seen, day = 40.0, 80.0  # of the first three steps, and of four
    np.testing.assert_allclose(state[:2], [0.25, 0.4])
    assert state[2] == pytest.approx((2 * 4 + 3 * 12 + 1 * 5) / seen)
    np.testing.assert_allclose(
        state[4:8], [60 / 17, 21 / seen / 0.5, 0.8 * day / seen, 17 / seen], rtol=1e-12
    )
    np.testing.assert_allclose(state[12:], [30 / 40 / 0.5, 40 / day, seen / day, seen / day])


def test_states_hold_nothing_of_what_is_to_come():
    trace, changed = filled(), filled()
    for name in ("cost", "wins", "reward", "alpha", "results"):
        getattr(changed, name)[2:] = 99.0
    changed.seen[3:], changed.predicted[3:] = 1.0, 1.0
    np.testing.assert_array_equal(trace.long_state(2), changed.long_state(2))
    np.testing.assert_array_equal(trace.short_state(2), changed.short_state(2))
    assert (trace.long_state(3) != changed.long_state(3)).any()


def test_a_campaign_without_a_budget_has_all_of_it_left():
    trace = Trace(2, 2, np.array([np.inf, 10.0]), units(2))
    trace.cost[0] = 5.0
    np.testing.assert_allclose(trace.budget_left(1), [1.0, 0.5])


@pytest.mark.slow
@pytest.mark.parametrize(
    "bidder",
    [
        DRLBBidder(n_steps=12, n_episodes=10, random_state=0),
        USCBBidder(n_steps=12, n_episodes=30, random_state=0),
    ],
)
def test_learning_beats_holding_the_first_multiplier_of_a_day(log, bidder):
    market = AuctionMarket(log, budgets="fraction:0.333")
    reached = bidder.fit(market).evaluate(market).iloc[0]["gmv"]
    fixed = play(market, 12, bidder.units, steady)
    assert reached > fixed.reward.sum()
    assert reached > 2.0 * market.run(1.0).scores()["gmv"]
