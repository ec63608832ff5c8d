"""TST: representations by filling in what was masked of a series."""

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

__all__ = ["TST"]


class TST(StepEncoder):
    """Learn features of every time step from which masked values can be filled in.

    The time series transformer [1]_ is trained to reconstruct values that were hidden, in runs of random
    length and for each variable apart. A series' features are the means of its steps'.

    Parameters
    ----------
    n_epochs : int, default=10
        Times the training goes through all series; 0 keeps the random network, the control to compare
        with.
    batch_size : int, default=64
        Series in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step.
    n_features : int, default=320
        Features of a series, and of each step: the width of the transformer, a multiple of `n_heads`.
    n_heads : int, default=8
        Attention heads.
    n_layers : int, default=3
        Layers of the transformer.
    n_hidden : int, default=256
        Width of the layers between attentions.
    dropout : float, default=0.1
        Share of features that a step of training leaves out.
    mask_ratio : float, default=0.15
        Share of the values that are hidden.
    mask_length : float, default=3.0
        Mean length of a hidden run of steps.
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
    Gaps inside a series are bridged linearly and never asked for; a series is seen to its own end. Attention
    compares all steps with each other: memory and time grow with the square of the length.

    Values are restored from those beside them, so that the training tells more in every step's features than
    in their mean over a series. Frozen, `encode` under a linear head, as published, gains by the training;
    the means that `transform` gives do not on small data sets, and on NATOPS they lose by it
    (``tests/timeseries/test_published_accuracies.py``).

    References
    ----------
    .. [1] G. Zerveas, S. Jayaraman, D. Patel, A. Bhamidipaty, C. Eickhoff. A Transformer-based Framework
       for Multivariate Time Series Representation Learning. KDD 2021. arXiv:2010.02803.

    Examples
    --------
    >>> from aeon.datasets import load_basic_motions
    >>> X, y = load_basic_motions(split="train")
    >>> TST(n_epochs=1, random_state=0).fit_transform(X.transpose(0, 2, 1)).shape
    (40, 320)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **COMMON,
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "mask_ratio": [Interval(Real, 0, 1, closed="neither")],
        "mask_length": [Interval(Real, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        n_features: int = 320,
        n_heads: int = 8,
        n_layers: int = 3,
        n_hidden: int = 256,
        dropout: float = 0.1,
        mask_ratio: float = 0.15,
        mask_length: float = 3.0,
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
        self.n_heads = n_heads
        self.n_layers = n_layers
        self.n_hidden = n_hidden
        self.dropout = dropout
        self.mask_ratio = mask_ratio
        self.mask_length = mask_length
        self.scaling = scaling
        self.optimizer = optimizer
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _prepare_fit(self, X: Series) -> None:
        from workbench.timeseries._masks import check_ratio

        check_ratio(self.mask_ratio, self.mask_length)
        if self.n_features % self.n_heads:
            raise ValueError(
                f"n_features={self.n_features} cannot be divided among n_heads={self.n_heads} heads; "
                "take a multiple."
            )

    def _network(self) -> Any:
        from workbench.timeseries._tst import TransformerEncoder

        return TransformerEncoder(
            self.n_channels_,
            self.n_features,
            self.n_heads,
            self.n_layers,
            self.n_hidden,
            self.dropout,
        )

    def _pretraining(
        self, network: Any, x: torch.Tensor, order: torch.Generator, noise: torch.Generator
    ) -> Pretraining:
        from workbench.timeseries._tst import pretraining

        return pretraining(network, x, noise, ratio=self.mask_ratio, mean_length=self.mask_length)
