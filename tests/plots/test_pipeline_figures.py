"""The graph of a pipeline: places by what needs what, and every state told apart."""

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.plots.pipelines import STATES, drift_bars, graph, layout, sweep, timeline


def frame(needs, states=None):
    names = [f"step {i}" for i in range(len(needs))]
    return pd.DataFrame(
        {
            "name": names,
            "kind": "python",
            "state": states or ["done"] * len(needs),
            "needs": [[names[i] for i in each] for each in needs],
            "attempt": 1,
            "reused": None,
            "seconds": 1.0,
            "progress": 0.5,
            "error": "",
            "started": [float(i) for i in range(len(needs))],
            "finished": [float(i) + 0.5 for i in range(len(needs))],
        }
    )


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 12))
    return [draw(st.lists(st.integers(0, i - 1), unique=True, max_size=4)) if i else [] for i in range(n)]


@settings(max_examples=30)
@given(graphs())
def test_a_step_stands_right_of_all_that_it_needs_and_on_nobody_s_place(needs):
    places = layout(frame(needs))
    for i, each in enumerate(needs):
        assert all(places["x"][j] < places["x"][i] for j in each)
        assert places["x"][i] == (1 + max(places["x"][j] for j in each) if each else 0)
    assert not places[["x", "y"]].duplicated().any()
    edges = [trace for trace in graph(frame(needs)).data if trace.mode == "lines"]
    assert list(edges[0].x).count(None) == sum(map(len, needs))


def test_every_state_has_its_own_colour_or_symbol_and_text_is_no_markup():
    steps = frame([[] for _ in STATES], list(STATES))
    steps.loc[0, "name"] = "<b>x</b>"
    traces = [trace for trace in graph(steps).data if trace.name]
    assert [trace.name for trace in traces] == list(STATES)
    looks = {(trace.marker.color, trace.marker.symbol) for trace in traces}
    assert len(looks) == len(STATES)
    assert traces[0].text == ("&lt;b>x&lt;/b>",)
    assert traces[1].text == ("step 1 50%",)


def test_what_was_taken_over_has_no_time_of_its_own():
    steps = frame([[], [0], [1]])
    steps["reused"] = [None, "abc", None]
    drawn = timeline(steps).data
    assert [y for trace in drawn for y in trace.y] == ["step 0", "step 2"]
    assert [b for trace in drawn for b in trace.base] == [0.0, 2.0]
    assert len(timeline(steps.iloc[:0]).data) == 0


def test_drift_and_sweep_draw_what_they_are_given():
    drift = pd.DataFrame({"column": ["a", "b", "c"], "psi": [0.05, None, 0.4]})
    (bars,) = drift_bars(drift).data
    assert list(bars.y) == ["a", "c"]
    assert list(bars.x) == [0.05, 0.4]
    table = pd.DataFrame(
        {
            "budget_fraction": [0.5, 0.2] * 2,
            "reserve": 0.0,
            "slots": 3,
            "bidder": list("mmuu"),
            "gmv": [2, 1, 4, 3],
        }
    )
    assert {trace.name: list(trace.y) for trace in sweep(table).data} == {"m": [1, 2], "u": [3, 4]}
