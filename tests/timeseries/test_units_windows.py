"""Forecasts, anomalies and imputation over encoders of windows, on the real series that aeon ships."""

import numpy as np
import pytest
from aeon.datasets import load_airline

from workbench.models import persistence
from workbench.timeseries import (
    CSL,
    TS2Vec,
    UniTSAnomalyDetector,
    UniTSForecaster,
    UniTSImputer,
)
from workbench.timeseries._windows import cut, spread, starts
from workbench.timeseries.metrics import auc_pr, interval_coverage
from workbench.timeseries.units_imputer import gap_distance, gap_length, interpolate


def encoder(**params):
    small = {"n_epochs": 1, "n_features": 16, "n_hidden": 8, "depth": 4, "random_state": 0}
    return TS2Vec(**(small | params))


@pytest.fixture(scope="module")
def airline():
    """144 months of passengers, one series."""
    return np.log(np.asarray(load_airline(), dtype=float)).reshape(1, -1, 1)


@pytest.fixture(scope="module")
def motion(basic_motions):
    """Two recordings of 1000 steps and 6 variables."""
    return np.concatenate(list(basic_motions[0][10:20]))[None], np.concatenate(list(basic_motions[2][10:20]))[
        None
    ]


# --- windows --------------------------------------------------------------------------------------------


def test_windows_are_spread_over_the_series_and_back():
    assert starts(10, 4, 100).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert starts(10, 4, 3).tolist() == [0, 3, 6]
    assert starts(3, 4, 3).tolist() == []
    one = np.arange(20.0).reshape(10, 2)
    parts = cut(one, np.array([0, 3, 6]), 4)
    np.testing.assert_array_equal(parts[1], one[3:7])
    np.testing.assert_array_equal(spread(parts, np.array([0, 3, 6]), 10), one)


# --- forecasts ------------------------------------------------------------------------------------------


def test_forecast_of_a_season_beats_the_last_value_and_the_last_season(airline):
    history, future = airline[:, :-12], airline[:, -12:]
    model = UniTSForecaster(12, 24, [encoder()], random_state=0).fit(history)
    found = model.predict(history)
    assert found.shape == (1, 12, 1)
    error = np.abs(found - future).mean()
    assert error < 0.5 * np.abs(history[:, -1:] - future).mean()
    assert error < np.abs(history[:, -12:] - future).mean()


def test_the_steps_to_foretell_have_no_part_in_their_forecast(airline):
    history = airline[:, :-12]
    model = UniTSForecaster(12, 24, [encoder()], calibration=0.3, random_state=0).fit(history)
    # The tail behind the history can be anything.
    shuffled = airline.copy()
    shuffled[0, -12:, 0] = np.random.default_rng(0).permutation(shuffled[0, -12:, 0])
    np.testing.assert_array_equal(model.predict(shuffled[:, :-12]), model.predict(history))
    own, other = (np.abs(model.predict(history) - X[:, -12:]).mean() for X in (airline, shuffled))
    assert own < other
    # What only calibrates has no part in the weights.
    end = history.copy()
    first_held = model.residuals_.shape[0]
    end[0, -first_held - 11 :] = np.random.default_rng(1).permutation(end[0, -first_held - 11 :])
    again = UniTSForecaster(12, 24, [encoder()], calibration=0.3, random_state=0).fit(end)
    np.testing.assert_allclose(again.head_weight_, model.head_weight_)
    assert not np.allclose(again.residuals_, model.residuals_)
    # What trains has.
    begin = history.copy()
    begin[0, 30:60] = begin[0, 30:60][::-1]
    assert not np.allclose(
        UniTSForecaster(12, 24, [encoder()], random_state=0).fit(begin).head_weight_, model.head_weight_
    )


def test_quantiles_cover_as_often_as_they_say(motion):
    train, test = motion
    model = UniTSForecaster(4, 16, [encoder()], max_windows=600, calibration=0.4, random_state=0).fit(train)
    windows = cut(test[0], np.arange(0, 980, 7), 20)
    past, future = windows[:, :16], windows[:, 16:]
    low, middle, high = np.moveaxis(model.predict_quantiles(past, (0.1, 0.5, 0.9)), 3, 0)
    assert (low <= high).all()
    assert interval_coverage(future, low, high) == pytest.approx(0.8, abs=0.07)
    assert interval_coverage(future, -np.inf, middle) == pytest.approx(0.5, abs=0.1)


def test_exogenous_columns_that_decide_the_future_are_used(motion):
    random = np.random.default_rng(0)
    known = random.normal(size=(1, 400, 1))
    X = 0.2 * motion[0][:, :400, :1] + 5 * known
    plain = UniTSForecaster(3, 10, [encoder()], random_state=0).fit(X[:, :300])
    told = UniTSForecaster(3, 10, [encoder()], random_state=0).fit(X[:, :300], exog=known[:, :300])
    origins = np.arange(300, 397)
    past, future = cut(X[0], origins - 10, 10), cut(X[0], origins, 3)
    found = told.predict(past, exog=cut(known[0], origins, 3))
    # Half of the error stays: the last value, which forecasts start from, has its own unknown share.
    assert np.abs(found - future).mean() < 0.6 * np.abs(plain.predict(past) - future).mean()
    with pytest.raises(ValueError, match="exog was not given in fit"):
        plain.predict(past, exog=cut(known[0], origins, 3))
    missing = np.where(np.arange(300)[:, None] == 7, np.nan, known[:, :300])
    with pytest.raises(ValueError, match="exog is missing at step 7 of series 0"):
        UniTSForecaster(3, 10, [encoder()]).fit(X[:, :300], exog=missing)
    with pytest.raises(ValueError, match="exog must have the 1 columns that it had in fit"):
        told.predict(past)
    with pytest.raises(ValueError, match=r"exog must have shape \(97, 3, e\), not \(97, 2, 1\)"):
        told.predict(past, exog=cut(known[0], origins, 2))


def test_fine_tuned_forecasts(airline):
    history = airline[:, :-12]
    frozen = UniTSForecaster(12, 24, [encoder(), CSL(n_epochs=0, n_scales=2, n_shapelets=6)], random_state=0)
    tuned = UniTSForecaster(
        12,
        24,
        [encoder(), CSL(n_epochs=0, n_scales=2, n_shapelets=6)],
        mode="fine_tune",
        n_epochs=10,
        random_state=0,
    ).fit(history)
    assert len(tuned.history_) == 10
    assert tuned.history_[-1]["loss"] < tuned.history_[0]["loss"]
    assert not np.allclose(tuned.predict(history), frozen.fit(history).predict(history))


def test_forecaster_refuses_what_it_cannot_foretell(airline):
    with pytest.raises(ValueError, match="horizon=200 leaves nothing to see of series of 144 steps"):
        UniTSForecaster(200, encoders=[encoder()]).fit(airline)
    with pytest.raises(ValueError, match="window=140 is too long: the longest series has 144 steps"):
        UniTSForecaster(12, 140, [encoder()]).fit(airline)
    model = UniTSForecaster(12, 24, [encoder()], calibration=0, random_state=0).fit(airline)
    with pytest.raises(ValueError, match="Series 0 has 10 steps, but 24 are seen"):
        model.predict(airline[:, :10])
    with pytest.raises(ValueError, match="No window was kept to calibrate"):
        model.predict_quantiles(airline)


# --- anomalies ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector(motion):
    return UniTSAnomalyDetector(20, [encoder()], max_windows=300, random_state=0).fit(motion[0])


def test_what_does_not_belong_scores_high(motion, basic_motions, detector):
    series = motion[1].copy()
    labels = np.zeros(1000, dtype=int)
    series[0, 500:530] = basic_motions[2][39, 20:50]  # a stretch of another activity
    labels[500:530] = 1
    scores = detector.decision_function(series)
    assert scores.shape == (1, 1000)
    assert auc_pr(labels, scores[0]) > 5 * labels.mean()
    np.testing.assert_array_equal(detector.predict(series), scores > detector.threshold_)
    train = detector.decision_function(motion[0])
    # The threshold is of heads that had not seen what they judged: fewer than a hundredth may pass it.
    assert (train > detector.threshold_).mean() == pytest.approx(0.01, abs=0.005)


def test_a_score_is_the_error_at_the_end_of_the_window(motion, detector):
    series = motion[1][:, :60]
    scores = detector.decision_function(series)
    scaled = ((series - detector.mean_) / detector.scale_)[0].astype(np.float32).astype(float)
    for step in (5, 19, 20, 44):
        first = max(step - 19, 0)
        window = scaled[None, first : first + 20]
        found = (detector._features(window) @ detector.head_weight_.T + detector.head_bias_).reshape(20, 6)
        expected = ((found - window[0]) ** 2).mean(axis=1)[step - first]
        assert scores[0, step] == pytest.approx(expected, rel=1e-3)
    # Nothing after a step has a part in its score, once a window is full.
    changed = series.copy()
    changed[0, 40:] += 3
    np.testing.assert_allclose(detector.decision_function(changed)[0, 19:40], scores[0, 19:40], rtol=1e-3)


def test_detector_takes_short_and_unequal_series_a_stride_and_a_threshold(motion, detector):
    X = np.concatenate([motion[1][:, :50], motion[0][:, :50]])
    X[0, 12:] = np.nan
    scores = detector.decision_function(X)
    assert np.isfinite(scores[0, :12]).all()
    assert np.isnan(scores[0, 12:]).all()
    assert (detector.predict(X)[0, 12:] == 0).all()
    given = UniTSAnomalyDetector(20, [encoder()], stride=7, threshold=0.5, max_windows=50, random_state=0)
    given.fit(motion[0][:, :200])
    assert given.threshold_ == 0.5
    assert np.isfinite(given.decision_function(motion[1])).all()


# --- imputation -----------------------------------------------------------------------------------------


def test_lines_and_distances():
    X = np.array([np.nan, 2, np.nan, np.nan, 5, np.nan]).reshape(1, -1, 1)
    np.testing.assert_allclose(interpolate(X)[0, :, 0], [2, 2, 3, 4, 5, 5])
    assert gap_distance(np.isnan(X))[0, :, 0].tolist() == [1, 0, 1, 1, 0, 1]
    assert gap_length(np.isnan(X))[0, :, 0].tolist() == [1, 0, 2, 2, 0, 1]
    assert gap_length(np.ones((1, 3, 1), bool))[0, :, 0].tolist() == [3, 3, 3]
    assert interpolate(np.full((1, 3, 1), np.nan)).tolist() == [[[0], [0], [0]]]


@pytest.mark.parametrize("mask", ["geometric", "block"])
def test_imputation_is_no_worse_than_lines_and_leaves_the_rest(motion, mask):
    train, test = motion
    model = UniTSImputer(40, [encoder()], mask=mask, max_windows=300, random_state=0).fit(train)
    errors = model.held_out_error(test, random_state=3)
    assert errors["mse"] <= 1.02 * errors["linear_mse"]
    assert ((model.blend_ >= 0) & (model.blend_ <= 1)).all()
    gaps = test.copy()
    gaps[0, 100:130, 2] = np.nan
    gaps[0, 985:, 4] = np.nan
    filled = model.transform(gaps)
    known = ~np.isnan(gaps)
    np.testing.assert_array_equal(filled[known], gaps[known])
    assert np.isfinite(filled).all()
    short = np.pad(gaps[:, :30], ((0, 0), (0, 5), (0, 0)), constant_values=np.nan)
    short[0, 10:14, 0] = np.nan
    done = model.transform(short)
    assert np.isfinite(done[0, :30]).all()
    assert np.isnan(done[0, 30:]).all()


def test_a_gap_longer_than_any_in_training_is_bridged_by_a_line(motion):
    model = UniTSImputer(40, [encoder()], mask="block", mask_ratio=0.25, max_windows=80, random_state=0)
    model.fit(motion[0])
    assert model.longest_ == 10
    model.blend_ = np.ones(6)
    gaps = motion[1].copy()
    gaps[0, 100:110, 2] = gaps[0, 300:311, 2] = np.nan
    filled, lines = model.transform(gaps), interpolate(gaps)
    np.testing.assert_allclose(filled[0, 300:311, 2], lines[0, 300:311, 2])
    assert not np.allclose(filled[0, 100:110, 2], lines[0, 100:110, 2])


def test_block_gaps_are_filled_better_than_by_lines(motion):
    train, test = motion
    model = UniTSImputer(
        40,
        [encoder(), "CSL"],
        mask="geometric",
        mask_ratio=0.4,
        mask_length=8.0,
        pretrain_epochs=0,
        max_windows=400,
        random_state=0,
    ).fit(train)
    errors = model.held_out_error(test, random_state=5)
    assert errors["mse"] < errors["linear_mse"]


def test_fine_tuned_imputation(motion):
    model = UniTSImputer(20, [encoder()], mode="fine_tune", n_epochs=5, max_windows=80, random_state=0)
    model.fit(motion[0])
    assert len(model.history_) == 5
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]


def test_saved_and_loaded(motion, detector, tmp_path):
    persistence.save(detector, tmp_path / "model")
    classes = (UniTSAnomalyDetector, TS2Vec, type(detector.fusion_))
    trusted = {persistence.registry.name_of(cls): cls for cls in classes}
    loaded = persistence.load(tmp_path / "model", trusted=trusted)
    part = motion[1][:, :60]
    np.testing.assert_array_equal(loaded.decision_function(part), detector.decision_function(part))
