"""scikit-learn's rules, over every bidder: an array's rows are auctions and its columns merchants' values."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench.bidding import AuctionMarket, BidLog, ReplayLog, ReplayMarket
from workbench.bidding.constrained import MPIDBidder
from workbench.bidding.dp import RLBBidder, SSMDPBidder
from workbench.bidding.experiment import BIDDERS, MarketComparison, make_bidder
from workbench.bidding.rules import MCPCBidder, ORTBBidder

QUICK = {
    "n_episodes": 1, "n_workers": 1, "updates_per_interval": 1, "updates_per_episode": 1, "n_updates": 2,
    "batch_size": 4, "n_days": 1, "random_state": 0,
}  # fmt: skip
ALL = [
    *(make_bidder(name, **QUICK) for name in BIDDERS),
    ORTBBidder(curve="squared"),
    MCPCBidder(),
    RLBBidder(horizon=60),
    SSMDPBidder(horizon=60),
    MPIDBidder(),
]


@parametrize_with_checks([*ALL, MarketComparison(bidders="Manual, UniformScale")])
def test_scikit_learn_rules(estimator, check):
    check(estimator)


def test_an_array_is_a_market_of_values():
    values = np.random.default_rng(0).gamma(2.0, size=(60, 5))
    market = AuctionMarket(BidLog.from_values(values), "second", slots=1)
    out = market.run(1.0)
    ranked = np.sort(values, axis=1)
    assert out.cost.sum() == pytest.approx(ranked[:, -2].sum())
    assert out.revenue.sum() == pytest.approx((values.max(axis=1)).sum())
    np.testing.assert_array_equal(out.wins.sum(axis=(0, 2)), np.bincount(values.argmax(axis=1), minlength=5))
    # The first merchant alone, at its own values, wins what it wins among the others and pays as much.
    replay = ReplayLog.from_values(values)
    alone = ReplayMarket(replay).run(values[:, 0])
    assert alone.impressions == out.wins[:, 0].sum()
    assert alone.cost == pytest.approx(out.cost[:, 0].sum())


def test_a_fit_on_an_array_bids_for_another(log):
    rng = np.random.default_rng(1)
    train, test = rng.gamma(2.0, size=(2, 80, 4))
    for bidder in ALL:
        bids = bidder.fit(train).bid(test)
        assert np.isfinite(bids).all()
        assert (bids >= 0).all()
        with pytest.raises(ValueError, match="4 features"):
            bidder.bid(test[:, :3])
