"""TS2Vec: representations of every time step, contrasted at all scales of time."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval

from workbench.timeseries._encoder import COMMON, StepEncoder

if TYPE_CHECKING:
    import torch

    from workbench.timeseries._networks import Pretraining

__all__ = ["TS2Vec"]


class TS2Vec(StepEncoder):
    """Learn features of every time step such that they agree whatever surrounds the step.

    TS2Vec [1]_ cuts two overlapping windows out of each series, hides half of their steps, and contrasts
    the steps of the overlap: with other steps of the series, and with the same step of other series, at
    every scale of time. A series' features are the maxima of its steps'.

    Parameters
    ----------
    n_epochs : int, default=10
        Times the training goes through all series; 0 keeps the random network, the control to compare
        with.
    batch_size : int, default=64
        Series contrasted with each other in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step.
    n_features : int, default=320
        Features of a series, and of each step.
    n_hidden : int, default=64
        Channels of the network.
    depth : int, default=10
        Residual blocks of the network before the last; each doubles the number of steps that it sees.
    dropout : float, default=0.1
        Share of features that a step of training leaves out.
    max_length : int, default=3000
        Steps of the longest window that is contrasted; memory grows with its square.
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
    n_features_in_ : int
        Columns of `X` in `fit` where it was a table, else variables.

    Notes
    -----
    Gaps inside a series are bridged linearly; a series is seen to its own end. The kept weights are the mean
    of those after each step of training, as published.


    References
    ----------
    .. [1] Z. Yue, Y. Wang, J. Duan, T. Yang, C. Huang, Y. Tong, B. Xu. TS2Vec: Towards Universal
       Representation of Time Series. AAAI 2022. arXiv:2106.10466.
    .. [2] Y. Wang, Q. Zhang, Y. Guo, Y. Wang. Non-negative Contrastive Learning. ICLR 2024.
       arXiv:2403.12459.

    Examples
    --------
    >>> from aeon.datasets import load_basic_motions
    >>> X, y = load_basic_motions(split="train")
    >>> TS2Vec(n_epochs=1, random_state=0).fit_transform(X.transpose(0, 2, 1)).shape
    (40, 320)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **COMMON,
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "depth": [Interval(Integral, 0, 30, closed="both")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_length": [Interval(Integral, 2, None, closed="left")],
        "nonneg": ["boolean"],
    }

    def __init__(
        self,
        n_epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        n_features: int = 320,
        n_hidden: int = 64,
        depth: int = 10,
        dropout: float = 0.1,
        max_length: int = 3000,
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
        self.n_hidden = n_hidden
        self.depth = depth
        self.dropout = dropout
        self.max_length = max_length
        self.nonneg = nonneg
        self.scaling = scaling
        self.optimizer = optimizer
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _network(self) -> Any:
        from workbench.timeseries._ts2vec import DilatedEncoder

        return DilatedEncoder(
            self.n_channels_,
            self.n_features,
            self.n_hidden,
            self.depth,
            dropout=self.dropout,
            nonneg=self.nonneg,
        )

    def _pretraining(
        self, network: Any, x: torch.Tensor, order: torch.Generator, noise: torch.Generator
    ) -> Pretraining:
        from workbench.timeseries._ts2vec import pretraining

        return pretraining(network, x, order, longest=self.max_length)
