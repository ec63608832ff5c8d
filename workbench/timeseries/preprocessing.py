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

__all__ = [
    "as_series",
    "bridge_gaps",
    "channel_scales",
    "check_informative",
    "fill_gaps",
    "series_lengths",
    "standardize",
    "z_normalize",
]

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


def check_informative(X: Series) -> None:
    """Refuse series from which nothing can be learnt.

    Raises
    ------
    ValueError
        If a variable is observed in no series, or every variable has one and the same value throughout. (Of
        single steps, seen relative to themselves, all are 0.)
    """
    low, high = (extreme.reduce(X, axis=(0, 1)) for extreme in (np.fmin, np.fmax))  # NaN where never observed
    empty = np.flatnonzero(np.isnan(low))
    if len(empty):
        raise ValueError(f"Variable {empty[0]} holds no observed value in any series; leave it out.")
    if X.shape[1] > 1 and (low == high).all():
        raise ValueError("Every variable is constant over all series: there is nothing to learn.")


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


def fill_gaps(X: Series) -> NDArray[np.float64]:
    """Series whose gaps are bridged linearly, each variable's ends prolonged to the series' own length.

    Parameters
    ----------
    X : ndarray of shape (n, T, d)

    Returns
    -------
    ndarray of float64, shape (n, T, d)
        NaN in the padding, and where a variable of a series is never observed.
    """
    filled = X.astype(np.float64)
    missing = np.isnan(filled)
    padding = np.arange(X.shape[1]) >= series_lengths(X)[:, None]
    gaps = missing & ~padding[:, :, None] & ~missing.all(axis=1, keepdims=True)
    for i, d in np.argwhere(gaps.any(axis=1)):
        at, seen = np.flatnonzero(gaps[i, :, d]), np.flatnonzero(~missing[i, :, d])
        filled[i, at, d] = np.interp(at, seen, filled[i, seen, d])
    return filled


def channel_scales(X: Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each variable over every observed value, each of shape (d,).

    A variable that is constant or never observed has deviation 1.
    """
    seen = ~np.isnan(X)
    count = np.maximum(seen.sum(axis=(0, 1)), 1)
    values = np.where(seen, X, 0.0).astype(np.float64)
    mean = values.sum(axis=(0, 1)) / count
    deviation = np.sqrt((np.where(seen, values - mean, 0.0) ** 2).sum(axis=(0, 1)) / count)
    noise = 4 * np.finfo(X.dtype).eps * np.abs(values).max(axis=(0, 1))
    return mean, np.where(deviation > np.maximum(noise, np.finfo(np.float64).tiny), deviation, 1.0)


def standardize(
    X: Series, mean: NDArray[np.float64] | None = None, scale: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Series without gaps and units: every step up to a series' own length is a number, the padding NaN.

    Parameters
    ----------
    X : ndarray of shape (n, T, d)
        May hold NaN, see `fill_gaps`; a variable that is never observed becomes 0.
    mean, scale : ndarray of shape (d,), optional
        What to subtract and divide by; by default mean and deviation of each series' own variables.

    Returns
    -------
    ndarray of float32, shape (n, T, d)
    """
    filled = fill_gaps(X)
    if mean is None or scale is None:
        parts = [channel_scales(one[None]) for one in filled]
        mean = np.stack([part[0] for part in parts])[:, None]
        scale = np.stack([part[1] for part in parts])[:, None]
    scaled = (filled - mean) / scale
    padding = np.arange(X.shape[1]) >= series_lengths(X)[:, None]
    return np.where(np.isnan(scaled) & ~padding[:, :, None], 0.0, scaled).astype(np.float32)


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
