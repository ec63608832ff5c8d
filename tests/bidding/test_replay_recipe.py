"""A run on one bidder's own log, from a table to a report and its figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from workbench.arrays import Split, TableData
from workbench.bidding import (
    IQLBidder,
    ManualBidder,
    MarketComparison,
    MCPCBidder,
    PriceLandscape,
    ReplayComparison,
    ReplayLog,
    ReplayMarket,
    RLBBidder,
    SSMDPBidder,
)
from workbench.bidding.recipe import simulate
from workbench.bidding.replay_experiment import REPLAY_BIDDERS
from workbench.bidding.replay_recipe import replay
from workbench.bidding.tables import is_replay
from workbench.errors import DatasetError, UsageError
from workbench.plots.bidding_replay import figures
from workbench.report import NullReporter, Report


class Held:
    """A data set that holds one table, the clicks as its label."""

    ref = "mine@1"

    def __init__(self, frame, roles=None):
        self._table = TableData(frame.drop(columns="click"), frame["click"].to_numpy(), None, roles or {})

    def to_table(self):
        return self._table


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(3)
    n = 3000
    pctr = np.clip(rng.lognormal(-3.5, 0.7, n), 0, 1)
    price = np.clip(np.round(rng.gamma(2.0, 20, n)), 1, 200)
    return pd.DataFrame({"click": (rng.random(n) < pctr).astype(int), "price": price, "pctr": pctr})


PLAN = ReplayComparison(bidders="MCPC, Linear, SS-MDP, RLB, PID, M-PID", episode=300, budget_fraction=0.1)


@pytest.fixture(scope="module")
def report(frame):
    return replay(PLAN, Held(frame), Split(), 0, NullReporter())


def test_each_bidder_does_in_the_run_what_it_does_alone(frame, report):
    train_rows, test_rows = Split().indices(len(frame), seed=0)
    train, test = (
        ReplayLog.from_frame(frame.iloc[rows].reset_index(drop=True)) for rows in (train_rows, test_rows)
    )
    # What the test part costs is not known beforehand: its budget is the training part's.
    budget = float(np.floor(0.1 * train.price.mean() * 300))
    first, second = (ReplayMarket(log, budget, 300) for log in (train, test))
    ecpc = train.price.sum() / train.click.sum()
    top = int(train.price.max())
    alone = {
        "MCPC": MCPCBidder(ecpc=ecpc),
        "SS-MDP": SSMDPBidder(horizon=300, max_price=top),
        "RLB": RLBBidder(horizon=300, max_price=top),
    }
    rows = report.tables["comparison"].set_index("bidder")
    for name, bidder in alone.items():
        out = bidder.fit(first).simulate(second)
        assert (rows.loc[name, "clicks"], rows.loc[name, "cost"]) == (out.clicks, out.cost), name
    assert report.scores["clicks"] == rows["clicks"].max()
    assert list(report.estimator.names_) == list(rows.index)


def test_a_test_part_that_is_dearer_than_the_training_part_has_no_larger_budget(frame):
    rows = Split().indices(len(frame), seed=0)[1]
    dear = frame.copy()
    dear.loc[rows, "price"] *= 2
    plan = ReplayComparison(bidders="Linear, RLB", episode=300, budget_fraction=0.1)
    found = replay(plan, Held(dear), Split(), 0, NullReporter()).tables["comparison"].set_index("bidder")
    usual = replay(plan, Held(frame), Split(), 0, NullReporter()).tables["comparison"].set_index("bidder")
    assert (found["clicks"] < usual["clicks"]).all()  # the same coins buy less
    assert (found["cost"] <= usual["cost"].max() * 1.1).all()


def test_figures_are_drawn_from_the_saved_report(report, tmp_path):
    report.save(tmp_path)
    drawn = figures(Report.load(tmp_path))
    assert set(drawn) == {"comparison", "bids", "budget_sweep", "landscape"}
    for figure in drawn.values():
        assert isinstance(figure, go.Figure)
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text
    sweep = report.tables["budget_sweep"].set_index(["bidder", "fraction"])["clicks"]
    rows = report.tables["comparison"].set_index("bidder")
    assert sweep["RLB", 1.0] == rows.loc["RLB", "clicks"]
    assert sweep["Linear", 0.25] < sweep["Linear", 1.0]


def test_the_landscape_is_that_of_the_log(frame, report):
    table = report.tables["landscape"]
    expected = [(frame["price"] <= price).mean() for price in table["price"]]
    np.testing.assert_allclose(table["win_probability"], expected)
    assert PriceLandscape().fit(ReplayLog.from_frame(frame)).win_probability(200) == pytest.approx(1.0)


def test_one_bidder_is_set_beside_a_linear_bid(frame):
    found = simulate(MCPCBidder(), Held(frame), Split(), 0, NullReporter())
    assert found.recipe == "bidding.replay"
    assert list(found.tables["comparison"]["bidder"]) == ["Linear", "MCPC"]
    assert isinstance(found.estimator, MCPCBidder)


def test_columns_are_found_by_role(frame):
    named = frame.rename(columns={"price": "payprice", "pctr": "guess"})
    roles = {"price": ["payprice"], "pctr": ["guess"], "label": ["click"]}
    plan = ReplayComparison(bidders="MCPC", episode=300)
    assert replay(plan, Held(named, roles), Split(), 0, NullReporter()).scores["cost"] > 0
    assert is_replay(frame.columns)
    assert not is_replay([*frame.columns, "merchant"])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(REPLAY_BIDDERS)))
def test_every_bidder_named_can_be_run(frame, name):
    plan = ReplayComparison(bidders=name, episode=300, budget_fraction=0.1, random_state=0)
    found = replay(plan, Held(frame), Split(), 0, NullReporter())
    assert 0 < found.scores["cost"] <= found.tables["comparison"]["cost"].iloc[0]


def test_what_cannot_be_replayed_is_one_sentence(frame, log):
    def run(plan, table=frame):
        return replay(plan, Held(table), Split(), 0, NullReporter())

    with pytest.raises(UsageError, match="There is no bidder 'Best'; choose from MCPC"):
        run(ReplayComparison(bidders="Best"))
    with pytest.raises(UsageError, match="Name at least one bidder"):
        run(ReplayComparison(bidders=" , "))
    coins = frame.assign(price=frame["price"] + 0.5)
    with pytest.raises(DatasetError, match=r"^Row 1: price is [0-9.]+; SS-MDP and RLB count money in whole"):
        run(ReplayComparison(bidders="RLB"), coins)
    with pytest.raises(UsageError, match="more than the 50,000,000 values that dynamic programming can hold"):
        RLBBidder(horizon=10_000).fit(ReplayMarket(ReplayLog.from_frame(frame), 1e5))
    spoilt = frame.assign(price=frame["price"].where(frame.index != 41))
    with pytest.raises(DatasetError, match=r"^Row 42: price is missing"):
        run(ReplayComparison(bidders="MCPC"), spoilt)
    free = frame.assign(price=0.0)
    with pytest.raises(DatasetError, match=r"^All prices are zero or missing"):
        run(ReplayComparison(bidders="MCPC"), free)
    lost = spoilt.assign(bid=5.0)
    with pytest.raises(DatasetError, match=r"^Row \d+: the price is unknown, so a win cannot be replayed"):
        run(ReplayComparison(bidders="MCPC"), lost)
    with pytest.raises(DatasetError, match=r"^ManualBidder bids for the merchants of a market"):
        replay(ManualBidder(), Held(frame), Split(), 0, NullReporter())
    with pytest.raises(DatasetError, match=r"compare bidders on it with bidding\.ReplayComparison"):
        simulate(MarketComparison(), Held(frame), Split(), 0, NullReporter())
    with pytest.raises(DatasetError, match=r"compare bidders on it with bidding\.MarketComparison"):
        replay(PLAN, Held(log.to_frame().assign(click=0)), Split(), 0, NullReporter())
    # A bidder of both forms is asked to do what the log says.
    assert IQLBidder._recipe == "bidding.simulate"
