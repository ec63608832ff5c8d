"""From series as an analyst has them to what an encoder takes: no gaps, no units, one length.

As published, padding is 0 *before* the z-normalisation and counts in it. That tells the encoder where a
series ends and, beside its padding, how high it lies: on JapaneseVowels random shapelets reach an accuracy
of 0.87 with it, and 0.76 when mean and deviation are those of the observed steps alone.

Three conscious differences from the published code: a gap *inside* a series is bridged by a straight line
where that code puts 0; a constant variable becomes 0, where dividing by 1e-7 would blow rounding errors up;
and every series is padded to the length of the training, where that code pads to the longest of a file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_series", "bridge_gaps", "series_lengths", "z_normalize"]

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


def bridge_gaps(X: Series) -> NDArray[np.float64]:
    """Series without NaN: gaps bridged linearly, the padding at the end 0.

    Parameters
    ----------
    X : ndarray of shape (n, T, d)
        A missing start takes the first observed value. A variable that is never observed becomes 0.

    Returns
    -------
    ndarray of float64, shape (n, T, d)
    """
    missing = np.isnan(X)
    filled = np.where(missing, 0.0, X).astype(np.float64)
    last = X.shape[1] - (~missing)[:, ::-1].argmax(axis=1)  # (n, d): one past the last observed step
    inside = missing & (np.arange(X.shape[1])[:, None] < last[:, None, :]) & ~missing.all(1, keepdims=True)
    for i, d in np.argwhere(inside.any(axis=1)):
        gaps, seen = np.flatnonzero(inside[i, :, d]), np.flatnonzero(~missing[i, :, d])
        filled[i, gaps, d] = np.interp(gaps, seen, X[i, seen, d])
    return filled


def z_normalize(X: Series) -> NDArray[np.float32]:
    """Each variable of each series with mean 0 and standard deviation 1 over all steps.

    Parameters
    ----------
    X : ndarray of shape (n, T, d)
        May hold NaN, see `bridge_gaps`; the padding counts as 0. A constant variable becomes 0.

    Returns
    -------
    ndarray of float32, shape (n, T, d)
    """
    filled = bridge_gaps(X)
    centred = filled - filled.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    # What rounding alone leaves of a constant; float32 input has been rounded more coarsely.
    noise = 4 * np.finfo(X.dtype).eps * np.abs(filled).max(axis=1, keepdims=True)
    varies = deviation > np.maximum(noise, np.finfo(np.float64).tiny)
    scaled: NDArray[np.float32] = np.where(varies, centred / np.where(varies, deviation, 1.0), 0.0).astype(
        np.float32
    )
    return scaled
