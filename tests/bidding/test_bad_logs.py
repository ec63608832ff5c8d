"""What cannot be used is said in one sentence with its row: in Python, in a run, on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import workbench as wb
from workbench.arrays import Split, TableData
from workbench.bidding import (
    AuctionMarket,
    BidLog,
    LinearBidder,
    MarketComparison,
    ORTBBidder,
    PIDBidder,
    ReplayComparison,
    ReplayLog,
    ReplayMarket,
    RLBBidder,
)
from workbench.bidding.recipe import simulate
from workbench.errors import DatasetError, UsageError
from workbench.report import NullReporter

#: Column, row (from 0), what stands there, and what is said.
FAULTS = [
    ("bid", 7, -1.0, r"Row 8: bid is negative \(-1\); it must be at least 0\."),
    ("bid", 7, np.nan, r"Row 8: bid is missing; it must be a number\."),
    ("bid", 7, np.inf, r"Row 8: bid is infinite; it must be a number\."),
    ("pctr", 3, 1.5, r"Row 4: pctr is 1.5, outside \[0, 1\]; give a probability\."),
    ("pcvr", 3, -0.1, r"Row 4: pcvr is negative \(-0.1\); it must be at least 0\."),
    ("ppb", 0, np.nan, r"Row 1: ppb is missing; it must be a number\."),
    ("merchant", 5, None, r"Row 6: merchant is missing; request 0 has no candidate\."),
    (
        "hour",
        slice(16, 24),
        0.0,
        r"Row 17: the clock goes backwards \(hour 0 after [0-9.]+\); sort the log by time\.",
    ),
]


class Held:
    ref = "log@1"

    def __init__(self, frame):
        self._table = TableData(frame, None, None, {})

    def to_table(self):
        return self._table


def spoilt(log, name, row, value):
    frame = log.to_frame()
    frame[name] = frame[name].astype(object)
    frame.iloc[row, frame.columns.get_loc(name)] = value
    return frame


@pytest.mark.parametrize(("name", "row", "value", "sentence"), FAULTS)
def test_a_log_in_python_and_in_a_run(log, name, row, value, sentence):
    frame = spoilt(log, name, row, value)
    with pytest.raises(DatasetError, match=f"^{sentence}$"):
        BidLog.from_frame(frame)
    with pytest.raises(DatasetError, match=f"^{sentence}$"):
        simulate(MarketComparison(bidders="Manual"), Held(frame), Split(), 0, NullReporter())


def test_bids_of_nothing_and_free_auctions(log):
    with pytest.raises(DatasetError, match=r"^All bids are zero, so that nothing would be sold"):
        BidLog.from_frame(log.to_frame().assign(bid=0.0))
    with pytest.raises(DatasetError, match=r"^All prices are zero or missing"):
        ReplayLog(price=np.zeros(3), pctr=np.full(3, 0.1), click=np.zeros(3))


def test_budgets_and_merchants(log):
    budgets = np.ones(log.n_merchants)
    budgets[4] = 0.0
    for given, sentence in (
        (budgets, "Row 5: the budget of merchant 'm04' is 0; it must be above 0"),
        ({"m03": 0.0}, "Row 4: the budget of merchant 'm03' is 0; it must be above 0"),
        ({"nobody": 1.0}, "The merchant 'nobody' is not in the log"),
    ):
        with pytest.raises(DatasetError, match=f"^{sentence}"):
            AuctionMarket(log, budgets=given)
    with pytest.raises(UsageError, match=r"^The budget must be above 0, not 0"):
        ReplayMarket(AuctionMarket(log).replay("m03"), budget=0.0)
    with pytest.raises(DatasetError, match=r"^The merchant 'nobody' is not in the log"):
        AuctionMarket(log).replay("nobody")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"budget": "ten"}, "The budget must be above 0, not ten"),
        ({"budget": np.nan}, "The budget must be above 0, not nan"),
        ({"episode": 0}, "episode must be a number of auctions of at least 1, not 0"),
        ({"episode": 2.5}, "episode must be a number of auctions of at least 1, not 2.5"),
        ({"max_bid": -1.0}, "max_bid must be at least 0, not -1.0"),
    ],
)
def test_replays_that_cannot_be(log, options, sentence):
    with pytest.raises(UsageError, match=f"^{sentence}"):
        ReplayMarket(AuctionMarket(log).replay("m03"), **options)


def test_replays_in_which_nothing_is_worth_a_bid_or_no_click_is_known():
    rng = np.random.default_rng(0)
    price, pctr = rng.integers(1, 80, 300).astype(float), rng.beta(1, 50, 300)
    dull = ReplayMarket(ReplayLog(price=price, pctr=np.zeros(300), click=np.ones(300)), budget=500.0)
    for bidder in (LinearBidder(), ORTBBidder(), PIDBidder(target=100.0, base_bid=10.0)):
        with pytest.raises(DatasetError, match=r"^All pctr are 0, so that no auction is worth a bid"):
            bidder.fit(dull)
    unclicked = ReplayLog(price=price, pctr=pctr, click=np.zeros(300))
    with pytest.raises(DatasetError, match=r"hold no click.*: give target_cpc, or leave MCPC, M-PID out\.$"):
        ReplayComparison(bidders="Linear, MCPC, M-PID").fit(unclicked)
    # Who needs no price of a click bids all the same; and no budget is too large for the coins it can spend.
    ReplayComparison(bidders="Linear, ORTB, RLB", episode=100).fit(unclicked)
    rich = ReplayMarket(unclicked, budget=1e12, episode=100)
    out = RLBBidder(horizon=100, max_price=80).fit(rich).simulate(rich)
    assert out.impressions == 300
    assert out.cost == price.sum()


def test_tables_in_the_place_of_logs(log):
    frame = log.to_frame()
    for make, sentence in (
        (AuctionMarket, "A market takes a BidLog, not DataFrame; BidLog.from_frame reads a table"),
        (ReplayMarket, "A replay takes a ReplayLog, not DataFrame; ReplayLog.from_frame reads a table"),
    ):
        with pytest.raises(DatasetError, match=f"^{sentence}"):
            make(frame)
    for read in (BidLog.from_frame, ReplayLog.from_frame):
        with pytest.raises(DatasetError, match=r"^A log is read from a DataFrame, not list\."):
            read([1, 2])
    with pytest.raises(UsageError, match=r"^reserve must be a number of at least 0, not 'x'"):
        AuctionMarket(log, reserve="x")
    # A share may be any kind of number.
    share = AuctionMarket(log, budgets=np.float32(0.5)).budgets
    np.testing.assert_allclose(share, AuctionMarket(log, budgets=0.5).budgets)


def test_bids_and_factors_made_by_a_policy(log):
    market = AuctionMarket(log)
    bids = log.bid.copy()
    bids[9] = -2.0
    with pytest.raises(DatasetError, match=r"^Row 10: bid is negative \(-2\)"):
        market.run(bids)
    factors = np.ones(log.n_merchants)
    factors[2] = np.nan
    with pytest.raises(DatasetError, match=r"^Row 3: factor is missing"):
        market.run(factors)
    with pytest.raises(DatasetError, match=r"^Row 1: bid is negative"):
        ReplayMarket(market.replay("m03")).run(-1.0)


@pytest.mark.slow
def test_the_command_line_says_the_same(log, tmp_path):
    def call(*words):
        command = [sys.executable, "-m", "workbench", "--store", str(tmp_path / "store"), *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    log.to_frame().assign(pctr=2.0).to_csv(tmp_path / "log.csv", index=False)
    assert call("data", "import", "log.csv").returncode == 0
    refused = call(
        "submit", "--estimator", "bidding.MarketComparison", "--data", "log", "--param", "budget_fraction=0"
    )
    assert refused.returncode != 0
    assert "budget_fraction" in refused.stderr
    assert "Traceback" not in refused.stderr
    sent = call(
        "submit",
        "--estimator",
        "bidding.MarketComparison",
        "--data",
        "log",
        "--param",
        "bidders=Manual",
        "--json",
    )
    assert sent.returncode == 0, sent.stderr
    run = wb.open(tmp_path / "store").run(json.loads(sent.stdout)["id"])
    subprocess.run(
        [sys.executable, "-m", "workbench", "run", str(run.folder)], capture_output=True, text=True
    )
    result = json.loads((run.folder / "result.json").read_text())
    assert result["error"] == "Row 1: pctr is 2, outside [0, 1]; give a probability."
