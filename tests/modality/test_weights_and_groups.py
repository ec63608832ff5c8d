"""A data set's weights and users reach every recipe of the family, its form and the exported notebook."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.arrays import Split, TableData
from workbench.errors import DatasetError
from workbench.modality import LateFusionClassifier, ModalityCompetitionAnalyzer, RemedyRace
from workbench.modality._labelled import Labelled
from workbench.modality.recipe import analyze, fit, race
from workbench.notebook import as_script
from workbench.report import NullReporter
from workbench.serving import wait_for

SMALL = {"n_epochs": 12, "hidden": 8, "depth": 1, "batch_size": 16, "learning_rate": 0.02}


@pytest.fixture
def diary(store, two_views):
    """Twenty people of twelve rows; two labels in three are another class's, and their weight is 0.

    So a network that heeds the weights misses these, and one that does not learns them.
    """
    X, y = two_views
    wrong = np.arange(240) % 3 > 0
    classes, codes = np.unique(y, return_inverse=True)
    frame = X.assign(
        activity=np.where(wrong, classes[codes - 1], y),
        trust=np.where(wrong, 0, 2),
        person=[f"p{i // 12}" for i in range(240)],
    )
    roles = {"label": "activity", "weight": "trust", "user": "person"}
    roles |= {
        "modality:sound": [c for c in X if c[0] == "a"],
        "modality:motion": [c for c in X if c[0] == "m"],
    }
    return store.datasets.publish_frame(frame, "Diary", roles=roles)


def without(data, role):
    """The data set, without one of its roles."""
    return data.set_roles({name: columns for name, columns in data.roles.items() if name != role})


def test_a_table_brings_its_weights(diary):
    table = diary.to_table()
    assert table.weight.tolist() == [2.0, 0.0, 0.0] * 80
    assert "trust" not in table.X
    assert without(diary, "weight").to_table().weight is None


def test_a_network_is_trained_by_the_weights_and_the_roles(diary):
    estimator = LateFusionClassifier(**SMALL)
    report = fit(estimator, diary, Split(), 0, NullReporter())
    assert report.recipe == "modality.fit"
    assert report.estimator.modalities_ == {
        "sound": ["a_0", "a_1", "a_2", "a_3"],
        "motion": ["m_0", "m_1", "m_2"],
    }
    heedless = fit(estimator, without(diary, "weight"), Split(), 0, NullReporter())
    assert report.scores["test_accuracy"] < 0.4 < 0.55 < heedless.scores["test_accuracy"]
    importance = report.tables["importance"]
    assert set(importance["component"]) == {"sound", "motion"}
    assert "presence" not in report.tables


def test_no_person_is_divided(diary):
    rows = Labelled.of(diary)
    assert "person" not in rows.features
    for split in (Split(), Split(inner=True)):
        train, test = rows.divided(split, 0)
        assert len(test) >= 36
        assert not set(rows.groups[train]) & set(rows.groups[test])
    outer, inner = rows.divided(Split(), 0), rows.divided(Split(inner=True), 0)
    assert set(inner[0]) | set(inner[1]) == set(outer[0])  # a search never sees the test part


def test_groups_reach_the_validation_rows_of_a_network(diary, monkeypatch):
    from workbench.modality import fusion

    seen = []

    def spy(target, share, groups, seed):
        held = original(target, share, groups, seed)
        seen.append((groups, held))
        return held

    original = fusion.holdout_rows
    monkeypatch.setattr(fusion, "holdout_rows", spy)
    fit(LateFusionClassifier(remedy="early_stopping", **SMALL), diary, Split(), 0, NullReporter())
    ((groups, held),) = seen
    assert held.any()
    assert not set(groups[held]) & set(groups[~held])


@pytest.mark.parametrize(
    ("estimator", "recipe"),
    [
        (ModalityCompetitionAnalyzer(n_seeds=1, n_permutations=5, shapley=["mask"], **SMALL), analyze),
        (RemedyRace(remedies=["none"], **SMALL), race),
    ],
)
def test_weights_reach_the_analysis_and_the_race(diary, estimator, recipe):
    weighted = recipe(estimator, diary, Split(), 0, NullReporter()).scores["test_score"]
    plain = recipe(estimator, without(diary, "weight"), Split(), 0, NullReporter()).scores["test_score"]
    assert weighted < 0.4
    assert plain > weighted + 0.1


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1.0, None] * 20, "The weight of row 2 of Odd@1 is nan: it has to be a number of at least 0"),
        ([-1.0, 1.0] * 20, "The weight of row 1 of Odd@1 is -1: it has to be a number of at least 0"),
        ([0.0] * 40, "Every row of Odd@1 has the weight 0"),
    ],
)
def test_weights_that_cannot_be_used_are_one_sentence(store, weights, sentence):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 4)), columns=["a_0", "a_1", "b_0", "b_1"])
    frame = frame.assign(w=weights, y=["x", "z"] * 20)
    roles = {"label": "y", "weight": "w", "field": list(frame)[:4]}
    odd = store.datasets.publish_frame(frame, "Odd", roles=roles)
    with pytest.raises(DatasetError, match=sentence):
        analyze(ModalityCompetitionAnalyzer(**SMALL), odd, Split(), 0, NullReporter())


def test_a_network_says_how_good_it_is_where_a_modality_is_absent(two_views):
    X, y = two_views
    holes = X.copy()
    holes.loc[holes.index % 3 == 0, ["m_0", "m_1", "m_2"]] = np.nan

    class Table:
        ref = "holes@1"

        def to_table(self):
            return TableData(holes, y, None, {})

    report = fit(LateFusionClassifier(**SMALL), Table(), Split(), 0, NullReporter())
    presence = report.tables["presence"].set_index("present")
    assert set(presence.index) == {"a", "a + m"}
    assert presence["rows"].sum() == len(report.tables["predictions"]) == 72
    assert presence.loc["a + m", "score"] > presence.loc["a", "score"]


@pytest.mark.slow  # a worker process
def test_the_exported_script_weighs_and_groups_too(diary, store):
    params = {**SMALL, "n_epochs": 4}
    run = wait_for(store, store.submit("modality.LateFusionClassifier", "Diary", params=params, seed=3))
    assert run.state == "done", run.error
    exec(as_script(run), {})  # noqa: S102 - our own script; it asserts the run's scores
    unweighted = without(diary, "weight")
    script = as_script(run).replace(
        f".with_roles({run.spec['dataset']['role_revision']!r})", f".with_roles({unweighted.role_revision!r})"
    )
    with pytest.raises(AssertionError):
        exec(script, {})  # noqa: S102


def test_a_fitted_network_is_used_on_the_data_set_it_was_fitted_on(diary):
    from workbench.recipes import apply

    report = fit(LateFusionClassifier(**SMALL), diary, Split(), 0, NullReporter())
    applied = apply(report.estimator, diary, Split(), 0, NullReporter())
    assert len(applied.tables["predictions"]) == 240
