"""Classification, regression and clustering over encoders, on the real series that aeon ships."""

import numpy as np
import pytest
from aeon.datasets import load_covid_3month
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV

from workbench.models import persistence
from workbench.timeseries import (
    CSL,
    TST,
    Projection,
    TS2Vec,
    UniTSClassifier,
    UniTSClusterer,
    UniTSRegressor,
)
from workbench.timeseries._ridge import PENALTIES, ridge
from workbench.timeseries.units_classifier import missing_labels


def encoder(**params):
    return TS2Vec(
        **({"n_epochs": 2, "n_features": 32, "n_hidden": 16, "depth": 4, "batch_size": 16} | params)
    )


def second(**params):
    return TST(n_epochs=1, n_features=16, n_heads=2, n_layers=1, n_hidden=16, **params)


@pytest.fixture(scope="module")
def fitted(short_motions):
    return encoder(random_state=0).fit(short_motions[0])


def same(a, b):
    return all(np.array_equal(a.state_[k], b.state_[k]) for k in a.state_)


def test_frozen_encoders_are_taken_as_they_are(short_motions, fitted):
    X, y, X_test, y_test = short_motions
    model = UniTSClassifier([fitted], random_state=0).fit(X, y)
    assert same(model.encoders_[0], fitted)
    assert model.history_ == []
    assert model.score(X_test, y_test) >= 0.9
    np.testing.assert_allclose(model.predict_proba(X_test).sum(1), 1)
    assert (model.classes_[model.predict_proba(X_test).argmax(1)] == model.predict(X_test)).all()


@pytest.mark.parametrize("fusion", ["concat", "projection", "weighted_sum"])
def test_fine_tuning_trains_encoders_fusion_and_head(short_motions, fitted, fusion):
    X, y, X_test, y_test = short_motions
    csl = CSL(n_epochs=0, n_scales=2, n_shapelets=6, random_state=0)
    given = [fitted, csl]
    frozen = UniTSClassifier(given, fusion, penalty=1.0, random_state=0).fit(X, y)
    tuned = UniTSClassifier(given, fusion, penalty=1.0, mode="fine_tune", n_epochs=8, random_state=0).fit(
        X, y
    )
    assert not same(tuned.encoders_[0], fitted)
    assert not same(tuned.encoders_[1], frozen.encoders_[1])
    assert not np.array_equal(tuned.head_weight_, frozen.head_weight_)
    trained = [k for k in tuned.fusion_.state_ if k not in ("mean", "scale")]
    assert all(not np.array_equal(tuned.fusion_.state_[k], frozen.fusion_.state_[k]) for k in trained)
    assert tuned.history_[-1]["loss"] < tuned.history_[0]["loss"]
    assert tuned.score(X_test, y_test) >= 0.85
    again = UniTSClassifier(given, fusion, penalty=1.0, mode="fine_tune", n_epochs=8, random_state=0).fit(
        X, y
    )
    np.testing.assert_array_equal(again.predict_proba(X_test), tuned.predict_proba(X_test))
    assert not hasattr(csl, "state_")  # what was given stays as it was
    assert not np.array_equal(tuned.encoders_[0].transform(X_test), fitted.transform(X_test))


def test_encoder_fine_tune_is_a_classifier(short_motions, fitted):
    X, y, X_test, y_test = short_motions
    tuned = fitted.fine_tune(X, y, n_epochs=40)
    assert isinstance(tuned, UniTSClassifier)
    assert tuned.score(X_test, y_test) >= 0.9
    assert same(fitted.fine_tune(X, y, freeze=True).encoders_[0], fitted)


def test_unequal_series(japanese_vowels):
    X, y, X_test, y_test = japanese_vowels
    X, y = X[::3], y[::3]
    model = UniTSClassifier(
        [encoder(n_epochs=1), second()], mode="fine_tune", n_epochs=3, penalty=1.0, random_state=0
    )
    model.fit(X, y)
    assert model.score(X_test[::4], y_test[::4]) > 0.6
    alone = np.concatenate([model.predict_proba(one[None]) for one in X_test[:5]])
    np.testing.assert_allclose(alone, model.predict_proba(X_test)[:5], atol=1e-4)


@pytest.fixture(scope="module")
def fully_labelled(short_motions):
    """A head on an encoder that has seen all series, as the next test asks of it with labels missing."""
    X, y, _, _ = short_motions
    return UniTSClassifier([encoder()], penalty=1.0, random_state=0).fit(
        X, np.unique(y, return_inverse=True)[1]
    )


@pytest.mark.parametrize("kind", ["none", "nan", "minus one"])
def test_missing_labels_take_part_in_pretraining_only(short_motions, fully_labelled, kind):
    X, y, X_test, _ = short_motions
    codes = np.unique(y, return_inverse=True)[1]
    hidden = np.arange(40) % 4 > 0
    if kind == "none":
        partly = np.array(codes, dtype=object)
        partly[hidden] = None
    else:
        partly = np.where(hidden, np.nan if kind == "nan" else -1, codes)
    model = UniTSClassifier([encoder()], penalty=1.0, random_state=0).fit(X, partly)
    assert list(model.classes_) == [0, 1, 2, 3]
    # The encoder has seen all series, the head the labelled ones.
    assert same(model.encoders_[0], fully_labelled.encoders_[0])
    assert not np.allclose(fully_labelled.predict_proba(X_test), model.predict_proba(X_test))
    kept = UniTSClassifier([model.encoders_[0]], penalty=1.0, random_state=0).fit(X, partly)
    assert kept.score(X_test, np.unique(short_motions[3], return_inverse=True)[1]) > 0.6


def test_which_labels_are_missing():
    assert missing_labels(np.array([-1, 1, -1, 1])).sum() == 0  # two classes called −1 and 1
    assert missing_labels(np.array([-1, 0, 1, -1])).tolist() == [True, False, False, True]
    assert missing_labels(np.array([-1.0, 0.5, 1.0])).sum() == 0
    assert missing_labels(np.array([-1, 0, 0])).tolist() == [True, False, False]
    assert missing_labels(np.array([-1, -1])).all()
    assert missing_labels(np.array(["-1", "a", "b"])).sum() == 0
    assert missing_labels(np.array(["a", None, np.nan, "b"], dtype=object)).tolist() == [0, 1, 1, 0]


@pytest.mark.slow
def test_domain_shift_learns_labels_of_the_source_only(short_motions):
    X, y, X_test, y_test = short_motions
    both, labels = np.concatenate([X, X_test * 0.9]), np.concatenate([y, y_test])
    domain = np.repeat(["source", "target"], 40)
    model = UniTSClassifier([encoder()], penalty=1.0, random_state=0).fit(both, labels, domain=domain)
    assert set(model.domain_scores_) == {"source", "target"}
    assert model.domain_scores_["target"] == model.score(X_test * 0.9, y_test)
    shuffled = labels.copy()
    shuffled[40:] = np.random.default_rng(0).permutation(labels[40:])
    other = UniTSClassifier([encoder()], penalty=1.0, random_state=0).fit(both, shuffled, domain=domain)
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert other.domain_scores_["target"] < model.domain_scores_["target"]
    # The target's series have a part in the training of the encoder.
    alone = UniTSClassifier([encoder()], penalty=1.0, random_state=0).fit(X, y)
    assert not same(alone.encoders_[0], model.encoders_[0])


def test_names_and_frozen_estimators_in_a_grid_search(short_motions, fitted):
    X, y, X_test, y_test = short_motions
    model = UniTSClassifier([FrozenEstimator(fitted)], penalty=1.0, random_state=0)
    search = GridSearchCV(model, {"penalty": [0.1, 1.0]}, cv=2).fit(X, y)
    assert same(search.best_estimator_.encoders_[0], fitted)
    assert search.score(X_test, y_test) > 0.8
    named = UniTSClassifier("TSTCC+CSL", pretrain_epochs=0, random_state=0).fit(X, y)
    assert [type(one).__name__ for one in named.encoders_] == ["TSTCC", "CSL"]
    assert named.head_weight_.shape == (4, 640)


def test_saved_and_loaded(short_motions, fitted, tmp_path):
    X, y, X_test, _ = short_motions
    for i, model in enumerate(
        [
            UniTSClassifier([fitted], Projection(8), random_state=0).fit(X, y),
            UniTSClusterer(4, [fitted], random_state=0).fit(X),
        ]
    ):
        persistence.save(model, tmp_path / str(i))
        trusted = {
            persistence.registry.name_of(cls): cls
            for cls in (type(model), TS2Vec, Projection, type(model.fusion_))
        }
        loaded = persistence.load(tmp_path / str(i), trusted=trusted)
        np.testing.assert_array_equal(loaded.predict(X_test), model.predict(X_test))


def test_clusters_find_the_classes(short_motions, fitted):
    X, y, _, _ = short_motions
    model = UniTSClusterer(4, [fitted, CSL(n_epochs=0)], random_state=0).fit(X)
    assert normalized_mutual_info_score(y, model.labels_) > 0.5
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    assert (model.labels_[model.medoids_] == np.arange(4)).all()
    assert clone(model).fit_predict(X).tolist() == model.labels_.tolist()
    with pytest.raises(ValueError, match="n_samples=3 series cannot be put into n_clusters=4 groups"):
        UniTSClusterer(4, "TS2Vec").fit(X[:3])


@pytest.fixture(scope="module")
def covid():
    X, y = load_covid_3month(split="train")
    X_test, y_test = load_covid_3month(split="test")
    return X.transpose(0, 2, 1), y, X_test.transpose(0, 2, 1), y_test


def test_regression(covid):
    X, y, X_test, y_test = covid
    model = UniTSRegressor([encoder(), CSL(n_epochs=0, n_scales=4, n_shapelets=24)], random_state=0).fit(X, y)
    assert model.score(X, y) > 0.1
    error = np.mean((model.predict(X_test) - y_test) ** 2)
    assert error < 1.05 * np.mean((y.mean() - y_test) ** 2)
    tuned = clone(model).set_params(mode="fine_tune", n_epochs=4).fit(X, y)
    assert tuned.history_[-1]["loss"] < tuned.history_[0]["loss"]
    assert tuned.score(X, y) > model.score(X, y)
    partly = np.where(np.arange(len(y)) % 2, np.nan, y)
    assert np.isfinite(UniTSRegressor([encoder()], random_state=0).fit(X, partly).predict(X_test)).all()


def test_ridge_is_scikit_learns_with_the_penalty_of_the_least_leave_one_out_error():
    random = np.random.default_rng(0)
    for n, p in ((20, 6), (8, 15)):
        Z, Y = random.normal(2, 3, size=(n, p)), random.normal(size=(n, 2))
        weight, bias, penalty = ridge(Z, Y, 0.01)
        alpha = penalty * ((Z - Z.mean(0)) ** 2).sum() / p
        expected = Ridge(alpha).fit(Z, Y)
        np.testing.assert_allclose(weight, expected.coef_, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(bias, expected.intercept_, rtol=1e-6)
        unit = ((Z - Z.mean(0)) ** 2).sum() / p
        errors = []
        for candidate in PENALTIES:
            error = 0.0
            for i in range(n):
                rest = np.arange(n) != i
                # Scales are those of all rows, as the closed form has them.
                predicted = Ridge(candidate * unit).fit(Z[rest], Y[rest]).predict(Z[i : i + 1])
                error += ((predicted - Y[i]) ** 2).sum()
            errors.append(error)
        assert ridge(Z, Y)[2] == PENALTIES[int(np.argmin(errors))]


def test_errors_say_what_is_wrong(short_motions, fitted):
    X, y, _, _ = short_motions
    empty = X.copy()
    empty[:, :, 1] = np.nan
    for model in (UniTSClassifier("CSL"), TS2Vec(), CSL()):
        with pytest.raises(ValueError, match="Variable 1 holds no observed value in any series; leave it"):
            model.fit(empty, y)
        with pytest.raises(ValueError, match="Every variable is constant over all series: there is nothing"):
            model.fit(np.full(X.shape, 2.0), y)
    with pytest.raises(ValueError, match="All labelled series are of one class, 'a'; label some of another"):
        UniTSClassifier([fitted]).fit(X, ["a"] * 40)
    with pytest.raises(ValueError, match="No series has a label to learn from"):
        UniTSClassifier([fitted]).fit(X, [None] * 40)
    with pytest.raises(ValueError, match=r"must be names among CSL, TLoss, .*, joined by '\+'"):
        UniTSClassifier("CSL+Rocket").fit(X, y)
    with pytest.raises(ValueError, match="There is no encoder 'Rocket'; take CSL, TLoss"):
        UniTSClassifier(["Rocket"]).fit(X, y)
    with pytest.raises(ValueError, match="have 2 variables, but the encoder TS2Vec was fitted on 6"):
        UniTSClassifier([fitted]).fit(X[:, :, :2], y)
    with pytest.raises(ValueError, match="domain must be 'source' or 'target' for every series, not 'b'"):
        UniTSClassifier([fitted]).fit(X, y, domain=["b"] * 40)
    with pytest.raises(ValueError, match="domain must name one domain a series, 40"):
        UniTSClassifier([fitted]).fit(X, y, domain=["source"] * 3)
    with pytest.raises(ValueError, match="Ridge is not an encoder of series"):
        UniTSClassifier([Ridge()]).fit(X, y)
