"""Fusion: several encoders' features of the same series as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_array, check_is_fitted

__all__ = ["FUSIONS", "Concat", "Fusion", "Projection", "WeightedSum"]


class Fusion(BaseEstimator, ABC):
    """Base: standardises every feature over the series of `fit`."""

    _parameter_constraints: dict[str, list[Any]] = {}

    def fit(self, Z: Sequence[ArrayLike], y: object = None) -> Self:
        """Learn the scales of the features, and where there are weights, a start for them.

        Parameters
        ----------
        Z : list of array-like of shape (n, d_m)
            The features of each encoder.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._validate_params()
        parts = self._checked(Z)
        self.sizes_ = [part.shape[1] for part in parts]
        mean = [part.mean(axis=0) for part in parts]
        scale = [part.std(axis=0) for part in parts]
        scale = [np.where(s > 1e-6 * (1 + np.abs(m)), s, 1.0) for m, s in zip(mean, scale, strict=True)]
        scaled = [(part - m) / s for part, m, s in zip(parts, mean, scale, strict=True)]
        self.state_: dict[str, NDArray[Any]] = {
            "mean": np.concatenate(mean).astype(np.float32),
            "scale": np.concatenate(scale).astype(np.float32),
            **self._start(scaled),
        }
        return self

    def transform(self, Z: Sequence[ArrayLike]) -> NDArray[np.float32]:
        """The fused features.

        Parameters
        ----------
        Z : list of array-like of shape (n, d_m)

        Returns
        -------
        ndarray of float32, shape (n, p)
        """
        import torch

        check_is_fitted(self)
        parts = self._checked(Z)
        sizes = [part.shape[1] for part in parts]
        if sizes != self.sizes_:
            raise ValueError(
                f"The encoders give {sizes} features, but {type(self).__name__} was fitted on {self.sizes_}."
            )
        with torch.inference_mode():
            found: NDArray[np.float32] = self._module()([torch.from_numpy(p) for p in parts]).numpy()
        return found

    def fit_transform(self, Z: Sequence[ArrayLike], y: object = None) -> NDArray[np.float32]:
        """`fit` and `transform` of the same features."""
        return self.fit(Z).transform(Z)

    def _checked(self, Z: Sequence[ArrayLike]) -> list[NDArray[np.float32]]:
        parts = [check_array(part, dtype=np.float32, estimator=self) for part in Z]
        if not parts or len({len(part) for part in parts}) != 1:
            raise ValueError("Fusion needs the features of at least one encoder, of the same series each.")
        return parts

    def _start(self, scaled: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Weights to begin with."""
        return {}

    def _module(self) -> Any:
        """The torch module with the fitted weights."""
        from workbench.timeseries._training import from_arrays, seeded

        with seeded(0):
            module = self._net()
        from_arrays(module, self.state_)
        return module

    @abstractmethod
    def _net(self) -> Any:
        """A torch module of the fitted sizes, its weights still to be loaded."""


class Concat(Fusion):
    """Put the encoders' features side by side, each standardised.

    Attributes
    ----------
    sizes_ : list of int
        Features of each encoder.
    state_ : dict of str to ndarray
        Means and deviations.

    References
    ----------
    .. [1] Z. Liang, C. Liang, Z. Liang, H. Wang. UniTS: A Universal Time Series Analysis Framework with
       Self-supervised Representation Learning. 2023. arXiv:2303.13804.

    Examples
    --------
    >>> Concat().fit_transform([[[0.0], [2.0]], [[5.0, 1.0], [5.0, 3.0]]])
    array([[-1.,  0., -1.],
           [ 1.,  0.,  1.]], dtype=float32)
    """

    def _net(self) -> Any:
        from workbench.timeseries._fusion import ConcatNet

        return ConcatNet(self.sizes_)


class Projection(Fusion):
    """Concatenate, and project onto fewer features.

    The projection starts as the principal components of the standardised features, and is what it is in
    a frozen task; a fine-tuned one trains it together with the encoders.

    Parameters
    ----------
    n_features : int, default=128
        Features after the projection; no more than there are series or features.

    Attributes
    ----------
    sizes_ : list of int
        Features of each encoder.
    state_ : dict of str to ndarray
        Means, deviations and the projection.

    References
    ----------
    .. [1] Z. Liang, C. Liang, Z. Liang, H. Wang. UniTS: A Universal Time Series Analysis Framework with
       Self-supervised Representation Learning. 2023. arXiv:2303.13804.
    """

    _parameter_constraints = {"n_features": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_features: int = 128) -> None:
        self.n_features = n_features

    def _start(self, scaled: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        joined = np.concatenate(scaled, axis=1)
        return {"projection.weight": _principal(joined, min(self.n_features, *joined.shape))}

    def _net(self) -> Any:
        from workbench.timeseries._fusion import ProjectionNet

        return ProjectionNet(self.sizes_, len(self.state_["projection.weight"]))


class WeightedSum(Fusion):
    """Project each encoder's features onto as many, and add them up with weights.

    Projections start as each encoder's principal components, the weights as equal; a fine-tuned task trains
    both together with the encoders.

    Parameters
    ----------
    n_features : int, default=64
        Features of the sum; no more than there are series, or features of any encoder.

    Attributes
    ----------
    sizes_ : list of int
        Features of each encoder.
    state_ : dict of str to ndarray
        Means, deviations, projections and the weights' logits.

    References
    ----------
    .. [1] Z. Liang, C. Liang, Z. Liang, H. Wang. UniTS: A Universal Time Series Analysis Framework with
       Self-supervised Representation Learning. 2023. arXiv:2303.13804.
    """

    _parameter_constraints = {"n_features": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_features: int = 64) -> None:
        self.n_features = n_features

    @property
    def weights_(self) -> NDArray[np.float64]:
        """Weight of each encoder; they add up to 1."""
        check_is_fitted(self)
        powers = np.exp(self.state_["logits"].astype(float) - self.state_["logits"].max())
        shares: NDArray[np.float64] = powers / powers.sum()
        return shares

    def _start(self, scaled: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        width = min(self.n_features, *(size for part in scaled for size in part.shape))
        weights = {f"projections.{i}.weight": _principal(part, width) for i, part in enumerate(scaled)}
        return {**weights, "logits": np.zeros(len(scaled), np.float32)}

    def _net(self) -> Any:
        from workbench.timeseries._fusion import WeightedSumNet

        return WeightedSumNet(self.sizes_, len(self.state_["projections.0.weight"]))


def _principal(Z: NDArray[np.float32], n_components: int) -> NDArray[np.float32]:
    """Directions of the largest variance, (n_components, d)."""
    # A single series has no variance to divide.
    if len(Z) < 2:
        return np.eye(n_components, Z.shape[1], dtype=np.float32)
    found: NDArray[np.float32] = PCA(n_components, svd_solver="full").fit(Z.astype(float)).components_
    return found.astype(np.float32)


#: Fusions by the name that a task's ``fusion`` parameter may give.
FUSIONS: dict[str, type[Fusion]] = {
    "concat": Concat,
    "projection": Projection,
    "weighted_sum": WeightedSum,
}
