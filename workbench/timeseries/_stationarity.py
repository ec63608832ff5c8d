"""How far around a time step a series stays stationary, by augmented Dickey–Fuller tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from workbench.timeseries.preprocessing import Series

__all__ = ["adf_pvalues", "stationary_ranges"]

#: MacKinnon's (1994) approximation of the distribution with a constant: polynomials in the statistic,
#: lowest power first, below and above `_SPLIT`.
_SMALL, _LARGE = (2.1659, 1.4412, 0.038269), (1.7339, 0.93202, -0.12745, -0.010368)
_SPLIT, _LOWEST, _HIGHEST = -1.61, -18.83, 2.74


def adf_pvalues(Y: NDArray[np.floating], n_lags: int | None = None) -> NDArray[np.float64]:
    """p-values of the hypothesis that a series has a unit root, with a constant and no trend.

    Parameters
    ----------
    Y : ndarray of shape (m, T)
        m series without NaN.
    n_lags : int, optional
        Lagged differences in the regression; default the whole part of (T − 1)^(1/3).

    Returns
    -------
    ndarray of float64, shape (m,)
        NaN for a constant series, or one too short for the regression.
    """
    m, steps = Y.shape
    lags = int(max(steps - 1, 0) ** (1 / 3)) if n_lags is None else n_lags
    rows = steps - 1 - lags
    if rows <= lags + 2:
        return np.full(m, np.nan)
    change = np.diff(Y, axis=1)
    target = change[:, lags:]
    columns = [Y[:, lags:-1], np.ones((m, rows)), *(change[:, lags - i : -i] for i in range(1, lags + 1))]
    X = np.stack(columns, axis=2)
    inverse = np.linalg.pinv(X.transpose(0, 2, 1) @ X, hermitian=True)
    weights = inverse @ (X.transpose(0, 2, 1) @ target[:, :, None])
    residual = target - (X @ weights)[:, :, 0]
    variance = (residual**2).sum(1) / (rows - X.shape[2])
    error = np.sqrt(variance * inverse[:, 0, 0])
    constant = np.ptp(Y, axis=1) <= 1e-12 * np.abs(Y).max(axis=1, initial=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(constant | (error <= 0), np.nan, weights[:, 0, 0] / error)
    powers = np.clip(statistic, _LOWEST, _HIGHEST)
    small, large = (np.polynomial.polynomial.polyval(powers, c) for c in (_SMALL, _LARGE))
    p = norm.cdf(np.where(powers <= _SPLIT, small, large))
    return np.where(statistic > _HIGHEST, 1.0, np.where(statistic < _LOWEST, 0.0, p))


def stationary_ranges(
    X: Series, lengths: NDArray[np.int64], window: int, places: NDArray[np.float64]
) -> NDArray[np.int64]:
    """How many windows to each side the neighbourhood of a place reaches: 1, 2 or 3.

    It is widened as long as the mean p-value over the variables stays below 0.01 (Tonekaboni et al.,
    section 3, with the steps of its code).

    Parameters
    ----------
    X : ndarray of shape (n, T, d)
        Without NaN up to the series' own lengths.
    lengths : ndarray of int64, shape (n,)
    window : int
    places : ndarray of shape (p,)
        Shares of a series' length.

    Returns
    -------
    ndarray of int64, shape (n, p)
    """
    found = np.ones((len(X), len(places)), dtype=np.int64)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for column, place in enumerate(places):
            centre = int(place * length)
            reached = np.ones(len(rows), dtype=bool)
            for step in (1, 2):
                part = X[rows, max(0, centre - step * window) : min(length, centre + step * window)]
                series = part.transpose(0, 2, 1).reshape(-1, part.shape[1])
                p = adf_pvalues(series.astype(np.float64)).reshape(len(rows), -1)
                # A constant counts as not stationary, a stretch too short to be tested too.
                reached &= np.where(np.isnan(p), 0.01, p).mean(axis=1) < 0.01
                found[rows, column] += reached
    return found
