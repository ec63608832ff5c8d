"""LPFS and LPFS++ as estimators: what they keep, pruning, hot start, budgets, resuming, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench import models, training
from workbench.ctr import (
    DCNv2Classifier,
    DeepFMClassifier,
    DINClassifier,
    DLRMClassifier,
    FieldEncoder,
    FieldsError,
    metrics,
)
from workbench.selection import LPFS, LPFSPlusPlus
from workbench.selection.steps import host_options

TINY = DeepFMClassifier(embedding_dim=2, hidden=(4,), batch_size=32, learning_rate=0.01, random_state=0)


_REASONS = {
    "check_sample_weight_equivalence_on_dense_data": (
        "rows are visited in random batches, so a row of weight 2 and the row twice take different paths"
    ),
}


@parametrize_with_checks(
    [LPFS(TINY, travel=0.1), LPFSPlusPlus(TINY, travel=0.1)],
    expected_failed_checks=lambda estimator: _REASONS,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def found(log):
    X, y = log
    host = DeepFMClassifier(
        embedding_dim=4, hidden=(16,), batch_norm=True, n_epochs=6, batch_size=64, learning_rate=5e-3
    )
    return LPFSPlusPlus(host, penalty=0.02, random_state=0, n_probes=2).fit(X, y)


def test_the_useful_fields_are_kept_and_no_probe(found):
    assert found.get_feature_names_out().tolist() == ["a", "x", "b"]
    assert found.get_support(indices=True).tolist() == [1, 2, 3]
    assert (found.probe_scores_ == 0.0).all()
    assert (found.importance_[~found.support_] == 0.0).all()
    assert found.ranking()["field"].tolist()[:3] == sorted(["a", "b", "x"], key=lambda n: -_score(found, n))


def _score(found, name):
    return found.importance_[found.fields_.index(name)]


def test_gates_run_from_one_to_exact_zeros(found):
    assert (found.gates_[0] == 1.0).all()
    own = found.gates_[-1, : len(found.fields_)]
    assert ((own == 0.0) == ~found.support_).all()
    assert (np.diff(found.gate_steps_) > 0).all()
    assert (np.diff(found.epsilons_) <= 0).all()
    table = found.gate_path()
    assert set(table["field"]) == {*found.fields_, "probe 1", "probe 2"}
    assert table[table["step"] == table["step"].max()]["gate"].tolist() == found.gates_[-1].tolist()


def test_the_pruned_model_answers_like_the_gated_one(found, log):
    X, y = log
    pruned = found.prune()
    assert pruned.n_features_in_ == 3
    gated = found.decision_function(X)
    assert np.abs(pruned.decision_function(found.transform(X)) - gated).max() <= 1e-12
    assert metrics.auc(y, gated) > 0.85
    assert len(pruned.weights_["table"]) < len(found.searched_.weights_["table"])
    with pytest.raises(ValueError, match=r"3 features|feature names"):
        pruned.predict(X)


def test_the_pruned_model_can_be_saved_and_trained_on(found, log, tmp_path):
    X, y = log
    pruned = clone_fitted = found.prune()
    models.save(found, tmp_path / "selector")
    again = models.load(tmp_path / "selector")
    np.testing.assert_array_equal(again.decision_function(X), found.decision_function(X))
    assert again.get_feature_names_out().tolist() == ["a", "x", "b"]
    refitted = clone(clone_fitted).fit(found.transform(X), y)
    assert metrics.auc(y, refitted.predict_proba(found.transform(X))[:, 1]) > 0.85
    before = metrics.logloss(y, pruned.predict_proba(found.transform(X))[:, 1])
    tuned = again.prune().partial_fit(found.transform(X), y)
    assert metrics.logloss(y, tuned.predict_proba(found.transform(X))[:, 1]) < before + 0.02


@pytest.mark.parametrize("selector", [LPFS, LPFSPlusPlus])
def test_a_hot_start_changes_nothing_before_the_first_step(selector, log, host):
    X, y = (part[:600] for part in log)
    model = host.fit(X, y)
    kept = {name: value.copy() for name, value in model.weights_.items()}
    # A gate that does not move: the search is over before it begins.
    search = selector(clone(host).set_params(learning_rate=1e-12), gate_learning_rate=1e-12)
    search.hot_start(model, X, y)
    assert (search.gates_[0] == 1.0).all()
    assert search.support_.all()
    # Batch normalisation goes on averaging; its weights are the model's.
    for name, value in search.searched_.weights_.items():
        if "running" not in name and "tracked" not in name:
            np.testing.assert_allclose(value, kept[name], atol=1e-6)
    for name, value in model.weights_.items():
        np.testing.assert_array_equal(value, kept[name])


def test_a_hot_start_needs_no_estimator(log):
    """The model says of what kind the host is; without an estimator its epochs are those of the rows."""
    X, y = (part[:1000] for part in log)
    model = DCNv2Classifier(
        embedding_dim=3, hidden=(8,), n_cross=2, n_epochs=2, batch_size=64, random_state=0
    )
    model.fit(X, y)
    search = LPFSPlusPlus(random_state=0).hot_start(model, X, y)
    assert (search.gates_[0] == 1.0).all()
    assert search.gate_steps_[-1] > 100
    assert isinstance(search.prune(), DCNv2Classifier)
    assert search.prune().embedding_dim == 3
    assert isinstance(search.refit(X, y), DCNv2Classifier)
    with pytest.raises(ValueError, match="feature names"):
        search.hot_start(model, X.drop(columns="a"), y)
    with pytest.raises(FieldsError, match=r"class 'no', which is not one of \[0, 1\]"):
        search.hot_start(model, X, np.where(y == 1, "yes", "no"))


def test_a_hot_start_ends_better_than_it_could_from_scratch_in_one_epoch(log, host):
    X, y = log
    model = host.fit(X, y)
    short = clone(host).set_params(n_epochs=2)
    hot = LPFS(short, random_state=0).hot_start(model, X, y)
    area = metrics.auc(y, hot.decision_function(X))
    assert area > 0.85
    assert {"a", "b", "x"} <= set(hot.get_feature_names_out())


def test_a_budget_of_fields_is_met_by_a_path_of_penalties(log, host):
    X, y = log
    search = LPFSPlusPlus(host, penalty=0.002, max_fields=3, random_state=0).fit(X, y)
    assert search.support_.sum() <= 3
    path = pd.DataFrame(search.path_)
    assert path["n_fields"].is_monotonic_decreasing
    assert (np.diff(np.log2(path["penalty"])) == 1).all()
    assert path["n_fields"].iloc[-1] <= 3
    assert path["bytes"].iloc[-1] < path["bytes"].iloc[0]
    assert search.path_["fields"][-1].count(",") + 1 == search.support_.sum()
    gated = search.decision_function(X)
    assert np.abs(search.prune().decision_function(search.transform(X)) - gated).max() <= 1e-12


def test_a_budget_that_cannot_be_met_says_how_near_it_came(log, host):
    X, y = log
    search = LPFS(clone(host).set_params(n_epochs=2), penalty=0.001, max_bytes=1, random_state=0)
    with pytest.raises(FieldsError, match=r"nearest has \d+ fields?, \d+ bytes"):
        search.fit(X, y)


def test_gates_can_learn_from_rows_that_the_network_does_not_see(log, host):
    X, y = log
    options = {"penalty": 0.02, "validation_fraction": 0.3, "random_state": 0}
    search = LPFSPlusPlus(host, held_out_gates=True, **options).fit(X, y)
    assert search.get_feature_names_out().tolist() == ["a", "x", "b"]


@pytest.mark.parametrize("model", [DLRMClassifier, DINClassifier])
def test_other_hosts(model, log):
    X, y = log
    X = X.assign(history=[[v, "0"] for v in X["a"]])
    encoder = FieldEncoder(kinds={"history": "sequence"}, shared={"history": "a"}, max_length=3)
    options = {"embedding_dim": 4, "hidden": (16,), "batch_norm": True, "batch_size": 64}
    host = model(encoder=encoder, n_epochs=6, learning_rate=5e-3, **options)
    search = LPFSPlusPlus(host, random_state=0).fit(X, y)
    assert {"b", "x"} <= set(search.get_feature_names_out())
    gated = search.decision_function(X)
    assert np.abs(search.prune().decision_function(search.transform(X)) - gated).max() <= 1e-12


def test_too_large_a_penalty_says_what_to_set(log, host):
    X, y = log
    with pytest.raises(
        FieldsError, match=r"All fields were dropped: the penalty 5 is too large; set it to 0\.005 or less"
    ):
        LPFS(host, penalty=5.0).fit(X, y)


def test_without_a_host_a_search_has_steps_enough(log):
    X, y = log
    search = LPFSPlusPlus(random_state=0).fit(X[:1500], y[:1500])
    assert search.gate_steps_[-1] >= 250
    assert {"a", "b", "x"} <= set(search.get_feature_names_out())


def test_too_few_steps_say_what_to_set(log):
    X, y = log
    with pytest.raises(FieldsError, match="has 1 steps, too few to tell fields apart; set the host model's"):
        LPFSPlusPlus(DeepFMClassifier(hidden=(8,))).fit(X, y)


@pytest.mark.parametrize("n", [1, 40, 2500, 26_000, 800_000, 3_000_000, 10**8])
def test_a_default_host_makes_several_hundred_steps(n):
    options = host_options(n)
    steps = options["n_epochs"] * -(-n // options["batch_size"])
    assert options["n_epochs"] == 8 or steps >= 800
    assert 32 <= options["batch_size"] <= 4096
    assert options["n_epochs"] == 1 or steps < 2000


def test_an_interrupted_search_ends_like_one_that_was_not(log, host, tmp_path):
    X, y = (part[:1000] for part in log)
    whole = LPFSPlusPlus(host, random_state=3).fit(X, y)

    class Interrupt(training.Callback):
        def on_batch_end(self, loop):
            if loop.epoch == 2 and loop.batch == 5:
                loop.interrupt()

    with (
        training.callbacks(training.Checkpoint(tmp_path), Interrupt()),
        pytest.raises(training.Stopped),
    ):
        LPFSPlusPlus(host, random_state=3).fit(X, y)
    with training.callbacks(training.Checkpoint(tmp_path)):
        resumed = LPFSPlusPlus(host, random_state=3).fit(X, y)
    np.testing.assert_array_equal(whole.gates_, resumed.gates_)
    np.testing.assert_array_equal(whole.decision_function(X), resumed.decision_function(X))


def test_it_stands_in_a_pipeline(log, host):
    X, y = log
    X = X[["x", "n2", "a"]].assign(a=X["a"].astype(float))
    pipe = make_pipeline(LPFS(host, max_fields=2, random_state=0), LogisticRegression()).fit(X, y)
    assert pipe[-1].n_features_in_ <= 2
