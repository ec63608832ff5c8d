"""The generated log has the paper's shape."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bidding import AuctionMarket, LogGenerator
from workbench.bidding.clusters import rank_and_cut
from workbench.bidding.game import ClusterGame, Clusters
from workbench.errors import UsageError


@pytest.fixture(scope="module")
def days():
    world = LogGenerator(n_calibration=6_000)
    return world.sample(12_000, seed=1), world.sample(12_000, seed=1), world.sample(12_000, seed=2)


def test_shares_of_the_paper(days):
    log = days[0]
    market = AuctionMarket(log, budgets="fraction:0.3333")
    revenue = market.manual.revenue.sum(axis=(0, 2))
    cluster = rank_and_cut(revenue, log.presence, 3)
    np.testing.assert_allclose(np.bincount(cluster) / 1000, [0.89, 0.06, 0.05], atol=0.02)
    np.testing.assert_allclose(np.bincount(cluster, revenue) / revenue.sum(), [0.15, 0.23, 0.62], atol=0.02)
    assert market.run(1.0).scores()["gmv"] / revenue.sum() == pytest.approx(5347 / 18984, abs=0.02)
    assert revenue.sum() / market.manual.wins.sum() == pytest.approx(18532 / 203195, rel=0.05)


def test_days_differ_and_seeds_repeat(days):
    first, again, other = days
    np.testing.assert_array_equal(first.pctr, again.pctr)
    assert (first.merchants == other.merchants).all()
    assert not np.array_equal(first.merchant, other.merchant)
    sets = first.merchant.reshape(-1, 60)
    assert all(len(set(row)) == 60 for row in sets[:200].tolist())


@pytest.mark.parametrize(("spread", "low", "high"), [(0.1, 0.9, 1.0), (0.5, 0.2, 0.5)])
def test_how_far_the_published_formula_comes_depends_on_the_spread(spread, low, high):
    """One action for all: where rates vary, the published bid is lowest for those who would convert."""
    log = LogGenerator(n_calibration=3_000, conversion_spread=spread).sample(3_000, seed=1)
    market = AuctionMarket(log, budgets=1 / 3)
    clusters = Clusters.fit(market, 3, 3)
    reached = []
    for action in (-0.7, -0.8, -0.9, -0.95):
        game = ClusterGame(market, clusters, 0.9, "paper")
        while not game.done:
            game.step(np.full((3, 3), action))
        reached.append(game.episode.outcome.revenue.sum() / market.manual.revenue.sum())
    assert low < max(reached) < high


def test_impossible_sizes_are_refused():
    with pytest.raises(UsageError, match="smaller than n_merchants"):
        LogGenerator(n_merchants=50, n_candidates=60)
