"""Contrastive shapelet learning: representations of time series without labels."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from workbench.timeseries._base import ShapeletEstimator
from workbench.timeseries.preprocessing import series_lengths
from workbench.training.fingerprint import fingerprint
from workbench.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from workbench.models.onnx import OnnxForm
    from workbench.timeseries._csl_training import Objective
    from workbench.timeseries._training import Schedule
    from workbench.timeseries.classifier import CSLClassifier

__all__ = ["CSL"]


class CSL(TransformerMixin, ShapeletEstimator):
    """Learn shapelets from unlabelled series and describe each series by how well they match.

    Contrastive shapelet learning [1]_ trains a bank of short multivariate patterns (shapelets) of several
    lengths so that two distorted copies of a series are described alike, and different series differently.
    The result is a table with one row a series, for any classifier, clustering or detector to work on.

    Parameters
    ----------
    n_epochs : int, default=200
        Times the training goes through all series; 0 keeps the random shapelets, the control to compare with.
    batch_size : int, default=8
        Series contrasted with each other in a step; with fewer series than that, all of them are.
        Of each epoch's order, what does not fill a batch is left out.
    learning_rate : float, default=0.01
        Size of an optimizer step.
    n_scales : int, default=8
        Shapelet lengths, spread evenly from a tenth to four fifths of the series; equal ones merge.
    n_shapelets : int, default=40
        Shapelets of each length.
    measure : {"mixed", "euclidean", "cosine", "cross-correlation"}, default="mixed"
        How a shapelet is compared with a window; "mixed" uses a third of the shapelets for each.
    temperature : float, default=0.1
        Sharpness of the contrast; lower punishes similar series more.
    alignment_weight : float, default=0.01
        Weight of the agreement between scales, λ.
    decorrelation_weight : float, default=1.0
        Weight, inside that agreement, of keeping shapelets different from each other, λ_S.
    decay : float, default=0.5
        How much of the earlier batches' correlation is remembered, α.
    nonneg : bool, default=False
        Keep features at 0 or above (a ReLU before they are compared), which makes each easier to name [2]_.
    optimizer : {"adam", "adamw", "sgd"}, default="sgd"
        The optimization method.
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
    lengths_ : list of int
        Shapelet lengths; equal ones are merged.
    history_ : list of dict of str to float
        Mean loss and its parts, ``coarse``, ``fine``, ``alignment`` and ``decorrelation``, of each epoch.
    n_timestamps_, n_channels_ : int
        Length of the longest training series, and variables.
    n_dims_in_ : int
        Dimensions of the array given to `fit`, 2 or 3.
    state_ : dict of str to ndarray
        The encoder's weights.
    n_features_in_ : int
        Columns of `X` in `fit` where it was a table, else variables.
    feature_names_in_ : ndarray of str
        Names of the columns, where `X` was a frame with such.

    Notes
    -----
    Series may differ in length and miss values: `X` is padded with NaN at the end. Each series is
    padded with zeros to the length of the training (a longer one keeps its own) and z-normalised per
    variable, as published; gaps inside are bridged linearly first.

    References
    ----------
    .. [1] Z. Liang, J. Zhang, C. Liang, H. Wang, Z. Liang, L. Pan. A Shapelet-based Framework for
       Unsupervised Multivariate Time Series Representation Learning. PVLDB 17(3): 386–399, 2023.
       arXiv:2305.18888.
    .. [2] Y. Wang, Q. Zhang, Y. Guo, Y. Wang. Non-negative Contrastive Learning. ICLR 2024.
       arXiv:2403.12459.

    Examples
    --------
    >>> from aeon.datasets import load_basic_motions
    >>> X, y = load_basic_motions(split="train")
    >>> Z = CSL(n_epochs=1, random_state=0).fit_transform(X.transpose(0, 2, 1))
    >>> Z.shape
    (40, 320)
    """

    _recipe = "timeseries.represent"

    _parameter_constraints: dict[str, list[Any]] = {
        "n_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_scales": [Interval(Integral, 1, None, closed="left")],
        "n_shapelets": [Interval(Integral, 3, None, closed="left")],
        "measure": [StrOptions({"mixed", "euclidean", "cosine", "cross-correlation"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "alignment_weight": [Interval(Real, 0, None, closed="left")],
        "decorrelation_weight": [Interval(Real, 0, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "nonneg": ["boolean"],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "device": [str],
        "precision": [StrOptions({"fp32", "bf16", "fp16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_epochs: int = 200,
        batch_size: int = 8,
        learning_rate: float = 0.01,
        n_scales: int = 8,
        n_shapelets: int = 40,
        measure: str = "mixed",
        temperature: float = 0.1,
        alignment_weight: float = 0.01,
        decorrelation_weight: float = 1.0,
        decay: float = 0.5,
        nonneg: bool = False,
        optimizer: str = "sgd",
        device: str = "auto",
        precision: str = "fp32",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_scales = n_scales
        self.n_shapelets = n_shapelets
        self.measure = measure
        self.temperature = temperature
        self.alignment_weight = alignment_weight
        self.decorrelation_weight = decorrelation_weight
        self.decay = decay
        self.nonneg = nonneg
        self.optimizer = optimizer
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn shapelets.

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
            If there are fewer than two series to contrast, or a series without any value.
        workbench.training.Stopped
            If a callback interrupted the training; its checkpoint continues it.
        """
        import torch

        from workbench.timeseries._csl_training import pretrain, to_device
        from workbench.timeseries._shapelets import scale_lengths
        from workbench.timeseries._training import to_arrays
        from workbench.training.device import resolve_device

        self._validate_params()
        series = self._check_series(X, reset=True, min_samples=2 if self.n_epochs else 1)
        series = series[:, : series_lengths(series).max()]
        _, self.n_timestamps_, self.n_channels_ = series.shape
        self.lengths_ = list(scale_lengths(self.n_timestamps_, self.n_scales))
        random = check_random_state(self.random_state)
        weights, order, noise = (int(seed) for seed in random.randint(2**31 - 1, size=3))
        encoder = self._build_encoder(torch.Generator().manual_seed(weights))
        self.history_: list[dict[str, float]] = []
        if self.n_epochs:
            device = resolve_device(self.device)
            self.history_ = pretrain(
                encoder.to(device),
                to_device(series, device),
                len(self.lengths_),
                self._objective(),
                self._schedule(device, (order, noise), fingerprint(self, series, device=device.type)),
            )
        self.state_ = to_arrays(encoder)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Describe series by their matches with the shapelets.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Any length will do in three dimensions; a table must have as many columns as in `fit`.

        Returns
        -------
        ndarray of float32, shape (n, n_features)
            Batch-normalised distances and similarities, with `nonneg` cut off below 0; each length's are side
            by side.
        """
        return self._encode(X, lambda encoder, x: (encoder(x),))[0]

    def locate(self, X: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Where in each series each shapelet matches best, and how well.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)

        Returns
        -------
        start : ndarray of int, shape (n, n_features)
            First step of the best window, whose length is that of the shapelet.
        value : ndarray of float32, shape (n, n_features)
            The distance (Euclidean: smaller is better) or similarity (larger is better), in units of
            the z-normalised series and before batch normalisation.
        """
        start, value = self._encode(X, lambda encoder, x: encoder.match(x))
        return start, value

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
    ) -> CSLClassifier:
        """Train a classifier that starts from these shapelets and adapts them; self stays as it is.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
        y : array-like of shape (n,)
            Labels; series whose label is missing (None or NaN) are left out.
        n_epochs, batch_size, learning_rate, optimizer, freeze
            See the ``tune_…`` parameters of `CSLClassifier`.

        Returns
        -------
        CSLClassifier
            Fitted.
        """
        from workbench.timeseries.classifier import CSLClassifier

        check_is_fitted(self)
        classifier = CSLClassifier(
            **self.get_params(),
            tune_epochs=n_epochs,
            tune_batch_size=batch_size,
            tune_learning_rate=learning_rate,
            tune_optimizer=optimizer,
            freeze=freeze,
        )
        return classifier.fit_from(self, X, y)

    @property
    def shapelets_(self) -> list[NDArray[np.float32]]:
        """The shapelet behind each feature, each of shape (length, d), in z-normalised units."""
        encoder = self._build_encoder()
        return [encoder.shapelet(i).detach().numpy().T.copy() for i in range(encoder.n_features)]

    def feature_table(self) -> list[tuple[int, str, int]]:
        """Scale, measure and shapelet length of each feature."""
        return self._build_encoder().feature_table()

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Names such as ``cosine_12_3``: measure, length, and number among its like.

        Parameters
        ----------
        input_features : array-like of str, optional
            Only checked against those seen in `fit`.

        Returns
        -------
        ndarray of str objects, shape (n_features,)
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        seen: dict[tuple[str, int], int] = {}
        names = []
        for _, measure, length in self.feature_table():
            number = seen[measure, length] = seen.get((measure, length), -1) + 1
            names.append(f"{measure}_{length}_{number}")
        return np.array(names, dtype=object)

    @property
    def _n_features_out(self) -> int:
        return len(self.lengths_) * self.n_shapelets

    def _onnx_form(self) -> OnnxForm:
        """Series (n, n_timestamps_, n_channels_) to features."""
        from workbench.models.onnx import OnnxForm
        from workbench.timeseries._onnx import ExportedShapelets

        check_is_fitted(self)
        shape = (7, self.n_timestamps_, self.n_channels_)
        example = np.random.default_rng(0).normal(size=shape).cumsum(axis=1).astype(np.float32)
        module = ExportedShapelets(self._build_encoder(), self.n_timestamps_)
        return OnnxForm(module, {"series": example}, "features", self.transform(example))

    def _objective(self) -> Objective:
        from workbench.timeseries._csl_training import Objective

        return Objective(self.temperature, self.alignment_weight, self.decorrelation_weight, self.decay)

    def _schedule(self, device: Any, seeds: tuple[int, int], digest: str) -> Schedule:
        from workbench.timeseries._training import Schedule

        return Schedule(
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            precision=self.precision,
            device=device,
            seeds=seeds,
            fingerprint=digest,
            verbose=self.verbose,
            description="CSL",
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
