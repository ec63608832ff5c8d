"""The CTR classifiers: scikit-learn's rules, what they learn, weights, sampling, streams, saving."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench import models
from workbench.ctr import (
    DCNv2Classifier,
    DeepFMClassifier,
    DINClassifier,
    DLRMClassifier,
    FieldEncoder,
    FieldsError,
    FMClassifier,
    LRClassifier,
    UnseenValuesWarning,
    metrics,
)
from workbench.ctr._training import build

FAST = {"n_epochs": 6, "batch_size": 128, "learning_rate": 0.01, "random_state": 0}
ALL = (LRClassifier, FMClassifier, DeepFMClassifier, DCNv2Classifier, DLRMClassifier, DINClassifier)

_REASONS = {
    "check_sample_weight_equivalence_on_dense_data": (
        "rows are visited in random batches, so a row of weight 2 and the row twice take different paths"
    ),
}


def _small(one):
    if one in (LRClassifier, FMClassifier):
        return one(n_epochs=8, batch_size=32, learning_rate=0.1, random_state=0)
    return one(n_epochs=6, batch_size=32, learning_rate=0.02, hidden=(16,), random_state=0)


@parametrize_with_checks(
    [_small(DeepFMClassifier)],
    expected_failed_checks=lambda estimator: _REASONS,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [_small(one) for one in ALL if one is not DeepFMClassifier],
    expected_failed_checks=lambda estimator: _REASONS,
)
def test_scikit_learn_rules_of_the_other_models(estimator, check):
    check(estimator)


def test_an_interaction_is_learned_by_all_but_logistic_regression(log):
    X, y = log
    area = {}
    for one in ALL:
        model = one(**FAST).fit(X[:2400], y[:2400])
        area[one] = metrics.auc(y[2400:], model.predict_proba(X[2400:])[:, 1])
    assert area.pop(LRClassifier) < 0.74
    assert min(area.values()) > 0.78, area


@pytest.mark.parametrize(
    ("name", "rate"), [("adamw", 0.01), ("adagrad", 0.05), ("lion", 0.005), ("gsnr", 0.02)]
)
def test_other_optimizers_learn_too(name, rate, log):
    X, y = log
    model = DeepFMClassifier(
        **FAST | {"optimizer": name, "learning_rate": rate}, hidden=(16,), batch_norm=True
    )
    model.fit(X[:2400], y[:2400])
    assert metrics.auc(y[2400:], model.predict_proba(X[2400:])[:, 1]) > 0.78
    one, two = (clone(model).set_params(n_epochs=1).fit(X[:400], y[:400]) for _ in range(2))
    np.testing.assert_array_equal(one.weights_["table"], two.weights_["table"])


def test_logistic_regression_is_scikit_learns(log):
    X, y = log
    X = X[["city", "device"]]
    ours = LRClassifier(n_epochs=150, batch_size=500, learning_rate=0.02, random_state=0).fit(X, y)
    theirs = make_pipeline(OneHotEncoder(), LogisticRegression(C=1e6)).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=0.01)


def test_the_same_seed_gives_the_same_weights_and_no_global_seed_is_touched(log):
    import torch

    X, y = (part[:600] for part in log)
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (DeepFMClassifier(dropout=0.2, **FAST).fit(X, y) for _ in range(2))
    for name, value in one.weights_.items():
        np.testing.assert_array_equal(value, two.weights_[name])
    assert torch.equal(state, torch.get_rng_state())
    assert (legacy == np.random.get_state()[1]).all()  # noqa: NPY002
    other = DeepFMClassifier(**{**FAST, "random_state": 1}).fit(X, y)
    assert not np.array_equal(one.weights_["table"], other.weights_["table"])


def test_rows_of_weight_0_do_not_count(log):
    X, y = log
    weight = np.r_[np.ones(1000), np.zeros(2000)]
    weighted = DeepFMClassifier(**FAST).fit(X, y, sample_weight=weight)
    encoder = weighted.encoder_  # whose vocabulary knows all rows
    alone = DeepFMClassifier(**FAST)
    alone.fit_encoded(encoder, encoder.encode(X[:1000]), y[:1000], np.ones(1000))
    np.testing.assert_allclose(weighted.decision_function(X), alone.decision_function(X), atol=1e-6)


def test_weights_shift_the_predicted_rate(log):
    X, y = log
    heavy = LRClassifier(**FAST | {"n_epochs": 10, "learning_rate": 0.02}).fit(
        X, y, sample_weight=np.where(y == 1, 3.0, 1.0)
    )
    wanted = 3 * y.mean() / (3 * y.mean() + 1 - y.mean())
    assert heavy.predict_proba(X)[:, 1].mean() == pytest.approx(wanted, abs=0.05)


def test_downsampled_negatives_are_corrected(log):
    X, y = log
    kept = (y == 1) | (np.random.default_rng(0).random(len(y)) < 0.25)
    options = FAST | {"n_epochs": 10, "learning_rate": 0.02}
    raw = LRClassifier(**options).fit(X[kept], y[kept])
    corrected = LRClassifier(negative_rate=0.25, **options).fit(X[kept], y[kept])
    p = raw.predict_proba(X)[:, 1]
    np.testing.assert_allclose(corrected.predict_proba(X)[:, 1], p / (p + (1 - p) / 0.25), rtol=1e-9)
    assert corrected.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), abs=0.04)


def test_unseen_values_say_nothing(log):
    X, y = log
    model = FMClassifier(**FAST).fit(X[["city", "device"]], y)
    new = pd.DataFrame({"city": ["Paris", None], "device": ["phone", "phone"]})
    network = model.network()
    start, _ = network.layout.tables["device"]
    phone = start + 2 + model.encoder_.vocabularies_["device"].tolist().index("phone")
    # Only the known value's own weight is left: no interaction with a value that has no vector.
    expected = network.weight[phone].item() + network.bias.item()
    with pytest.warns(
        UnseenValuesWarning, match=r"absent in the training rows, in 'city' \(50%\): they count"
    ):
        np.testing.assert_allclose(model.decision_function(new), expected, atol=1e-6)


def test_rare_values_are_no_surprise(log):
    X, y = log
    rare = X[["noise"]].assign(
        noise=np.where(np.arange(len(X)) < 300, [f"r{i}" for i in range(len(X))], X["noise"])
    )
    model = FMClassifier(encoder=FieldEncoder(min_count=2), **FAST).fit(rare, y)
    model.predict(rare)  # a tenth of the rows are rare here as they were there
    with pytest.warns(UnseenValuesWarning, match=r"'noise' \(100%\)"):
        model.predict(rare[:300])


def test_partial_fit_goes_on_where_it_was(log):
    X, y = log
    days = [slice(i, i + 500) for i in range(0, 3000, 500)]
    model = DeepFMClassifier(**FAST)
    losses = []
    for day in days * 3:
        if hasattr(model, "weights_"):
            losses.append(metrics.logloss(y[day], model.predict_proba(X[day])[:, 1]))
        model.partial_fit(X[day], y[day], classes=[0, 1])
    assert np.mean(losses[-5:]) < losses[0] - 0.1
    assert len(model.history_) == 18


def test_a_stream_is_learned_without_holding_it(log):
    X, y = log
    table = pa.Table.from_pandas(X.assign(click=y), preserve_index=False)
    parts = table.to_batches(max_chunksize=700)
    model = DeepFMClassifier(**FAST).fit_batches(parts, "click")
    assert model.n_features_in_ == 5
    area = metrics.auc(y, model.predict_proba(X)[:, 1])
    assert area > 0.8
    assert len(model.history_) == 6
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]


def test_mini_batch_aware_pull_is_one_over_the_frequency():
    """One step of gradient descent with no gradient from the data leaves the pull alone."""
    X = pd.DataFrame({"a": ["often"] * 6 + ["once", "twice", "twice", "often"]})
    y = np.array([0, 1] * 5)
    model = LRClassifier(optimizer="sgd", learning_rate=0.1, l2=2.0, l2_by_frequency=True, random_state=0)
    encoder = FieldEncoder().fit(X)
    start = build("lr", encoder.layout(), 1, {}, 0).requires_grad_(False)
    gradient = clone(model).set_params(l2=0.0).fit_encoded(encoder, encoder.encode(X), y, start=start)
    start.weight[:] = 0.5
    free = clone(model).set_params(l2=0.0).fit_encoded(encoder, encoder.encode(X), y, start=start)
    pulled = model.fit_encoded(encoder, encoder.encode(X), y, start=start)
    assert np.abs(gradient.weights_["weight"]).sum() > 0
    difference = (free.weights_["weight"] - pulled.weights_["weight"]).ravel()
    # Ids by frequency: often 7, twice 2, once 1. Each is in the one batch, so eta * lambda / n_j * w_j.
    expected = [0, 0, 0.1 * 2 / 7 * 0.5, 0.1 * 2 / 2 * 0.5, 0.1 * 2 / 1 * 0.5]
    np.testing.assert_allclose(difference, expected, atol=1e-6)


def test_pipeline_grid_search_and_clone(log):
    X, y = log
    pipe = make_pipeline(FunctionTransformer(), FMClassifier(**FAST))
    search = GridSearchCV(pipe, {"fmclassifier__embedding_dim": [2, 4]}, cv=2).fit(X[:600], y[:600])
    assert search.best_params_["fmclassifier__embedding_dim"] in (2, 4)
    nested = clone(FMClassifier(encoder=FieldEncoder(min_count=3)))
    assert nested.get_params()["encoder__min_count"] == 3


@pytest.mark.parametrize("one", ALL)
def test_saving_keeps_the_predictions(one, log, tmp_path):
    X, y = log
    model = one(**FAST | {"n_epochs": 1}).fit(X, np.array(["no", "yes"])[y])
    models.save(model, tmp_path / "model")
    again = models.load(tmp_path / "model")
    np.testing.assert_array_equal(model.predict_proba(X[:50]), again.predict_proba(X[:50]))
    assert set(again.predict(X)) <= {"no", "yes"}


@pytest.mark.parametrize(
    ("y", "sentence"),
    [
        (np.arange(10) % 3, "label has 3 classes"),
        (np.zeros(10, dtype=int), "one class '0'"),
        (np.r_[np.zeros(9), np.nan], "label of row 9 is missing"),
        (np.array(["no", "yes", None, *["no"] * 7], dtype=object), "label of row 2 is missing"),
    ],
)
def test_a_bad_label_is_one_sentence(y, sentence):
    with pytest.raises(FieldsError, match=sentence):
        LRClassifier().fit(pd.DataFrame({"a": list("abcdefghij")}), y)


def test_a_part_that_cannot_be_learned_is_one_sentence(log):
    X, y = (part[:100] for part in log)
    model = DeepFMClassifier(**FAST, hidden=(4,), batch_norm=True).partial_fit(X, y)
    with pytest.raises(FieldsError, match="One row alone has no variance for batch_norm"):
        model.partial_fit(X[:1], y[:1])
    with pytest.raises(FieldsError, match="y holds the class '2', which is not one of"):
        model.partial_fit(X, y * 2)


def test_the_sequence_is_weighed_by_its_candidate():
    """A click is a candidate that stands in the history: the mean of the history cannot tell."""
    rng = np.random.default_rng(0)
    n = 4000
    history = rng.integers(12, size=(n, 4))
    inside = rng.random(n) < 0.5
    item = np.where(inside, history[:, 0], rng.integers(12, size=n))
    y = (history == item[:, None]).any(1).astype(int)
    X = pd.DataFrame({"item": item.astype(str), "history": [list(map(str, row)) for row in history]})
    encoder = FieldEncoder(kinds={"history": "sequence"}, shared={"history": "item"}, max_length=6)
    options = {"encoder": encoder, "hidden": (32,), "batch_size": 64, "learning_rate": 0.01}
    options |= {"random_state": 0, "embedding_dim": 8}
    model = DINClassifier(n_epochs=8, **options).fit(X[:3000], y[:3000])
    assert metrics.auc(y[3000:], model.predict_proba(X[3000:])[:, 1]) > 0.95
