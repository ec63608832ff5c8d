"""The recipes of the tasks: scores beside control and peers, tables that agree, no leak of the test part."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from workbench.arrays import SeriesData, Split
from workbench.errors import DatasetError
from workbench.report import LANDED, NullReporter, Report
from workbench.timeseries import (
    CSL,
    UniTSAnomalyDetector,
    UniTSClassifier,
    UniTSClusterer,
    UniTSForecaster,
    UniTSImputer,
    UniTSRegressor,
)
from workbench.timeseries.preprocessing import z_normalize
from workbench.timeseries.tasks import (
    _patches,
    _statistical,
    baselines,
    classify,
    cluster,
    detect,
    forecast,
    impute,
    regress,
)
from workbench.timeseries.tasks import _peers as peers
from workbench.timeseries.tasks._forecast_peers import season
from workbench.timeseries.tasks._warping import nearest, warping_distance
from workbench.timeseries.tasks.cluster import group_scores
from workbench.timeseries.tasks.detect import alarms

#: An encoder that is quick to train.
SMALL = CSL(n_epochs=1, n_scales=2, n_shapelets=9, device="cpu")


class Data:
    """A data set held in memory."""

    ref = "series@1"

    def __init__(self, X, y=None, split=None, **more):
        ids = np.array([f"s{i}" for i in range(len(X))])
        self.series = SeriesData(X, y, split, ids, tuple(f"axis {i}" for i in range(X.shape[2])), **more)

    def to_series(self):
        return self.series


@pytest.fixture(autouse=True)
def _no_aeon(monkeypatch):
    """Without what takes seconds: importing aeon, and the slow peers of forecasts, which have their tests."""
    monkeypatch.setattr(peers, "_has_aeon", lambda: False)
    monkeypatch.setattr(_statistical, "MOST_FITS", 0)
    monkeypatch.setattr(_patches, "_EPOCHS", 1)


@pytest.fixture(scope="module")
def motions(basic_motions):
    X, y, X_test, y_test = basic_motions
    both = np.concatenate([X, X_test])[:, ::2]
    split = np.repeat(["train", "test"], [len(X), len(X_test)])
    return Data(both, np.concatenate([y, y_test]), split)


def waves(n_steps=600, d=2, seed=0):
    """Seasons of 24 steps with noise, (1, T, d)."""
    t = np.arange(n_steps)
    noise = np.random.default_rng(seed).normal(0, 0.1, (n_steps, d))
    return (np.sin(2 * np.pi * t / 24)[:, None] * np.arange(1, d + 1) + noise)[None]


def saved(report, tmp_path):
    report.save(tmp_path)
    loaded = Report.load(tmp_path)
    assert loaded.scores == pytest.approx(report.scores, nan_ok=True)
    return loaded


def test_classification(motions, tmp_path):
    report = classify(UniTSClassifier([SMALL]), motions, Split(), 0, NullReporter())
    scores, tables = report.scores, report.tables
    assert scores["test_accuracy"] > 0.7
    assert 0 < scores["untrained_test_accuracy"] <= 1
    models = set(tables["scores"]["model"])
    assert {"trained", "untrained", "Logistic regression", "1-NN DTW"} <= models
    shares = tables["probabilities"]
    assert (shares["label"] == shares["predicted"]).mean() == pytest.approx(scores["test_accuracy"])
    np.testing.assert_allclose(shares.filter(like="p:").sum(axis=1), 1)
    assert tables["confusion"]["count"].sum() == 40
    curve = tables["label_curve"].query("model == 'trained'")
    assert curve["labels"].tolist() == [8, 20, 40]
    # With all labels and a frozen encoder the curve ends at the score itself.
    assert curve["accuracy"].iloc[-1] == pytest.approx(scores["test_accuracy"])
    assert report.headline.startswith(f"Test accuracy {scores['test_accuracy']:.3f} on 40 series; untrained")
    saved(report, tmp_path)
    again = classify(UniTSClassifier([SMALL]), motions, Split(), 0, NullReporter())
    assert {k: v for k, v in again.scores.items() if k != "seconds"} == {
        k: v for k, v in scores.items() if k != "seconds"
    }


def test_labels_of_the_test_part_and_of_the_target_teach_nothing(motions):
    series = motions.series
    target = np.arange(80) % 2 == 1
    domain = np.where(target, "target", "source")
    y = np.array(series.y, dtype=object)
    y[:8] = None  # partial labels
    data = Data(series.X, y, series.split, domain=domain)
    report = classify(UniTSClassifier([SMALL]), data, Split(), 0, NullReporter())
    assert "16 of 40 training series" in report.headline
    assert "20 series of the target" in report.headline
    hidden = y.copy()
    hidden[target & (series.split == "train")] = "standing"
    hidden[series.split == "test"] = np.roll(y[40:], 1)
    other = classify(
        UniTSClassifier([SMALL]),
        Data(series.X, hidden, series.split, domain=domain),
        Split(),
        0,
        NullReporter(),
    )
    columns = ["id", *report.tables["probabilities"].filter(like="p:")]
    pd.testing.assert_frame_equal(
        other.tables["probabilities"][columns], report.tables["probabilities"][columns]
    )
    source = ~target & (series.split == "test")
    assert report.scores["source_accuracy"] == accuracy_score(
        y[source].astype(str), report.estimator.predict(series.X[source])
    )


def test_regression(motions, tmp_path):
    numbers = np.nanstd(motions.series.X[:, :, 0], axis=1)
    data = Data(motions.series.X, numbers, motions.series.split)
    report = regress(UniTSRegressor([SMALL]), data, Split(), 0, NullReporter())
    table = report.tables["predictions"]
    error = np.sqrt(np.mean((table["true"] - table["predicted"]) ** 2))
    assert report.scores["test_rmse"] == pytest.approx(error)
    by_model = report.tables["scores"].query("metric == 'test_rmse'").set_index("model")["value"]
    assert by_model["Mean"] == pytest.approx(np.sqrt(np.mean((numbers[:40].mean() - numbers[40:]) ** 2)))
    assert report.scores["test_rmse"] < by_model["Mean"]
    saved(report, tmp_path)


def test_clusters(motions, tmp_path):
    report = cluster(UniTSClusterer(4, [SMALL]), motions, Split(), 0, NullReporter())
    table = report.tables["map"]
    assert table["medoid"].sum() == 4
    assert set(table.loc[table["medoid"], "split"]) == {"train"}
    assert sorted(table.loc[table["medoid"], "cluster"]) == [0, 1, 2, 3]
    assert {"k-means", "Kernel k-means (GAK)"} <= set(report.tables["scores"]["model"])
    assert report.tables["groups"]["count"].sum() == 80
    assert 0.2 < report.scores["nmi"] <= 1
    bare = cluster(UniTSClusterer(4, [SMALL]), Data(motions.series.X[:12]), Split(), 0, NullReporter())
    assert "nmi" not in bare.scores
    assert "Silhouette" in bare.headline
    saved(report, tmp_path)


def test_clusters_of_many_series_are_judged_by_the_same_ones_every_time():
    rng = np.random.default_rng(0)
    flat, groups = rng.normal(size=(2500, 3)), rng.integers(3, size=2500)
    assert group_scores(flat, None, 0, groups) == group_scores(flat, None, 0, groups)
    assert group_scores(flat, None, 0, groups) != group_scores(flat, None, 1, groups)


def test_forecasts_come_from_the_past_alone(tmp_path):
    X = waves()
    model = UniTSForecaster(12, 36, [SMALL], max_windows=80)
    report = forecast(model, Data(X), Split(test_size=0.25), 0, NullReporter())
    scores, table = report.scores, report.tables["forecasts"]
    assert scores["season"] == 24
    by_model = report.tables["scores"].query("metric == 'mse'").set_index("model")["value"]
    assert scores["mse"] < 0.5 * by_model["Last value"]
    assert by_model["Seasonal naive"] < by_model["Last value"]
    assert table["origin"].min() >= 450
    assert table["step"].max() == 599
    np.testing.assert_array_equal(
        table["true"], [X[0, s, int(c[-1])] for s, c in zip(table["step"], table["channel"], strict=True)]
    )
    assert 0.6 < scores["coverage"] <= 1
    future = report.tables["future"]
    assert future["step"].tolist() == [600 + i // 2 for i in range(24)]
    assert (future["low"] <= future["high"]).all()
    # What comes after the last origin's past changes no forecast.
    other = X.copy()
    other[0, 588:] = np.random.default_rng(1).permutation(other[0, 588:])
    shuffled = forecast(model, Data(other), Split(test_size=0.25), 0, NullReporter()).tables["forecasts"]
    seen = table["origin"] <= 588
    np.testing.assert_array_equal(table["forecast"][seen], shuffled["forecast"][seen])
    assert not np.array_equal(table["true"][seen], shuffled["true"][seen])
    saved(report, tmp_path)


def test_forecasts_with_columns_known_ahead_and_several_series():
    X = np.concatenate([waves(300), waves(300, seed=1)])
    known = np.random.default_rng(2).normal(size=(2, 300, 1))
    X = X + 3 * known
    model = UniTSForecaster(4, 24, [SMALL], max_windows=80)
    report = forecast(model, Data(X, exogenous=known), Split(), 0, NullReporter())
    blind = forecast(model, Data(X), Split(), 0, NullReporter())
    assert report.scores["mse"] < 0.5 * blind.scores["mse"]
    assert len(report.tables["future"]) == 0
    assert set(report.tables["forecasts"]["id"]) == {"s0", "s1"}


def test_seasons_are_found():
    assert season(waves()) == 24
    assert season(np.random.default_rng(0).normal(size=(1, 400, 1))) == 1


def test_nearest_neighbours_under_warping():
    random = np.random.default_rng(0)
    train, test = random.normal(size=(5, 7, 2)), random.normal(size=(4, 7, 2))

    @cache
    def best(a, b, i, j, radius):
        """Least sum of squares over the paths from the first steps to steps i and j."""
        if min(i, j) < 0 or abs(i - j) > radius:
            return np.inf
        cost = ((test[a, i] - train[b, j]) ** 2).sum()
        if i == j == 0:
            return cost
        return cost + min(best(a, b, i - di, j - dj, radius) for di, dj in ((1, 0), (0, 1), (1, 1)))

    for radius in (1, 6):
        expected = [[best(a, b, 6, 6, radius) for b in range(5)] for a in range(4)]
        found = [[warping_distance(one, other, radius, np.inf) for other in train] for one in test]
        np.testing.assert_allclose(found, expected)
        np.testing.assert_array_equal(nearest(train, test, radius), np.argmin(expected, axis=1))


def anomalous():
    X = waves(800)
    marked = np.zeros((1, 800), bool)
    marked[0, 650:670] = True
    X[0, 650:670] = X[0, 650:670, ::-1] * 2
    return X, marked


def test_anomalies(tmp_path):
    X, marked = anomalous()
    model = UniTSAnomalyDetector(24, [SMALL], max_windows=200)
    report = detect(model, Data(X, anomaly=marked), Split(test_size=0.5), 0, NullReporter())
    track = report.tables["track"]
    assert track["step"].tolist() == list(range(400, 800))
    assert track["anomaly"].tolist() == marked[0, 400:].tolist()
    assert report.scores["auc_pr"] > 0.8
    assert {"Sub-PCA", "KMeansAD", "Isolation forest"} <= set(report.tables["scores"]["model"])
    flagged = track["score"] > report.scores["threshold"]
    assert report.scores["flagged"] == pytest.approx(flagged.mean())
    found = report.tables["alarms"]
    assert found["steps"].sum() == flagged.sum()
    assert found.iloc[0]["anomalous"]
    # What is marked is for judging only.
    without = detect(model, Data(X), Split(test_size=0.5), 0, NullReporter())
    np.testing.assert_array_equal(without.tables["track"]["score"], track["score"])
    assert set(without.scores) == {"flagged", "untrained_flagged", "threshold", "seconds"}
    saved(report, tmp_path)
    saved(without, tmp_path / "without")


def test_anomalies_by_whole_series():
    X, marked = anomalous()
    data = Data(
        np.concatenate([X[:, :400], X[:, 400:]]),
        split=np.array(["train", "test"]),
        anomaly=np.concatenate([marked[:, :400], marked[:, 400:]]),
    )
    report = detect(UniTSAnomalyDetector(24, [SMALL], max_windows=200), data, Split(), 0, NullReporter())
    assert set(report.tables["track"]["id"]) == {"s1"}
    assert len(report.tables["track"]) == 400
    assert report.scores["auc_pr"] > 0.8


def test_alarms_are_runs_within_a_series():
    track = pd.DataFrame(
        {
            "id": ["a"] * 4 + ["b"] * 2,
            "step": [0, 1, 2, 3, 0, 1],
            "score": [0.0, 2, 3, 4, 9, 0],
            "anomaly": pd.array([False, False, True, False, False, False], "boolean"),
        }
    )
    found = alarms(track, 1.0)
    assert found[["id", "start", "end", "steps", "peak"]].to_numpy().tolist() == [
        ["b", 0, 0, 1, 9.0],
        ["a", 1, 3, 3, 4.0],
    ]
    assert found["anomalous"].tolist() == [False, True]
    assert len(alarms(track, 10.0)) == 0


def test_imputation(tmp_path):
    X = waves(500, d=3)
    X[0, 100:104, 1] = np.nan
    model = UniTSImputer(48, [SMALL], mask="block", max_windows=80)
    report = impute(model, Data(X), Split(), 0, NullReporter())
    cells = report.tables["cells"].query("hidden")
    error = (cells["imputed"] - cells["true"]).to_numpy()
    scale = np.nanstd(X[0, :350], axis=0)[[int(c[-1]) for c in cells["channel"]]]
    assert report.scores["mse"] == pytest.approx(np.mean((error / scale) ** 2), rel=1e-5)
    errors = report.tables["errors"]
    assert set(zip(errors["mask"], errors["ratio"], strict=True)) == {
        (mask, ratio) for mask in ("block", "geometric") for ratio in (0.125, 0.25, 0.5)
    }
    assert {"trained", "untrained", "Linear", "Last value", "Mean", "kNN"} == set(errors["model"])
    by_model = errors.query("mask == 'block' and ratio == 0.25").set_index("model")["mse"]
    assert by_model["trained"] < by_model["Linear"]
    assert by_model["trained"] == pytest.approx(report.scores["mse"])
    filled = report.tables["filled"]
    assert filled["step"].tolist() == [100, 101, 102, 103]
    assert set(filled["channel"]) == {"axis 1"}
    saved(report, tmp_path)


def test_what_cannot_be_done_is_said_in_one_sentence(motions):
    series = motions.series
    model = UniTSClassifier([SMALL])
    with pytest.raises(DatasetError, match="has no labels"):
        classify(model, Data(series.X), Split(), 0, NullReporter())
    with pytest.raises(DatasetError, match="labels of fewer than two classes"):
        classify(
            model,
            Data(series.X, np.where(series.split == "test", "a", "b"), series.split),
            Split(),
            0,
            NullReporter(),
        )
    with pytest.raises(DatasetError, match="holds 'mars': it must say 'source' or 'target'"):
        classify(
            model,
            Data(series.X, series.y, series.split, domain=np.full(80, "mars")),
            Split(),
            0,
            NullReporter(),
        )
    with pytest.raises(DatasetError, match="are no numbers: classify these series"):
        regress(UniTSRegressor([SMALL]), motions, Split(), 0, NullReporter())
    with pytest.raises(DatasetError, match="leaves less than 301 steps on one side"):
        forecast(UniTSForecaster(300, 24, [SMALL]), Data(waves()), Split(), 0, NullReporter())


@pytest.mark.slow
def test_peers_of_the_libraries_and_one_that_fails_is_left_out(motions, monkeypatch):
    monkeypatch.undo()

    def broken(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(peers, "_logistic", broken)
    report = classify(UniTSClassifier([SMALL]), motions, Split(), 0, NullReporter())
    accuracy = report.tables["scores"].query("metric == 'test_accuracy'").set_index("model")["value"]
    for name in ("QUANT", "MiniRocket", "MultiRocket-Hydra", "RDST", "1-NN DTW"):
        assert accuracy[name] >= 0.9, name
    assert "Logistic regression" not in accuracy
    report = cluster(UniTSClusterer(4, [SMALL]), motions, Split(), 0, NullReporter())
    nmi = report.tables["scores"].query("metric == 'nmi'").set_index("model")["value"]
    for name in ("k-means", "k-shape", "KASBA"):
        assert nmi[name] > 0.2, name


@pytest.mark.slow
def test_warping_agrees_with_tslearn(motions):
    from tslearn.neighbors import KNeighborsTimeSeriesClassifier

    X, y = z_normalize(motions.series.X), np.asarray(motions.series.y)
    theirs = KNeighborsTimeSeriesClassifier(1, metric="dtw").fit(X[:40], y[:40])
    np.testing.assert_array_equal(peers._nearest(X[:40], y[:40], X[40:]), theirs.predict(X[40:]))


def test_peers_that_would_take_minutes_are_left_out(motions, monkeypatch):
    monkeypatch.setattr(peers, "_has_aeon", lambda: True)
    X, y = motions.series.X, motions.series.y
    assert {"MiniRocket", "MultiRocket-Hydra", "RDST", "QUANT"} <= set(peers.classifiers(X, y, X, 0))
    long = np.zeros((40, 2500, 6))
    assert {"MiniRocket", "QUANT"} <= set(peers.classifiers(long, y[:40], long, 0))
    assert not {"RDST", "1-NN DTW"} & set(peers.classifiers(long, y[:40], long, 0))
    assert not {"k-shape", "KASBA"} & set(peers.clusterers(long, long, 4, 0))


class Listener(NullReporter):
    def __init__(self):
        self.heard = {}

    def metric(self, name, value, step):
        self.heard[name] = value


@pytest.mark.parametrize("task", [UniTSClassifier(), UniTSClusterer(4)])
def test_peers_are_told_as_they_end(motions, task):
    listener = Listener()
    report = baselines(task, motions, Split(inner=True), 0, listener)
    table = report.tables["scores"].query("metric != 'seconds'")
    assert len(table)
    told = {name: value for name, value in listener.heard.items() if not name.endswith("/seconds")}
    assert told == {f"{LANDED}{row.model}/{row.metric}": row.value for row in table.itertuples()}
    beside = Listener()
    classify(UniTSClassifier([SMALL]), motions, Split(), 0, beside)
    assert not [name for name in beside.heard if name.startswith(LANDED)]
