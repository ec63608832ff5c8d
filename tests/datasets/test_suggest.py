"""What data are like in time, and the preparations that are suggested for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.datasets.prepare import Preparation
from workbench.datasets.prepare.suggest import applicable, in_words, rhythm, suggest


@pytest.fixture(scope="module")
def datasets(shared):
    return shared


def test_the_rhythm_of_a_recording(datasets):
    times = list(pd.date_range("2024-01-01", periods=100, freq="5min").delete([50, 51]))
    times += [times[3], times[3], times[10] + pd.Timedelta("1min")]
    frame = pd.DataFrame({"time": times, "v": 1.0})
    frame.loc[0, "v"] = np.nan
    found = rhythm(datasets.publish_frame(frame, "rhythm"))
    assert (found.step, found.duplicates, found.gaps, found.n_series) == ("5 min", 2, 1, 1)
    assert found.uneven == 2  # one minute on, and four to the next
    assert found.missing == pytest.approx(1 / 101)


def test_the_rhythm_is_that_of_each_series_apart(datasets):
    frame = pd.DataFrame({"series_id": ["a", "b"] * 5, "time": np.repeat(np.arange(5) * 10, 2), "v": 1})
    found = rhythm(datasets.publish_frame(frame, "apart"))
    assert (found.step, found.duplicates, found.gaps, found.n_series) == (10, 0, 0, 2)


def test_a_table_has_no_rhythm(datasets):
    assert rhythm(datasets.publish_frame(pd.DataFrame({"a": [1]}), "still")) is None


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (300e6, "5 min"),
        (86400e6, "1 day"),
        (172800e6, "2 days"),
        (90e6, "90 s"),
        (1500, "1500 us"),
        (5e3, "5 ms"),
    ],
)
def test_durations_in_words(span, words):
    from workbench.datasets.prepare.step import parse_span

    assert in_words(span) == words
    assert parse_span(words) == span


def test_every_suggestion_can_be_applied(datasets):
    rng = np.random.default_rng(0)
    n = 400
    messy = pd.DataFrame(
        {"time": pd.date_range("2024-01-01", periods=n, freq="1min"), "v": rng.normal(size=n)}
    )
    messy = pd.concat([messy.drop(index=range(90, 95)), messy.head(2)])
    log = pd.DataFrame(
        {
            "user": rng.integers(0, 5, n),
            "item": rng.integers(0, 50, n),
            "time": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(np.sort(rng.integers(0, 10**5, n)), unit="s"),
            "note": [f"the {a} and the {b}" for a, b in rng.integers(0, 50, (n, 2))],
        }
    )
    for name, frame, expected in (
        ("messy", messy, {"Make it regular", "Regular windows, split by time"}),
        ("log of shop", log, {"Sessions, split by time", "Words of note as numbers"}),
    ):
        dataset = datasets.publish_frame(frame, name)
        found = suggest(dataset, rhythm(dataset))
        assert set(found) == expected
        for title, steps in found.items():
            assert {type(step) for step in steps} <= set(applicable(dataset))
            made = Preparation(steps).apply(dataset, f"{name} made")
            assert made.n_rows > 0, title
    windows = datasets.get("messy made").to_series()
    assert not np.isnan(windows.X).any()
    assert set(windows.split) == {"train", "test"}
