"""AutoETS and AutoARIMA as peers: chosen and fitted by statsmodels, then rolled over all origins at once.

statsmodels foretells from one series at a time; a backtest asks from hundreds of origins. So the parameters
are its own, and the recursions of the chosen model are written out here over an axis of origins.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTEXT", "MOST_FITS", "arima_forecasts", "ets_forecasts", "fit_arima", "fit_ets"]

Values = NDArray[np.float64]

#: Steps that these models see before an origin, and that they are fitted on.
CONTEXT, _FITTED = 400, 600
#: Series times variables, each of which gets its own model, beyond which that takes minutes.
MOST_FITS = 24
#: Seasons beyond which a model with a state for each of their steps is no longer tried.
_LONGEST_SEASON = 200
#: Orders of the autoregression and of the moving average that are tried.
_ORDERS = range(3)


def fit_ets(y: Values, period: int) -> dict[str, Any]:
    """The exponential smoothing with additive errors that has the lowest AICc, and its parameters.

    Tried are no trend and a damped one, no season and an additive one.

    Returns
    -------
    dict
        ``trend``, ``season`` (its length; 0 for none), ``alpha``, ``beta``, ``gamma``, ``phi``.
    """
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    y = np.ascontiguousarray(y[-_FITTED:], dtype=float)
    seasons = [0, period] if 1 < period <= _LONGEST_SEASON and len(y) >= 3 * period else [0]
    best: dict[str, Any] = {"aicc": np.inf}
    for trend, season in product((False, True), seasons):
        model = ETSModel(
            y,
            trend="add" if trend else None,
            damped_trend=trend,
            seasonal="add" if season else None,
            seasonal_periods=season or None,
            initialization_method="heuristic",
        )
        for found in _tried(lambda model=model: model.fit(disp=False)):
            if found.aicc < best["aicc"]:
                named = dict(zip(model.param_names, found.params, strict=True))
                best = {
                    "aicc": float(found.aicc),
                    "trend": trend,
                    "season": season,
                    "alpha": named["smoothing_level"],
                    "beta": named.get("smoothing_trend", 0.0),
                    "gamma": named.get("smoothing_seasonal", 0.0),
                    "phi": named.get("damping_trend", 1.0),
                }
    if not np.isfinite(best["aicc"]):
        raise ValueError("No exponential smoothing could be fitted.")
    return best


def ets_forecasts(past: Values, horizon: int, model: dict[str, Any]) -> Values:
    """The steps after each of `past`, (m, steps), by a model of `fit_ets`; shape (m, horizon)."""
    m, steps = past.shape
    season = model["season"] if steps >= 2 * max(model["season"], 1) else 0
    s = np.zeros((m, max(season, 1)))
    if season:
        s = (
            past[:, :season]
            - past[:, : steps // season * season].reshape(m, -1, season).mean(axis=(1, 2))[:, None]
        )
    seen = past[:, :season].mean(axis=1) if season else past[:, 0]
    level, trend = seen.copy(), np.zeros(m)
    for t in range(season or 1, steps):
        at = t % season if season else 0
        drift = model["phi"] * trend if model["trend"] else 0.0
        error = past[:, t] - level - drift - s[:, at]
        level = level + drift + model["alpha"] * error
        if model["trend"]:
            trend = drift + model["beta"] * error
        if season:
            s[:, at] += model["gamma"] * error
    ahead = np.arange(1, horizon + 1)
    found = np.repeat(level[:, None], horizon, axis=1)
    if model["trend"]:
        found += trend[:, None] * (model["phi"] ** ahead).cumsum()
    if season:
        found += s[:, (steps + ahead - 1) % season]
    return found


def fit_arima(y: Values, period: int) -> dict[str, Any]:
    """The ARIMA model with the lowest AICc, after the differences that the series needs.

    A season that was found is taken away by one seasonal difference; the KPSS test says whether a further
    difference is needed; orders are at most 2.

    Returns
    -------
    dict
        ``season`` (0 for none), ``d``, ``mean``, ``ar``, ``ma``.
    """
    from statsmodels.tsa.arima.model import ARIMA
    from statsmodels.tsa.stattools import kpss

    y = np.ascontiguousarray(y[-_FITTED:], dtype=float)
    season = period if period > 1 and len(y) >= 3 * period else 0
    w = y[season:] - y[:-season] if season else y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the p-value is outside of its table
        d = int(w.std() > 0 and kpss(w, nlags="auto")[1] < 0.05)
    w = np.diff(w, d)
    best: dict[str, Any] = {"aicc": np.inf}
    mean = not (season or d)
    for p, q in product(_ORDERS, _ORDERS):
        model = ARIMA(w, order=(p, 0, q), trend="c" if mean else "n")
        for found in _tried(lambda model=model: model.fit(method="innovations_mle")):
            if found.aicc < best["aicc"]:
                best = {
                    "aicc": float(found.aicc),
                    "season": season,
                    "d": d,
                    "mean": float(found.params[0]) if mean else 0.0,
                    "ar": [float(value) for value in found.arparams] if p else [],
                    "ma": [float(value) for value in found.maparams] if q else [],
                }
    if not np.isfinite(best["aicc"]):
        raise ValueError("No ARIMA model could be fitted.")
    return best


def arima_forecasts(past: Values, horizon: int, model: dict[str, Any]) -> Values:
    """The steps after each of `past`, (m, steps), by a model of `fit_arima`; shape (m, horizon).

    Errors before what is seen are taken to be 0.
    """
    season = model["season"] if past.shape[1] > model["season"] + 8 else 0
    w = past[:, season:] - past[:, :-season] if season else past
    last = w[:, -1]
    if model["d"]:
        w = np.diff(w)
    ar, ma = np.array(model["ar"]), np.array(model["ma"])
    p, q, steps = len(ar), len(ma), w.shape[1]
    w = np.concatenate([w - model["mean"], np.zeros((len(w), horizon))], axis=1)
    error = np.zeros_like(w)
    for t in range(p, steps + horizon):
        expected = w[:, t - p : t] @ ar[::-1] if p else np.zeros(len(w))
        if q:
            seen = error[:, max(t - q, 0) : t]
            expected = expected + seen @ ma[: seen.shape[1]][::-1]
        if t < steps:
            error[:, t] = w[:, t] - expected
        else:
            w[:, t] = expected
    found: Values = w[:, steps:] + model["mean"]
    if model["d"]:
        found = last[:, None] + found.cumsum(axis=1)
    if season:
        for h in range(horizon):
            found[:, h] += past[:, h - season] if h < season else found[:, h - season]
    return found


def _tried(fit: Any) -> Iterator[Any]:
    """What a fit of statsmodels finds; nothing where it does not converge to a model at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # starting values, convergence: AICc decides
        try:
            yield fit()
        except (ValueError, np.linalg.LinAlgError):
            return
