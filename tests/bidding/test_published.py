"""Figures that were published for real logs, or computed from them elsewhere; needs --data."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from workbench.bidding import (
    AuctionMarket,
    BidLog,
    LinearBidder,
    MCPCBidder,
    ORTBBidder,
    PIDBidder,
    ReplayMarket,
    RLBBidder,
    SSMDPBidder,
    formulas,
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


@pytest.mark.parametrize(
    ("name", "impressions", "clicks", "cost"),
    [
        ("SS-MDP", 40_395, 80, 306_637),
        ("RLB", 39_680, 78, 304_375),
        ("MCPC", 14_752, 48, 307_751),
        ("LIN", 32_208, 71, 203_610),
    ],
)
def test_campaign_2997(campaign_2997, name, impressions, clicks, cost):
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
    assert (out.impressions, out.clicks, out.cost) == (impressions, clicks, cost)


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


def test_feedback_control_of_campaign_1458_round_by_round(campaign_1458):
    """The published control loop, written out: 40 rounds, gains of the paper, 40,000 a click."""
    train, given = campaign_1458
    market, log = ReplayMarket(given.log, ties_win=False), given.log
    mean = float(train.pctr.mean())
    pid = PIDBidder(
        p=5e-4, i=1e-6, d=1e-4, low=-2, high=5, n_steps=40, target=40_000, base_bid=69, mean_pctr=mean
    )
    cost = clicks = total = signal = 0.0
    wins, before = 0, None
    cuts = [k * len(log) // 40 for k in range(41)]
    for k, (first, last) in enumerate(pairwise(cuts)):
        for i in range(first, last):
            bid = max(int(int(log.pctr[i] * 69 / mean) * math.exp(signal)), 5) if k else 1000
            if bid > log.price[i]:
                wins, cost, clicks = wins + 1, cost + log.price[i], clicks + log.click[i]
        error = 40_000 - cost / (clicks + 1)
        total += error
        change = 0.0 if before is None else error - before
        before = error
        signal = min(max(5e-4 * error + 1e-6 * total + 1e-4 * change, -2.0), 5.0)
    out = pid.fit(market).simulate(market)
    assert (out.impressions, out.clicks, out.cost) == (wins, clicks, cost)
    assert 0 < out.clicks < out.impressions < len(log)


@pytest.mark.parametrize(("curve", "power"), [("hyperbola", 1), ("squared", 2)])
def test_closed_forms_of_ortb_on_campaign_1458(campaign_1458, curve, power):
    """Of all bids the formula's brings most value less cost, for clicks as they were predicted."""
    train, _ = campaign_1458
    c = fit_win_curve(PriceLandscape().fit(train), curve)
    lam = float(train.pctr.mean()) / 290
    bids = np.linspace(0.0, 3_000.0, 3_000_001)
    won = bids**power / (c**power + bids**power)
    formula = formulas.ortb1 if power == 1 else formulas.ortb2
    for theta in np.quantile(train.pctr, [0.1, 0.5, 0.9, 0.99]):
        best = bids[((theta - lam * bids) * won).argmax()]
        assert formula(theta, c, lam) == pytest.approx(best, abs=2e-3)


@pytest.fixture(scope="module")
def auctions(campaign_2997):
    """Campaign 2997's prices as the bids of ten merchants, and its predictions as theirs."""
    log = campaign_2997[0].log
    n = len(log) // 10 * 10
    return BidLog(
        indptr=np.arange(0, n + 1, 10),
        hour=np.arange(n // 10) / (n // 10),
        consumer=np.zeros(n // 10, dtype=np.int32),
        merchant=np.tile(np.arange(10, dtype=np.int32), n // 10),
        bid=log.price[:n],
        pctr=log.pctr[:n],
        pcvr=np.full(n, 0.1),
        ppb=np.ones(n),
        merchants=np.arange(10),
        consumers=np.arange(1),
    )


def test_identities_of_auctions_on_real_prices(auctions):
    one = [AuctionMarket(auctions, m, slots=1).run(1.0).cost for m in ("gsp", "vcg", "second")]
    np.testing.assert_allclose(one[1], one[0])
    np.testing.assert_array_equal(one[2], one[0])
    seen = {"position_effects": (1.0, 0.7, 0.4)}
    gsp, vcg, first = (AuctionMarket(auctions, m, **seen).run(1.0) for m in ("gsp", "vcg", "first"))
    np.testing.assert_array_equal(gsp.wins, vcg.wins)
    assert (vcg.cost <= gsp.cost * (1 + 1e-12)).all()
    assert (gsp.cost <= first.cost * (1 + 1e-12)).all()
    assert vcg.cost.sum() < gsp.cost.sum() < first.cost.sum()


def test_scale_and_budgets_on_real_prices(auctions):
    free = AuctionMarket(auctions)
    whole, half = free.run(1.0), free.run(0.5)
    np.testing.assert_array_equal(half.wins, whole.wins)
    np.testing.assert_allclose(half.cost, 0.5 * whole.cost)
    # Who has spent the budget is out from the next auction on: each stops within one price of it.
    market = AuctionMarket(auctions, budgets="fraction:0.25")
    episode = market.with_steps(auctions.n_requests).episode()
    left = np.inf
    while not episode.done:
        was_out = episode.spent >= market.budgets
        step = episode.step_factors(np.ones(10))
        assert not step.wins[0, was_out].any()
        left = (market.budgets - episode.spent).min()
    assert left > -float((auctions.pctr * auctions.bid).max())
    np.testing.assert_allclose(episode.spent, market.run(1.0).cost.sum(axis=(0, 2)))
