"""The recipe of forecasting: learn from the past, and foretell the held-out end from rolling origins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.arrays import Data, SeriesData, Split
from workbench.report import Report, Reporter
from workbench.timeseries.preprocessing import channel_scales, fill_gaps
from workbench.timeseries.tasks._forecast_peers import forecasters, season
from workbench.timeseries.tasks._shared import (
    best_peer,
    cut_in_time,
    fit_both,
    flat_scores,
    losses,
    run_peers,
    score_table,
    wanted,
)
from workbench.timeseries.tasks._statistical import CONTEXT
from workbench.timeseries.units_forecaster import UniTSForecaster

__all__ = ["forecast"]

RECIPE = "timeseries.forecast"

#: Origins that a backtest foretells from at most, over all series.
_MOST_ORIGINS = 400
#: Origins, and series, whose forecasts are kept for the plots.
_SHOWN_ORIGINS, _SHOWN_SERIES = 24, 12
#: The band's quantiles.
_LOW, _HIGH = 0.1, 0.9

Values = NDArray[np.float64]


@dataclass(frozen=True)
class _Origins:
    """Where it is foretold from: m pairs of a series and the first step to come, and what was seen."""

    row: NDArray[np.intp]
    step: NDArray[np.intp]
    past: Values  # (m, steps seen, d)
    true: Values  # (m, horizon, d), NaN where missing
    exogenous: Values | None


def forecast(
    estimator: Any,
    data: Data,
    split: Split,
    seed: int,
    reporter: Reporter,
    *,
    peers: bool | None = None,
) -> Report:
    """Train a forecaster on the beginning of every series and judge it on the rest.

    The test part is the last ``split.test_size`` of each series in time. From origins spread over it the
    next ``horizon`` steps are foretold from what lies before; the model is not trained again in between.

    Parameters
    ----------
    estimator : UniTSForecaster
    data : Data
        Columns with the role ``exogenous`` are known ahead.
    split : Split
        Only its ``test_size`` counts.
    seed : int
        Becomes ``random_state`` where that is None.
    reporter : Reporter
    peers : bool, optional
        Whether peers run too; by default unless the split is the inner one, which only trials are judged by.

    Returns
    -------
    Report
        Scores ``mse`` and ``mae`` in units of the variables' deviation in the train part, with their
        ``untrained_`` counterparts; ``coverage`` of the 80 % band, and ``seconds`` of training. Tables scores
        (with the peers'), by_step, forecasts, history (values before and in the test part), future (beyond
        the end of the data) and curve.
    """
    series = data.to_series()
    horizon = estimator.horizon
    begins, ends = cut_in_time(series.X, split, horizon + 1)
    train = np.where((np.arange(series.X.shape[1]) < begins[:, None])[:, :, None], series.X, np.nan)
    train = train[:, : begins.max()]
    _, scale = channel_scales(train)
    reporter.plan({"train": 10.0, "untrained": 3.0, "evaluate": 1.0, "peers": 1.0})

    exogenous = None if series.exogenous is None else np.nan_to_num(series.exogenous)
    known = None if exogenous is None else exogenous[:, : train.shape[1]]
    fitted, seconds = fit_both(estimator, seed, lambda model: model.fit(train, exog=known), reporter)
    trained = fitted["trained"]
    period = season(train)
    with reporter.stage("evaluate"):
        seen = max(trained.window_, period, min(CONTEXT, int(begins.min())))
        origins = _origins(series.X, exogenous, begins, ends, horizon, seen)
        found = {
            name: model.predict(origins.past[:, -model.window_ :], exog=origins.exogenous)
            for name, model in fitted.items()
        }
        bands = _bands(trained, origins)
    with reporter.stage("peers"):
        asked = forecasters(train, origins.past, horizon, trained.window_, period, row=origins.row, seed=seed)
        judge = partial(_scores, origins.true, scale=scale)
        more, times = run_peers(wanted(asked, peers, split), reporter, judge if peers else None)
    found |= more
    seconds |= times
    judged = {name: judge(values) for name, values in found.items()}
    if bands is not None:
        inside = (bands[0] <= origins.true) & (origins.true <= bands[1])
        judged["trained"]["coverage"] = float(inside[~np.isnan(origins.true)].mean())
    tables = {
        "scores": score_table(judged, seconds),
        "by_step": _by_step(origins.true, found, scale),
        "forecasts": _forecasts(series, origins, found["trained"], bands),
        "history": _history(series, origins),
        "future": _future(trained, series, ends),
        "curve": losses(trained),
    }
    scores = flat_scores(judged, seconds) | {"season": float(period)}
    headline = (
        f"MSE {scores['mse']:.3f} over the next {horizon} steps from {len(origins.row)} origins; untrained "
        f"{scores['untrained_mse']:.3f}{best_peer(judged, 'mse', largest=False)}."
    )
    return Report(RECIPE, headline, scores, tables, trained)


def _origins(
    X: NDArray[Any],
    exogenous: NDArray[Any] | None,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    horizon: int,
    seen: int,
) -> _Origins:
    each = max(1, _MOST_ORIGINS // len(X))
    rows, steps = [], []
    for i, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        first, last = max(int(begin), seen), int(end) - horizon
        if first <= last:
            chosen = np.unique(np.linspace(first, last, min(each, last - first + 1)).round().astype(int))
            rows += [i] * len(chosen)
            steps += chosen.tolist()
    filled = np.nan_to_num(fill_gaps(X))
    pairs = list(zip(rows, steps, strict=True))
    return _Origins(
        np.array(rows),
        np.array(steps),
        np.stack([filled[i, s - seen : s] for i, s in pairs]).astype(float),
        np.stack([X[i, s : s + horizon] for i, s in pairs]).astype(float),
        None if exogenous is None else np.stack([exogenous[i, s : s + horizon] for i, s in pairs]),
    )


def _bands(model: UniTSForecaster, origins: _Origins) -> tuple[Values, Values] | None:
    if not len(model.residuals_):
        return None
    found = model.predict_quantiles(origins.past[:, -model.window_ :], (_LOW, _HIGH), exog=origins.exogenous)
    return found[..., 0], found[..., 1]


def _scores(true: Values, found: Values, scale: NDArray[Any]) -> dict[str, float]:
    error = ((found - true) / scale)[~np.isnan(true)]
    return {"mse": float((error**2).mean()), "mae": float(np.abs(error).mean())}


def _by_step(true: Values, found: Mapping[str, Values], scale: NDArray[Any]) -> pd.DataFrame:
    frames = []
    for name, values in found.items():
        error = (values - true) / scale
        with np.errstate(invalid="ignore"):
            mse, mae = np.nanmean(error**2, axis=(0, 2)), np.nanmean(np.abs(error), axis=(0, 2))
        steps = np.arange(1, true.shape[1] + 1)
        frames.append(pd.DataFrame({"model": name, "step": steps, "mse": mse, "mae": mae}))
    return pd.concat(frames, ignore_index=True)


def _forecasts(
    series: SeriesData, origins: _Origins, found: Values, bands: tuple[Values, Values] | None
) -> pd.DataFrame:
    """Forecasts beside what came, from a few origins of the first series."""
    few = np.flatnonzero(origins.row < _SHOWN_SERIES)
    shown = few[np.unique(np.linspace(0, len(few) - 1, min(_SHOWN_ORIGINS, len(few))).round().astype(int))]
    at, step, channel = (index.ravel() for index in np.indices(found[shown].shape))
    nothing = np.full(found[shown].shape, np.nan)
    low, high = (nothing, nothing) if bands is None else (bands[0][shown], bands[1][shown])
    return pd.DataFrame(
        {
            "id": series.ids[origins.row[shown][at]],
            "origin": origins.step[shown][at],
            "step": origins.step[shown][at] + step,
            "channel": np.asarray(series.channels)[channel],
            "true": origins.true[shown].ravel(),
            "forecast": found[shown].ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
    )


def _history(series: SeriesData, origins: _Origins) -> pd.DataFrame:
    """Values of the first series, from what the first origin saw on."""
    frames = []
    for row in np.unique(origins.row[origins.row < _SHOWN_SERIES]):
        first = max(int(origins.step[origins.row == row].min()) - origins.past.shape[1], 0)
        values = series.X[row, first:]
        step, channel = (index.ravel() for index in np.indices(values.shape))
        frames.append(
            pd.DataFrame(
                {
                    "id": series.ids[row],
                    "step": first + step,
                    "channel": np.asarray(series.channels)[channel],
                    "value": values.ravel(),
                }
            )
        )
    return pd.concat(frames, ignore_index=True).dropna(ignore_index=True)


def _future(model: UniTSForecaster, series: SeriesData, ends: NDArray[np.int64]) -> pd.DataFrame:
    """What comes after the end of the data; of series that are long enough, and nothing known ahead."""
    columns = ["id", "step", "channel", "forecast", "low", "high"]
    rows = np.flatnonzero(ends >= model.window_)
    if series.exogenous is not None or not len(rows):
        return pd.DataFrame(columns=columns)
    found = model.predict(series.X[rows]).reshape(len(rows), model.horizon, -1)
    low = high = np.full(found.shape, np.nan)
    if len(model.residuals_):
        quantiles = model.predict_quantiles(series.X[rows], (_LOW, _HIGH))
        low, high = quantiles[..., 0], quantiles[..., 1]
    at, step, channel = (index.ravel() for index in np.indices(found.shape))
    return pd.DataFrame(
        {
            "id": series.ids[rows[at]],
            "step": ends[rows[at]] + step,
            "channel": np.asarray(series.channels)[channel],
            "forecast": found.ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        },
        columns=columns,
    )
