"""M-PID and OCPC."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bidding import AuctionMarket, ReplayLog, ReplayMarket
from workbench.bidding.constrained import MPIDBidder, OCPCBidder, ocpc_bids
from workbench.bidding.replay import Step


def test_mpid_keeps_both_limits():
    rng = np.random.default_rng(0)
    n = 20_000
    pctr = np.clip(rng.lognormal(-4, 0.7, n), 0, 1)
    price = rng.gamma(2.0, 20, n) + 1
    half = n // 2
    train, test = (
        ReplayMarket(ReplayLog(price=price[s], pctr=pctr[s], click=pctr[s]), budget=60_000.0)
        for s in (slice(0, half), slice(half, None))
    )
    loose = MPIDBidder(cpc=5000.0).fit(train).evaluate(test).iloc[0]
    assert 0.85 < loose["budget_use"] <= 1.0
    tight = MPIDBidder(cpc=0.6 * loose["ecpc"]).fit(train).evaluate(test).iloc[0]
    assert tight["ecpc"] == pytest.approx(0.6 * loose["ecpc"], rel=0.15)
    assert tight["budget_use"] < loose["budget_use"]


def test_ocpc_by_hand():
    # Scores may lie in [0.6, 1], [1, 1.4] and [0.5, 0.5]; the second's floor of 1 leaves the first in reach.
    one = np.ones(3)
    bids = ocpc_bids(
        np.array([0, 3]),
        np.array([0.6, 1.0, 0.5]),
        np.array([1.0, 1.4, 0.5]),
        one,
        np.array([9.0, 1.0, 5.0]),
        2,
    )
    # The best value (first) takes rank 1 at its highest score 1; the second is capped at 1 and follows.
    np.testing.assert_allclose(bids, [1.0, 1.0, 0.5])
    far = ocpc_bids(
        np.array([0, 2]), np.array([0.6, 2.0]), np.array([1.0, 2.8]), one[:2], np.array([9.0, 1.0]), 1
    )
    np.testing.assert_allclose(far, [0.6, 2.8])


def test_ocpc_stays_in_its_bounds_and_lifts_gmv(log):
    market = AuctionMarket(log)
    bidder = OCPCBidder().fit(market)
    bids = bidder.bid(log)
    assert (bids >= 0.6 * log.bid - 1e-12).all()
    assert (bids <= 1.4 * log.bid + 1e-12).all()
    assert bidder.evaluate(market).iloc[0]["gmv"] > 1.05 * market.run(1.0).scores()["gmv"]


def test_mpid_outlives_many_days_without_a_click():
    rng = np.random.default_rng(1)
    n = 20_000
    log = ReplayLog(
        price=np.round(rng.gamma(2.0, 20, n)) + 1,
        pctr=np.full(n, 1e-3),
        click=(np.arange(n) % 1500 == 0) * 1.0,
    )
    market = ReplayMarket(log, budget=500.0, episode=500)
    policy = (bidder := MPIDBidder(cpc=20_000.0).fit(market))._replay_policy(market)
    first = bidder.bid(market)
    out = market.run(policy)
    assert np.isfinite(out.cost)
    assert 0.3 < out.cost / out.budget <= 1.0
    # Each day begins where the first did.
    step = Step(market, 0, 10, 0, 500.0, 1.0)
    np.testing.assert_allclose(policy.bids(step), first[:10])
