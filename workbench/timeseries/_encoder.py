"""Base of the encoders that are convolutional or attention networks."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from workbench.timeseries._base import Series, SeriesEncoder
from workbench.timeseries.preprocessing import channel_scales, series_lengths, standardize
from workbench.training.fingerprint import fingerprint
from workbench.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    import torch

    from workbench.models.onnx import OnnxForm
    from workbench.timeseries._networks import Pretraining
    from workbench.timeseries.units_classifier import UniTSClassifier

__all__ = ["COMMON", "NetworkEncoder", "StepEncoder"]

#: Constraints of the parameters that every such encoder has.
COMMON: dict[str, list[Any]] = {
    "n_epochs": [Interval(Integral, 0, None, closed="left")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "n_features": [Interval(Integral, 1, None, closed="left")],
    "scaling": [StrOptions({"dataset", "series"})],
    "optimizer": [StrOptions(set(OPTIMIZERS))],
    "device": [str],
    "precision": [StrOptions({"fp32", "bf16", "fp16"})],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


class NetworkEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SeriesEncoder):
    """Fits a network without labels and encodes with it; subclasses say which network and which loss."""

    _recipe = "timeseries.represent"
    #: Series that a step needs.
    _min_series = 1

    @abstractmethod
    def _network(self) -> Any:
        """A newly drawn module for ``n_channels_`` variables."""

    @abstractmethod
    def _pretraining(
        self, network: Any, x: torch.Tensor, order: torch.Generator, noise: torch.Generator
    ) -> Pretraining:
        """What is trained on prepared series (n, d, T), and how."""

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train the encoder without labels.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Series, NaN-padded at the end where lengths differ.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are too few series, or a series holds no value.
        workbench.training.Stopped
            If a callback interrupted the training; its checkpoint continues it.
        """
        from workbench.timeseries._training import Schedule, run, seeded, to_arrays
        from workbench.training.device import resolve_device

        self._validate_params()
        series = self._check_series(X, reset=True, min_samples=self._min_series if self.n_epochs else 1)
        series = series[:, : series_lengths(series).max()]
        _, self.n_timestamps_, self.n_channels_ = series.shape
        self.mean_, self.scale_ = channel_scales(series)
        weights, heads, order, noise = (
            int(seed) for seed in check_random_state(self.random_state).randint(2**31 - 1, size=4)
        )
        self._prepare_fit(series)
        with seeded(weights):
            network = self._network()
        self.history_: list[dict[str, float]] = []
        device = resolve_device(self.device)
        if self.n_epochs:
            schedule = Schedule(
                n_epochs=self.n_epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                optimizer=self.optimizer,
                precision=self.precision,
                device=device,
                seeds=(order, noise),
                fingerprint=fingerprint(self, series, device=device.type),
                verbose=self.verbose,
                description=type(self).__name__,
                options=self._optimizer_options(),
            )
            generators = schedule.generators()
            with seeded(heads):
                training = self._pretraining(network, self._inputs(series, device), *generators)
            training.model.to(device)
            self.history_ = run(
                training.model,
                training.step,
                len(series),
                schedule,
                order=generators[0],
                drop_last=self._drops_last(len(series)),
                parameters=training.parameters,
                callbacks=training.callbacks,
                generators={"noise": generators[1]},
                extras=training.extras,
            )
            if training.finish is not None:
                training.finish()
        self._finish_fit(network, series, device)
        self.state_ = to_arrays(network)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Features of series.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Any length will do in three dimensions; a table must have as many columns as in `fit`.

        Returns
        -------
        ndarray of float32, shape (n, n_features)
        """
        return self._encode(X, lambda encoder, x: (encoder(x),))[0]

    def fine_tune(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        n_epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        freeze: bool = False,
    ) -> UniTSClassifier:
        """Train a classifier that starts from this encoder and adapts it; self stays as it is.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
        y : array-like of shape (n,)
            Labels; a missing one as of `UniTSClassifier.fit`.
        n_epochs, batch_size, learning_rate, optimizer
            Of `UniTSClassifier`.
        freeze : bool
            Fit the head only.

        Returns
        -------
        UniTSClassifier
            Fitted.
        """
        from workbench.timeseries.units_classifier import UniTSClassifier

        check_is_fitted(self)
        return UniTSClassifier(
            [self],
            mode="freeze" if freeze else "fine_tune",
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizer=optimizer,
            device=self.device,
            precision=self.precision,
            random_state=self.random_state,
            verbose=self.verbose,
        ).fit(X, y)

    def _onnx_form(self) -> OnnxForm:
        """Series (n, n_timestamps_, n_channels_) without missing values to features."""
        from workbench.models.onnx import OnnxForm
        from workbench.timeseries._onnx import ExportedNetwork

        check_is_fitted(self)
        drawn = np.random.default_rng(0).normal(size=(7, self.n_timestamps_, self.n_channels_))
        example = (self.mean_ + self.scale_ * drawn).astype(np.float32)
        scales = (self.mean_, self.scale_) if self.scaling == "dataset" else None
        module = ExportedNetwork(self._build_encoder(), scales)
        return OnnxForm(module, {"series": example}, "features", self.transform(example))

    def _prepare_fit(self, X: Series) -> None:
        """Whatever else is learnt from the series before the network is drawn."""

    def _finish_fit(self, network: Any, X: Series, device: torch.device) -> None:
        """Whatever a network learns from the series without a loss, trained or not."""

    def _optimizer_options(self) -> dict[str, Any]:
        """What the optimizer is given beside the learning rate."""
        return {}

    def _drops_last(self, n: int) -> bool:
        """Leave out an epoch's last batch where it is one lonely series, which nothing contrasts with."""
        return self._min_series > 1 and n > 1 and n % min(self.batch_size, n) == 1

    def _build_encoder(self, generator: torch.Generator | None = None) -> Any:
        from workbench.timeseries._training import from_arrays, seeded

        check_is_fitted(self, "state_")
        with seeded(0):  # the weights drawn here are replaced at once
            network = self._network()
        from_arrays(network, self.state_)
        return network

    def _inputs(self, X: Series, device: torch.device) -> torch.Tensor:
        import torch

        scales = (self.mean_, self.scale_) if self.scaling == "dataset" else (None, None)
        values = standardize(X, *scales).transpose(0, 2, 1)
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    def _lengths(self, X: Series) -> tuple[Series, NDArray[np.int64]]:
        return X, series_lengths(X)

    @property
    def _n_features_out(self) -> int:
        return self.n_features

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


class StepEncoder(NetworkEncoder):
    """An encoder that also describes every time step."""

    def encode(self, X: ArrayLike) -> NDArray[np.float32]:
        """Features of every time step.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)

        Returns
        -------
        ndarray of float32, shape (n, T', n_features)
            T' is the length of the longest series; NaN beyond a series' own length.
        """

        def steps(encoder: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (encoder.steps(x).transpose(1, 2),)

        return self._encode(X, steps)[0]
