"""Labels by hand, and looking after versions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from tests.datasets.conftest import leftovers
from workbench.datasets.care import ks, psi
from workbench.errors import DatasetError, UsageError


@pytest.fixture(scope="module")
def datasets(shared):
    return shared


X = np.arange(24.0).reshape(4, 3, 2)


def test_labels_of_series_are_partial_and_add_up(datasets):
    plain = datasets.publish_arrays(X, name="plain")
    first = plain.set_labels({1: "odd", 3: "odd"})
    assert first.to_series().y.tolist() == [None, "odd", None, "odd"]
    second = first.set_labels({0: "even", 3: None})
    assert second.to_series().y.tolist() == ["even", "odd", None, None]
    assert (second.ref, second.parent, second.importer) == ("plain@3", "plain@2", "labels")
    np.testing.assert_array_equal(second.to_series().X, X)
    assert plain.to_series().y is None
    assert second.series([1]).y.tolist() == ["odd"]


def test_label_types(datasets):
    numbers = datasets.publish_arrays(X, [0, 1, 0, 1], name="numbers")
    assert numbers.set_labels({0: 2}).to_series().y.tolist() == [2, 1, 0, 1]
    assert numbers.set_labels({0: 0.5}).to_series().y.tolist() == [0.5, 1, 0, 1]
    np.testing.assert_array_equal(numbers.set_labels({0: None}).to_series().y, [np.nan, 1, 0, 1])
    assert numbers.set_labels({0: "it's"}).to_series().y.tolist() == ["it's", "1", "0", "1"]


def test_labels_of_intervals_and_rows(datasets):
    times = pd.date_range("2024-01-01", periods=6, freq="h")
    frame = pd.DataFrame({"time": times, "x": np.arange(6.0)})
    recording = datasets.publish_frame(frame, "recording")
    made = recording.set_labels(
        intervals=[(None, times[1], times[4], "fault"), (None, times[3], times[5], "check")]
    )
    assert made.frame(["label"])["label"].fillna("").tolist() == ["", "fault", "fault", "check", "check", ""]
    table = datasets.publish_frame(pd.DataFrame({"a": [1, 2, 3]}), "table")
    assert table.set_labels(rows={2: "c", 0: "a"}).to_table().y.tolist() == ["a", None, "c"]
    several = datasets.publish_arrays(X, name="several").set_labels(intervals=[(2, 1, 3, 1)])
    assert several.frame()["label"].fillna(0).to_numpy().reshape(4, 3).tolist()[2] == [0, 1, 1]


def test_marked_steps_are_anomalies_of_the_next_version(datasets):
    """Steps count in the order of time, whatever the order of the file; marks add up."""
    order = np.random.default_rng(0).permutation(20)
    frame = pd.DataFrame({"id": np.repeat(["a", "b"], 10), "time": np.tile(np.arange(10) * 5, 2)})
    frame["x"] = np.arange(20.0)
    plain = datasets.publish_frame(
        frame.iloc[order], "machines", roles={"series_id": "id", "time": "time", "value": "x"}
    )
    first = plain.mark_steps([("b", 2, 4, True), ("a", 0, 0, True)])
    assert plain.to_series().anomaly is None
    second = first.mark_steps([("b", 3, 3, False)])  # a false alarm
    assert (second.parent, second.roles["anomaly"]) == (first.ref, ["anomaly"])
    for version, steps in ((first, [2, 3, 4]), (second, [2, 4])):
        data = version.to_series()
        marked = {str(name): row for name, row in zip(data.ids, data.anomaly, strict=True)}
        assert np.flatnonzero(marked["b"]).tolist() == steps
        assert np.flatnonzero(marked["a"]).tolist() == [0]
        rows = {str(name): row for name, row in zip(data.ids, data.X, strict=True)}
        np.testing.assert_array_equal(rows["b"][:, 0], np.arange(10, 20))
    known = datasets.publish_frame(
        frame.iloc[:10].assign(odd=frame["x"] % 2 == 1).drop(columns="id"),
        "one machine",
        roles={"time": "time", "value": "x", "anomaly": "odd"},
    )
    marked = known.mark_steps([(None, 1, 2, False)])
    assert np.flatnonzero(marked.to_series().anomaly[0]).tolist() == [3, 5, 7, 9]
    assert next(column.type for column in marked.columns if column.name == "odd") == "BOOLEAN"
    with pytest.raises(DatasetError, match="has no steps 8 to 12 of the series a"):
        first.mark_steps([("a", 8, 12, True)])
    with pytest.raises(DatasetError, match="has no row for every step"):
        datasets.publish_frame(pd.DataFrame({"u": [1.0], "w": [2.0]}), "no steps").mark_steps(
            [(None, 0, 0, True)]
        )


def test_labels_that_are_refused(datasets):
    dataset = datasets.publish_arrays(X, name="refused")
    recording = datasets.publish_frame(pd.DataFrame({"time": [0, 1], "x": [0.5, 1]}), "one")
    for call, says in (
        (lambda: dataset.set_labels({9: "a"}), "There is no series 9"),
        (lambda: dataset.set_labels({}), "one of them, and not empty"),
        (lambda: dataset.set_labels({1: "a"}, rows={0: "a"}), "one of them"),
        (lambda: dataset.set_labels(rows={99: "a"}), "There is no row 99"),
        (lambda: dataset.set_labels({1: float("inf")}), "not finite"),
        (lambda: dataset.set_labels(intervals=[(1, 2, 2, "a")]), "must end after it starts"),
        (lambda: recording.set_labels({0: "a"}), "label intervals"),
    ):
        with pytest.raises((DatasetError, UsageError), match=says):
            call()
    assert len(datasets.versions("refused")) == 1
    assert leftovers(datasets) == []


def test_diff(datasets):
    rng = np.random.default_rng(0)
    old = pd.DataFrame({"x": rng.normal(size=2000), "w": rng.choice(["a", "b"], 2000), "gone": 1})
    new = pd.DataFrame({"x": rng.normal(1, 1, 3000), "w": rng.choice(["a", "c"], 3000), "come": "z"})
    datasets.publish_frame(old, "drifting")
    datasets.publish_frame(new, "drifting")
    found = datasets.diff("drifting@1", "drifting@2")
    assert found.rows == {"before": 2000, "after": 3000}
    assert found.schema["column"].tolist() == ["gone", "come"]
    x = found.drift.set_index("column").loc["x"]
    assert x["ks"] == pytest.approx(ks_2samp(old["x"], new["x"]).statistic, abs=1e-12)
    assert x["psi"] > 0.25
    assert found.drift["column"][0] == "w"  # b is gone, c has come
    same = datasets.diff("drifting@1", "drifting@1")
    assert same.rows == {"before": 2000, "after": 2000, "added": 0, "removed": 0}
    assert (same.drift["psi"] == 0).all()


def test_rows_added_and_removed(datasets):
    datasets.publish_frame(pd.DataFrame({"a": [1, 1, 2]}), "rows")
    datasets.publish_frame(pd.DataFrame({"a": [1, 2, 3, 3]}), "rows")
    assert datasets.diff("rows@1", "rows@2").rows == {"before": 3, "after": 4, "added": 2, "removed": 1}


def test_measures_of_drift():
    assert psi(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == pytest.approx(0.25 * np.log(3))
    assert ks(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1


def test_lineage(datasets):
    datasets.publish_frame(pd.DataFrame({"a": [1, 2]}), "origin")
    datasets.publish_query("SELECT a + 1 AS a FROM origin", "child")
    datasets.publish_query("SELECT c.a FROM child c JOIN origin USING (a)", "grandchild")
    frame = datasets.lineage("child")
    assert set(map(tuple, frame[["parent", "child"]].to_numpy())) == {
        ("origin@1", "child@1"),
        ("origin@1", "grandchild@1"),
        ("child@1", "grandchild@1"),
    }
    datasets.delete("origin")
    assert not datasets.lineage("grandchild").set_index("parent").loc["origin@1", "kept"].any()


def test_retention_keeps_the_newest_and_what_runs_use(datasets):
    for value in range(5):
        datasets.publish_frame(pd.DataFrame({"a": [value]}), "kept")
    with datasets.store.write() as connection:
        connection.execute(
            "INSERT INTO runs (id, name, state, estimator, recipe, dataset, spec, created) "
            "VALUES ('k', '', 'done', '', '', 'kept@2', '{}', 0)"
        )
    assert datasets.retain(keep=2, name="kept", dry_run=True) == ["kept@1", "kept@3"]
    assert datasets.retain(keep=2, name="kept", days=1) == []
    assert datasets.retain(keep=2, name="kept") == ["kept@1", "kept@3"]
    assert [version.version for version in datasets.versions("kept")] == [5, 4, 2]
    sizes = datasets.sizes().set_index("ref")
    assert sizes.loc["kept@2", "n_runs"] == 1
    assert sizes.loc["kept@5", "latest"]
    assert sizes.loc["kept@5", "n_bytes"] == datasets.get("kept").path.stat().st_size
    with pytest.raises(UsageError, match="At least one version"):
        datasets.retain(keep=0)


def test_verify_all(datasets):
    dataset = datasets.publish_frame(pd.DataFrame({"a": [1]}), "damaged")
    datasets.publish_frame(pd.DataFrame({"a": [1]}), "damaged")
    dataset.path.unlink()
    frame = datasets.verify("damaged").set_index("ref")
    assert "is gone" in frame.loc["damaged@1", "problem"]
    assert pd.isna(frame.loc["damaged@2", "problem"])
    datasets.delete("damaged@1")
