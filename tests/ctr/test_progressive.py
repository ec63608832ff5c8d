"""Days of a log: divided, predicted before they are learned, gone on with; and calibration afterwards."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from workbench.ctr import FieldsError, LRClassifier, metrics, progressive_evaluation, splits

FAST = {"batch_size": 100, "learning_rate": 0.02, "random_state": 0}


def test_every_day_is_predicted_by_the_model_of_the_days_before(log):
    X, y = log
    days = splits.split_by_period(np.repeat(np.arange(6), 500))
    table = progressive_evaluation(LRClassifier(**FAST), ((X.iloc[day], y[day]) for day in days))
    by_hand = LRClassifier(**FAST)
    for i, day in enumerate(days):
        row = table.iloc[i]
        assert (row["n"], row["clicks"]) == (500, y[day].sum())
        if i == 0:
            assert np.isnan(row["auc"])
        else:
            p = by_hand.predict_proba(X.iloc[day])[:, 1]
            assert row["auc"] == metrics.auc(y[day], p)
            assert row["logloss"] == metrics.logloss(y[day], p)
            assert row["predicted"] == pytest.approx(p.mean())
            assert row["observed"] == pytest.approx(y[day].mean())
        by_hand.partial_fit(X.iloc[day], y[day])
    assert table["logloss"].iloc[-1] < table["logloss"].iloc[1]
    with pytest.raises(FieldsError, match="no part of a log"):
        progressive_evaluation(LRClassifier(), [])


def test_periods_are_calendar_days_in_order():
    time = ["2024-03-02 10:00", "2024-03-01 23:59", "2024-03-02 00:00", "2024-03-04 08:00"]
    assert [day.tolist() for day in splits.split_by_period(time)] == [[1], [0, 2], [3]]
    assert [len(month) for month in splits.split_by_period(time, "M")] == [4]
    assert [day.tolist() for day in splits.split_by_period([7, 5, 7])] == [[1], [0, 2]]
    with pytest.raises(FieldsError, match="row 1 is missing"):
        splits.split_by_period(pd.Series(["2024-03-02", None]))
    with pytest.raises(FieldsError, match="cannot be put into periods"):
        splits.split_by_period(["noon", "dusk"])


def test_a_warm_start_goes_on_and_a_cold_one_begins_anew(log):
    X, y = log
    warm = LRClassifier(warm_start=True, **FAST).fit(X[:1500], y[:1500])
    first, encoder = warm.history_[0]["loss"], warm.encoder_
    kept = {name: value.copy() for name, value in warm.weights_.items()}
    cold = LRClassifier(**FAST).fit(X[:1500], y[:1500])
    for name, value in cold.weights_.items():
        np.testing.assert_array_equal(value, kept[name])
    warm.fit(X[1500:], y[1500:])
    assert warm.encoder_ is encoder
    assert warm.history_[0]["loss"] < first - 0.01
    # A step of almost nothing leaves the weights where they were.
    warm.set_params(learning_rate=1e-12)
    before = {name: value.copy() for name, value in warm.weights_.items()}
    warm.fit(X, y)
    for name, value in warm.weights_.items():
        np.testing.assert_allclose(value, before[name], atol=1e-9)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_scikit_learns_calibration_corrects_a_fitted_model(log, method):
    X, y = log
    heavy = LRClassifier(n_epochs=6, **FAST).fit(X[:1500], y[:1500], sample_weight=1.0 + 4 * y[:1500])
    calibrated = CalibratedClassifierCV(FrozenEstimator(heavy), method=method).fit(X[1500:2300], y[1500:2300])
    p, q = (one.predict_proba(X[2300:])[:, 1] for one in (heavy, calibrated))
    assert metrics.calibration_error(y[2300:], p) > 0.15
    assert metrics.calibration_error(y[2300:], q) < 0.08
    assert q.mean() == pytest.approx(y[2300:].mean(), abs=0.04)
