"""The peers: each finds what it can find, its scores are those of its formula, and probes stay out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import mutual_info_classif
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench.ctr import (
    DeepFMClassifier,
    DLRMClassifier,
    FieldsError,
    FieldWarning,
    FMClassifier,
    LRClassifier,
    metrics,
)
from workbench.selection import (
    BoostingSelector,
    GradientSelector,
    LassoSelector,
    MutualInformationSelector,
    PermutationSelector,
    SharkSelector,
)
from workbench.selection.scores import field_gradients, mutual_information, permutation_importance

TINY = LRClassifier(batch_size=32, learning_rate=0.05, random_state=0)
ALL = (
    BoostingSelector,
    GradientSelector,
    LassoSelector,
    MutualInformationSelector,
    PermutationSelector,
    SharkSelector,
)
_REASONS = {
    "check_sample_weight_equivalence_on_dense_data": (
        "rows are visited in random batches and divided at random, so a weight of 2 is not the row twice"
    ),
}


@parametrize_with_checks(
    [LassoSelector(TINY, max_fields=2)],
    expected_failed_checks=lambda estimator: _REASONS,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        one(TINY, max_fields=2, n_trees=10) if one is BoostingSelector else one(TINY, max_fields=2)
        for one in ALL
        if one is not LassoSelector
    ],
    expected_failed_checks=lambda estimator: _REASONS,
)
def test_scikit_learn_rules_of_the_other_selectors(estimator, check):
    check(estimator)


@pytest.mark.parametrize("one", ALL)
def test_the_three_useful_fields_come_first(one, log, host):
    X, y = log
    found = one(host, max_fields=3, n_probes=2, random_state=0).fit(X, y)
    assert set(found.get_feature_names_out()) == {"a", "b", "x"}
    assert len(found.probe_scores_) == 2
    assert found.probe_scores_.max() < found.importance_[found.support_].min()
    assert found.transform(X).columns.tolist() == ["a", "x", "b"]


def test_mutual_information_is_scikit_learns_less_chance(log):
    X, y = log
    from workbench.ctr import FieldEncoder

    encoder = FieldEncoder().fit(X[["a", "c", "n1"]])
    encoded = encoder.encode(X[["a", "c", "n1"]])
    ours = mutual_information(encoder.layout(), encoded, y.astype(float))
    theirs = mutual_info_classif(encoded.ids, y, discrete_features=True)
    chance = np.array([5, 5, 39]) / (2 * len(y))
    order = [["a", "c", "n1"].index(name) for name in encoder.layout().names]
    np.testing.assert_allclose(ours, (theirs - chance[order]), atol=1e-10)
    assert ours[order.index(0)] > 0.02
    assert abs(ours[order.index(2)]) < 0.01


@pytest.fixture(scope="module")
def trained(log):
    X, y = log
    model = DeepFMClassifier(
        embedding_dim=4, hidden=(16,), n_epochs=8, batch_size=64, learning_rate=5e-3, random_state=0
    ).fit(X[:2000], y[:2000])
    return model, model.encoder_.encode(X[2000:]), y[2000:].astype(float)


def test_the_first_order_term_by_finite_differences(trained):
    """The signed score is the derivative of the mean loss along the way from each row to the mean row."""
    model, rows, y = trained
    import torch

    from workbench.ctr._batch import make_batch

    network = model.network().double()
    batch = make_batch(rows, network.layout)
    with torch.no_grad():
        vectors, parts = network.embed(batch, None, torch.float64)
        labels = torch.from_numpy(y)

        def loss(step, field):
            v, p = vectors.clone(), parts.clone()
            v[:, field] += step * (vectors[:, field].mean(0) - vectors[:, field])
            p[:, field] += step * (parts[:, field].mean(0) - parts[:, field])
            logits = network.head(v, p, batch, None)
            return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).item()

        expected = [(loss(1e-5, i) - loss(-1e-5, i)) / 2e-5 for i in range(6)]
    found = field_gradients(model, rows, y, order=1)["signed"]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kind", [LRClassifier, FMClassifier])
def test_the_second_order_is_that_of_all_pairs_of_rows(log, kind):
    """The logit of these models is linear in each field, so the change of a row is that of the logits."""
    X, y = log
    model = kind(n_epochs=4, batch_size=64, learning_rate=0.02, random_state=0).fit(X[:2000], y[:2000])
    rows, labels = model.encoder_.encode(X[2000:2060]), y[2000:2060].astype(float)
    logits = model.decide_encoded(rows)
    p = expit(logits)
    expected = []
    for name in model.encoder_.layout().names:
        total = 0.0
        for shift in range(len(labels)):  # every row's cell meets every row once
            order = np.roll(np.arange(len(labels)), shift)
            d = model.decide_encoded(rows.shuffled(model.encoder_.layout(), name, order)) - logits
            total += ((p - labels) * d + p * (1 - p) / 2 * d**2).mean()
        expected.append(total / len(labels))
    np.testing.assert_allclose(field_gradients(model, rows, labels)["signed"], expected, rtol=1e-3, atol=1e-6)


def test_the_estimate_ranks_like_permutation(trained):
    model, rows, y = trained
    layout = model.encoder_.layout()
    truth = permutation_importance(model, layout, rows, y, n_repeats=5)
    scores = field_gradients(model, rows, y)
    assert spearmanr(scores["absolute"], truth).statistic >= 0.7
    assert spearmanr(scores["signed"], truth).statistic >= 0.8
    np.testing.assert_allclose(scores["signed"], truth, atol=0.05)
    assert set(np.array(layout.names)[truth > 0.02]) == {"a", "b", "x"}


def test_numbers_of_dlrm_are_scored_too(log):
    X, y = log
    options = {"embedding_dim": 4, "hidden": (16,), "bottom": (8,), "n_epochs": 8, "batch_size": 64}
    model = DLRMClassifier(learning_rate=5e-3, random_state=0, **options).fit(X[:2000], y[:2000])
    score = field_gradients(model, model.encoder_.encode(X[2000:]), y[2000:].astype(float))["absolute"]
    by_name = dict(zip(model.encoder_.layout().names, score, strict=True))
    assert by_name["x"] > 0.01
    assert by_name["n2"] < by_name["x"] / 3


def test_shark_goes_on_until_its_target_and_stays_good(log, host):
    X, y = log
    found = SharkSelector(host, max_fields=3, random_state=0).fit(X, y)
    assert found.path_["n_fields"] == [6, 5, 4, 3]
    assert found.path_["auc"][-1] > found.path_["auc"][0] - 0.02
    pruned = found.prune()
    assert set(pruned.feature_names_in_) == {"a", "b", "x"}
    assert metrics.auc(y, pruned.predict_proba(found.transform(X))[:, 1]) > 0.85
    smaller = SharkSelector(host, max_bytes=found.path_["bytes"][2], fine_tune=False, random_state=0)
    assert smaller.fit(X, y).path_["bytes"][-1] <= found.path_["bytes"][2]


def test_a_target_that_shark_cannot_meet_is_one_sentence(log, host):
    search = SharkSelector(host, max_bytes=1, fine_tune=False, drop_per_round=5, random_state=0)
    with pytest.raises(FieldsError, match=r"One field alone takes \d+ bytes, .* max_bytes=1 allows"):
        search.fit(*log)
    with pytest.raises(NotFittedError):
        SharkSelector().prune()


def test_no_score_above_zero_is_one_sentence():
    import pandas as pd

    X = pd.DataFrame({"n": ["same"] * 400})
    with (
        pytest.warns(FieldWarning, match="'n' has one value only"),
        pytest.raises(FieldsError, match="No field has a score above 0"),
    ):
        MutualInformationSelector(TINY).fit(X, np.arange(400) % 2)


def test_fields_that_mislead_are_warned_of_in_a_sentence_each(log):
    X, y = (part[:600] for part in log)
    fields = {
        "visit": ([f"v{i}" for i in range(len(X))], "'visit' is an identifier: nearly every row has a value"),
        "number": (np.arange(len(X)), "'number' is an identifier: every row has a whole number of its own"),
        "planet": ("earth", "'planet' has one value only and can tell nothing: leave it out"),
        "answer": (
            np.where(y == 1, "p", "q"),
            "'answer' alone reaches an AUC of 1.000: it may hold the answer",
        ),
        "views": (np.where(X.index == 7, -1, X.index % 30), "below 0 in 1 row, first in row 7 (-1)"),
    }
    frame = X[["a", "x"]].assign(**{name: values for name, (values, _) in fields.items()})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MutualInformationSelector(max_fields=2).fit(frame, y)
    said = [str(warning.message) for warning in caught if warning.category is FieldWarning]
    assert len(said) == len(fields)
    for name, (_, sentence) in fields.items():
        assert sum(sentence in one for one in said) == 1, name
