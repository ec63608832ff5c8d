"""What labels are given to: coordinates, clusters, rows, recordings, stretches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist

from workbench.datasets import points
from workbench.errors import DatasetError, UsageError


@pytest.fixture(scope="module")
def datasets(shared):
    return shared


def test_coordinates_of_rows(datasets):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2)) @ [[2, 1], [0, 0.1]]
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(word="w", kind=[None, 1, 2] * 20)
    frame.loc[5, "a"] = np.nan
    dataset = datasets.publish_frame(frame, "points", {"field": ["a", "b"], "label": "kind"})
    found = points.coordinates(dataset)
    assert list(found) == ["id", "label", *points.MAP, "a", "b"]
    assert found["id"].tolist() == list(range(60))
    assert found["label"].isna().sum() == 20
    np.testing.assert_allclose(found["b"], frame["b"])
    # In two dimensions the map only turns the standardised points: their distances stay.
    Z = (frame[["a", "b"]] - frame[["a", "b"]].mean()) / frame[["a", "b"]].std(ddof=0)
    kept = found.index != 5
    ours, theirs = pdist(found.loc[kept, list(points.MAP)]), pdist(Z[kept])
    np.testing.assert_allclose(ours, theirs, rtol=0.05)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999


def test_coordinates_of_many_rows_are_thinned(datasets):
    dataset = datasets.publish_frame(pd.DataFrame({"x": np.arange(1000.0)}), "many points")
    found = points.coordinates(dataset, limit=300)
    assert len(found) <= 300
    assert found["id"].tolist() == found["x"].tolist()
    assert set(np.diff(found["id"])) == {4}


def test_coordinates_of_series_with_unequal_lengths(datasets):
    frame = pd.DataFrame(
        {"series_id": ["a", "a", "b", "b", "b"], "time": [0, 1, 0, 1, 2], "v": [1.0, 3.0, 5.0, np.nan, 7.0]}
    )
    found = points.coordinates(datasets.publish_frame(frame, "uneven points")).set_index("id")
    assert found.loc["a", ["mean", "sd", "min", "max"]].tolist() == [2, 1, 1, 3]
    assert found.loc["b", ["mean", "sd", "min", "max"]].tolist() == [6, 1, 5, 7]
    assert np.isfinite(found[list(points.MAP)].to_numpy(float)).all()


def test_a_table_of_words_has_no_points(datasets):
    with pytest.raises(DatasetError, match="no columns of numbers"):
        points.coordinates(datasets.publish_frame(pd.DataFrame({"w": ["a"]}), "words only"))


def test_clusters_are_found_whatever_the_scales():
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], [30, 20, 10])
    x = truth * 1000 + rng.normal(size=60)
    y = np.array([0.0, 0.01, 0.0])[truth] + rng.normal(0, 1e-4, 60)
    x[0] = np.nan
    found = points.clusters(x, y, 3)
    assert found[0] == -1
    assert found[1:].tolist() == truth[1:].tolist()  # the largest comes first
    with pytest.raises(UsageError, match="from 2 to 59"):
        points.clusters(x, y, 60)


def test_rows_are_found_by_what_they_contain(datasets):
    frame = pd.DataFrame({"name": ["Ann", "bob", None, "ANNA"], "row": [9, 8, 7, 6]})
    dataset = datasets.publish_frame(frame, "people")
    found, n = points.rows(dataset, "name", "ann")
    assert n == 2
    assert found["row number"].tolist() == [0, 3]
    assert points.rows(dataset, "name")[0]["row number"].tolist() == [2]
    page, n = points.rows(dataset, limit=1, offset=2)
    assert n == 4
    assert page["row"].tolist() == [7]
    with pytest.raises(DatasetError, match=r'has no column .x" OR'):
        points.rows(dataset, 'x" OR 1=1')


def test_a_long_recording_keeps_its_peaks(datasets):
    n = 20_000
    values = np.sin(np.arange(n) / 50)
    values[12_345], values[777] = 99, -99
    values[3] = np.nan
    frame = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=n, freq="s"), "v": values, "w": 1.0})
    dataset = datasets.publish_frame(frame, "peaks", {"time": "time", "value": ["v", "w"]})
    found = points.recording(dataset, limit=1000)
    assert len(found) <= 1100
    assert {99, -99} <= set(found["v"])
    assert found["time"].is_monotonic_increasing
    whole = points.recording(dataset, limit=n)
    pd.testing.assert_series_equal(whole["v"], frame["v"], check_dtype=False)


def test_a_series_of_several(datasets):
    frame = pd.DataFrame(
        {"series_id": ["a'b"] * 3 + ["c"] * 2, "time": [2, 0, 1, 0, 1], "v": [3.0, 1, 2, 9, 8]}
    )
    dataset = datasets.publish_frame(frame, "one of two")
    assert points.recording(dataset, "a'b")["v"].tolist() == [1, 2, 3]
    assert len(points.recording(dataset, "a'b", limit=2)) <= 3
    assert points.series_names(dataset) == ["a'b", "c"]
    with pytest.raises(DatasetError, match="no series 'z'"):
        points.recording(dataset, "z")


def test_channels_in_rows_become_columns(datasets):
    frame = pd.DataFrame(
        {
            "time": [0, 0, 1, 1],
            "channel": ["p", "q", "p", "q"],
            "value": [1.0, 2, 3, 4],
            "label": ["n", "n", None, None],
        }
    )
    roles = {"time": "time", "channel": "channel", "value": "value", "label": "label"}
    found = points.recording(datasets.publish_frame(frame, "channels in rows", roles))
    assert found["p"].tolist() == [1, 3]
    assert found["q"].tolist() == [2, 4]
    assert found["label"].tolist()[0] == "n"


def test_stretches_of_equal_labels():
    labels = pd.Series([None, "a", "a", "b", None, "b"], dtype=object)
    assert points.intervals(pd.Series(range(6)), labels) == [(1, 2, "a"), (3, 3, "b"), (5, 5, "b")]
    assert points.intervals(pd.Series([0.0]), pd.Series([np.nan])) == []


def test_labels_are_counted_by_series(datasets):
    dataset = datasets.publish_arrays(np.zeros((4, 3, 1)), ["a", "b", "a", "a"], name="counted")
    found = points.counts(dataset.set_labels({0: None}))
    assert dict(zip(found["label"], found["n"], strict=True)) == {"a": 2, "b": 1, None: 1}
    assert points.counts(datasets.publish_arrays(np.zeros((4, 3, 1)), name="bare"))["n"].tolist() == [4]
