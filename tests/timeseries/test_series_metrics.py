"""Metrics against plain loops over their definitions."""

import numpy as np
import pytest

from workbench.timeseries.metrics import (
    auc_pr,
    backtest,
    interval_coverage,
    pinball_loss,
    rolling_origins,
    vus_pr,
    window_f1,
)


def by_hand_area(labels, scores, buffer):
    """The range-aware area with every threshold apart."""
    n = len(labels)
    soft = labels.astype(float).copy()
    runs = []
    for t in range(n):
        if labels[t] and (t == 0 or not labels[t - 1]):
            runs.append([t, t])
        if labels[t]:
            runs[-1][1] = t
    for s, e in runs:
        for i in range(1, buffer // 2 + 1):
            for t in (s - i, e + i):
                if 0 <= t < n:
                    soft[t] += np.sqrt(1 - i / buffer)
    soft = np.minimum(soft, 1)
    ranges = []
    for t in range(n):
        if soft[t] > 0 and (t == 0 or soft[t - 1] == 0):
            ranges.append([t, t])
        if soft[t] > 0:
            ranges[-1][1] = t
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        found = scores >= threshold
        hit = (soft * found).sum()
        existing = np.mean([found[s : e + 1].any() for s, e in ranges])
        recall = min(hit / ((labels.sum() + soft.sum()) / 2), 1) * existing
        area += (recall - before) * hit / found.sum()
        before = recall
    return area


def test_vus_pr():
    random = np.random.default_rng(0)
    labels = np.zeros(80, dtype=int)
    labels[:3] = labels[30:38] = labels[45] = 1
    for scores in (random.normal(size=80).round(1), labels + random.normal(size=80)):
        expected = np.mean([by_hand_area(labels, scores, buffer) for buffer in range(21)])
        assert vus_pr(labels, scores, 20) == pytest.approx(expected, rel=1e-9)
    assert vus_pr(labels, labels.astype(float), 0) == pytest.approx(1)


def test_without_a_buffer_and_with_single_steps_the_area_is_the_average_precision():
    labels, scores = np.array([0, 1, 0, 0]), np.array([0.1, 0.7, 0.9, 0.2])
    assert auc_pr(labels, scores) == pytest.approx(0.5)
    assert vus_pr(labels, scores, 0) == pytest.approx(0.5)


def test_random_scores_find_no_more_than_there_is_though_point_adjustment_would_say_so():
    random = np.random.default_rng(0)
    labels = np.zeros(4000, dtype=int)
    for start in range(200, 4000, 800):
        labels[start : start + 100] = 1
    scores = random.uniform(size=4000)
    assert auc_pr(labels, scores) == pytest.approx(labels.mean(), abs=0.03)
    assert vus_pr(labels, scores, 50) == pytest.approx(labels.mean(), abs=0.06)
    assert window_f1(labels, scores > 0.99, 1) < 0.1


def test_window_f1():
    labels, found = np.zeros(10, dtype=int), np.zeros(10, dtype=int)
    labels[2:6] = 1
    found[[0, 5, 9]] = 1
    assert window_f1(labels, found) == pytest.approx(2 * 1 / (2 * 1 + 2 + 3))
    # Windows 0–3, 4–7, 8–9: true 1 1 0, found 1 1 1.
    assert window_f1(labels, found, 4) == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert window_f1(labels, np.zeros(10)) == 0


def test_steps_without_a_score_are_left_out():
    labels, scores = np.array([0, 1, 1, 0]), np.array([0.1, 0.9, np.nan, 0.2])
    assert auc_pr(labels, scores) == 1


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="No step is labelled anomalous"):
        auc_pr([0, 0], [0.1, 0.2])
    with pytest.raises(ValueError, match="must be 0"):
        vus_pr([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="of one length"):
        auc_pr([0, 1], [0.1])


def test_rolling_origins_end_with_the_series_and_do_not_overlap():
    assert rolling_origins(100, 10, 3) == [70, 80, 90]
    assert rolling_origins(100, 10, 3, stride=1) == [88, 89, 90]
    assert rolling_origins(30, 10, 5, min_history=15) == [20]
    with pytest.raises(ValueError, match="30 steps are too few to foretell 25 from a history of at least 10"):
        rolling_origins(30, 25, 1, min_history=10)


def test_a_backtest_shows_no_step_after_the_origin():
    X = np.arange(60.0).reshape(2, 15, 2)
    seen = []

    def last_value(history):
        seen.append(history.max(axis=(0, 1)))
        return np.repeat(history[:, -1:], 3, axis=1)

    table = backtest(last_value, X, [6, 9, 12], 3)
    assert len(table) == 2 * 3 * 3 * 2
    assert [tuple(s) for s in seen] == [tuple(X[1, t - 1]) for t in (6, 9, 12)]
    np.testing.assert_array_equal(table.error, -2 * table.step)
    row = table.query("series == 1 and origin == 9 and step == 2 and channel == 0").iloc[0]
    assert (row.true, row.forecast) == (X[1, 10, 0], X[1, 8, 0])
    with pytest.raises(ValueError, match=r"shape \(2, 4, 2\), not \(2, 3, 2\)"):
        backtest(lambda history: np.zeros((2, 4, 2)), X, [6], 3)


def test_pinball_loss_and_coverage():
    assert pinball_loss([1.0, 5.0], [3.0, 4.0], 0.9) == pytest.approx((0.1 * 2 + 0.9 * 1) / 2)
    assert interval_coverage([1, 2, 3, 4], [0, 3, 3, 5], [2, 4, 3, 6]) == 0.5
