"""scikit-learn's own checks of every public estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench.timeseries import CSL, CSLClassifier


@parametrize_with_checks(
    [
        CSL(n_epochs=1, n_scales=2, n_shapelets=6, device="cpu"),
        CSLClassifier(n_epochs=1, tune_epochs=2, n_scales=2, n_shapelets=6, device="cpu"),
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
