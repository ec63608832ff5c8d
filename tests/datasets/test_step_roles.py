"""Roles that say something of single steps, or of where a series comes from."""

import numpy as np
import pandas as pd
import pytest

from workbench.datasets import roles
from workbench.datasets.files import Column
from workbench.errors import DatasetError


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "series_id": ["a"] * 3 + ["b"] * 2,
            "time": [1, 2, 3, 1, 2],
            "x": [1.0, 2.0, np.nan, 4.0, 5.0],
            "holiday": [0, 1, 0, 1, 1],
            "domain": ["Source"] * 3 + ["target"] * 2,
            "anomaly": [0, 1, 0, None, 1],
        }
    )


def test_domain_anomaly_and_columns_known_ahead_are_read_beside_the_series(store, frame):
    data = store.datasets.publish_frame(frame, "steps")
    assert data.roles["anomaly"] == ["anomaly"]
    assert data.roles["domain"] == ["domain"]
    data = data.set_roles({**data.roles, "value": "x", "exogenous": "holiday"})
    series = data.to_series()
    assert series.channels == ("x",)
    assert series.domain.tolist() == ["source", "target"]
    assert series.anomaly.tolist() == [[False, True, False], [False, True, False]]
    np.testing.assert_array_equal(series.exogenous[:, :, 0], [[0, 1, 0], [1, 1, np.nan]])
    one = data.series(["b"])
    assert one.domain.tolist() == ["target"]
    assert one.anomaly.tolist() == [[False, True]]
    np.testing.assert_array_equal(one.exogenous[0, :, 0], [1, 1])


def test_words_mark_steps_too(store, frame):
    words = frame.assign(anomaly=["normal", "spike", "", "No", None])
    series = store.datasets.publish_frame(words, "words").to_series()
    assert series.anomaly.tolist() == [[False, True, False], [False, False, False]]


def test_a_domain_is_of_a_whole_series(store, frame):
    mixed = frame.assign(domain=["source", "target", "source", "target", "target"])
    with pytest.raises(DatasetError, match=r"The domain .* varies within the series 'a'"):
        store.datasets.publish_frame(mixed, "mixed").to_series()


def test_what_marks_steps_needs_steps():
    columns = [Column("x", "DOUBLE"), Column("mark", "INTEGER")]
    with pytest.raises(DatasetError, match="The role 'anomaly' needs a table with one row a step"):
        roles.check({"value": "x", "anomaly": "mark"}, columns)
    assert "anomaly" not in roles.guess([Column("anomaly", "INTEGER"), Column("size", "DOUBLE")])


@pytest.mark.parametrize(
    "kind", ["datetime64[s]", "datetime64[us, Europe/Berlin]", "datetime64[ns]", "date", "fully long"]
)
def test_dated_steps_have_their_times_in_order(store, kind):
    times = pd.Series(pd.to_datetime(["2026-03-03", "2026-03-01", "2026-03-02", "2026-04-01"]))
    expected = [["2026-03-01", "2026-03-02", "2026-03-03"], ["2026-04-01"]]
    frame = pd.DataFrame({"series_id": ["1", "1", "1", "2"], "time": times, "x": [3.0, 1.0, 2.0, 4.0]})
    if kind == "date":
        frame["time"] = times.dt.date
    elif kind == "fully long":
        frame = pd.concat([frame.assign(channel=name) for name in "ab"])
    elif "Berlin" in kind:
        frame["time"] = times.dt.tz_localize("UTC").astype(kind)
    else:
        frame["time"] = times.astype(kind)
    roles = {"series_id": "series_id", "time": "time", "value": "x"}
    roles |= {"channel": "channel"} if kind == "fully long" else {}
    data = store.datasets.publish_frame(frame, "dated", roles)
    assert [[f"{time:%Y-%m-%d}" for time in data.times(name)] for name in ("1", "2")] == expected


def test_the_one_series_of_a_recording_is_called_0(store):
    data = store.datasets.publish_frame(pd.DataFrame({"time": range(4), "x": np.arange(4.0)}), "recording")
    assert data.series_index()["id"].tolist() == [0]
    np.testing.assert_array_equal(data.series([0]).X, data.to_series().X)
    with pytest.raises(DatasetError, match="one series, called 0"):
        data.series([1])


def test_counted_steps_have_no_times(store, frame):
    assert store.datasets.publish_frame(frame, "counted").times("a") is None
