"""What the estimators of series share: checking their input, and rebuilding an encoder from arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_feature_names, check_array, check_is_fitted, validate_data

from workbench.timeseries.preprocessing import as_series, check_informative, series_lengths

if TYPE_CHECKING:
    import torch

    from workbench.timeseries._shapelets import ShapeletEncoder

Series = NDArray[np.floating[Any]]


class SeriesEstimator(BaseEstimator):
    """Base of every estimator that takes series."""

    def _check_series(self, X: Any, *, reset: bool, min_samples: int = 1) -> Series:
        """`X` as an array of shape (n, T, d)."""
        options: dict[str, Any] = {
            "dtype": [np.float64, np.float32],
            "ensure_all_finite": "allow-nan",
            "ensure_min_samples": min_samples,
        }
        if not hasattr(X, "ndim") and not hasattr(X, "columns"):
            try:
                X = np.asarray(X)
            except ValueError as error:
                raise ValueError(
                    "X holds series of different shapes: give one array (n, T, d), the shorter series padded "
                    "with NaN at the end."
                ) from error
        if getattr(X, "ndim", 2) != 3:
            # The columns of a table are time steps; scikit-learn wants as many as in fit. A series of
            # another length is given as (n, T, 1).
            if reset or getattr(self, "n_dims_in_", 2) == 2:
                X = validate_data(self, X, reset=reset, **options)
            else:
                X = check_array(X, estimator=self, **options)
        else:
            X = check_array(X, estimator=self, allow_nd=True, **options)
            if reset:
                _check_feature_names(self, X, reset=True)
                self.n_features_in_ = X.shape[2]
        series = as_series(X)
        if reset:
            check_informative(series)
            self.n_dims_in_ = X.ndim
        elif series.shape[2] != self.n_channels_:
            raise ValueError(
                f"The series have {series.shape[2]} variables, but {type(self).__name__} was fitted "
                f"on {self.n_channels_}."
            )
        return series

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags


class SeriesEncoder(SeriesEstimator, ABC):
    """Base of the encoders: what turns a series into features, and can be trained on inside a task.

    Fitted attributes are arrays and plain values only; torch modules are built from them when needed,
    so that pickling, cloning and saving need no care. A module's ``forward`` takes what `_inputs` gives,
    (n, d, T), and returns (n, ``n_features``).
    """

    @abstractmethod
    def _build_encoder(self, generator: torch.Generator | None = None) -> Any:
        """The torch module: with the fitted weights, or newly drawn from `generator`."""

    @abstractmethod
    def _inputs(self, X: Series, device: torch.device) -> torch.Tensor:
        """Checked series (n, T, d) as the tensor (n, d, T) that the module takes."""

    @abstractmethod
    def _lengths(self, X: Series) -> tuple[Series, NDArray[np.int64]]:
        """Steps of each series that the module sees, and `X` padded to the longest of them."""

    def _encode(
        self, X: ArrayLike, outputs: Callable[[Any, torch.Tensor], tuple[torch.Tensor, ...]]
    ) -> tuple[NDArray[Any], ...]:
        """Arrays of what ``outputs(encoder, x)`` gives for all series."""
        from workbench.timeseries._training import encode
        from workbench.training.device import resolve_device

        check_is_fitted(self)
        series, lengths = self._lengths(self._check_series(X, reset=False))
        encoder, device = self._build_encoder(), resolve_device(self.device)
        return encode(encoder, series, lengths, device, self._inputs, lambda x: outputs(encoder, x))


class ShapeletEstimator(SeriesEncoder):
    """Base of `CSL` and `CSLClassifier`."""

    def _visible_lengths(self, X: Series) -> tuple[Series, NDArray[np.int64]]:
        """Steps of each series that the encoder sees, and `X` padded to the longest of them.

        A series shorter than those of the training is padded to their length, as those were; a longer
        one is seen whole. So its features do not depend on the series that happen to stand beside it.
        """
        lengths = np.maximum(series_lengths(X), self.n_timestamps_)
        missing = int(lengths.max()) - X.shape[1]
        if missing > 0:
            X = np.pad(X, ((0, 0), (0, missing), (0, 0)), constant_values=np.nan)
        return X, lengths

    def _build_encoder(self, generator: torch.Generator | None = None) -> ShapeletEncoder:
        """The encoder: with the fitted weights, or newly drawn from `generator`."""
        import torch

        from workbench.timeseries._shapelets import ShapeletEncoder
        from workbench.timeseries._training import from_arrays

        encoder = ShapeletEncoder(
            self.n_channels_,
            self.lengths_,
            self.n_shapelets,
            self.measure,
            nonneg=self.nonneg,
            generator=generator or torch.Generator(),
        )
        if generator is None:
            check_is_fitted(self, "state_")
            from_arrays(encoder, {k: v for k, v in self.state_.items() if not k.startswith("head.")})
        return encoder

    def _lengths(self, X: Series) -> tuple[Series, NDArray[np.int64]]:
        return self._visible_lengths(X)

    def _inputs(self, X: Series, device: torch.device) -> torch.Tensor:
        from workbench.timeseries._csl_training import to_device

        return to_device(X, device)
