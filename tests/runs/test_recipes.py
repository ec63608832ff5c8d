"""The default recipe on every kind of estimator, against scikit-learn's own numbers."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, adjusted_rand_score, balanced_accuracy_score, log_loss, r2_score

from workbench.arrays import Split, TableData
from workbench.errors import DatasetError
from workbench.recipes import apply, fit_score
from workbench.report import NullReporter


class Table:
    ref = "table@1"

    def __init__(self, y, split=None):
        rng = np.random.default_rng(1)
        self.X = pd.DataFrame(rng.normal(size=(len(y), 3)), columns=list("abc"))
        self.X["a"] += pd.factorize(pd.Series(y))[0] if y.dtype.kind in "OU" else y
        self.data = TableData(self.X, y, split, {})

    def to_table(self):
        return self.data


@pytest.fixture
def classes():
    y = np.array(["no", "yes", "yes"] * 40, dtype=object)
    return Table(y, np.array(["train", "test"] * 60))


def run(estimator, data, seed=0):
    return fit_score(estimator, data, Split(), seed, NullReporter())


def test_classifier_scores_are_scikit_learns(classes):
    report = run(LogisticRegression(), classes)
    X, y = classes.X, classes.data.y
    train, test = np.arange(0, 120, 2), np.arange(1, 120, 2)
    model = LogisticRegression().fit(X.iloc[train], y[train])
    predicted = model.predict(X.iloc[test])
    assert report.scores["test_accuracy"] == accuracy_score(y[test], predicted)
    assert report.scores["test_balanced_accuracy"] == balanced_accuracy_score(y[test], predicted)
    expected = log_loss(y[test], model.predict_proba(X.iloc[test]))
    assert report.scores["test_log_loss"] == pytest.approx(expected)
    assert report.scores["control_test_accuracy"] == np.mean(y[test] == "yes")
    assert report.tables["confusion"]["count"].sum() == len(test)
    importance = report.tables["importance"]
    assert importance["component"][0] == "a"
    assert importance["score"][0] > 0.1
    assert report.estimator.classes_.tolist() == ["no", "yes"]


def test_rows_without_a_label_are_neither_learned_nor_scored(classes):
    y = classes.data.y.copy()
    y[:30] = None
    report = run(LogisticRegression(), Table(y, classes.data.split))
    assert len(report.tables["predictions"]) == 45


def test_regressor_scores_are_scikit_learns():
    y = np.random.default_rng(0).normal(size=200)
    data = Table(y)
    report = run(LinearRegression(), data, seed=3)
    train, test = Split().indices(200, y=y, seed=3)
    predicted = LinearRegression().fit(data.X.iloc[train], y[train]).predict(data.X.iloc[test])
    assert report.scores["test_r2"] == pytest.approx(r2_score(y[test], predicted))
    assert report.scores["control_test_r2"] <= 0 < report.scores["test_r2"]
    assert report.scores["test_rmse"] < report.scores["control_test_rmse"]


def test_clusterers_with_and_without_predict(classes):
    report = run(KMeans(2, random_state=0), classes)
    train, test = np.arange(0, 120, 2), np.arange(1, 120, 2)
    found = KMeans(2, random_state=0).fit(classes.X.iloc[train]).predict(classes.X.iloc[test])
    assert report.scores["adjusted_rand"] == adjusted_rand_score(classes.data.y[test].astype(str), found)
    assert abs(report.scores["control_adjusted_rand"]) < 0.2
    assert len(run(DBSCAN(eps=1.0), classes).tables["clusters"]) == len(train)


def test_transformers_say_what_they_return(classes):
    report = run(PCA(2), classes)
    assert report.scores["n_features_out"] == 2
    assert 0.5 < report.scores["explained_variance"] < 1


def test_a_supervised_estimator_needs_labels(classes):
    unlabelled = Table(classes.data.y)
    unlabelled.data = TableData(unlabelled.X, None, None, {})
    with pytest.raises(DatasetError, match="no labels"):
        run(LogisticRegression(), unlabelled)


def test_reports_survive_saving(classes, tmp_path):
    from workbench.report import Report

    report = run(LogisticRegression(), classes)
    report.save(tmp_path)
    again = Report.load(tmp_path)
    assert again.scores == report.scores
    for name, table in report.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_dtype=False)


def test_a_fitted_estimator_is_applied_to_every_row(classes):
    model = LogisticRegression().fit(classes.X, classes.data.y)
    report = apply(model, classes, Split(), 0, NullReporter())
    assert report.scores["accuracy"] == model.score(classes.X, classes.data.y)
    assert report.tables["predictions"]["predicted"].tolist() == model.predict(classes.X).tolist()
    features = apply(PCA(2).fit(classes.X), classes, Split(), 0, NullReporter()).tables["features"]
    assert features.shape == (120, 3)
    other = Table(classes.data.y)
    other.data = TableData(other.X[["a"]], None, None, {})
    with pytest.raises(DatasetError, match="does not fit this model"):
        apply(model, other, Split(), 0, NullReporter())


def test_a_score_that_is_no_number_does_not_cost_the_run_its_model(tmp_path):
    from workbench.report import Report
    from workbench.runs.process import _write_artifacts

    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    report = Report("fit_score", "One test row.", {"test_r2": float("nan"), "test_mae": 0.5}, {}, model)
    spec = {"id": "run1", "dataset": {"ref": "one@1"}}
    assert _write_artifacts(tmp_path, spec, report) == ""
    head = json.loads((tmp_path / "artifacts/model/estimator.json").read_text())
    assert head["card"]["scores"] == {"test_r2": None, "test_mae": 0.5}
