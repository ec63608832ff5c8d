"""From series as an analyst has them to what an encoder takes: no gaps, no offset, no units.

Three conscious differences from the published code, which pads with zeros up to the longest series of
a file, z-normalises with the padding included, and divides by the standard deviation plus 1e-7:

- mean and standard deviation are those of the *observed* steps, so that padding changes nothing;
- a missing step inside a series becomes the mean (0 after normalisation), and so does the padding;
- a constant variable becomes 0, where dividing by 1e-7 would blow rounding errors up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_series", "series_lengths", "z_normalize"]

Series = NDArray[np.floating[Any]]


def as_series(X: Series) -> Series:
    """An array of shape (n, T) or (n, T, d) as (n, T, d).

    Raises
    ------
    ValueError
        If it has another number of dimensions, or no time steps or variables.
    """
    if X.ndim == 2:
        X = X[:, :, None]
    if X.ndim != 3 or 0 in X.shape[1:]:
        raise ValueError(f"Series must have shape (n, T) or (n, T, d), not {X.shape}.")
    return X


def series_lengths(X: Series) -> NDArray[np.int64]:
    """Length of each series: steps up to the last one at which any variable is observed.

    Parameters
    ----------
    X : ndarray of shape (n, T, d)
        NaN-padded at the end.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    ValueError
        If a series holds no value at all.
    """
    observed: NDArray[np.bool_] = np.logical_not(np.isnan(X).all(axis=2))
    lengths = X.shape[1] - observed[:, ::-1].argmax(axis=1)
    empty = np.flatnonzero(~observed.any(axis=1))
    if len(empty):
        raise ValueError(f"Series {empty[0]} holds no observed value; remove it.")
    return lengths.astype(np.int64)


def z_normalize(X: Series) -> NDArray[np.float32]:
    """Each variable of each series with mean 0 and standard deviation 1 over its observed steps.

    Parameters
    ----------
    X : ndarray of shape (n, T, d)
        May hold NaN: missing steps and padding become 0. A variable that is constant, or never
        observed, becomes 0.

    Returns
    -------
    ndarray of float32, shape (n, T, d)
    """
    missing = np.isnan(X)
    filled = np.where(missing, 0.0, X)
    count = np.maximum((~missing).sum(axis=1, keepdims=True), 1)
    mean = filled.sum(axis=1, keepdims=True) / count
    centred = np.where(missing, 0.0, filled - mean)
    deviation = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / count)
    # What rounding alone leaves of a constant; float32 input has been rounded more coarsely.
    noise = 4 * np.finfo(X.dtype).eps * np.abs(filled).max(axis=1, keepdims=True)
    varies = deviation > np.maximum(noise, np.finfo(np.float64).tiny)
    scaled: NDArray[np.float32] = np.where(varies, centred / np.where(varies, deviation, 1.0), 0.0).astype(
        np.float32
    )
    return scaled
