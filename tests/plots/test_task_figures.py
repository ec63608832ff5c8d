"""Figures of the tasks on series: what is drawn agrees with the tables, and no peak is lost."""

import numpy as np
import pandas as pd
import pytest

from workbench.plots import (
    anomalies,
    classes,
    clusters,
    comparison,
    forecasts,
    imputation,
    regression,
    series_flow,
)


@pytest.fixture
def scores():
    rows = [
        ("trained", "mse", 0.5),
        ("untrained", "mse", 0.7),
        ("Ridge", "mse", 0.4),
        ("trained", "coverage", 1),
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "value"])


def test_models_are_ordered_by_what_is_better(scores):
    (bars,) = comparison.comparison(scores, "mse").data
    assert list(bars.y) == ["untrained", "trained", "Ridge"]  # drawn upwards: the best at the top
    colours = dict(zip(bars.y, bars.marker.color, strict=True))
    assert colours["trained"] == comparison.model_colour("trained")
    assert len(set(colours.values())) == 3
    more = scores.assign(metric="nmi").iloc[:3]
    assert list(comparison.comparison(more, "nmi").data[0].y) == ["Ridge", "trained", "untrained"]
    assert comparison.metrics_of(scores) == ["mse", "seconds"]


def test_the_highest_score_of_every_stretch_is_kept():
    score = np.random.default_rng(0).normal(size=100_000)
    score[77_777] = 50.0
    kept = anomalies.thinned(score)
    assert len(kept) == anomalies.MAX_POINTS
    assert (np.diff(kept) > 0).all()
    assert 77_777 in kept
    stretches = score.reshape(anomalies.MAX_POINTS, -1)
    np.testing.assert_array_equal(score[kept], stretches.max(axis=1))
    np.testing.assert_array_equal(anomalies.thinned(score[:10]), np.arange(10))


def test_precision_and_recall_at_a_threshold():
    track = pd.DataFrame({"score": [0, 2, 3, 1], "anomaly": pd.array([True, True, False, False], "boolean")})
    assert anomalies.precision_recall(track, 1.5) == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert anomalies.precision_recall(track, 9) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    unknown = track.assign(anomaly=pd.array([None] * 4, "boolean"))
    assert anomalies.precision_recall(unknown, 1) == {}


def test_a_track_marks_what_is_above_and_what_truly_is_anomalous():
    flags = np.zeros(60, bool)
    flags[20:30] = True
    score = np.where(flags, 3.0, 1.0)
    track = pd.DataFrame({"step": np.arange(100, 160), "score": score, "anomaly": pd.array(flags, "boolean")})
    values = pd.DataFrame({"step": np.arange(100, 160), "x": np.arange(60.0)})
    fig = anomalies.track(track, 2.0, values=values)
    above = next(trace for trace in fig.data if trace.name == "above the threshold")
    assert list(above.x) == list(range(120, 130))
    band = next(trace for trace in fig.data if trace.name == "truly anomalous")
    np.testing.assert_array_equal(band.x, [119.5, 119.5, 129.5, 129.5, 129.5])
    assert np.flatnonzero(np.isnan(band.y)).tolist() == [4]  # where the next one would begin
    assert next(trace for trace in fig.data if trace.name == "x").yaxis == "y2"


def test_a_long_track_with_many_anomalies_stays_small():
    score = np.random.default_rng(0).random(100_000)
    flags = np.arange(100_000) % 100 < 3
    table = pd.DataFrame({"step": np.arange(100_000), "score": score, "anomaly": pd.array(flags, "boolean")})
    fig = anomalies.track(table, 0.999)
    lines = {trace.name: trace for trace in fig.data}
    assert len(lines["score"].x) == anomalies.MAX_POINTS == 2000
    assert max(lines["score"].y) == score.max()
    whole = {trace.name: trace for trace in anomalies.track(table, 0.0).data}
    assert len(whole["score"].x) + len(whole["above the threshold"].x) <= 4000
    # The intervals are one trace: a shape for each took seconds at every move of the slider.
    assert len(fig.layout.shapes) == 1
    told = anomalies.precision_recall(table, 0.999)
    assert told["precision"] == pytest.approx((flags & (score > 0.999)).sum() / (score > 0.999).sum())


def test_a_forecast_follows_its_history_and_what_came_is_told_apart():
    steps = np.arange(100)
    history = pd.DataFrame({"step": steps, "channel": "a<b", "value": steps * 1.0})
    foretold = pd.DataFrame(
        {"step": [90, 91], "channel": "a<b", "forecast": [1.0, 2.0], "low": [0.0, 1.0], "high": [2.0, 3.0]}
    )
    lines = {trace.name: trace for trace in forecasts.fan(history, foretold).data}
    assert set(lines) == {"80 % band", "history", "what came", "forecast"}
    assert max(lines["history"].x) == 89
    assert list(lines["what came"].x) == [89, 90, 91]  # joined to the history, and no further than foretold
    assert list(lines["80 % band"].y) == [2.0, 3.0, 1.0, 0.0]
    future = foretold.assign(step=[100, 101], low=np.nan, high=np.nan)
    assert {trace.name for trace in forecasts.fan(history, future).data} == {"history", "forecast"}


def test_hidden_stretches_join_what_stands_beside_them():
    cells = pd.DataFrame({"step": range(6), "channel": "x", "true": range(6), "hidden": [0, 0, 1, 1, 0, 0]})
    cells = cells.assign(hidden=cells["hidden"].astype(bool), imputed=9.0, linear=cells["true"])
    lines = {trace.name: list(trace.y) for trace in imputation.hidden_stretches(cells).data}
    assert lines["observed"] == [0, 1, None, None, 4, 5]
    assert lines["imputed"] == [None, 9, 9, 9, 9, None]
    assert lines["hidden truth"] == [None, 1, 2, 3, 4, None]


def test_a_medoid_is_a_star_and_probabilities_name_the_truth():
    table = pd.DataFrame({"id": ["a", "b"], "x": [0, 1], "y": [0, 1], "cluster": 0, "label": [None, "k"]})
    (points,) = clusters.cluster_map(table.assign(medoid=[True, False])).data
    assert list(points.marker.symbol) == ["circle", "star"]
    assert [data[0] for data in points.customdata] == ["b", "a"]
    shares = pd.DataFrame({"id": ["s"], "label": ["u"], "p:u": [0.25], "p:v": [0.75]})
    (bars,) = classes.probability_bars(shares, "s").data
    assert dict(zip(bars.y, bars.x, strict=True)) == {"u (true)": 0.25, "v": 0.75}
    line, points = regression.true_predicted(
        pd.DataFrame({"id": [1], "true": [2.0], "predicted": [3.0]})
    ).data
    assert (list(line.x), list(points.y)) == ([2.0, 3.0], [3.0])


def test_the_flow_shows_what_is_trained_and_what_is_taken_as_it_is():
    fig = series_flow.flow(
        data=["Italy@1"],
        encoders=[("CSL", "200 epochs"), ("mine@2", "saved")],
        fusion="concat",
        task="Classifier",
    )
    lines, boxes = fig.data
    assert list(boxes.text) == ["Italy@1", "200 epochs", "CSL", "mine@2 (saved)", "concat", "Classifier"]
    assert list(boxes.x) == [0, 1, 2, 2, 3, 4]
    ends = list(zip(lines.x[::3], lines.x[1::3], strict=True))
    assert ends == [(0, 1), (1, 2), (2, 3), (0, 2), (2, 3), (3, 4)]


def test_every_data_set_leads_to_the_pre_training_and_only_the_first_to_what_is_saved():
    encoders = [("CSL", "200 epochs"), ("mine@2", "saved")]
    fig = series_flow.flow(data=["a@1", "b@1", "c@1"], encoders=encoders, fusion="concat", task="Classifier")
    lines, boxes = fig.data
    place = dict(zip(boxes.text, zip(boxes.x, boxes.y, strict=True), strict=True))
    points = list(zip(lines.x, lines.y, strict=True))
    edges = set(zip(points[::3], points[1::3], strict=True))
    assert {(place[name], place["200 epochs"]) for name in ("a@1", "b@1", "c@1")} <= edges
    into_saved = {start for start, end in edges if end == place["mine@2 (saved)"]}
    assert into_saved == {place["a@1"]}
