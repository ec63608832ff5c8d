"""Figures that were published for real logs, or computed from them elsewhere; needs --data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.bidding import (
    LinearBidder,
    MCPCBidder,
    ORTBBidder,
    ReplayMarket,
    RLBBidder,
    SSMDPBidder,
    read_campaign_info,
    read_replay,
    read_traffic_share,
)
from workbench.bidding.landscape import PriceLandscape, fit_win_curve

pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def folder(request) -> Path:
    data = request.config.getoption("--data")
    if data is None:
        pytest.fail("name the folder of real files: --data DIR")
    return data / "bidding"


@pytest.fixture(scope="module")
def campaign_2997(folder):
    info = read_campaign_info(folder / "ipinyou_2997_info.json")
    log = read_replay(folder / "ipinyou_2997_test.theta.txt")
    budget = int(info["cost_train"] / info["imp_train"] * 1000 / 32)
    return ReplayMarket(log, budget, episode=1000, max_bid=300), info


def test_budget_of_campaign_2997(campaign_2997):
    market, _ = campaign_2997
    assert (market.budget, len(market.log)) == (1969, 156_063)


# The repository's table gives SS-MDP's cost as 306,637; with the same impressions and clicks ours is 2 more.
@pytest.mark.parametrize(
    ("name", "impressions", "clicks", "cost", "slack"),
    [
        ("SS-MDP", 40_395, 80, 306_637, 2),
        ("RLB", 39_680, 78, 304_375, 0),
        ("MCPC", 14_752, 48, 307_751, 0),
        ("LIN", 32_208, 71, 203_610, 0),
    ],
)
def test_campaign_2997(campaign_2997, name, impressions, clicks, cost, slack):
    market, info = campaign_2997
    rate = info["clk_train"] / info["imp_train"]
    if name in ("SS-MDP", "RLB"):
        cls = RLBBidder if name == "RLB" else SSMDPBidder
        bidder = cls().fit_counts(info["price_counter_train"], rate, market.budget)
    elif name == "MCPC":
        bidder = MCPCBidder(ecpc=info["cost_train"] / info["clk_train"], whole=True).fit(market)
    else:
        bidder = LinearBidder(base_bid=10.0, mean_pctr=rate, whole=True).fit(market)
    out = bidder.simulate(market)
    assert (out.impressions, out.clicks) == (impressions, clicks)
    assert abs(out.cost - cost) <= slack


@pytest.mark.parametrize(
    ("cls", "impressions", "clicks", "cost"),
    [(RLBBidder, 39_682, 78, 304_341), (SSMDPBidder, 40_398, 80, 306_643)],
)
def test_campaign_2997_without_smoothing(campaign_2997, cls, impressions, clicks, cost):
    market, info = campaign_2997
    rate = info["clk_train"] / info["imp_train"]
    out = cls(smoothing=0).fit_counts(info["price_counter_train"], rate, market.budget).simulate(market)
    assert (out.impressions, out.clicks, out.cost) == (impressions, clicks, cost)


@pytest.fixture(scope="module")
def campaign_1458(folder):
    train, test = (read_replay(folder / f"ipinyou_1458_{part}.txt") for part in ("train", "test"))
    return train, ReplayMarket(test, test.price.sum() / 16, ties_win=False, overspend=True)


def test_campaign_1458_linear(campaign_1458):
    train, market = campaign_1458
    assert train.pctr.mean() == pytest.approx(6.0640e-4, abs=5e-9)
    assert market.budget == pytest.approx(339_072.69, abs=0.01)
    out = (
        LinearBidder(base_bid=75.0, mean_pctr=float(train.pctr.mean()), whole=True)
        .fit(market)
        .simulate(market)
    )
    assert (out.clicks, out.bids, out.impressions, out.cost) == (13, 59_404, 10_843, 339_097)


def test_campaign_1458_ortb(campaign_1458):
    train, market = campaign_1458
    out = ORTBBidder(c=32.0, lam=float(train.pctr.mean()) / 290, whole=True).fit(market).simulate(market)
    assert (out.clicks, out.bids, out.impressions, out.cost) == (11, 55_468, 12_556, 339_091)


@pytest.mark.parametrize("campaign", [1458, 2259, 2261, 2821, 2997, 3358, 3386, 3427, 3476])
def test_landscapes_of_all_campaigns(folder, campaign):
    info = read_campaign_info(folder / f"ipinyou_{campaign}_info.json")
    landscape = PriceLandscape.from_counts(info["price_counter_train"])
    mean = landscape.expected_cost(1e9)
    assert mean == pytest.approx(info["cost_train"] / info["imp_train"], rel=0.01)
    assert 15 < fit_win_curve(landscape) < 90


def test_censored_landscape_of_campaign_2997(campaign_2997):
    log = campaign_2997[0].log
    bids = np.random.default_rng(0).integers(1, 300, len(log)).astype(float)
    truth = PriceLandscape().fit(log)
    found = PriceLandscape().fit(log.censor(bids))
    at = np.array([20.0, 50, 100, 200])
    np.testing.assert_allclose(found.win_probability(at), truth.win_probability(at), atol=0.01)


def test_traffic_profile(folder):
    shares = read_traffic_share(folder / "traffic_share.csv")
    assert len(shares) == 19_152
    assert set(shares["hour"]) == set(range(24))
