"""Nearest neighbours under dynamic time warping."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["nearest", "warping_distance"]


@njit(cache=True)
def warping_distance(a: NDArray[np.float64], b: NDArray[np.float64], radius: int, bound: float) -> float:
    """Squared distance of two series (T, d) along the best path within `radius` of the diagonal.

    Infinite once no path can stay below `bound`.
    """
    steps, d = a.shape
    before = np.full(len(b) + 1, np.inf)
    before[0] = 0.0
    for i in range(steps):
        here = np.full(len(b) + 1, np.inf)
        least = np.inf
        for j in range(max(0, i - radius), min(len(b), i + radius + 1)):
            cost = 0.0
            for k in range(d):
                cost += (a[i, k] - b[j, k]) ** 2
            here[j + 1] = cost + min(before[j], before[j + 1], here[j])
            least = min(least, here[j + 1])
        if least >= bound:
            return np.inf
        before = here
    return float(before[len(b)])


@njit(cache=True)
def nearest(train: NDArray[np.float64], test: NDArray[np.float64], radius: int) -> NDArray[np.int64]:
    """The row of `train`, (n, T, d), that is nearest to each of `test`, (m, T, d)."""
    found = np.zeros(len(test), dtype=np.int64)
    for i in range(len(test)):
        best = np.inf
        for j in range(len(train)):
            distance = warping_distance(test[i], train[j], radius, best)
            if distance < best:
                best = distance
                found[i] = j
    return found
