"""Contrastive shapelet learning followed by fine tuning on the labels there are."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from workbench.timeseries._base import Series, ShapeletEstimator
from workbench.timeseries.csl import CSL
from workbench.training.fingerprint import fingerprint
from workbench.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    import torch

    from workbench.models.onnx import OnnxForm

__all__ = ["CSLClassifier"]


class CSLClassifier(ClassifierMixin, ShapeletEstimator):
    """Classify series with shapelets learnt from all of them and fine-tuned on the labelled ones.

    `CSL` is trained on every series, labelled or not; then a linear layer on its features is trained by
    cross-entropy together with the shapelets, on the series that have a label.

    Parameters
    ----------
    n_epochs : int, default=200
        Times the training without labels goes through all series.
    batch_size : int, default=8
        Series contrasted with each other in a step.
    learning_rate : float, default=0.01
        Size of an optimizer step of the training without labels.
    n_scales : int, default=8
        Shapelet lengths, spread evenly from a tenth to four fifths of the series.
    n_shapelets : int, default=40
        Shapelets of each length.
    measure : {"mixed", "euclidean", "cosine", "cross-correlation"}, default="mixed"
        How a shapelet is compared with a window; "mixed" uses a third of the shapelets for each.
    temperature : float, default=0.1
        Sharpness of the contrast; lower punishes similar series more.
    alignment_weight : float, default=0.01
        Weight of the agreement between scales.
    decorrelation_weight : float, default=1.0
        Weight, inside that agreement, of keeping shapelets different from each other.
    decay : float, default=0.5
        How much of the earlier batches' correlation is remembered.
    nonneg : bool, default=False
        Keep features at 0 or above, see `CSL`.
    optimizer : {"adam", "adamw", "sgd"}, default="sgd"
        The optimization method of the training without labels.
    device : str, default="auto"
        Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or another torch name.
    precision : {"fp32", "bf16", "fp16"}, default="fp32"
        Number format; the 16-bit ones are faster on recent GPUs and a little less exact.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.
    verbose : int, default=0
        Show a progress bar when above 0; notebooks always show one.
    tune_epochs : int, default=100
        Times the training with labels goes through the labelled series.
    tune_batch_size : int, default=64
        Labelled series in a step.
    tune_learning_rate : float, default=0.001
        Size of an optimizer step of the training with labels.
    tune_optimizer : {"adam", "adamw", "sgd"}, default="adam"
        The optimization method of the training with labels.
    freeze : bool, default=False
        Keep the shapelets as they are and train the linear layer only.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        The labels.
    history_ : list of dict of str to float
        Mean loss and accuracy of each epoch of the training with labels.
    lengths_, n_timestamps_, n_channels_, n_dims_in_, n_features_in_, state_
        As of `CSL`; ``state_`` also holds the linear layer.

    References
    ----------
    .. [1] Z. Liang, J. Zhang, C. Liang, H. Wang, Z. Liang, L. Pan. A Shapelet-based Framework for
       Unsupervised Multivariate Time Series Representation Learning. PVLDB 17(3): 386–399, 2023.
       arXiv:2305.18888.

    See Also
    --------
    CSL : The representation alone.
    """

    _recipe = "fit_score"

    _parameter_constraints: dict[str, list[Any]] = {
        **CSL._parameter_constraints,
        "tune_epochs": [Interval(Integral, 1, None, closed="left")],
        "tune_batch_size": [Interval(Integral, 2, None, closed="left")],
        "tune_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "tune_optimizer": [StrOptions(set(OPTIMIZERS))],
        "freeze": ["boolean"],
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
        tune_epochs: int = 100,
        tune_batch_size: int = 64,
        tune_learning_rate: float = 1e-3,
        tune_optimizer: str = "adam",
        freeze: bool = False,
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
        self.tune_epochs = tune_epochs
        self.tune_batch_size = tune_batch_size
        self.tune_learning_rate = tune_learning_rate
        self.tune_optimizer = tune_optimizer
        self.freeze = freeze

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn shapelets from all series, then tune them on the labelled ones.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Series, NaN-padded at the end where lengths differ.
        y : array-like of shape (n,)
            Labels; a missing one is None or NaN.

        Returns
        -------
        self
        """
        self._validate_params()
        series, labels = self._check_labelled(X, y)
        own = {name: value for name, value in self.get_params().items() if name in CSL._parameter_constraints}
        return self._tune(CSL(**own).fit(series), series, labels)

    def fit_from(self, encoder: CSL, X: ArrayLike, y: ArrayLike) -> Self:
        """Tune the shapelets of a fitted `encoder`, which stays as it is, on the labelled series.

        Parameters
        ----------
        encoder : CSL
            Fitted on series with as many variables.
        X : array-like of shape (n, T, d) or (n, T)
        y : array-like of shape (n,)
            Labels; a missing one is None or NaN.

        Returns
        -------
        self
        """
        self._validate_params()
        check_is_fitted(encoder)
        series, labels = self._check_labelled(X, y)
        if series.shape[2] != encoder.n_channels_:
            raise ValueError(
                f"The series have {series.shape[2]} variables, but the encoder was fitted on "
                f"{encoder.n_channels_}."
            )
        return self._tune(encoder, series, labels)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Probability of each class, shape (n, n_classes)."""
        logits = self._logits(X)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each series, shape (n,)."""
        best = self._logits(X).argmax(axis=1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def _logits(self, X: ArrayLike) -> NDArray[np.float32]:
        import torch

        check_is_fitted(self)
        head = {name: torch.from_numpy(self.state_[f"head.{name}"]) for name in ("weight", "bias")}

        def logits(encoder: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (torch.nn.functional.linear(encoder(x), *(head[n].to(x.device) for n in head)),)

        return self._encode(X, logits)[0]

    def _onnx_form(self) -> OnnxForm:
        """Series (n, n_timestamps_, n_channels_) to probabilities of the classes, which are in the notes."""
        from workbench.models.onnx import OnnxForm
        from workbench.timeseries._onnx import ExportedClassifier, ExportedShapelets

        check_is_fitted(self)
        shape = (7, self.n_timestamps_, self.n_channels_)
        example = np.random.default_rng(0).normal(size=shape).cumsum(axis=1).astype(np.float32)
        features = ExportedShapelets(self._build_encoder(), self.n_timestamps_)
        module = ExportedClassifier(features, self.state_["head.weight"], self.state_["head.bias"])
        notes = {"classes": self.classes_.tolist()}
        return OnnxForm(module, {"series": example}, "probabilities", self.predict_proba(example), notes)

    def _check_labelled(self, X: ArrayLike, y: ArrayLike) -> tuple[Series, NDArray[Any]]:
        if y is None:
            raise ValueError(
                "CSLClassifier requires y to be passed, but the target y is None; use CSL without labels."
            )
        series = self._check_series(X, reset=True, min_samples=2)
        labels = column_or_1d(y, warn=True)
        check_consistent_length(series, labels)
        if labels.dtype.kind == "f":
            check_array(labels, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
        return series, labels

    def _tune(self, encoder: CSL, series: Series, y: NDArray[Any]) -> Self:
        from workbench.timeseries._csl_training import to_device, tune
        from workbench.timeseries._training import Schedule, to_arrays
        from workbench.training.device import resolve_device

        known = ~pd.isna(y)
        labels = y[known]
        if labels.dtype == object:
            labels = np.array(labels.tolist())
        if len(labels) < 2:
            raise ValueError(f"At least 2 series must be labelled to fine-tune, not {len(labels)}.")
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.n_timestamps_, self.n_channels_ = encoder.n_timestamps_, encoder.n_channels_
        self.lengths_, self.state_ = list(encoder.lengths_), encoder.state_
        seen, _ = self._visible_lengths(series[known])
        device = resolve_device(self.device)
        order, noise = (int(s) for s in check_random_state(self.random_state).randint(2**31 - 1, size=2))
        schedule = Schedule(
            n_epochs=self.tune_epochs,
            batch_size=self.tune_batch_size,
            learning_rate=self.tune_learning_rate,
            optimizer=self.tune_optimizer,
            precision=self.precision,
            device=device,
            seeds=(order, noise),
            fingerprint=fingerprint(self, series, codes, *encoder.state_.values(), device=device.type),
            verbose=self.verbose,
            description="fine tuning",
        )
        net = self._build_encoder().to(device)
        head, self.history_ = tune(
            net, to_device(seen, device), codes, len(self.classes_), schedule, freeze=self.freeze
        )
        self.state_ = to_arrays(net) | {f"head.{name}": value for name, value in to_arrays(head).items()}
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # scikit-learn's check wants blobs in two columns told apart: as series of two steps they lose
        # level and scale, all they differ in, to the z-normalisation.
        tags.classifier_tags.poor_score = True
        return tags
