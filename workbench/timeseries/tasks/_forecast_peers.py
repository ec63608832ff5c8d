"""Peers of forecasting: last value and season, ridge on lags, AutoETS, AutoARIMA, a patch transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.timeseries._ridge import ridge
from workbench.timeseries._windows import cut, starts
from workbench.timeseries.preprocessing import fill_gaps, series_lengths
from workbench.timeseries.tasks import _statistical as statistical

__all__ = ["forecasters", "season"]

#: Windows of one variable that ridge regression, and the transformer, learn from at most.
_MOST_WINDOWS, _MOST_TOKENS = 10_000, 4_000
#: The longest season looked for, and the autocorrelation that makes it one.
_LONGEST_SEASON, _LEAST_CORRELATION = 1000, 0.2

Values = NDArray[np.float64]


def season(X: NDArray[Any]) -> int:
    """Steps of the season of series (n, T, d): the highest peak of their autocorrelation; 1 for none."""
    filled = np.nan_to_num(fill_gaps(X))
    lengths = series_lengths(X)
    one = filled[int(lengths.argmax()), : lengths.max()].astype(float)
    centred = one - one.mean(axis=0)
    most = min(_LONGEST_SEASON, len(one) // 2)
    if most < 3:
        return 1
    size = 2 ** int(np.ceil(np.log2(2 * len(one))))
    power = np.abs(np.fft.rfft(centred, size, axis=0)) ** 2
    products = np.fft.irfft(power, size, axis=0)[: most + 1]
    variance = np.where(products[0] > 0, products[0], 1.0)
    total = (products / variance).mean(axis=1)
    # What is left of the products at a lag shrinks with the overlap.
    total = total * len(one) / (len(one) - np.arange(most + 1))
    inner = np.arange(2, most)
    peaks = inner[(total[inner] > total[inner - 1]) & (total[inner] >= total[inner + 1])]
    if not len(peaks) or total[peaks].max() < _LEAST_CORRELATION:
        return 1
    # The shortest of those that are nearly as high: a season's multiples are seasons too.
    return int(peaks[total[peaks] >= 0.95 * total[peaks].max()][0])


def forecasters(
    train: NDArray[Any],
    past: Values,
    horizon: int,
    window: int,
    period: int,
    *,
    row: NDArray[np.intp],
    seed: int,
) -> dict[str, Callable[[], Values]]:
    """Name → the `horizon` steps after each of `past`, (m, steps, d), learnt from series `train`.

    `row` says of which series each of `past` is.
    """
    seen = past[:, -window:]
    peers: dict[str, Callable[[], Values]] = {
        "Last value": lambda: np.repeat(past[:, -1:], horizon, axis=1),
        "Ridge on lags": lambda: _ridge_on_lags(train, seen, horizon),
    }
    if period > 1:
        steps = past.shape[1] - period + np.arange(horizon) % period
        peers["Seasonal naive"] = lambda: past[:, steps]
    if len(np.unique(row)) * past.shape[2] <= statistical.MOST_FITS:
        ets, arima = statistical.ets_forecasts, statistical.arima_forecasts
        peers["AutoETS"] = lambda: _each(train, past, horizon, period, row, statistical.fit_ets, ets)
        peers["AutoARIMA"] = lambda: _each(train, past, horizon, period, row, statistical.fit_arima, arima)
    peers["Patch transformer"] = lambda: _transformer(train, seen, horizon, seed)
    return peers


def _each(
    train: NDArray[Any],
    past: Values,
    horizon: int,
    period: int,
    row: NDArray[np.intp],
    fit: Callable[[Values, int], dict[str, Any]],
    ahead: Callable[[Values, int, dict[str, Any]], Values],
) -> Values:
    """A model of its own for every series and variable, foretelling from all that series' origins."""
    found = np.empty((len(past), horizon, past.shape[2]))
    filled, lengths = np.nan_to_num(fill_gaps(train)), series_lengths(train)
    for i in np.unique(row):
        mine = np.flatnonzero(row == i)
        for k in range(past.shape[2]):
            before = filled[i, : lengths[i], k].astype(float)
            found[mine, :, k] = (
                past[mine, -1:, k]  # what does not change is not fitted
                if before.std() == 0
                else ahead(past[mine, :, k], horizon, fit(before, period))
            )
    return found


def _transformer(train: NDArray[Any], past: Values, horizon: int, seed: int) -> Values:
    from workbench.timeseries.tasks._patches import forecasts

    m, window, d = past.shape
    windows = _windows(train, window + horizon, _MOST_TOKENS)
    found = forecasts(windows, past.transpose(0, 2, 1).reshape(-1, window), horizon, seed)
    return found.reshape(m, d, horizon).transpose(0, 2, 1)


def _windows(train: NDArray[Any], size: int, most: int) -> Values:
    """At most `most` windows of single variables, (n, size)."""
    each = max(1, most // (len(train) * train.shape[2]))
    parts = [
        cut(one[:length], starts(int(length), size, each), size)
        for one, length in zip(np.nan_to_num(fill_gaps(train)), series_lengths(train), strict=True)
    ]
    return np.concatenate(parts).transpose(0, 2, 1).reshape(-1, size).astype(np.float64)


def _ridge_on_lags(train: NDArray[Any], past: Values, horizon: int) -> Values:
    """One linear map for all variables, from a window less its last value to the steps after it."""
    window, d = past.shape[1:]
    weight, bias, _ = ridge(*_relative(_windows(train, window + horizon, _MOST_WINDOWS), window))
    inputs = past.transpose(0, 2, 1).reshape(-1, window)
    last, scale = inputs[:, -1:], _deviation(inputs)
    found = ((inputs - last) / scale @ weight.T + bias) * scale + last
    return found.reshape(len(past), d, horizon).transpose(0, 2, 1)


def _relative(windows: Values, window: int) -> tuple[Values, Values]:
    last, scale = windows[:, window - 1 : window], _deviation(windows[:, :window])
    scaled = (windows - last) / scale
    return scaled[:, :window], scaled[:, window:]


def _deviation(seen: Values) -> Values:
    scale = seen.std(axis=1, keepdims=True)
    return np.where(scale > 1e-8 * (1 + np.abs(seen).max(axis=1, keepdims=True)), scale, 1.0)
