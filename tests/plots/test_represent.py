import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from workbench.plots import represent
from workbench.plots.template import class_colours
from workbench.report import Report


def embedding(n: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "series": range(n),
            "id": [f"s{i}" for i in range(n)],
            "split": ["train", "test"] * (n // 2),
            "x": np.arange(n) * 1.0,
            "y": np.arange(n) * 2.0,
            "label": ["a", "a", "b", "b"] * (n // 4),
            "predicted": [None, "b", None, "b"] * (n // 4),
            "correct": [None, False, None, True] * (n // 4),
        }
    )


def test_every_point_of_the_map_names_its_series():
    fig = represent.embedding_map(embedding())
    points = {
        data[0]: (x, y)
        for trace in fig.data
        for data, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }
    assert points == {f"s{i}": (float(i), 2.0 * i) for i in range(4)}
    assert [trace.name for trace in fig.data] == ["a", "b"]
    assert [trace.marker.color for trace in fig.data] == list(class_colours(["a", "b"]).values())


def test_the_map_tells_train_test_and_mistakes_apart():
    a, b = represent.embedding_map(embedding()).data
    assert list(a.marker.symbol) == ["circle-open", "x"]
    assert list(b.marker.symbol) == ["circle-open", "circle"]


def test_a_map_without_labels_has_one_colour_and_no_legend():
    table = embedding().drop(columns=["label", "predicted", "correct"])
    fig = represent.embedding_map(table)
    assert len(fig.data) == 1
    assert fig.layout.showlegend is False


def test_webgl_only_for_many_points():
    assert isinstance(represent.embedding_map(embedding(8)).data[0], go.Scatter)
    assert isinstance(represent.embedding_map(embedding(represent.WEBGL_FROM + 4)).data[0], go.Scattergl)


def shapelet(measure: str, values: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {"shapelet": 7, "measure": measure, "channel": "x", "step": range(len(values)), "value": values}
    )


def test_a_euclidean_shapelet_lies_at_its_own_values_over_the_normalised_series():
    x = np.array([[0.0], [1.0], [2.0], [3.0], [np.nan]])
    fig = represent.shapelet_on_series(x, channels=["x"], shapelet=shapelet("euclidean", [5.0, 6.0]), start=1)
    line, drawn = fig.data
    assert np.mean(line.y) == pytest.approx(0)
    assert np.std(line.y) == pytest.approx(1)
    assert list(drawn.x) == [1, 2]
    assert list(drawn.y) == [5.0, 6.0]
    assert fig.layout.yaxis.title.text == "x (z-score)"


def test_a_shapelet_of_another_measure_is_fitted_to_its_window():
    x = np.sin(np.linspace(0, 9, 60))[:, None]
    z = (x[:, 0] - x.mean()) / x.std()
    scaled = (z[20:35] * 40 + 3).tolist()
    fig = represent.shapelet_on_series(x, channels=["x"], shapelet=shapelet("cosine", scaled), start=20)
    np.testing.assert_allclose(fig.data[1].y, z[20:35], atol=1e-9)


def test_a_shapelet_is_never_flipped():
    x = np.arange(10.0)[:, None]
    fig = represent.shapelet_on_series(x, channels=["x"], shapelet=shapelet("cosine", [2.0, 1.0]), start=3)
    assert np.ptp(fig.data[1].y) == 0


def test_a_constant_channel_stays_finite():
    fig = represent.shapelet_on_series(
        np.ones((6, 1)), channels=["x"], shapelet=shapelet("cosine", [1.0, 2.0]), start=0
    )
    assert list(fig.data[0].y) == [0.0] * 6


def test_figures_of_a_report_without_labels():
    table = embedding().drop(columns=["label", "predicted", "correct"])
    report = Report("timeseries.represent", "", {}, {"embedding": table})
    assert list(represent.figures(report)) == ["embedding"]
