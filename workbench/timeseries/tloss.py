"""T-Loss: representations of time series by a triplet loss over sub-series."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval

from workbench.timeseries._encoder import COMMON, StepEncoder

if TYPE_CHECKING:
    import torch

    from workbench.timeseries._networks import Pretraining

__all__ = ["TLoss"]


class TLoss(StepEncoder):
    """Learn features of series such that a part of a series is like the series, and unlike others' parts.

    T-Loss [1]_ trains a causal convolutional network on triplets: an anchor, which is a random sub-series,
    a random sub-series of the anchor as its positive, and random sub-series of any series as negatives.

    Parameters
    ----------
    n_epochs : int, default=10
        Times the training goes through all series; 0 keeps the random network, the control to compare with.
    batch_size : int, default=10
        Series in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step.
    n_features : int, default=320
        Features of a series.
    n_hidden : int, default=40
        Channels of the network.
    depth : int, default=10
        Blocks of the network; each doubles the number of steps that it sees.
    n_reduced : int, default=160
        Channels before the maximum over time.
    n_negatives : int, default=10
        Negatives of an anchor, K.
    negative_penalty : float, default=1.0
        Weight of the negatives.
    nonneg : bool, default=False
        Keep features at 0 or above (a ReLU before they are compared), which makes each easier to name [2]_.
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
    Gaps inside a series are bridged linearly; a series is seen to its own end. `encode` gives, at each
    step, the embedding of the series up to that step: the network never looks ahead.

    References
    ----------
    .. [1] J.-Y. Franceschi, A. Dieuleveut, M. Jaggi. Unsupervised Scalable Representation Learning for
       Multivariate Time Series. NeurIPS 2019. arXiv:1901.10738.
    .. [2] Y. Wang, Q. Zhang, Y. Guo, Y. Wang. Non-negative Contrastive Learning. ICLR 2024.
       arXiv:2403.12459.

    Examples
    --------
    >>> from aeon.datasets import load_basic_motions
    >>> X, y = load_basic_motions(split="train")
    >>> TLoss(n_epochs=1, random_state=0).fit_transform(X.transpose(0, 2, 1)).shape
    (40, 320)
    """

    _min_series = 2

    _parameter_constraints: dict[str, list[Any]] = {
        **COMMON,
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "depth": [Interval(Integral, 1, 30, closed="both")],
        "n_reduced": [Interval(Integral, 1, None, closed="left")],
        "n_negatives": [Interval(Integral, 1, None, closed="left")],
        "negative_penalty": [Interval(Real, 0, None, closed="left")],
        "nonneg": ["boolean"],
    }

    def __init__(
        self,
        n_epochs: int = 10,
        batch_size: int = 10,
        learning_rate: float = 1e-3,
        n_features: int = 320,
        n_hidden: int = 40,
        depth: int = 10,
        n_reduced: int = 160,
        n_negatives: int = 10,
        negative_penalty: float = 1.0,
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
        self.n_reduced = n_reduced
        self.n_negatives = n_negatives
        self.negative_penalty = negative_penalty
        self.nonneg = nonneg
        self.scaling = scaling
        self.optimizer = optimizer
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def _network(self) -> Any:
        from workbench.timeseries._tloss import CausalEncoder

        return CausalEncoder(
            self.n_channels_,
            self.n_features,
            self.n_hidden,
            self.depth,
            self.n_reduced,
            nonneg=self.nonneg,
        )

    def _pretraining(
        self, network: Any, x: torch.Tensor, order: torch.Generator, noise: torch.Generator
    ) -> Pretraining:
        from workbench.timeseries._tloss import pretraining

        return pretraining(
            network, x, order, n_negatives=self.n_negatives, negative_penalty=self.negative_penalty
        )
