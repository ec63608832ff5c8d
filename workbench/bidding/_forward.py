"""A forward pass of stacked networks in numpy, so that a fitted bidder needs no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["forward"]


def forward(arrays: list[NDArray[Any]], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outputs of `n` ReLU networks from inputs of shape (n, batch, in); weights and biases in turn."""
    for k in range(0, len(arrays), 2):
        x = x @ arrays[k] + arrays[k + 1]
        if k < len(arrays) - 2:
            x = np.maximum(x, 0.0)
    return x
