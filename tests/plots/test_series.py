import numpy as np
import pandas as pd

from workbench.plots import series
from workbench.plots.template import class_colours


def test_a_series_is_a_line_a_channel_that_ends_where_it_ends_and_breaks_where_a_value_is_missing():
    X = np.array([[[1.0, 10.0], [np.nan, 20.0], [3.0, 30.0], [np.nan, np.nan]]])
    fig = series.series(X, channels=["left", "right"], names=["s1"])
    assert [list(trace.y) for trace in fig.data] == [[1.0, None, 3.0], [10.0, 20.0, 30.0]]
    assert [trace.showlegend for trace in fig.data] == [True, False]
    assert fig.layout.yaxis.title.text == "left"
    assert fig.layout.yaxis2.title.text == "right"
    assert fig.layout.xaxis2.title.text == "Time (steps)"


def test_a_class_keeps_the_colour_it_has_in_the_whole_data_set():
    fig = series.series(
        np.zeros((1, 3, 1)), channels=["x"], names=["s"], labels=["b"], all_labels=["a", "b", "c"]
    )
    assert fig.data[0].line.color == class_colours(["a", "b", "c"])["b"]
    assert fig.data[0].name == "s (b)"


def test_class_means_carry_a_band_of_one_standard_deviation():
    table = pd.DataFrame(
        {
            "label": ["a", "a", "b"],
            "channel": ["x"] * 3,
            "step": [1, 0, 0],
            "mean": [2.0, 1.0, 5.0],
            "sd": [0.5, np.nan, 1.0],
        }
    )
    fig = series.class_means(table)
    band, line = fig.data[0], fig.data[1]
    assert list(line.y) == [1.0, 2.0]
    assert list(band.y) == [1.0, 2.5, 1.5, 1.0]
    assert [trace.name for trace in fig.data if trace.showlegend] == ["a", "b"]


def test_without_labels_all_series_make_one_mean():
    table = pd.DataFrame({"label": [None], "channel": ["x"], "step": [0], "mean": [1.0], "sd": [0.0]})
    assert series.class_means(table).data[1].name == "all series"


def test_steps_become_the_times_of_these_steps_and_go_on_beyond_the_last():
    times = pd.DatetimeIndex(["2026-01-01 00:00", "2026-01-01 01:00", "2026-01-01 02:00", "2026-01-01 05:00"])
    fig = series.series(np.arange(4.0).reshape(1, 4, 1), channels=["x"], names=["a"])
    fig.add_scatter(x=[-1, 0.5, 3, 4, 5], y=[0, 0, 0, 0, 0])
    dated = series.dated(fig, times)
    assert list(pd.DatetimeIndex(dated.data[0].x)) == list(times)
    expected = [
        "2025-12-31 23:00",
        "2026-01-01 00:30",
        "2026-01-01 05:00",
        "2026-01-01 06:00",
        "2026-01-01 07:00",
    ]
    assert list(pd.DatetimeIndex(dated.data[1].x)) == list(pd.DatetimeIndex(expected))
    assert dated.data[0].hovertemplate.startswith("%{x}")
    assert dated.layout.xaxis.title.text == "Time"


def test_what_is_counted_and_not_dated_stays_in_steps():
    fig = series.series(np.arange(4.0).reshape(1, 4, 1), channels=["x"], names=["a"])
    assert series.dated(fig, None).data[0].x == (0, 1, 2, 3)
    assert fig.layout.xaxis.title.text == series.TIME
