"""Logs and their readers: what is read is what was written, and bad rows are named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.bidding import BidLog, PriceLandscape, ReplayLog, read_campaign_info, read_replay
from workbench.bidding.readers import read_traffic_share
from workbench.errors import DatasetError, ImportFailed


def test_frame_round_trip(log):
    again = BidLog.from_frame(log.to_frame())
    for name in ("indptr", "hour", "merchant", "bid", "pctr", "pcvr", "ppb"):
        np.testing.assert_array_equal(getattr(again, name), getattr(log, name))
    assert list(again.consumers[again.consumer]) == list(log.consumers[log.consumer])


def test_select_keeps_the_chosen_requests(log):
    frame = log.to_frame()
    expected = frame[frame["request"].isin([3, 77, 150])].drop(columns="request").reset_index(drop=True)
    part = log.select([3, 77, 150]).to_frame().drop(columns="request")
    assert part.equals(expected)


@pytest.mark.parametrize(
    ("name", "row", "value", "sentence"),
    [
        ("bid", 4, -0.5, "Row 5: bid is negative"),
        ("bid", 4, np.nan, "Row 5: bid is missing"),
        ("ppb", 9, np.inf, "Row 10: ppb is infinite"),
        ("pctr", 2, 1.2, r"Row 3: pctr is 1.2, outside \[0, 1\]"),
        ("pcvr", 0, -0.1, "Row 1: pcvr is negative"),
        ("merchant", 6, None, "Row 7: merchant is missing; request 0 has no candidate"),
        ("hour", 8, 0.0, "Row 9: hour differs"),
        ("consumer", 1, None, "Row 2: consumer is missing"),
        ("request", 12, 0, "Row 13: request 0 was already closed"),
    ],
)
def test_a_bad_row_is_named(log, name, row, value, sentence):
    frame = log.to_frame().head(40)
    if value is None:
        frame[name] = frame[name].astype(object)
    frame.loc[row, name] = value
    if name == "hour":
        frame["hour"] += 1.0
        frame.loc[row, "hour"] = value
        row_of_request = frame["request"] == frame["request"].iloc[row]
        assert row_of_request.sum() > 1
        frame.loc[row_of_request.idxmax(), "hour"] = frame["hour"].max()
        sentence = "hour differs from that of the request's first row"
    with pytest.raises(DatasetError, match=sentence):
        BidLog.from_frame(frame)


def test_text_in_a_number_column_is_named(log):
    frame = log.to_frame().head(16)
    frame["bid"] = frame["bid"].astype(object)
    frame.loc[3, "bid"] = "a lot"
    with pytest.raises(DatasetError, match="Row 4: bid is 'a lot'; it must be a number"):
        BidLog.from_frame(frame)


def test_a_clock_going_backwards_is_named(log):
    frame = log.to_frame().head(24)
    frame.loc[frame["request"] == 2, "hour"] = -0.0
    frame.loc[frame["request"] < 2, "hour"] = 1.0
    with pytest.raises(DatasetError, match="Row 17: the clock goes backwards"):
        BidLog.from_frame(frame)


def test_missing_column_and_empty_request(log):
    with pytest.raises(DatasetError, match="no column 'pcvr'"):
        BidLog.from_frame(log.to_frame().drop(columns="pcvr"))
    parts = {name: getattr(log, name) for name in BidLog.__dataclass_fields__}
    parts["indptr"] = np.r_[0, 0, log.indptr[2:]]
    with pytest.raises(DatasetError, match="Request 1 has no candidate"):
        BidLog(**parts)


def test_unknown_merchant_is_named(log):
    with pytest.raises(DatasetError, match="merchant 'nobody' is not in the log"):
        log.merchant_codes(["m01", "nobody"])


def replay(price, **more):
    n = len(price)
    return ReplayLog(price=np.array(price, float), pctr=np.full(n, 0.1), click=np.zeros(n), **more)


def test_replay_logs_refuse_what_cannot_be():
    with pytest.raises(DatasetError, match="All prices are zero"):
        replay([0.0, 0.0])
    with pytest.raises(DatasetError, match="Row 2: price is negative"):
        replay([1.0, -2.0])
    with pytest.raises(DatasetError, match="Row 2: price is missing; give the bids"):
        replay([1.0, np.nan])
    with pytest.raises(DatasetError, match="Row 3: the clock goes backwards"):
        replay([1.0, 2.0, 3.0], hour=np.array([0.0, 2.0, 1.0]))
    with pytest.raises(DatasetError, match="has no auction"):
        replay([])


def test_kaplan_meier_against_a_table_worked_by_hand():
    # Known prices 2, 4, 4, 7; lost with bids 3, 4 and 9. At risk at 2: 7, at 4: 5, at 7: 2.
    log = replay([2, 4, 4, 7, np.nan, np.nan, np.nan], bid=np.array([9, 9, 9, 9, 3, 4, 9.0]))
    found = PriceLandscape().fit(log)
    np.testing.assert_array_equal(found.prices_, [2, 4, 7])
    np.testing.assert_allclose(found.survival_, [6 / 7, 6 / 7 * 3 / 5, 6 / 7 * 3 / 5 * 1 / 2])
    np.testing.assert_allclose(found.win_probability([1.9, 2, 6.9, 100]), [0, 1 / 7, 1 - 18 / 35, 1 - 9 / 35])


def test_censoring_is_undone_where_counting_wins_alone_is_biased():
    rng = np.random.default_rng(1)
    price = rng.integers(1, 100, 40_000).astype(float)
    full = replay(price, bid=np.full(40_000, 1000.0))
    seen = full.censor(rng.integers(1, 100, 40_000))
    truth = PriceLandscape().fit(full).win_probability(50)
    assert abs(PriceLandscape().fit(seen).win_probability(50) - truth) < 0.01
    assert (seen.price[seen.won] <= 50).mean() - truth > 0.15


def test_expected_cost_and_histograms():
    found = PriceLandscape.from_counts([0, 2, 0, 6])
    np.testing.assert_allclose(found.win_probability([0, 1, 2, 3]), [0, 0.25, 0.25, 1])
    np.testing.assert_allclose(found.expected_cost([0, 1, 3]), [0, 0.25, 0.25 + 3 * 0.75])
    np.testing.assert_allclose(PriceLandscape.from_counts([0, 2], smoothing=1).pmf(), [0.25, 0.75])


def test_readers_of_text(tmp_path):
    file = tmp_path / "a.theta.txt"
    file.write_text("0 70 0.002\n1\t6\t0.5\t17\n\n0 300 1\n")
    log = read_replay(file)
    np.testing.assert_array_equal(log.price, [70, 6, 300])
    np.testing.assert_array_equal(log.click, [0, 1, 0])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 70 0.1\n0 7\n", "line 2: a line has click, price and pctr, not 2 values"),
        ("0 70 0.1\n0 x 0.1\n", "line 2: '0 x 0.1' are not three numbers"),
        ("0 70 0.1\n0 -3 0.1\n", "line 2: price is negative"),
        ("0 70 1.5\n", "line 1: pctr is 1.5"),
        ("0 70 12:1 99:1\n", "line 1: the third value is a feature"),
        ("", "the file is empty"),
        ("0 0 0.1\n", "All prices are zero"),
    ],
)
def test_bad_text_is_named_by_line(tmp_path, text, sentence):
    file = tmp_path / "bad.txt"
    file.write_text(text)
    with pytest.raises(ImportFailed, match=sentence):
        read_replay(file)


def test_campaign_info_and_traffic(tmp_path):
    file = tmp_path / "info.json"
    file.write_text(
        json.dumps({"imp_train": 3, "cost_train": 5, "clk_train": 1, "price_counter_train": [0, 1, 2]})
    )
    np.testing.assert_array_equal(read_campaign_info(file)["price_counter_train"], [0, 1, 2])
    file.write_text('{"imp_train": 3}')
    with pytest.raises(ImportFailed, match="'cost_train' is missing"):
        read_campaign_info(file)
    file.write_text("{")
    with pytest.raises(ImportFailed, match="line 1: not JSON"):
        read_campaign_info(file)
    shares = tmp_path / "share.csv"
    shares.write_text("region_id,dow,hour,traffic_share\n1,1,0,0.5\n1,1,24,0.5\n")
    with pytest.raises(ImportFailed, match="line 3: hour is 24"):
        read_traffic_share(shares)
