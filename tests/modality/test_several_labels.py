"""Rows with several labels, or several numbers to predict: columns with the role ``labels``."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import f1_score

from workbench.arrays import Split
from workbench.errors import DatasetError
from workbench.modality import (
    LateFusionClassifier,
    LateFusionRegressor,
    ModalitiesError,
    ModalityCompetitionAnalyzer,
    RemedyRace,
)
from workbench.modality.recipe import analyze, fit, race
from workbench.recipes import apply
from workbench.report import NullReporter

SMALL = {"n_epochs": 12, "hidden": 8, "depth": 1, "batch_size": 16, "learning_rate": 0.02}


@pytest.fixture
def moods(store, two_views):
    """Two labels that two modalities tell, one label missing in the first rows."""
    X, y = two_views
    frame = X.assign(quiet=(y == "rest").astype(float), moving=y == "walk")
    frame.loc[:19, "quiet"] = np.nan
    roles = {"labels": ["quiet", "moving"], "field": list(X)}
    return store.datasets.publish_frame(frame, "Moods", roles=roles)


def test_a_table_brings_its_labels(moods):
    table = moods.to_table()
    assert table.y is None
    assert list(table.labels) == ["quiet", "moving"]
    assert "quiet" not in table.X
    assert np.isnan(table.labels["quiet"]).sum() == 20


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [
        ({"label": "a", "labels": ["b"]}, "one 'label', or several 'labels', not both"),
        ({"labels": ["word"]}, "'word' cannot be one of several labels: it is VARCHAR, not 0 or 1"),
    ],
)
def test_roles_that_cannot_be(store, roles, sentence):
    frame = pd.DataFrame({"a": [0, 1], "b": [1, 0], "word": ["x", "y"], "n_1": [0.5, 0.1]})
    with pytest.raises(DatasetError, match=sentence):
        store.datasets.publish_frame(frame, "Odd", roles={**roles, "field": ["n_1"]})


def test_a_network_is_scored_by_label_and_used_again(moods):
    report = fit(LateFusionClassifier(**SMALL), moods, Split(), 0, NullReporter())
    table = report.tables["predictions"]
    assert len(table) == 66  # 30 % of the rows that have both labels
    truth, said = (table[[f"{kind}_quiet", f"{kind}_moving"]].to_numpy() for kind in ("true", "predicted"))
    assert report.scores["test_f1_macro"] == pytest.approx(f1_score(truth, said, average="macro"))
    assert report.scores["test_f1_macro"] > 0.8 > report.scores["control_test_f1_macro"]
    labels = report.tables["labels"].set_index("label")
    assert labels.loc["moving", "rows"] == truth[:, 1].sum()
    assert labels["auc"].min() > 0.9
    assert report.estimator.classes_.tolist() == ["quiet", "moving"]
    assert set(report.tables["importance"]["component"]) == {"a", "m"}
    applied = apply(report.estimator, moods, Split(), 0, NullReporter()).tables["predictions"]
    assert {"predicted_quiet", "predicted_moving", "p_quiet"} <= set(applied)
    assert len(applied) == 240


def test_an_analysis_names_the_labels_and_who_wins_each(moods):
    analyzer = ModalityCompetitionAnalyzer(n_seeds=1, n_permutations=20, shapley=["mask"], **SMALL)
    report = analyze(analyzer, moods, Split(), 0, NullReporter())
    each = report.tables["per_class"].set_index(["class", "modality"])
    assert set(each.index.get_level_values(0)) == {"quiet", "moving"}
    assert each.loc[("quiet", "a"), "recall_alone"] > each.loc[("quiet", "m"), "recall_alone"] + 0.2
    assert report.scores["test_score"] > report.scores["best_alone"]
    assert "macro F1" in report.headline


def test_a_race_is_decided_by_the_same_score_that_it_reports(moods):
    runner = RemedyRace(remedies=["none", "modality_dropout"], **SMALL)
    report = race(runner, moods, Split(), 0, NullReporter())
    best = report.estimator.best_
    assert report.scores["validation_score"] > 0.7
    assert report.scores["test_score"] > 0.7
    assert f"{report.scores['test_score']:.3f} on the test rows" in report.headline
    assert report.tables["importance"].set_index("component").loc[best, "kept"]


def test_several_numbers(store, two_views):
    X, _ = two_views
    frame = X.assign(sum=X["a_0"] + X["m_0"], second=3 * X["m_1"])
    data = store.datasets.publish_frame(
        frame, "Numbers", roles={"labels": ["sum", "second"], "field": list(X)}
    )
    report = fit(LateFusionRegressor(**{**SMALL, "n_epochs": 40}), data, Split(), 0, NullReporter())
    assert report.scores["test_r2"] > 0.8
    assert report.scores["control_test_r2"] < 0.1
    assert report.tables["labels"]["target"].tolist() == ["sum", "second"]


def test_labels_in_python(two_views):
    X, y = two_views
    labels = np.column_stack([y == "rest", y == "walk"]).astype(int)
    model = LateFusionClassifier(random_state=0, **SMALL).fit(X, csr_array(labels))
    assert (model.predict(X) == labels).mean() > 0.8
    with pytest.raises(ModalitiesError, match="given as 0 and 1, but one is 2"):
        LateFusionClassifier(**SMALL).fit(X, labels + 1)
    with pytest.raises(ModalitiesError, match="Every label is the same in all rows"):
        ModalityCompetitionAnalyzer(**SMALL).fit(X, np.zeros((240, 2), int))
    holes = X.copy()
    holes.loc[y == "walk", ["m_0", "m_1", "m_2"]] = np.nan
    with pytest.raises(ModalitiesError, match="'m' is absent in every row of the label 'walking'"):
        ModalityCompetitionAnalyzer(**SMALL).fit(holes, pd.DataFrame(labels, columns=["resting", "walking"]))
