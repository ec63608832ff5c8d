"""scikit-learn's own checks of every public estimator."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench.timeseries import (
    CSL,
    TNC,
    TST,
    TSTCC,
    CSLClassifier,
    TLoss,
    TS2Vec,
    UniTSAnomalyDetector,
    UniTSClassifier,
    UniTSClusterer,
    UniTSForecaster,
    UniTSImputer,
    UniTSRegressor,
)

TINY = TS2Vec(n_epochs=1, n_features=8, n_hidden=4, depth=2, random_state=0, device="cpu")

ROUNDING = (
    "float32 sums of a convolution differ in the last digit with the place in a batch, and the check allows "
    "1e-7; test_encoders.py holds the same to 1e-4"
)


def expected_failures(estimator):
    if isinstance(estimator, (CSL, CSLClassifier)):
        return {}
    return dict.fromkeys(
        ["check_methods_sample_order_invariance", "check_methods_subset_invariance"], ROUNDING
    )


@parametrize_with_checks(
    [
        CSL(n_epochs=1, n_scales=1, n_shapelets=3, device="cpu"),
        UniTSClassifier([TINY], mode="fine_tune", n_epochs=1, penalty=1.0, device="cpu"),
        UniTSAnomalyDetector(1, [TINY], device="cpu"),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        CSLClassifier(n_epochs=1, tune_epochs=2, n_scales=1, n_shapelets=3, device="cpu"),
        TLoss(n_epochs=1, n_features=4, n_hidden=4, depth=2, n_reduced=4, n_negatives=1, device="cpu"),
        TS2Vec(n_epochs=1, n_features=4, n_hidden=4, depth=2, device="cpu"),
        TNC(n_epochs=1, n_features=4, n_hidden=4, n_pairs=2, device="cpu"),
        TSTCC(n_epochs=1, n_features=8, device="cpu"),
        UniTSRegressor([TINY], device="cpu"),
        UniTSClusterer(2, [TINY], device="cpu"),
        UniTSForecaster(1, 1, [TINY], device="cpu"),
        UniTSImputer(1, [TINY], device="cpu"),
        TST(n_epochs=1, n_features=4, n_heads=2, n_layers=1, n_hidden=4, device="cpu"),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_check_of_the_others(estimator, check):
    check(estimator)
