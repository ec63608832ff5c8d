"""Clustering of series by encoders, fused, with k-means on principal components."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClusterMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from workbench.timeseries._task import TASK, Encoders, SeriesTask
from workbench.timeseries.fusion import Fusion

__all__ = ["UniTSClusterer"]

#: Parameters of tasks that k-means has no use for.
_TUNING = ("mode", "n_epochs", "batch_size", "learning_rate", "optimizer")


class UniTSClusterer(ClusterMixin, SeriesTask):
    """Group series by the fused features of encoders trained without labels.

    Principal components of the features are grouped by k-means [1]_; there is nothing to fine-tune.

    Parameters
    ----------
    n_clusters : int, default=8
        Groups to make.
    encoders : str or list, default="TS2Vec"
        Names joined by "+", such as "CSL+TS2Vec", or a list of names and estimators. An estimator that is
        fitted is taken as it is (wrapped in `sklearn.frozen.FrozenEstimator` it also survives `clone`);
        others are fitted on all series given, labelled or not.
    fusion : {"concat", "projection", "weighted_sum"} or estimator, default="concat"
        How several encoders' features become one, see `workbench.timeseries.fusion`.
    pretrain_epochs : int or None, default=None
        Epochs of encoders given by name; None leaves each its own default, 0 takes random networks.
    n_components : int, default=10
        Principal components that are compared; no more than there are series or features.
    device : str, default="auto"
        Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or another torch name.
    precision : {"fp32", "bf16", "fp16"}, default="fp32"
        Number format; the 16-bit ones are faster on recent GPUs and a little less exact.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.
    verbose : int, default=0
        Show a progress bar when above 0; notebooks always show one.

    Attributes
    ----------
    labels_ : ndarray of int, shape (n,)
        Group of each training series.
    cluster_centers_ : ndarray, shape (n_clusters, n_components)
        Middles of the groups.
    medoids_ : ndarray of int, shape (n_clusters,)
        The training series nearest to each middle.
    components_, component_mean_ : ndarray
        The principal components and what is subtracted before.
    encoders_ : list
        The fitted encoders.
    fusion_ : Fusion
        The fitted fusion.
    n_channels_, n_features_in_ : int
        Variables; columns of `X` in `fit` where it was a table, else variables.

    References
    ----------
    .. [1] Z. Liang, C. Liang, Z. Liang, H. Wang. UniTS: A Universal Time Series Analysis Framework with
       Self-supervised Representation Learning. 2023. arXiv:2303.13804.
    """

    _recipe = "timeseries.cluster"

    _parameter_constraints: dict[str, list[Any]] = {
        **{name: rules for name, rules in TASK.items() if name not in _TUNING},
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters: int = 8,
        encoders: Encoders = "TS2Vec",
        fusion: str | Fusion = "concat",
        pretrain_epochs: int | None = None,
        n_components: int = 10,
        device: str = "auto",
        precision: str = "fp32",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.encoders = encoders
        self.fusion = fusion
        self.pretrain_epochs = pretrain_epochs
        self.n_components = n_components
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit the encoders and group the series.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Series, NaN-padded at the end where lengths differ.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._validate_params()
        series = self._check_series(X, reset=True, min_samples=2)
        if len(series) < self.n_clusters:
            raise ValueError(
                f"n_samples={len(series)} series cannot be put into n_clusters={self.n_clusters} groups; "
                "take fewer."
            )
        self.n_channels_ = series.shape[2]
        random = self._fit_encoders(series)
        features = self._fit_fusion(series).astype(float)
        seed = int(random.randint(2**31 - 1))
        reduction = PCA(min(self.n_components, *features.shape), svd_solver="full").fit(features)
        self.components_, self.component_mean_ = reduction.components_, reduction.mean_
        points = self._points(features)
        with warnings.catch_warnings():
            # Fewer distinct series than groups: some stay empty, which the labels show.
            warnings.simplefilter("ignore", ConvergenceWarning)
            groups = KMeans(self.n_clusters, n_init=10, random_state=seed).fit(points)
        self.cluster_centers_ = groups.cluster_centers_
        distances = self._distances(points)
        self.labels_ = distances.argmin(axis=1)
        self.medoids_ = distances.argmin(axis=0)
        return self

    def embed(self, X: ArrayLike) -> NDArray[np.float64]:
        """The principal components that are grouped, shape (n, components)."""
        check_is_fitted(self)
        return self._points(self._features(self._check_series(X, reset=False)).astype(float))

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """The group whose middle is nearest, shape (n,)."""
        nearest: NDArray[np.intp] = self._distances(self.embed(X)).argmin(axis=1)
        return nearest

    def _points(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (features - self.component_mean_) @ self.components_.T
        return found

    def _distances(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.linalg.norm(points[:, None] - self.cluster_centers_, axis=2)
