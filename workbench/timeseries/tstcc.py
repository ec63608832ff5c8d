"""TS-TCC: representations by predicting one view of a series from another."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval

from workbench.timeseries._base import Series
from workbench.timeseries._encoder import COMMON, NetworkEncoder

if TYPE_CHECKING:
    import torch

    from workbench.timeseries._networks import Pretraining

__all__ = ["TSTCC"]


class TSTCC(NetworkEncoder):
    """Learn features from which the other view of a series can be foretold.

    TS-TCC [1]_ distorts each series weakly (scaling) and strongly (shuffled segments and noise). From the
    past of one view a transformer predicts the coming latent vectors of the other, told from those of other
    series; and the two views' contexts are contrasted as wholes.

    Parameters
    ----------
    n_epochs : int, default=10
        Times the training goes through all series; 0 keeps the random network, the control to compare
        with.
    batch_size : int, default=128
        Series contrasted with each other in a step.
    learning_rate : float, default=0.0003
        Size of an optimizer step.
    n_features : int, default=320
        Features of a series.
    dropout : float, default=0.35
        Share of features that a step of training leaves out.
    n_ahead : int, default=10
        Latent vectors that are predicted, one every eight steps.
    temperature : float, default=0.2
        Sharpness of the contrast of contexts.
    temporal_weight : float, default=1.0
        Weight of the prediction, λ₁.
    contextual_weight : float, default=0.7
        Weight of the contrast of contexts, λ₂.
    weight_decay : float, default=0.0003
        Pull of the weights to 0.
    nonneg : bool, default=False
        Keep the contrasted projections at 0 or above (a ReLU) [2]_; the features themselves always
        are.
    scaling : {"dataset", "series"}, default="dataset"
        Standardise each variable over all training series, or over each series by itself.
    optimizer : {"adam", "adamw", "sgd"}, default="adam"
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
    history_ : list of dict of str to float
        Mean loss of each epoch and its parts, ``temporal`` and ``contextual``.
    n_timestamps_, n_channels_ : int
        Length of the longest training series, and variables.
    mean_, scale_ : ndarray, shape (d,)
        Mean and deviation of the variables.
    state_ : dict of str to ndarray
        The network's weights.
    n_features_in_ : int
        Columns of `X` in `fit` where it was a table, else variables.

    Notes
    -----
    Gaps inside a series are bridged linearly; a series is seen to its own end. Views are drawn anew for every
    batch, where the published code draws them once. Very short series predict fewer steps ahead: as many as
    the shortest of a batch has latent vectors, less one.

    The means and variances that batch normalisation goes by after the training are those of the training
    series. In the published code they are those of the views, whose values are about twice as large; a linear
    head on these features is less accurate (``tests/timeseries/test_published_accuracies.py``).

    References
    ----------
    .. [1] E. Eldele, M. Ragab, Z. Chen, M. Wu, C. K. Kwoh, X. Li, C. Guan. Time-Series Representation
       Learning via Temporal and Contextual Contrasting. IJCAI 2021. arXiv:2106.14112.
    .. [2] Y. Wang, Q. Zhang, Y. Guo, Y. Wang. Non-negative Contrastive Learning. ICLR 2024.
       arXiv:2403.12459.

    Examples
    --------
    >>> from aeon.datasets import load_basic_motions
    >>> X, y = load_basic_motions(split="train")
    >>> TSTCC(n_epochs=1, random_state=0).fit_transform(X.transpose(0, 2, 1)).shape
    (40, 320)
    """

    _min_series = 2

    _parameter_constraints: dict[str, list[Any]] = {
        **COMMON,
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "n_ahead": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "temporal_weight": [Interval(Real, 0, None, closed="left")],
        "contextual_weight": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "nonneg": ["boolean"],
    }

    def __init__(
        self,
        n_epochs: int = 10,
        batch_size: int = 128,
        learning_rate: float = 3e-4,
        n_features: int = 320,
        dropout: float = 0.35,
        n_ahead: int = 10,
        temperature: float = 0.2,
        temporal_weight: float = 1.0,
        contextual_weight: float = 0.7,
        weight_decay: float = 3e-4,
        nonneg: bool = False,
        scaling: str = "dataset",
        optimizer: str = "adam",
        device: str = "auto",
        precision: str = "fp32",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_features = n_features
        self.dropout = dropout
        self.n_ahead = n_ahead
        self.temperature = temperature
        self.temporal_weight = temporal_weight
        self.contextual_weight = contextual_weight
        self.weight_decay = weight_decay
        self.nonneg = nonneg
        self.scaling = scaling
        self.optimizer = optimizer
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _optimizer_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"weight_decay": self.weight_decay}
        if self.optimizer != "sgd":
            options["betas"] = (0.9, 0.99)
        return options

    def _network(self) -> Any:
        from workbench.timeseries._tstcc import ConvEncoder

        return ConvEncoder(
            self.n_channels_,
            self.n_features,
            dropout=self.dropout,
        )

    def _finish_fit(self, network: Any, X: Series, device: torch.device) -> None:
        from workbench.timeseries._tstcc import calibrate

        calibrate(network.to(device), self._inputs(X, device), self.batch_size)

    def _pretraining(
        self, network: Any, x: torch.Tensor, order: torch.Generator, noise: torch.Generator
    ) -> Pretraining:
        from workbench.timeseries._tstcc import pretraining

        return pretraining(
            network,
            x,
            order,
            noise,
            n_ahead=self.n_ahead,
            temperature=self.temperature,
            temporal_weight=self.temporal_weight,
            contextual_weight=self.contextual_weight,
            nonneg=self.nonneg,
        )
