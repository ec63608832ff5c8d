"""What classification and regression share: their parameters, and which series are of the target domain."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval

from workbench.timeseries._task import TASK, Encoders, SeriesTask
from workbench.timeseries.fusion import Fusion

__all__ = ["LabelTask", "is_target"]


class LabelTask(SeriesTask):
    """Base of the tasks that foretell something of a whole series; some of it may be unknown in training."""

    _parameter_constraints: dict[str, list[Any]] = {
        **TASK,
        "penalty": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        encoders: Encoders = "TS2Vec",
        fusion: str | Fusion = "concat",
        pretrain_epochs: int | None = None,
        mode: str = "freeze",
        n_epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        penalty: float | None = None,
        device: str = "auto",
        precision: str = "fp32",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.encoders = encoders
        self.fusion = fusion
        self.pretrain_epochs = pretrain_epochs
        self.mode = mode
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.penalty = penalty
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose


def is_target(domain: ArrayLike | None, n: int) -> NDArray[np.bool_]:
    """Which series are of the target domain.

    Raises
    ------
    ValueError
        If there are other domains than "source" and "target" (or, as truth values, not target and target).
    """
    if domain is None:
        return np.zeros(n, dtype=bool)
    given = np.asarray(domain)
    if given.shape != (n,):
        raise ValueError(f"domain must name one domain a series, {n}, but has shape {given.shape}.")
    if given.dtype == bool:
        return given
    strange = sorted(set(map(str, given)) - {"source", "target"})
    if strange:
        raise ValueError(f"domain must be 'source' or 'target' for every series, not {strange[0]!r}.")
    return np.asarray(given.astype(str) == "target")
