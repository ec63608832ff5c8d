"""A search from a table to a report, its figures and its saved model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from sklearn.base import clone

from workbench import models
from workbench.arrays import Split, TableData
from workbench.ctr import DeepFMClassifier, FieldsError
from workbench.errors import DatasetError
from workbench.plots.selection import figures, live
from workbench.report import NullReporter, Report
from workbench.selection import AutoFieldSelector, LPFSPlusPlus, MutualInformationSelector, STGSelector
from workbench.selection.recipe import search, select_sql


class Held:
    """A data set that holds one table."""

    ref = "clicks@1"

    def __init__(self, X, y, roles=None):
        self.table = TableData(X, y, None, roles or {"field": list(X.columns)})

    def to_table(self):
        return self.table


class Recorder(NullReporter):
    """Remembers what a run would show."""

    def __init__(self):
        self.metrics, self.lines = [], []

    def metric(self, name, value, step):
        self.metrics.append((name, value, step))

    def log(self, text):
        self.lines.append(text)


HOST = DeepFMClassifier(
    embedding_dim=4, hidden=(16,), batch_norm=True, n_epochs=4, batch_size=128, learning_rate=1e-2
)

FAST = clone(HOST).set_params(n_epochs=1)


@pytest.fixture(scope="module")
def searched(log):
    X, y = log
    labels = np.array(["no", "yes"], dtype=object)[y]
    recorder = Recorder()
    extra = X.assign(row=[f"r{i}" for i in range(len(X))], answer=np.where(y == 1, "p", "q"), same="one")
    data = Held(extra.drop(columns="answer"), labels)
    return search(LPFSPlusPlus(HOST, n_probes=2), data, Split(), 0, recorder), recorder, data


def test_the_report_holds_what_the_page_draws(searched, tmp_path):
    report, _, _ = searched
    importance = report.tables["importance"]
    kept = set(importance.loc[importance["kept"], "component"])
    assert {"a", "b", "x"} <= kept
    assert report.scores["n_kept"] == len(kept)
    assert report.scores["bytes"] < report.scores["full_bytes"]
    assert report.scores["test_auc"] > 0.8
    assert set(report.tables["models"]["model"]) == {"full", "pruned", "retrained"}
    curve = report.tables["curve"]
    peers = {"SHARK (signed)", "SHARK (absolute)", "Mutual information", "At random"}
    assert set(curve["method"]) == {"LPFS++", *peers}
    assert (curve["low"] <= curve["auc"]).all()
    whole = curve[curve["k"] == curve["k"].max()]
    assert len(set(whole["auc"])) == 1  # all rankings agree on all fields
    report.save(tmp_path)
    drawn = figures(Report.load(tmp_path))
    assert {"importance", "gates", "auc_by_k", "before_after", "calibration"} <= set(drawn)
    for figure in drawn.values():
        assert isinstance(figure, go.Figure)
        assert figure.layout.xaxis.title.text


def test_gates_are_told_while_the_search_runs(searched):
    report, recorder, _ = searched
    told = pd.DataFrame(recorder.metrics, columns=["name", "value", "step"])
    names = {f"gate/{name}" for name in report.tables["importance"]["component"]}
    start = told[told["step"] == 0].set_index("name")["value"]
    assert start[list(names)].tolist() == [1.0] * len(names)
    assert told.groupby("name")["step"].nunique().min() > 5
    losses = told.iloc[:2].assign(name=["search/loss", "search/loss"])
    drawn = live(pd.concat([told, losses]))
    assert {line.name for line in drawn["Gates"].data} >= set(report.tables["importance"]["component"])
    assert set(drawn) == {"Gates", "Losses"}
    recorded = report.tables["gates"].set_index(["step", "field"])["gate"]
    for name, value, step in recorder.metrics[:20]:
        assert recorded[step, name.removeprefix("gate/")] == pytest.approx(value)


def test_faults_of_fields_are_sentences(searched):
    report, recorder, _ = searched
    notes = "\n".join(report.tables["notes"]["note"])
    assert "'row' is an identifier" in notes
    assert "'same' has one value only" in notes
    assert all(note in recorder.lines for note in report.tables["notes"]["note"] if "Probe" not in note)
    alone = report.tables["fields"].set_index("field")
    assert alone.loc["row", "train_auc"] > 0.99
    assert alone.loc["row", "test_auc"] == pytest.approx(0.5, abs=0.05)


def test_searches_with_other_seeds_stand_beside_the_choice(searched):
    report, _, _ = searched
    seeds, importance = report.tables["seeds"], report.tables["importance"].set_index("component")
    assert seeds["seed"].nunique() == 3
    counted = seeds.groupby("field")["kept"].sum()
    assert importance["seeds"].to_dict() == counted[importance.index].to_dict()
    assert (importance.loc[["a", "b", "x"], "seeds"] == 3).all()
    own = seeds[seeds["seed"] == 0].set_index("field")
    assert own["kept"].to_dict() == importance["kept"].to_dict()
    assert 0 < report.scores["seed_overlap"] <= 1


def test_what_pruning_costs_has_an_interval(searched):
    models = searched[0].tables["models"].set_index("model")
    assert models.loc["full", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    pruned = models.loc["pruned"]
    assert pruned["gain"] == pytest.approx(pruned["auc"] - models.loc["full", "auc"])
    assert pruned["gain_low"] <= pruned["gain"] <= pruned["gain_high"]
    curve = searched[0].tables["curve"]
    assert curve.groupby("method")["bytes"].apply(lambda b: b.is_monotonic_increasing)["LPFS++"]


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (lambda n: np.arange(n), "'n' is an identifier: every row has a whole number of its own"),
        (lambda n: np.where(np.arange(n) % 50, np.arange(n) % 7, -1), "looks like a count but is below 0 in"),
        (lambda n: np.where(np.arange(n) % 10, np.arange(n) % 70, -1), "looks like a count but is below 0"),
        (lambda n: np.arange(n) % 7 - 3, None),  # a quantity that may be negative
        (lambda n: np.arange(n) % 36 - 5, None),  # degrees
        (lambda n: np.arange(n) / 3, None),
    ],
)
def test_whole_numbers_that_are_no_quantity_are_named(log, column, sentence):
    X, y = (part[:1000] for part in log)
    given = Held(X[["a"]].assign(n=column(len(X))), y)
    notes = search(MutualInformationSelector(FAST, max_fields=1), given, Split(), 0, NullReporter())
    found = [note for note in notes.tables["notes"]["note"] if "'n'" in note]
    assert len(found) == (sentence is not None)
    assert sentence is None or sentence in found[0]


def test_values_new_to_the_test_rows_are_named(log):
    X, y = (part[:1000] for part in log)
    day = np.where(np.arange(len(X)) < 0.8 * len(X), "early", "late")
    data = Held(X[["a"]].assign(day=day), y)
    data.table = TableData(data.table.X, y, np.where(day == "early", "train", "test"), data.table.roles)
    notes = search(MutualInformationSelector(FAST, max_fields=1), data, Split("column"), 0, NullReporter())
    assert "100% of the test rows hold a value of 'day'" in "\n".join(notes.tables["notes"]["note"])


def test_a_field_that_holds_the_answer_is_named(log):
    X, y = log
    data = Held(X[["a"]].assign(answer=np.where(y == 1, "p", "q")), y)
    report = search(MutualInformationSelector(HOST.set_params(n_epochs=1)), data, Split(), 0, NullReporter())
    assert "'answer' alone reaches an AUC of 1.000" in "\n".join(report.tables["notes"]["note"])


@pytest.mark.parametrize("selector", [AutoFieldSelector, STGSelector])
def test_gates_of_the_peers_are_drawn_too(selector, log):
    X, y = log
    short = clone(HOST).set_params(n_epochs=1)
    given = selector(short, max_fields=2)
    report = search(given, Held(X[["a", "x", "c"]], y), Split(), 0, NullReporter())
    name = selector.__name__.removesuffix("Selector")
    assert name in set(report.tables["curve"]["method"])
    assert set(report.tables["gates"]["field"]) == {"a", "x", "c"}
    assert "path" not in report.tables
    kept = report.tables["importance"].loc[report.tables["importance"]["kept"], "component"]
    shown = {line.name for line in figures(report)["gates"].data if line.showlegend}
    assert shown == set(kept)
    assert len(report.estimator.layout_) == len(kept) == 2


def test_the_smaller_model_is_the_reports(searched, tmp_path):
    report, _, data = searched
    kept = report.estimator.feature_names_in_.tolist()
    models.save(report.estimator, tmp_path / "model")
    again = models.load(tmp_path / "model")
    assert set(again.predict(data.table.X[kept])) == {"no", "yes"}
    assert select_sql("clicks@1", kept) == report.tables["sql"]["sql"][0]


def test_names_are_quoted_in_the_sql():
    assert select_sql('a"b@1', ['x"y', "z"]) == 'SELECT "x""y", "z" FROM "a""b@1"'


def test_a_table_without_a_usable_label_is_one_sentence(log):
    X, _ = log
    with pytest.raises(DatasetError, match="has no label"):
        search(LPFSPlusPlus(HOST), Held(X, None), Split(), 0, NullReporter())
    with pytest.raises(FieldsError, match="label has 3 classes"):
        search(LPFSPlusPlus(HOST), Held(X, np.arange(len(X)) % 3), Split(), 0, NullReporter())
