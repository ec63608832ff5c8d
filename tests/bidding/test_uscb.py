"""USCB's parts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bidding import AuctionMarket, ReplayLog, ReplayMarket, USCBBidder
from workbench.bidding._uscb_training import rest_of_day
from workbench.bidding.steps import Trace, Units
from workbench.bidding.uscb import penalised


def test_a_day_over_the_limit_is_cut_by_the_square():
    # 10 results at 4 each against a limit of 2, 8, and none at all.
    np.testing.assert_allclose(penalised(10.0, 40.0, 10.0, 2.0), 2.5)
    np.testing.assert_allclose(penalised(10.0, 40.0, 10.0, 8.0), 10.0)
    np.testing.assert_allclose(penalised([10.0, 3.0], [40.0, 0.0], [10.0, 0.0], None), [10.0, 3.0])
    np.testing.assert_allclose(penalised([3.0, 3.0], [0.0, 5.0], [0.0, 0.0], 2.0), [3.0, 0.0])


def test_the_return_is_what_the_rest_of_the_day_brings():
    trace = Trace(2, 3, np.full(2, 9.0), Units(np.ones(2), np.ones(2), np.array([2.0, 4.0])))
    trace.reward[:] = [[1, 2], [3, 4], [5, 6]]
    trace.results[:] = trace.reward
    trace.cost[:] = [[4, 1], [4, 1], [10, 1]]
    np.testing.assert_allclose(rest_of_day(trace, np.array([1, 2]), None), [8 / 2, 6 / 4])
    # The first campaign pays 18 for 9 against a limit of 1: a quarter of its day counts.
    np.testing.assert_allclose(rest_of_day(trace, np.array([1, 2]), 1.0), [(9 / 4 - 1) / 2, 6 / 4])


def cheap_and_dear(n=3_000, seed=0):
    rng = np.random.default_rng(seed)
    pctr = np.clip(rng.lognormal(-3, 0.5, n), 0, 1)
    return ReplayLog(price=rng.gamma(2.0, 20.0, n) + 1, pctr=pctr, click=pctr)


QUICK = {"n_steps": 4, "n_episodes": 2, "updates_per_episode": 2, "batch_size": 4, "random_state": 0}


def test_weights_are_multiplied_and_bids_follow_the_unified_formula():
    market = ReplayMarket(cheap_and_dear(), budget=4_000.0, episode=300)
    bidder = USCBBidder(cpa=500.0, move=0.2, **QUICK).fit(market)
    # A policy that raises the first weight by 0.2 · tanh(1) and lowers the second by 0.2 · tanh(2).
    bidder.actor_ = [np.zeros_like(a) for a in bidder.actor_]
    bidder.actor_[-1][..., :] = [1.0, -2.0]
    (w0, w1), pctr = bidder.start_[0], market.log.pctr
    up, down = 1 + 0.2 * np.tanh(1.0), 1 - 0.2 * np.tanh(2.0)
    np.testing.assert_allclose(bidder.bid(market.log), (w0 * up + w1 * down * 500.0) * pctr)
    bids = np.concatenate([
        (w0 * up ** (k + 1) + w1 * down ** (k + 1) * 500.0) * pctr[first + 75 * k : first + 75 * (k + 1)]
        for first in range(0, 3_000, 300)
        for k in range(4)
    ])  # fmt: skip
    found, expected = bidder.simulate(market), market.run(bids)
    assert found.impressions == expected.impressions
    assert found.cost == pytest.approx(expected.cost)


def test_in_a_market_a_result_is_a_conversion(log):
    market = AuctionMarket(log, budgets=0.3)
    bidder = USCBBidder(cpa=30.0, **QUICK).fit(market)
    bidder.actor_ = [np.zeros_like(a) for a in bidder.actor_]
    w0, w1 = bidder.start_[log.merchant].T
    np.testing.assert_allclose(bidder.bid(log), w0 * log.pcvr * log.ppb + w1 * 30.0 * log.pcvr)
    alone = USCBBidder(**QUICK).fit(market)
    alone.actor_ = [np.zeros_like(a) for a in alone.actor_]
    np.testing.assert_allclose(alone.bid(log), alone.alpha_[log.merchant] * log.pcvr * log.ppb)


def test_same_seed_same_policy(log):
    market = AuctionMarket(log, budgets=0.3)
    first, second = (USCBBidder(**QUICK).fit(market) for _ in range(2))
    np.testing.assert_array_equal(first.actor_[0], second.actor_[0])
    assert set(first.history_[0]) == {"gmv", "critic_loss"}
