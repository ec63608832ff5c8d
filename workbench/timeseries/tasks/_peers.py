"""Peers of the supervised and clustering tasks: what libraries have, fitted on the same split.

aeon is optional: where it is not installed, its methods are not among the peers. Some of them are compiled on
their first use, which takes minutes once in an installation; the compiled code stays on the disk. A peer is
left out where a data set is so large that it would take many minutes.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from workbench.timeseries.preprocessing import z_normalize

__all__ = ["classifiers", "clusterers", "regressors"]

#: Multiplications of all the pairs' dynamic time warping beyond which it takes minutes.
_MOST_WARPING = 2e10
#: Values, of train and test part together, beyond which aeon's methods take minutes on one core.
_MOST_VALUES = {
    "MiniRocket": 1e7,
    "QUANT": 4e6,
    "MultiRocket-Hydra": 2e6,
    "RDST": 5e5,
    "k-shape": 3e5,
    "KASBA": 5e5,
}
#: Series beyond which kernel k-means and its like, quadratic in them, are left out.
_MOST_CLUSTERED = 400

Array = NDArray[Any]


def classifiers(X: Array, y: Array, X_test: Array, seed: int) -> dict[str, Callable[[], Array]]:
    """Name → what it predicts for `X_test`, learnt from labelled series `X`, (n, T, d)."""
    train, test = z_normalize(X), z_normalize(X_test)
    peers: dict[str, Callable[[], Array]] = {
        "Logistic regression": lambda: _logistic(train, y, test),
    }
    if len(train) * len(test) * train.shape[1] ** 2 * train.shape[2] <= _MOST_WARPING:
        peers["1-NN DTW"] = lambda: _nearest(train, y, test)
    makers: dict[str, Callable[[], Array]] = {
        "QUANT": lambda: _quantiles(train, y, test, seed),
        "MiniRocket": lambda: _aeon(_mini_rocket(seed), train, test, y),
        "MultiRocket-Hydra": lambda: _aeon(_multi_rocket_hydra(seed), train, test, y),
        "RDST": lambda: _aeon(_dilated_shapelets(seed), train, test, y),
    }
    return peers | _affordable(makers, train.size + test.size)


def regressors(X: Array, y: Array, X_test: Array, seed: int) -> dict[str, Callable[[], Array]]:
    """Name → the numbers it predicts for `X_test`, learnt from `X`, (n, T, d)."""
    train, test = np.nan_to_num(X), np.nan_to_num(X_test)
    penalties = np.logspace(-3, 3, 13)

    def ridge(Z: Array, Z_test: Array) -> Array:
        return make_pipeline(StandardScaler(), RidgeCV(penalties)).fit(Z, y).predict(Z_test)

    peers: dict[str, Callable[[], Array]] = {
        "Mean": lambda: np.full(len(test), y.mean()),
        "Ridge on values": lambda: ridge(train.reshape(len(train), -1), test.reshape(len(test), -1)),
    }
    if _has_aeon():
        peers["QUANT"] = lambda: _quantiles(train, y, test, seed, numbers=True)
    return peers


def clusterers(X: Array, X_test: Array, n_clusters: int, seed: int) -> dict[str, Callable[[], Array]]:
    """Name → the groups it puts `X_test` into, learnt from `X`, (n, T, d)."""
    train, test = z_normalize(X), z_normalize(X_test)
    peers: dict[str, Callable[[], Array]] = {"k-means": lambda: _k_means(train, test, n_clusters, seed)}
    if len(train) <= _MOST_CLUSTERED:
        peers["Kernel k-means (GAK)"] = lambda: _kernel_k_means(train, test, n_clusters, seed)
    makers: dict[str, Callable[[], Array]] = {
        "k-shape": lambda: _aeon(_k_shape(n_clusters, seed), train, test),
        "KASBA": lambda: _aeon(_kasba(n_clusters, seed), train, test),
    }
    return peers | _affordable(makers, train.size + test.size)


def _affordable(makers: dict[str, Callable[[], Array]], n_values: int) -> dict[str, Callable[[], Array]]:
    """Those of aeon's methods that this many values do not keep busy for minutes."""
    if not _has_aeon():
        return {}
    return {name: make for name, make in makers.items() if n_values <= _MOST_VALUES[name]}


def _aeon(model: Any, train: Array, test: Array, y: Array | None = None) -> Array:
    """What a model of aeon, which wants (n, d, T), predicts for the test series."""
    X, X_test = train.transpose(0, 2, 1), test.transpose(0, 2, 1)
    fitted = model.fit(X) if y is None else model.fit(X, y)
    return np.asarray(fitted.predict(X_test))


def _mini_rocket(seed: int) -> Any:
    from aeon.classification.convolution_based import MiniRocketClassifier

    return MiniRocketClassifier(random_state=seed)


def _multi_rocket_hydra(seed: int) -> Any:
    from aeon.classification.convolution_based import MultiRocketHydraClassifier

    return MultiRocketHydraClassifier(random_state=seed)


def _dilated_shapelets(seed: int) -> Any:
    from aeon.classification.shapelet_based import RDSTClassifier

    return RDSTClassifier(random_state=seed)


def _k_shape(n_clusters: int, seed: int) -> Any:
    from aeon.clustering import KShape

    return KShape(n_clusters, random_state=seed)


def _kasba(n_clusters: int, seed: int) -> Any:
    from aeon.clustering import KASBA

    return KASBA(n_clusters, random_state=seed)


def _logistic(train: Array, y: Array, test: Array) -> Array:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return model.fit(train.reshape(len(train), -1), y).predict(test.reshape(len(test), -1))


def _nearest(train: Array, y: Array, test: Array) -> Array:
    """tslearn's 1-NN DTW, on any path; by our own code since tslearn's is compiled anew in every process."""
    from workbench.timeseries.tasks._warping import nearest

    return y[nearest(train.astype(float), test.astype(float), train.shape[1])]


def _quantiles(train: Array, y: Array, test: Array, seed: int, *, numbers: bool = False) -> Array:
    from aeon.classification.interval_based import QUANTClassifier
    from aeon.regression.interval_based import QUANTRegressor

    return _aeon((QUANTRegressor if numbers else QUANTClassifier)(random_state=seed), train, test, y)


def _k_means(train: Array, test: Array, n_clusters: int, seed: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct series than groups
        model = KMeans(n_clusters, n_init=10, random_state=seed).fit(train.reshape(len(train), -1))
    return model.predict(test.reshape(len(test), -1))


def _kernel_k_means(train: Array, test: Array, n_clusters: int, seed: int) -> Array:
    from tslearn.clustering import KernelKMeans

    model = KernelKMeans(
        n_clusters, kernel="gak", kernel_params={"sigma": "auto"}, n_init=3, random_state=seed
    )
    return model.fit(train).predict(test)


def _has_aeon() -> bool:
    return importlib.util.find_spec("aeon") is not None
