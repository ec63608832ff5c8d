"""Labels that are not saved yet."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import UsageError
from workbench.gui.pending import Pending, typed_label

X = np.arange(24.0).reshape(4, 3, 2)


def test_the_last_edit_stands_and_can_be_undone(store):
    dataset = store.datasets.publish_arrays(X, name="four")
    edits = Pending()
    edits.assign("series", [0, 1, 2], "a")
    edits.assign("series", [1], "b")
    edits.assign("series", [2], None)
    edits.assign("series", [3], "wrong")
    edits.undo()
    assert edits.labels() == {0: "a", 1: "b", 2: None}
    assert edits.frame()["of"].tolist() == ["3 series", "1 series", "1 series"]
    made = edits.save(dataset)
    assert made.to_series().y.tolist() == ["a", "b", None, None]
    assert not len(edits)


def test_rows_and_stretches(store):
    table = store.datasets.publish_frame(pd.DataFrame({"a": [1, 2, 3]}), "rows")
    edits = Pending()
    edits.assign("rows", [2], "c")
    assert edits.save(table, "kind").frame(["kind"])["kind"].fillna("").tolist() == ["", "", "c"]
    times = pd.date_range("2024-01-01", periods=4, freq="h")
    recording = store.datasets.publish_frame(pd.DataFrame({"time": times, "x": np.arange(4.0)}), "stretch")
    edits.assign("intervals", [(None, times[1], times[3])], "fault")
    assert edits.intervals() == [(times[1], times[3], "fault")]
    assert edits.intervals("another") == []
    assert edits.save(recording).frame()["label"].fillna("").tolist() == ["", "fault", "fault", ""]


def test_what_cannot_be_assigned_or_saved(store):
    dataset = store.datasets.publish_arrays(X, name="four")
    edits = Pending()
    with pytest.raises(UsageError, match="No label has been changed"):
        edits.save(dataset)
    with pytest.raises(UsageError, match="Choose something"):
        edits.assign("series", [], "a")
    edits.assign("series", [99], "a")
    with pytest.raises(UsageError, match="Save the labels of series first"):
        edits.assign("rows", [1], "a")
    with pytest.raises(Exception, match="no series 99"):
        edits.save(dataset)
    assert len(edits) == 1  # nothing typed is lost


def test_labels_as_typed(store):
    words = store.datasets.publish_arrays(X, ["a", "b", "a", "b"], name="words")
    numbers = store.datasets.publish_arrays(X, [0, 1, 0, 1], name="numbers")
    assert typed_label(words, " 1 ") == "1"
    assert typed_label(numbers, "1") == 1
    assert typed_label(numbers, "0.5") == 0.5
    assert typed_label(numbers, "odd") == "odd"
    with pytest.raises(UsageError, match="Type a label"):
        typed_label(words, "  ")
