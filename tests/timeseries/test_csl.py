"""CSL as an analyst uses it, on the real series that aeon ships."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from workbench.timeseries import CSL, CSLClassifier


@pytest.fixture(scope="module")
def fitted(basic_motions):
    return CSL(n_epochs=2, random_state=0).fit(basic_motions[0])


def test_same_seed_same_result_and_another_seed_another(basic_motions, fitted):
    X, _, X_test, _ = basic_motions
    torch.manual_seed(99)  # the global generator has no say
    again = CSL(n_epochs=2, random_state=0).fit(X)
    assert again.history_ == fitted.history_
    np.testing.assert_array_equal(again.transform(X_test), fitted.transform(X_test))
    other = CSL(n_epochs=2, random_state=1).fit(X)
    assert np.abs(other.transform(X_test) - fitted.transform(X_test)).max() > 0.1


def test_training_leaves_the_global_generator_alone(basic_motions):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    CSL(n_epochs=1, random_state=0).fit(basic_motions[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_loss_falls_and_its_parts_add_up(basic_motions):
    model = CSL(n_epochs=8, random_state=0).fit(basic_motions[0])
    assert len(model.history_) == 8
    assert model.history_[-1]["loss"] < 0.6 * model.history_[0]["loss"]
    for entry in model.history_:
        total = entry["coarse"] + entry["fine"] + 0.01 * (entry["alignment"] + entry["decorrelation"])
        assert entry["loss"] == pytest.approx(total, rel=1e-5)


def test_untrained_control_has_the_shapelets_that_training_starts_from(basic_motions):
    X = basic_motions[0]
    control = CSL(n_epochs=0, random_state=0).fit(X)
    slow = CSL(n_epochs=1, learning_rate=1e-9, random_state=0).fit(X)
    assert control.history_ == []
    for before, after in zip(control.shapelets_, slow.shapelets_, strict=True):
        np.testing.assert_allclose(before, after, atol=1e-5)


def test_shapes_names_and_frames(basic_motions, fitted):
    X = basic_motions[2]
    Z = fitted.transform(X)
    assert Z.shape == (40, 320)
    assert Z.dtype == np.float32
    names = fitted.get_feature_names_out()
    assert len(set(names)) == 320
    assert fitted.lengths_ == [10, 20, 30, 40, 50, 60, 70, 80]
    assert list(names[[0, 13, 26, 40]]) == [
        "euclidean_10_0",
        "cosine_10_0",
        "cross-correlation_10_0",
        "euclidean_20_0",
    ]
    frame = clone(fitted).set_params(n_epochs=0).set_output(transform="pandas").fit(X).transform(X)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(names)


def test_located_windows_have_the_value_that_is_reported(basic_motions, fitted):
    X = basic_motions[2][:4]
    start, value = fitted.locate(X)
    Z = (X - X.mean(1, keepdims=True)) / X.std(1, keepdims=True)
    shapelets = fitted.shapelets_
    for feature, (_, measure, length) in enumerate(fitted.feature_table()):
        shapelet = shapelets[feature]
        assert shapelet.shape == (length, 6)
        if feature % 40 not in (0, 12, 13, 25):
            continue
        for i in range(len(X)):
            window = Z[i, start[i, feature] : start[i, feature] + length]
            if measure == "euclidean":
                expected = np.linalg.norm(window - shapelet, axis=0).sum()
            else:
                norms = np.linalg.norm(window, axis=0) * np.linalg.norm(shapelet, axis=0)
                expected = max(0, ((window * shapelet).sum(0) / norms).mean())
            assert value[i, feature] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("measure", ["euclidean", "cosine", "cross-correlation"])
def test_single_measures(basic_motions, measure):
    X = basic_motions[0]
    model = CSL(n_epochs=1, measure=measure, n_scales=3, n_shapelets=5, random_state=0).fit(X)
    assert model.transform(X).shape == (40, 15)
    assert {kind for _, kind, _ in model.feature_table()} == {measure}


def test_unequal_series_are_described_the_same_whoever_stands_beside_them(japanese_vowels):
    X, _, X_test, _ = japanese_vowels
    model = CSL(n_epochs=1, random_state=0).fit(X)
    together = model.transform(X_test)
    order = np.random.default_rng(0).permutation(len(X_test))[:25]
    np.testing.assert_allclose(model.transform(X_test[order]), together[order], atol=1e-4)
    padded = np.pad(X_test, ((0, 0), (0, 9), (0, 0)), constant_values=np.nan)
    np.testing.assert_allclose(model.transform(padded), together, atol=1e-4)
    shorter = model.transform(X_test[:, :5])
    assert np.isfinite(shorter).all()


def test_gaps_inside_series_are_bridged(basic_motions, fitted):
    X = basic_motions[2].copy()
    X[:, ::17] = np.nan
    Z = fitted.transform(X)
    assert np.isfinite(Z).all()
    assert np.corrcoef(Z.ravel(), fitted.transform(basic_motions[2]).ravel())[0, 1] > 0.7


def test_longer_series_than_in_training_are_seen_whole(basic_motions):
    X = basic_motions[0]
    model = CSL(n_epochs=0, random_state=0).fit(X[:, :60])
    euclidean = model.transform(X)[:, 0] <= model.transform(X[:, :60])[:, 0] + 10
    assert euclidean.all()
    assert (model.locate(X)[0].max(axis=0) > 60 - 6).any()


def test_fewer_series_than_a_batch_are_contrasted_all(basic_motions):
    X = basic_motions[0][:5]
    model = CSL(n_epochs=2, random_state=0).fit(X)
    assert model.history_[0]["coarse"] > 0
    with pytest.raises(ValueError, match="minimum of 2 is required by CSL"):
        CSL(n_epochs=1).fit(X[:1])


@pytest.mark.parametrize("n_timestamps", [1, 2, 3, 8])
def test_very_short_series(n_timestamps):
    X = np.random.default_rng(0).normal(size=(12, n_timestamps))
    model = CSL(n_epochs=1, random_state=0).fit(X)
    assert max(model.lengths_) <= n_timestamps
    assert np.isfinite(model.transform(X)).all()


def test_errors_say_what_is_wrong(basic_motions, fitted):
    X = basic_motions[0]
    with pytest.raises(ValueError, match="have 3 variables, but CSL was fitted on 6"):
        fitted.transform(X[:, :, :3])
    with pytest.raises(ValueError, match="'measure' parameter of CSL"):
        CSL(measure="manhattan").fit(X)
    with pytest.raises(ValueError, match="infinity"):
        fitted.transform(np.where(np.arange(100)[:, None] == 3, np.inf, X))
    with pytest.raises(Exception, match="no longer a number in epoch 1"):
        CSL(n_epochs=1, learning_rate=1e30, optimizer="adam", random_state=0).fit(X)


def test_in_a_pipeline_and_a_grid_search(basic_motions):
    X, y, X_test, y_test = basic_motions
    pipeline = make_pipeline(CSL(n_epochs=1, random_state=0), LogisticRegression(max_iter=2000))
    search = GridSearchCV(pipeline, {"csl__n_scales": [2, 4]}, cv=2).fit(X, y)
    assert search.score(X_test, y_test) > 0.8
    assert search.best_estimator_[0].transform(X).shape[1] == 40 * search.best_params_["csl__n_scales"]


def test_fine_tuning_learns_the_labels_and_leaves_the_encoder(basic_motions, fitted):
    X, y, X_test, y_test = basic_motions
    before = fitted.transform(X_test)
    tuned = fitted.fine_tune(X, y, n_epochs=40)
    assert tuned.score(X_test, y_test) >= 0.95
    np.testing.assert_array_equal(fitted.transform(X_test), before)
    assert any(not np.array_equal(tuned.state_[name], fitted.state_[name]) for name in fitted.state_)
    np.testing.assert_allclose(tuned.predict_proba(X_test).sum(1), 1, rtol=1e-5)
    frozen = fitted.fine_tune(X, y, n_epochs=40, freeze=True)
    np.testing.assert_array_equal(frozen.state_["shapelets"], fitted.state_["shapelets"])
    assert frozen.score(X_test, y_test) >= 0.9


def test_series_without_a_label_take_part_in_the_first_training_only(basic_motions):
    X, y, X_test, y_test = basic_motions
    partly = np.array(y, dtype=object)
    partly[np.arange(40) % 3 > 0] = None
    model = CSLClassifier(n_epochs=2, tune_epochs=40, random_state=0).fit(X, partly)
    assert list(model.classes_) == sorted(set(y))
    assert model.score(X_test, y_test) > 0.8
    numbers = np.where(partly == None, np.nan, np.unique(y, return_inverse=True)[1])  # noqa: E711
    same = CSLClassifier(n_epochs=2, tune_epochs=40, random_state=0).fit(X, numbers)
    np.testing.assert_array_equal(same.predict_proba(X_test), model.predict_proba(X_test))


def test_half_precision_is_close(basic_motions, fitted):
    X, _, X_test, _ = basic_motions
    half = CSL(n_epochs=2, precision="bf16", random_state=0).fit(X)
    assert half.history_[0]["loss"] == pytest.approx(fitted.history_[0]["loss"], rel=0.1)
    assert np.isfinite(half.transform(X_test)).all()


def test_nonnegative_features_are_what_is_contrasted(basic_motions):
    X, y, X_test, _ = basic_motions
    params = {"n_scales": 2, "n_shapelets": 9, "random_state": 0, "device": "cpu"}
    model = CSL(n_epochs=3, nonneg=True, **params).fit(X)
    Z = model.transform(X_test)
    assert (Z >= 0).all()
    assert 0.1 < (Z > 0).mean() < 0.9
    plain = CSL(n_epochs=3, **params).fit(X)
    assert (plain.transform(X_test) < 0).any()
    # Untrained both are the same but for what lies below 0; trained, the loss has seen the difference.
    start, cut = (CSL(n_epochs=0, nonneg=n, **params).fit(X).transform(X_test) for n in (False, True))
    np.testing.assert_array_equal(np.maximum(start, 0), cut)
    assert model.history_[0]["loss"] != plain.history_[0]["loss"]
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]
    assert model.fine_tune(X, y, n_epochs=1).nonneg
