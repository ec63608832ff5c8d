"""Metrics against scikit-learn and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from workbench.ctr import metrics
from workbench.errors import DatasetError


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    score = np.round(rng.random(500), 2)  # ties
    y = (rng.random(500) < score).astype(int)
    return y, score, rng.random(500) + 0.1, rng.integers(40, size=500)


def test_auc_and_logloss_are_scikit_learns(scored):
    y, score, weight, _ = scored
    assert metrics.auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)
    weighted = roc_auc_score(y, score, sample_weight=weight)
    assert metrics.auc(y, score, weight) == pytest.approx(weighted, abs=1e-12)
    p = np.clip(score, 0.01, 0.99)
    expected = log_loss(y, p, sample_weight=weight)
    assert metrics.logloss(y, p, weight) == pytest.approx(expected, abs=1e-12)


def test_auc_of_one_class_is_unknown():
    assert np.isnan(metrics.auc([1, 1], [0.2, 0.3]))


def test_gauc_is_the_weighted_mean_of_the_users_own(scored):
    y, score, _, user = scored
    areas, sizes = [], []
    for one in np.unique(user):
        mine = user == one
        if 0 < y[mine].mean() < 1:
            areas.append(roc_auc_score(y[mine], score[mine]))
            sizes.append(mine.sum())
    expected = np.average(areas, weights=sizes)
    assert metrics.gauc(y, score, user) == pytest.approx(expected, abs=1e-12)


def test_gauc_by_hand():
    # User a: 3 of 4 pairs right; user b: one class only; user c: a tie.
    user = ["a"] * 4 + ["b"] * 2 + ["c"] * 2
    y = [0, 1, 0, 1, 1, 1, 0, 1]
    score = [0.1, 0.2, 0.3, 0.4, 0.9, 0.8, 0.5, 0.5]
    assert metrics.gauc(y, score, user) == pytest.approx((4 * 0.75 + 2 * 0.5) / 6)


def test_normalized_entropy_of_the_base_rate_is_1():
    y = np.array([1, 0, 0, 0])
    assert metrics.normalized_entropy(y, np.full(4, 0.25)) == pytest.approx(1.0)
    # Half a bit of logloss against the entropy of one half: ln(4/3) / ln 2 for a constant 3/4 on the truth.
    assert metrics.normalized_entropy([1, 0], [0.75, 0.25]) == pytest.approx(np.log(4 / 3) / np.log(2))


def test_rela_impr_is_the_papers_own_number():
    """DIN against the base model on Amazon in arXiv 1706.06978, table 3."""
    assert metrics.rela_impr(0.8818, 0.8624) == pytest.approx(5.35, abs=0.01)


def test_nothing_can_be_said_of_an_improvement_on_chance():
    assert np.isnan(metrics.rela_impr(0.7, 0.5))


def test_calibration_curve_of_a_calibrated_model():
    rng = np.random.default_rng(1)
    p = rng.random(20_000)
    y = (rng.random(20_000) < p).astype(int)
    curve = metrics.calibration_curve(y, p, n_bins=20)
    assert (curve["n"] == 1000).all()
    assert ((curve["low"] <= curve["predicted"]) & (curve["predicted"] <= curve["high"])).mean() >= 0.85
    assert metrics.calibration_error(y, p) < 0.02
    assert metrics.calibration_error(y, p / 2) == pytest.approx(0.25, abs=0.02)


def test_bootstrap_agrees_with_the_formula_of_hanley_and_mcneil(scored):
    y, score, _, _ = scored
    value, low, high = metrics.bootstrap("auc", y, score, n_resamples=600)
    area, m, n = value, y.sum(), len(y) - y.sum()
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    error = np.sqrt((area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n))
    assert value == pytest.approx(roc_auc_score(y, score))
    assert (high - low) / (2 * 1.96) == pytest.approx(error, rel=0.15)


def test_bootstrap_of_the_improvement_is_paired(scored):
    y, score, _, user = scored
    same = metrics.bootstrap("rela_impr", y, score, base=score, n_resamples=50)
    assert same == (0.0, 0.0, 0.0)
    noisy = score + np.random.default_rng(2).normal(size=len(y))
    value, low, high = metrics.bootstrap("rela_impr", y, score, base=noisy, n_resamples=200)
    assert low < value < high
    by_user = metrics.bootstrap("gauc", y, score, user=user, n_resamples=100)
    assert by_user.low < metrics.gauc(y, score, user) < by_user.high


@pytest.mark.parametrize(
    ("y", "score", "sentence"),
    [
        ([0, 2], [0.1, 0.2], "row 1 holds 2"),
        ([0, 1], [0.1, np.nan], "score of row 1 is missing"),
        ([0, 1], [0.1], "differ in length"),
        ([], [], "no row to judge"),
    ],
)
def test_bad_input_is_one_sentence(y, score, sentence):
    with pytest.raises(DatasetError, match=sentence):
        metrics.auc(y, score)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: metrics.logloss([0, 1], [0.2, 1.5]),
            "Probabilities lie between 0 and 1, but row 1 holds 1.5",
        ),
        (lambda: metrics.normalized_entropy([0, 1], [-0.1, 0.5]), "row 0 holds -0.1"),
        (lambda: metrics.calibration_curve([0, 1], [3.0, 0.5]), "row 0 holds 3"),
        (lambda: metrics.logloss([0, 1], [0.2, 0.5], [0.0, 0.0]), "Weights must be 0 or more, and not all 0"),
        (lambda: metrics.auc([0, 1], [0.2, 0.5], [1.0, -1.0]), "Weights must be 0 or more"),
        (lambda: metrics.gauc([0, 1], [0.2, 0.5], ["a", None]), "user of row 1 is missing"),
        (lambda: metrics.gauc([0, 1], [0.2, 0.5], ["a"]), "Labels and users differ in length: 2, 1"),
        (lambda: metrics.bootstrap("gauc", [0, 1], [0.2, 0.5], user=[None, "b"]), "user of row 0 is missing"),
    ],
)
def test_other_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(DatasetError, match=sentence):
        call()
