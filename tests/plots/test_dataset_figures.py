"""Figures of preparations, labels and versions: they draw what they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.plots import care, labels, preparation
from workbench.plots.template import CONTROL


def _recording(n=6):
    return pd.DataFrame({"time": pd.date_range("2024-01-01", periods=n, freq="h"), "v": np.arange(float(n))})


ROLES = {"time": ["time"], "value": ["v"]}


def test_before_and_after_of_a_recording():
    before, after = _recording(), _recording(4).assign(split=["train", "train", "test", "test"])
    drawn = preparation.figures(before, after, ROLES, {**ROLES, "split": ["split"]})
    assert list(drawn) == ["Before and after", "Rows by split"]
    fig = drawn["Before and after"]
    assert [trace.name for trace in fig.data] == ["before", "train", "test"]
    assert list(fig.data[0].y) == [0, 1, 2, 3, 4, 5]
    assert list(fig.data[2].y) == [2, 3]
    bars = drawn["Rows by split"].data[0]
    assert dict(zip(bars.x, bars.y, strict=True)) == {"train": 2, "test": 2}
    assert list(bars.x) == ["train", "test"]


def test_windows_reach_from_their_first_to_their_last_row():
    after = pd.concat([_recording(3), _recording(6).tail(3)]).assign(window=["<a>"] * 3 + ["b"] * 3)
    drawn = preparation.figures(_recording(), after, ROLES, {**ROLES, "series_id": ["window"]})
    (trace,) = drawn["Windows"].data
    times = _recording()["time"]
    assert [x for x in trace.x if x is not None] == [times[0], times[2], times[3], times[5]]
    assert list(trace.y) == [0, 0, None, 1, 1, None]


def test_events_and_labels_of_a_log():
    log = pd.DataFrame({"user": [1, 1, 2], "time": [0, 5, 6], "session": ["1#1", "1#2", "2#1"]})
    roles = {"user": ["user"], "time": ["time"]}
    drawn = preparation.figures(log, log.assign(label=[1, 0, None]), roles, {**roles, "label": ["label"]})
    assert list(drawn) == ["Events", "Rows by label"]
    first, second = drawn["Events"].data
    assert list(first.x) == [0, 5]
    assert list(second.y) == [1]
    assert first.marker.color[0] != first.marker.color[1]  # another session, another colour
    assert set(drawn["Rows by label"].data[0].x) == {"1.0", "0.0", "no label"}


def test_vectors_carry_their_words():
    frame = pd.DataFrame({"t_0": [0.0, 1], "t_1": [0.5, 0]})
    drawn = preparation.figures(frame, frame, {}, {"modality:t": ["t_0", "t_1"]}, words=["<b>good", "bad"])
    (heat,) = drawn["Vectors of t"].data
    assert list(heat.x) == ["&lt;b>good", "bad"]
    np.testing.assert_array_equal(heat.z, [[0, 0.5], [1, 0]])


def test_points_carry_their_place_and_their_label():
    table = pd.DataFrame(
        {"id": ["<i>", "b", "c"], "x": [1.0, 2, 3], "y": [4.0, 5, 6], "label": ["p", None, "q"]}
    )
    fig = labels.points(table, x="x", y="y", changed=[False, False, True])
    assert [trace.name for trace in fig.data] == ["p", "q", "no label"]
    assert {trace.name: trace.customdata[0][0] for trace in fig.data} == {"p": 0, "q": 2, "no label": 1}
    assert fig.data[1].marker.line.width == (2,)
    assert fig.data[2].marker.color == CONTROL
    assert fig.data[0].text[0] == "&lt;i>"
    assert fig.layout.dragmode == "select"


def test_a_recording_shows_its_stretches():
    frame = _recording()
    times = frame["time"]
    saved, pending = [(times[0], times[1], "ok")], [(times[2], times[3], None)]
    fig = labels.recording(frame, time="time", channels=["v"], saved=saved, pending=pending)
    assert [shape.x0 for shape in fig.layout.shapes] == [times[0], times[2]]
    assert [note.text for note in fig.layout.annotations] == ["ok", "cleared"]
    assert fig.layout.selectdirection == "h"


def test_drift_of_numbers_compares_densities():
    old = {"name": "x", "histogram": {"edges": [0, 1, 2], "counts": [30, 10]}}
    new = {"name": "x", "histogram": {"edges": [0, 4], "counts": [8]}}
    fig = care.drift(old, new, names=("a@1", "a@2"))
    for trace in fig.data:  # both enclose an area of one
        x, y = np.array(trace.x, float), np.array(trace.y, float)
        assert np.trapezoid(y, x) == 1
    assert care.drift(old, {"name": "x"}, names=("a", "b")) is None


def test_drift_of_words_compares_shares():
    old = {"name": "w", "top": [["a", 3], ["b", 1]]}
    new = {"name": "w", "top": [["b", 5], ["c", 5]]}
    fig = care.drift(old, new, names=("o", "n"))
    shares = [dict(zip(trace.y, trace.x, strict=True)) for trace in fig.data]
    assert shares == [{"a": 0.75, "b": 0.25, "c": 0.0}, {"a": 0.0, "b": 0.5, "c": 0.5}]


def test_the_most_drifted_column_is_at_the_top():
    table = pd.DataFrame({"column": ["<a>", "b", "c"], "psi": [0.5, 0.2, 0.01]})
    (bars,) = care.drifted(table).data
    assert list(bars.y) == ["c", "b", "&lt;a>"]
    assert len(set(bars.marker.color)) == 3
    assert care.drifted(table.assign(psi=np.nan)) is None


def _edges(*pairs, kept=True):
    return pd.DataFrame(
        [(p, c, "sql", 0.0, kept) for p, c in pairs], columns=["parent", "child", "how", "created", "kept"]
    )


def test_lineage_puts_parents_above_their_children():
    edges = _edges(("a@1", "b@1"), ("c@1", "b@1"), ("b@1", "d@1"), ("a@1", "d@1"))
    placed = dict(care.order(edges))
    assert placed == {"a@1": 0, "c@1": 0, "b@1": 1, "d@1": 2}
    order = list(placed)
    assert all(order.index(p) < order.index(c) for p, c in zip(edges["parent"], edges["child"], strict=True))
    fig = care.lineage(edges, here="b@1", facts={"b@1": "7 rows"})
    texts = [note.text for note in fig.layout.annotations]
    assert any(text.startswith("<b>b@1</b>") and "sql · 7 rows" in text for text in texts)
    assert [row[0] for row in fig.data[-1].customdata] == order


def test_lineage_names_what_is_gone_and_ends_in_a_circle():
    fig = care.lineage(_edges(("a@1", "b@1"), kept=False))
    assert fig.layout.annotations[0].text == "a@1 (deleted)"
    assert len(care.order(_edges(("a", "b"), ("b", "a")))) == 2
