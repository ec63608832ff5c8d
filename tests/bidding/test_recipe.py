"""A bidding run from a table to a report and its figures."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.arrays import Split, TableData
from workbench.bidding import BidLog, DCMABBidder, MarketComparison
from workbench.bidding.recipe import log_of, simulate
from workbench.errors import DatasetError, UsageError
from workbench.plots.bidding import figures
from workbench.report import NullReporter, Report


class Held:
    """A data set that holds one table."""

    ref = "log@1"

    def __init__(self, frame, split=None, roles=None):
        self._table = TableData(frame, None, split, roles or {})

    def to_table(self):
        return self._table


@pytest.fixture(scope="module")
def report(log):
    plan = MarketComparison(bidders="Manual, UniformScale, PID, A2C", n_episodes=2, bratio_mode="none")
    return simulate(plan, Held(log.to_frame()), Split(), 0, NullReporter())


def test_report_holds_what_the_page_draws(report, tmp_path):
    assert report.scores["gmv_UniformScale"] > report.scores["gmv_Manual"]
    table = report.tables["comparison"]
    assert set(table["bidder"]) == {"Manual", "UniformScale", "PID", "A2C"}
    for _, rows in table.groupby("bidder"):
        clusters, total = rows[rows["cluster"] != "total"], rows[rows["cluster"] == "total"].iloc[0]
        assert clusters["gmv"].sum() == pytest.approx(total["gmv"])
        assert clusters["merchants"].sum() == total["merchants"] == 20
    sweep = report.tables["budget_sweep"].set_index(["bidder", "fraction"])["gmv"]
    # With the whole budget manual bids reach what they reach without one; the uniform factor does not care.
    assert sweep["Manual", 1.0] == pytest.approx(report.scores["unlimited_manual_gmv"], rel=0.02)
    assert len(report.tables["actions"]) == 27
    report.save(tmp_path)
    assert Report.load(tmp_path).scores.keys() == report.scores.keys()


def test_figures_are_drawn_from_the_saved_report(report, tmp_path):
    report.save(tmp_path)
    drawn = figures(Report.load(tmp_path))
    assert set(drawn) == {
        "comparison",
        "spend",
        "budget_sweep",
        "landscape",
        "winners",
        "learning",
        "actions",
    }
    for figure in drawn.values():
        assert isinstance(figure, go.Figure)
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text
    bars = {(bar.name, x): y for bar in drawn["comparison"].data for x, y in zip(bar.x, bar.y, strict=True)}
    manual = sum(y for (_, x), y in bars.items() if x == "Manual")
    assert manual == pytest.approx(report.scores["gmv_Manual"])


def test_one_bidder_is_set_beside_manual_and_uniform(log):
    bidder = DCMABBidder(n_episodes=2, n_workers=1, updates_per_interval=1, batch_size=2)
    report = simulate(bidder, Held(log.to_frame()), Split(), 3, NullReporter())
    assert set(report.tables["comparison"]["bidder"]) == {"Manual", "UniformScale", "DCMAB"}
    assert isinstance(report.estimator, DCMABBidder)
    again = simulate(bidder, Held(log.to_frame()), Split(), 3, NullReporter())
    assert again.scores == pytest.approx(report.scores)
    assert all(np.isfinite(value) for value in report.scores.values())
    assert 1 < report.scores["depth"] <= 8


def test_other_names_by_role_and_a_split_column(log):
    frame = log.to_frame().rename(columns={"merchant": "shop", "bid": "cpc", "request": "auction"})
    roles = {"candidate": ["shop"], "bid": ["cpc"], "request": ["auction"], "pctr": ["pctr"]}
    day = np.where(log.request_of < 120, "train", "test").astype(object)
    found, split = log_of(TableData(frame, None, day, roles))
    assert isinstance(found, BidLog)
    np.testing.assert_array_equal(found.bid, log.bid)
    assert (split == "train").sum() == 120


def test_bad_tables_and_names_are_said_in_one_sentence(log):
    single = log.to_frame().rename(columns={"merchant": "m", "bid": "click"})
    with pytest.raises(DatasetError, match="one bidder's log"):
        simulate(MarketComparison(), Held(single), Split(), 0, NullReporter())
    with pytest.raises(UsageError, match="There is no bidder 'Best'"):
        simulate(MarketComparison(bidders="Best"), Held(log.to_frame()), Split(), 0, NullReporter())
    with pytest.raises(DatasetError, match="no column 'ppb'"):
        simulate(MarketComparison(), Held(log.to_frame().drop(columns="ppb")), Split(), 0, NullReporter())
