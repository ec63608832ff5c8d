import numpy as np
import pandas as pd
import pytest

from workbench.plots import scores
from workbench.plots.template import CONTROL, PALETTE, ROLES
from workbench.report import Report


def test_pairs_put_the_control_beside_its_score_and_leave_seconds_out():
    pairs = scores.score_pairs(
        {
            "test_accuracy": 0.9,
            "untrained_test_accuracy": 0.8,
            "seconds": 0.5,
            "nmi": np.nan,
            "n_rows": 1.0,
            "C": 0.1,
        }
    )
    # n_rows is a count, seconds are no quality, and what has no control is not compared.
    assert pairs.to_numpy().tolist() == [
        ["trained", "test_accuracy", 0.9],
        ["untrained", "test_accuracy", 0.8],
    ]


def test_bars_show_the_trained_model_first_and_the_control_in_grey():
    table = pd.DataFrame(
        {"model": ["untrained", "trained"], "metric": ["test_accuracy"] * 2, "value": [0.8, 0.925]}
    )
    fig = scores.score_bars(table)
    assert [bar.name for bar in fig.data] == ["trained", "untrained"]
    assert [bar.marker.color for bar in fig.data] == [ROLES["trained"], CONTROL]
    assert list(fig.data[0].y) == [0.925]
    assert list(fig.data[0].x) == ["Test accuracy"]
    assert fig.layout.yaxis.title.text == "Score"


def test_confusion_counts_cases_and_colours_by_share_of_the_true_class():
    table = pd.DataFrame({"true": [1, 1, 2], "predicted": [1, 2, 2], "count": [3, 1, 6]})
    heat = scores.confusion(table).data[0]
    assert np.asarray(heat.text).tolist() == [[3, 1], [0, 6]]
    assert np.asarray(heat.z).tolist() == [[0.75, 0.25], [0, 1]]
    assert list(heat.x) == list(heat.y) == ["1", "2"]


def test_confusion_has_a_row_for_a_class_that_is_only_predicted():
    table = pd.DataFrame({"true": ["a"], "predicted": ["b"], "count": [2]})
    fig = scores.confusion(table)
    assert np.asarray(fig.data[0].text).tolist() == [[0, 2], [0, 0]]
    assert fig.layout.xaxis.title.text == "Predicted class"
    assert fig.layout.yaxis.title.text == "True class"
    assert fig.layout.yaxis.autorange == "reversed"


def test_curves_are_drawn_by_name_in_the_order_of_the_epochs():
    table = pd.DataFrame({"epoch": [2, 1, 1], "name": ["loss", "loss", "other"], "value": [0.1, 0.2, 5.0]})
    fig = scores.curves(table)
    assert {trace.name: list(trace.y) for trace in fig.data} == {"loss": [0.2, 0.1], "other": [5.0]}
    assert fig.layout.xaxis.title.text == "Epoch"


def test_importance_shows_the_best_on_top_and_the_dropped_in_grey():
    table = pd.DataFrame(
        {
            "component": ["a", "b", "c"],
            "kind": "field",
            "score": [1.0, 3.0, 2.0],
            "cost": 1.0,
            "kept": [False, True, True],
        }
    )
    fig = scores.importance_bars(table, top=2)
    assert list(fig.layout.yaxis.categoryarray) == ["c", "b"]
    assert fig.data[0].marker.color == PALETTE[0]
    whole = scores.importance_bars(table)
    assert {bar.name: list(bar.y) for bar in whole.data} == {"kept": ["c", "b"], "dropped": ["a"]}


@pytest.mark.parametrize("hostile", ["<a href='//evil'>x</a>", "<img src=x>"])
def test_markup_in_class_names_is_not_rendered(hostile):
    table = pd.DataFrame({"true": [hostile], "predicted": [hostile], "count": [1]})
    assert "<" not in scores.confusion(table).data[0].x[0]


def test_figures_draw_what_there_is():
    report = Report("fit_score", "", {"test_accuracy": 0.5, "seconds": 3.0}, {})
    assert list(scores.figures(report)) == ["scores"]
    report.tables["confusion"] = pd.DataFrame({"true": ["a"], "predicted": ["a"], "count": [1]})
    assert list(scores.figures(report)) == ["scores", "confusion"]
    assert scores.figures(Report("fit_score", "", {}, {})) == {}
