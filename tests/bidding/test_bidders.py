"""Every bidder keeps the estimator's contract, and does what its school promises."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from workbench.bidding import AuctionMarket, ReplayLog, ReplayMarket
from workbench.bidding.control import AdaptivePacingBidder, MirrorDescentBidder, PIDBidder
from workbench.bidding.dp import RLBBidder, SSMDPBidder
from workbench.bidding.experiment import BIDDERS, make_bidder
from workbench.bidding.lp import OnlineLPBidder, greedy_ratio
from workbench.bidding.rules import LinearBidder, MCPCBidder, ORTBBidder, TruthfulBidder, UniformScaleBidder
from workbench.errors import DatasetError, UsageError
from workbench.models import load, save

#: Rules that know the budget and spread it over the day.
SPREADING = ("UniformScale", "PID", "AdaptivePacing", "MirrorDescent", "OnlineLP")
QUICK = {
    "n_episodes": 3, "n_workers": 2, "updates_per_interval": 2, "updates_per_episode": 2, "n_updates": 20,
    "n_days": 1, "batch_size": 4, "random_state": 0,
}  # fmt: skip


def quick(name):
    return make_bidder(name, **QUICK)


@pytest.fixture(scope="module")
def market(log):
    return AuctionMarket(log, budgets="fraction:0.333")


@pytest.fixture(scope="module")
def fitted(market):
    return {name: quick(name).fit(market) for name in BIDDERS}


@pytest.fixture(scope="module")
def replay():
    """Whole-number prices whose auctions are worth more where clicks are likelier."""
    rng = np.random.default_rng(0)
    n = 6000
    pctr = np.clip(rng.lognormal(-4.5, 0.8, n), 0, 1)
    price = np.clip(np.round(rng.gamma(2.0, 20, n) * (0.5 + 20 * pctr)), 1, 300)
    return ReplayLog(
        price=price, pctr=pctr, click=(rng.random(n) < pctr).astype(float), value_per_click=5000.0
    )


@pytest.mark.parametrize("name", BIDDERS)
def test_contract(name, fitted, market, tmp_path):
    bidder = fitted[name]
    fresh = clone(bidder)
    assert fresh.get_params() == quick(name).get_params()
    with pytest.raises(NotFittedError):
        fresh.evaluate(market)
    row = bidder.evaluate(market).iloc[-1]
    assert 0 < row["depth"] <= market.log.n_candidates / market.log.n_requests  # counted without being asked
    assert row["gmv"] > 0
    # The same seed gives the same result, and what is saved is what is loaded.
    assert fresh.fit(market).evaluate(market).iloc[-1]["gmv"] == row["gmv"]
    cls = type(bidder)
    again = load(save(bidder, tmp_path / "bidder"), trusted={f"{cls.__module__}:{cls.__qualname__}": cls})
    assert again.evaluate(market).iloc[-1]["gmv"] == row["gmv"]
    bids = bidder.bid(market.log)
    assert bids.shape == (market.log.n_candidates,)
    assert (bids >= 0).all()


@pytest.mark.parametrize("name", SPREADING)
def test_spending_follows_the_budget(name, market, fitted):
    """Rules that know the budget use it, and reach far more than manual bids that burn it."""
    row = fitted[name].evaluate(market).iloc[-1]
    manual = fitted["Manual"].evaluate(market).iloc[-1]
    assert row["budget_use"] > 0.6
    assert row["gmv"] > 1.15 * manual["gmv"]


def test_uniform_scale_reaches_unlimited_manual_bids(market, fitted):
    assert fitted["UniformScale"].factor_ == pytest.approx(0.333)
    reached = UniformScaleBidder(factor=0.32).fit(market).evaluate(market).iloc[0]["gmv"]
    assert reached == pytest.approx(market.manual.scores()["gmv"], rel=0.02)


def test_markets_of_other_merchants_are_refused(fitted, log):
    other = AuctionMarket(log.select(np.arange(50)), budgets=0.5)
    assert fitted["DCMAB"].evaluate(other).shape[0] == 4
    parts = {name: getattr(log, name) for name in log.__dataclass_fields__}
    more = type(log)(**{**parts, "merchants": np.r_[log.merchants, ["new"]]})
    with pytest.raises(DatasetError, match="fit on a log with the same merchants"):
        fitted["DCMAB"].evaluate(more)


def test_a_bidder_of_one_form_refuses_the_other(log, replay):
    with pytest.raises(DatasetError, match="bids on one bidder's log"):
        MCPCBidder().fit(log)
    with pytest.raises(DatasetError, match="bids for the merchants of a market"):
        UniformScaleBidder().fit(replay)
    with pytest.raises(DatasetError, match="takes a market, a log or an array, not dict"):
        LinearBidder().fit({})


def test_linear_and_ortb_spend_what_they_were_given(replay):
    market = ReplayMarket(replay, budget=0.1 * replay.price.sum())
    for bidder in (LinearBidder(), ORTBBidder(), ORTBBidder(curve="squared")):
        row = bidder.fit(market).evaluate(market).iloc[0]
        assert 0.9 < row["budget_use"] <= 1.0


def test_every_replay_bidder_beats_bidding_blindly(replay):
    half = len(replay) // 2
    parts = [
        ReplayLog(price=replay.price[s], pctr=replay.pctr[s], click=replay.pctr[s], value_per_click=5000.0)
        for s in (slice(0, half), slice(half, None))
    ]
    train, test = (ReplayMarket(p, budget=2000.0, episode=500, max_bid=300) for p in parts)
    constant = max(test.run(float(b)).clicks for b in (10, 20, 40, 80, 160, 300))
    for bidder in (
        LinearBidder(), ORTBBidder(), OnlineLPBidder(), AdaptivePacingBidder(), MirrorDescentBidder(),
        RLBBidder(horizon=500),
    ):  # fmt: skip
        clicks = bidder.fit(train).evaluate(test).iloc[0]["clicks"]
        assert clicks > 1.1 * constant, bidder
    blind = SSMDPBidder(horizon=500).fit(train).evaluate(test).iloc[0]["clicks"]
    assert RLBBidder(horizon=500).fit(train).evaluate(test).iloc[0]["clicks"] > blind


def test_no_bidder_passes_the_offline_optimum(replay):
    clicks = ReplayLog(price=replay.price, pctr=replay.pctr, click=replay.pctr, value_per_click=5000.0)
    market = ReplayMarket(clicks, budget=0.1 * replay.price.sum())
    best = greedy_ratio(clicks.price, clicks.pctr, market.budget)
    ceiling = clicks.pctr[clicks.price <= best * clicks.pctr].sum() + clicks.pctr.max()
    for bidder in (LinearBidder(), ORTBBidder(), AdaptivePacingBidder(), OnlineLPBidder()):
        reached = bidder.fit(market).evaluate(market).iloc[0]["clicks"]
        assert 0.8 * ceiling < reached <= ceiling


def test_budgets_of_replays_are_never_passed(replay):
    market = ReplayMarket(replay, budget=700.0, episode=400)
    out = market.run(300.0)
    assert out.cost <= out.budget
    stops = ReplayMarket(replay, budget=700.0, overspend=True).run(300.0)
    assert 700.0 <= stops.cost <= 700.0 + 300.0


def test_truthful_and_mcpc_formulas(replay):
    market = ReplayMarket(replay)
    np.testing.assert_allclose(TruthfulBidder().fit(market).bid(replay), replay.pctr * 5000)
    ecpc = replay.price.sum() / replay.click.sum()
    np.testing.assert_allclose(MCPCBidder().fit(market).bid(replay), replay.pctr * ecpc)
    np.testing.assert_array_equal(
        MCPCBidder(ecpc=1000.0, whole=True).fit(market).bid(replay), np.floor(replay.pctr * 1000)
    )


def test_feedback_control_steers_the_cost_of_a_click(replay):
    clicks = ReplayLog(price=replay.price, pctr=replay.pctr, click=replay.pctr)
    market = ReplayMarket(clicks, ties_win=False)
    found = {}
    for target in (1200.0, 1600.0):
        pid = PIDBidder(
            p=5e-4, i=1e-6, d=1e-4, low=-2, high=5, n_steps=40, target=target, base_bid=69.0, first_bid=30.0
        )
        found[target] = pid.fit(market).simulate(market).ecpc
        assert found[target] == pytest.approx(target, rel=0.3)
    assert found[1200.0] < found[1600.0]


def test_unusable_parameters_are_refused(market, replay):
    with pytest.raises(ValueError, match="'curve' parameter"):
        ORTBBidder(curve="straight").fit(market)
    with pytest.raises(UsageError, match="Give a budget"):
        LinearBidder().fit(replay)
    with pytest.raises(UsageError, match="needs target"):
        PIDBidder().fit(replay)
    with pytest.raises(UsageError, match="whole-number budget"):
        RLBBidder().fit(replay)
    with pytest.raises(UsageError, match="There is no bidder 'Best'"):
        make_bidder("Best")
    with pytest.raises(UsageError, match="only 3 merchant clusters"):
        make_bidder("DCMAB", **QUICK, coordinated_agents=5).fit(market)
