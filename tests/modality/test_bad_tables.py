"""Tables and assignments that cannot be analysed: one sentence each, in Python, by command and in a run."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench import cli
from workbench.modality import (
    LateFusionClassifier,
    LateFusionRegressor,
    ModalitiesError,
    ModalityCompetitionAnalyzer,
    RemedyRace,
)

BOTH = {"a": [f"a_{i}" for i in range(4)], "m": ["m_0", "m_1", "m_2"]}
M = BOTH["m"]


def _text(X, y):
    return X.assign(t_review=[f"the product number {i} was fine" for i in range(len(X))]), y


def _constant(X, y):
    return X.assign(m_0=1.0, m_1=2.0, m_2=3.0), y


def _absent(X, y):
    X = X.copy()
    X.loc[y == "walk", M] = np.nan
    return X, y


#: name -> (what is done to the table, modalities, whether one network minds as well, the sentence)
CASES = {
    "a column twice": (
        lambda X, y: (X, y),
        {"a": BOTH["a"], "m": [*M, "a_0"]},
        True,
        "The column 'a_0' stands in the modalities 'a' and 'm': keep it in one.",
    ),
    "no columns": (
        lambda X, y: (X, y),
        {**BOTH, "x": []},
        True,
        "The modality 'x' has no columns: give it some, or leave it out.",
    ),
    "no values": (
        lambda X, y: (X.assign(**dict.fromkeys(M, np.nan)), y),
        BOTH,
        True,
        "The modality 'm' is empty: it has no value in any row.",
    ),
    "constant": (
        _constant,
        BOTH,
        True,
        "The modality 'm' is constant: none of its columns ever changes, so there is nothing to learn.",
    ),
    "absent in a class": (
        _absent,
        BOTH,
        False,
        "The modality 'm' is absent in every row of the class 'walk': its absence alone would tell the "
        "class.",
    ),
    "one class": (
        lambda X, y: (X, np.full(len(y), "walk")),
        BOTH,
        True,
        "All rows have the one class 'walk': there is nothing to tell apart.",
    ),
    "too few rows": (
        lambda X, y: (X[:8], y[:8]),
        BOTH,
        False,
        "The table has 8 samples; at least 10 are needed for training, validation and test.",
    ),
    "raw text": (
        _text,
        {**BOTH, "t": ["t_review"]},
        True,
        "The column 't_review' of the modality 't' holds raw text: turn it into numbers first (the "
        "preparation step 'vectorise', or an embedding of your own), then assign those.",
    ),
    "one modality": (
        lambda X, y: (X, y),
        {"a": BOTH["a"]},
        False,
        "Only one modality was found, and one has nobody to compete with: assign columns to two or more "
        "(n_features = 7).",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_python_says_it_in_one_sentence(two_views, case):
    change, modalities, always, sentence = CASES[case]
    X, y = change(*two_views)
    estimators = [ModalityCompetitionAnalyzer(modalities), RemedyRace(modalities)]
    for estimator in estimators + [LateFusionClassifier(modalities)] * always:
        with pytest.raises(ModalitiesError) as caught:
            estimator.fit(X, y)
        assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (
            [1, "a", 2.0],
            "The labels are of several types (float, int, str): make them all text, or all numbers.",
        ),
        (["a", None, "b"], "Row 2 has no label: leave such rows out."),
    ],
)
def test_odd_labels_are_one_sentence(two_views, labels, sentence):
    X, _ = two_views
    with pytest.raises(ModalitiesError) as caught:
        LateFusionClassifier(n_epochs=1).fit(X, np.array(labels * 80, dtype=object))
    assert str(caught.value) == sentence


def test_a_target_that_cannot_be_foretold_is_one_sentence(two_views):
    X, y = two_views
    with pytest.raises(ModalitiesError, match=r"holds text .*: a regression predicts numbers"):
        LateFusionRegressor(n_epochs=1).fit(X, y)
    with pytest.raises(ModalitiesError, match="The target is the same in every row"):
        ModalityCompetitionAnalyzer(task="regression").fit(X, np.ones(240))


@pytest.mark.parametrize(
    ("cells", "encoder", "sentence"),
    [
        ([{"k": 1}], "auto", "'v_x' holds neither numbers nor words nor arrays in every row"),
        (["word", [1, 2]], "auto", "'v_x' holds neither numbers nor words nor arrays in every row"),
        ([[1, 2], "word"], "auto", "'v_x' has arrays in some rows and in others what is no array of numbers"),
        ([[1.0, 2.0], [3.0, 4.0]], {"v": "conv"}, "has arrays and, in 'a_0', single values"),
    ],
)
def test_odd_cells_are_one_sentence(two_views, cells, encoder, sentence):
    X, y = two_views
    column = pd.Series([cells[i % len(cells)] for i in range(240)], dtype=object)
    views = {"v": ["v_x", "a_0"], "m": M}
    with pytest.raises(ModalitiesError, match=sentence):
        LateFusionClassifier(views, encoder=encoder, n_epochs=1).fit(X.assign(v_x=column), y)


def test_groups_that_cannot_be_divided_are_one_sentence(two_views):
    X, y = two_views
    with pytest.raises(ModalitiesError, match=r"2 group\(s\), which are never divided: at least three"):
        ModalityCompetitionAnalyzer().fit(X, y, groups=np.arange(240) // 120)
    with pytest.raises(ModalitiesError, match="Row 3 has no group"):
        RemedyRace().fit(X, y, groups=[1, 2, None] * 80)


def test_a_remedy_that_suits_no_regression_is_refused_before_any_training(two_views):
    X, _ = two_views
    with pytest.raises(ModalitiesError, match="'pmr' needs one class a row"):
        RemedyRace(remedies=["none", "pmr"], task="regression", n_epochs=10**6).fit(X, X["a_0"])
    with pytest.raises(ModalitiesError, match="No remedy is named: take from none, "):
        RemedyRace(remedies=[]).fit(X, X["a_0"] > 0)


def test_one_network_may_learn_from_an_absence(two_views):
    """It is no comparison: that a modality is absent may be worth knowing."""
    X, y = _absent(*two_views)
    model = LateFusionClassifier(BOTH, n_epochs=15, hidden=8, depth=1, learning_rate=0.03, random_state=0)
    assert (model.fit(X, y).predict(X)[y == "walk"] == "walk").mean() > 0.9


@pytest.mark.slow
def test_runs_submitted_by_command_end_with_the_sentence(two_views, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    store, folders = wb.open(tmp_path / "store"), {}
    for case, (change, modalities, _, _) in CASES.items():
        X, y = change(*two_views)
        name = case.replace(" ", "-")
        roles = {"label": "activity", "field": list(X)}
        store.datasets.publish_frame(X.assign(activity=y), name, roles=roles)
        capsys.readouterr()
        command = ["submit", "--estimator", "modality.ModalityCompetitionAnalyzer", "--data", name]
        assert cli.main([*command, "--param", f"modalities={json.dumps(modalities)}", "--json"]) == 0
        folders[case] = store.run(json.loads(capsys.readouterr().out)["id"]).folder
    # One process for all: importing torch takes longer than a refusal.
    code = "import sys; from workbench.runs.process import main; [main(f) for f in sys.argv[1:]]"
    done = subprocess.run([sys.executable, "-c", code, *map(str, folders.values())], capture_output=True)
    assert done.returncode == 0, done.stderr
    said = {case: json.loads((folder / "result.json").read_text()) for case, folder in folders.items()}
    assert {case: result["state"] for case, result in said.items()} == dict.fromkeys(CASES, "failed")
    expected = {case: sentence for case, (_, _, _, sentence) in CASES.items()}
    assert {case: result["error"] for case, result in said.items()} == expected


def test_a_table_with_holes_in_the_label_uses_the_rest(two_views):
    from workbench.arrays import Split, TableData
    from workbench.modality.recipe import analyze
    from workbench.report import NullReporter

    X, y = two_views
    labels = pd.Series(y, dtype=object).where(np.arange(240) >= 40, None).to_numpy()

    class Table:
        ref = "holes@1"

        def to_table(self):
            return TableData(X, labels, None, {})

    analyzer = ModalityCompetitionAnalyzer(n_seeds=1, n_epochs=2, hidden=8, depth=1, shapley=["mask"])
    report = analyze(analyzer, Table(), Split(), 0, NullReporter())
    assert report.tables["samples"]["row"].nunique() == 60  # 30 % of 200
