"""Ridge regression with a penalty chosen by leave-one-out, for many outputs at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PENALTIES", "ridge"]

#: Penalties that are tried, in units of the features' mean variance times the number of samples.
PENALTIES = tuple(10.0**power for power in range(-6, 3))


def ridge(
    Z: NDArray[Any], Y: NDArray[Any], penalty: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The linear map from `Z` to `Y` with the least squared error and a penalty on its weights.

    Parameters
    ----------
    Z : ndarray of shape (n, p)
    Y : ndarray of shape (n, q)
    penalty : float, optional
        In units of the features' mean variance times n, so that its meaning depends on neither; by default
        the one of `PENALTIES` with the least leave-one-out error over all outputs.

    Returns
    -------
    weight : ndarray of shape (q, p)
    bias : ndarray of shape (q,)
    penalty : float
    """
    Z, Y = Z.astype(np.float64), Y.astype(np.float64)
    n = len(Z)
    z_mean, y_mean = Z.mean(axis=0), Y.mean(axis=0)
    Z, Y = Z - z_mean, Y - y_mean
    # Of the two Gram matrices the smaller one.
    if Z.shape[1] <= n:
        values, V = np.linalg.eigh(Z.T @ Z)
        kept = values > max(values[-1], 0) * 1e-12
        values, V = values[kept], V[:, kept]
        U = Z @ V / np.sqrt(values)
    else:
        values, U = np.linalg.eigh(Z @ Z.T)
        kept = values > max(values[-1], 0) * 1e-12
        values, U = values[kept], U[:, kept]
        V = Z.T @ U / np.sqrt(values)
    if not len(values):
        return np.zeros((Y.shape[1], Z.shape[1])), y_mean, PENALTIES[-1] if penalty is None else penalty
    unit = float(values.sum()) / Z.shape[1]
    rotated = U.T @ Y
    if penalty is None:
        squares = U**2
        errors = []
        for candidate in PENALTIES:
            shrunk = values / (values + candidate * unit)
            # The mean counts as a feature without penalty: 1/n of every leverage.
            leverage = squares @ shrunk + 1 / n
            residual = (Y - U @ (shrunk[:, None] * rotated)) / np.maximum(1 - leverage, 1e-9)[:, None]
            errors.append(float((residual**2).sum()))
        penalty = PENALTIES[int(np.argmin(errors))]
    weight = (V @ ((np.sqrt(values) / (values + penalty * unit))[:, None] * rotated)).T
    return weight, y_mean - weight @ z_mean, float(penalty)
