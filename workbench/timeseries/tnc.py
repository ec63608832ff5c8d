"""TNC: representations of windows that agree with their neighbours in time."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval

from workbench.timeseries._base import Series
from workbench.timeseries._encoder import COMMON, StepEncoder

if TYPE_CHECKING:
    import torch

    from workbench.timeseries._networks import Pretraining

__all__ = ["TNC"]


class TNC(StepEncoder):
    """Learn features of windows such that neighbours in time are told from windows far away.

    Temporal neighbourhood coding [1]_ trains a window encoder together with a discriminator of pairs.
    Neighbours lie within a range over which the series is stationary by a Dickey–Fuller test. A window
    outside may still be alike, so it counts as a positive with a small weight.

    Parameters
    ----------
    n_epochs : int, default=100
        Times the training goes through all series; 0 keeps the random network, the control to compare
        with.
    batch_size : int, default=10
        Series in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step.
    n_features : int, default=320
        Features of a window, and of a series.
    window_size : int or None, default=None
        Steps of a window; None takes a fifth of the longest series, at least 4 and at most 128.
    n_pairs : int, default=20
        Neighbours, and windows far away, that are drawn for each series of a step.
    positive_weight : float, default=0.05
        Weight with which a window far away counts as alike, w.
    weight_decay : float, default=1e-5
        Pull of the weights to 0.
    n_hidden : int, default=40
        Channels of the network.
    nonneg : bool, default=False
        Keep features at 0 or above (a ReLU before they are compared), which makes each easier to name
        [2]_.
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
        Mean loss of each epoch.
    n_timestamps_, n_channels_ : int
        Length of the longest training series, and variables.
    mean_, scale_ : ndarray, shape (d,)
        Mean and deviation of the variables.
    state_ : dict of str to ndarray
        The network's weights.
    window_size_ : int
        Steps of a window.
    n_features_in_ : int
        Columns of `X` in `fit` where it was a table, else variables.

    Notes
    -----
    The paper leaves the window encoder open; here it is the causal convolutional network of `TLoss`, no
    deeper than a window needs. A series' features are the means over half-overlapping windows. Gaps inside a
    series are bridged linearly; a series is seen to its own end.

    The pull of the weights is that of the authors' own experiment with the other defaults here. Their
    function's 0.005, which they override, shrinks the features until they tell less than a random network's.

    The ranges are found at up to 32 places of each series before the training, and windows that would reach
    over an end are moved inside.


    References
    ----------
    .. [1] S. Tonekaboni, D. Eytan, A. Goldenberg. Unsupervised Representation Learning for Time Series
       with Temporal Neighborhood Coding. ICLR 2021. arXiv:2106.00750.
    .. [2] Y. Wang, Q. Zhang, Y. Guo, Y. Wang. Non-negative Contrastive Learning. ICLR 2024.
       arXiv:2403.12459.

    Examples
    --------
    >>> from aeon.datasets import load_basic_motions
    >>> X, y = load_basic_motions(split="train")
    >>> TNC(n_epochs=1, random_state=0).fit_transform(X.transpose(0, 2, 1)).shape
    (40, 320)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **COMMON,
        "window_size": [Interval(Integral, 1, None, closed="left"), None],
        "n_pairs": [Interval(Integral, 1, None, closed="left")],
        "positive_weight": [Interval(Real, 0, 1, closed="both")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "nonneg": ["boolean"],
    }

    def __init__(
        self,
        n_epochs: int = 100,
        batch_size: int = 10,
        learning_rate: float = 1e-3,
        n_features: int = 320,
        window_size: int | None = None,
        n_pairs: int = 20,
        positive_weight: float = 0.05,
        weight_decay: float = 1e-5,
        n_hidden: int = 40,
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
        self.window_size = window_size
        self.n_pairs = n_pairs
        self.positive_weight = positive_weight
        self.weight_decay = weight_decay
        self.n_hidden = n_hidden
        self.nonneg = nonneg
        self.scaling = scaling
        self.optimizer = optimizer
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _prepare_fit(self, X: Series) -> None:
        longest = X.shape[1]
        self.window_size_ = min(max(longest // 5, 4), 128) if self.window_size is None else self.window_size
        if self.window_size_ > longest:
            if self.window_size is not None:
                raise ValueError(
                    f"window_size={self.window_size} is longer than the longest series, {longest} steps; "
                    "choose a shorter window."
                )
            self.window_size_ = longest

    def _optimizer_options(self) -> dict[str, Any]:
        return {"weight_decay": self.weight_decay}

    def _network(self) -> Any:
        from workbench.timeseries._tnc import WindowEncoder

        return WindowEncoder(
            self.n_channels_,
            self.n_features,
            self.window_size_,
            self.n_hidden,
            nonneg=self.nonneg,
        )

    def _pretraining(
        self, network: Any, x: torch.Tensor, order: torch.Generator, noise: torch.Generator
    ) -> Pretraining:
        from workbench.timeseries._tnc import pretraining

        return pretraining(
            network,
            x,
            order,
            n_pairs=self.n_pairs,
            positive_weight=self.positive_weight,
        )
