"""Probes of embeddings."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from workbench.timeseries.evaluation import (
    PENALTIES,
    cluster_scores,
    fit_probe,
    folds,
    known_labels,
    label_names,
    robust_scaler,
)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return PCA(20, random_state=0).fit_transform(X[:600]), y[:600]


def test_probe_chooses_its_penalty_by_cross_validation(digits):
    X, y = digits
    # At random: the images come writer by writer.
    order = np.random.default_rng(0).permutation(len(X))
    X, y, X_test, y_test = X[order[:300]], y[order[:300]], X[order[300:]], y[order[300:]]
    probe = fit_probe(X, y)
    assert probe.C in PENALTIES
    assert probe.model[-1].C == probe.C
    assert probe.model.score(X_test, y_test) > 0.9
    assert probe.cv_accuracy == pytest.approx(probe.model.score(X_test, y_test), abs=0.06)
    # The published code's de-facto rule stays available.
    fixed = fit_probe(X, y, C=1e4)
    assert fixed.model[-1].C == 1e4
    assert np.isnan(fixed.cv_accuracy)


def test_a_feature_of_few_series_does_not_drown_the_others(digits):
    """Its interquartile range is next to nothing, and a few series are far outside of it."""
    X, y = digits
    rng = np.random.default_rng(0)
    rare = np.where(rng.random(600) < 0.05, rng.normal(size=600), 1e-4 * rng.random(600))
    plain, disturbed = (fit_probe(Z[::2], y[::2]).model.score(Z[1::2], y[1::2]) for Z in (X, np.c_[X, rare]))
    assert disturbed > plain - 0.06
    assert cluster_scores(np.c_[X, rare], y, random_state=0).nmi > 0.25  # 0.37 without it


def test_features_are_scaled_by_their_quartiles_as_far_as_these_reach():
    X = np.array([[-100.0, 4.0], [0.0, 4.0], [1.0, 4.0], [2.0, 4.0], [3.0, 5.0], [4.0, 4.0], [9.0, 4.0]])
    # Medians 2 and 4; quartiles 0.5 and 3.5, and none.
    expected = [[-5, 0], [-2 / 3, 0], [-1 / 3, 0], [0, 0], [1 / 3, 1], [2 / 3, 0], [7 / 3, 0]]
    np.testing.assert_allclose(robust_scaler().fit_transform(X), expected)


def test_folds_are_no_more_than_the_smallest_class():
    assert folds(np.repeat(["a", "b"], [9, 4])).n_splits == 4
    assert folds(np.repeat(["a", "b"], [9, 8])).n_splits == 5
    assert folds(np.repeat(["a", "b"], [9, 1])) is None


def test_a_class_of_one_member_needs_no_folds(digits):
    X, y = digits
    rows = np.r_[np.flatnonzero(y == 0)[:5], np.flatnonzero(y == 1)[:1]]
    assert fit_probe(X[rows], y[rows]).C == 1e4


def test_missing_labels_are_left_out(digits):
    X, y = digits
    partly = np.array([None if i % 2 else f"digit {v}" for i, v in enumerate(y)], dtype=object)
    probe = fit_probe(X, partly, C=10.0)
    same = fit_probe(X[::2], [f"digit {v}" for v in y[::2]], C=10.0)
    np.testing.assert_array_equal(probe.model.predict(X), same.model.predict(X))
    assert cluster_scores(X, np.where(np.arange(600) % 2, np.nan, y)).nmi > 0.3
    with pytest.raises(ValueError, match="at least two classes"):
        fit_probe(X, np.full(600, None))


def test_cluster_scores_know_perfect_and_chance(digits):
    X, y = digits
    few = y[y < 3]
    corners = 5 * np.eye(3)[few] + np.random.default_rng(0).normal(scale=0.1, size=(len(few), 3))
    perfect = cluster_scores(corners, few)
    assert perfect.rand_index == perfect.nmi == 1
    chance = cluster_scores(X, np.random.default_rng(0).permutation(y))
    assert chance.nmi < 0.1
    assert cluster_scores(X[:3], y[:3]).rand_index <= 1


def test_labels_as_text():
    assert label_names([1.0, np.nan, 2.5, None]).tolist() == ["1", None, "2.5", None]
    assert known_labels(np.array(["a", None], dtype=object)).tolist() == [True, False]
