"""The recipe of imputation: fill what is missing, and judge by values that are hidden on purpose."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.arrays import Data, SeriesData, Split
from workbench.errors import DatasetError
from workbench.report import Report, Reporter
from workbench.timeseries.preprocessing import channel_scales, series_lengths
from workbench.timeseries.tasks._shared import (
    Judged,
    best_peer,
    cut_in_time,
    fit_both,
    flat_scores,
    losses,
    run_peers,
    score_table,
    wanted,
)
from workbench.timeseries.units_imputer import interpolate

__all__ = ["impute"]

RECIPE = "timeseries.impute"

#: Shares of the values that are hidden to judge by.
RATIOS = (0.125, 0.25, 0.5)
#: Series whose hidden values are kept for the plots, steps of each, and cells filled that are listed.
_SHOWN_SERIES, _SHOWN_STEPS, _MOST_FILLED = 6, 1000, 200_000

Values = NDArray[np.float64]
Hidden = NDArray[np.bool_]


def impute(
    estimator: Any,
    data: Data,
    split: Split,
    seed: int,
    reporter: Reporter,
    *,
    peers: bool | None = None,
) -> Report:
    """Train an imputer on the train part, and fill values of the test part that were hidden on purpose.

    Several series are divided as `split` says; of a single one the test part is the last ``split.test_size``
    in time.

    Parameters
    ----------
    estimator : UniTSImputer
    data : Data
    split : Split
    seed : int
        Becomes ``random_state`` where that is None; also draws what is hidden.
    reporter : Reporter
    peers : bool, optional
        Whether peers run too; by default unless the split is the inner one, which only trials are judged by.

    Returns
    -------
    Report
        Scores ``mse`` and ``mae``, in units of the variables' deviation, of values hidden as in training (its
        ``mask`` and ``mask_ratio``), with their ``untrained_`` counterparts, and ``seconds`` of training.
        Tables scores (with the peers'), errors (by mask and share hidden), cells (hidden values beside what
        they were filled with), filled (what was really missing) and curve.
    """
    series = data.to_series()
    train, tested, ids = _parts(series, split, seed)
    reporter.plan({"train": 10.0, "untrained": 3.0, "evaluate": 2.0, "fill": 1.0})
    _, scale = channel_scales(train)
    fitted, seconds = fit_both(estimator, seed, lambda model: model.fit(train), reporter)
    trained = fitted["trained"]
    fills: dict[str, Callable[[Values], Values]] = {m: model.transform for m, model in fitted.items()}
    fills["Linear"] = interpolate
    fills |= wanted({"Last value": _last, "Mean": _means(train), "kNN": _neighbours(train)}, peers, split)

    rows: list[dict[str, Any]] = []
    judged: Judged = {}
    cells = pd.DataFrame()
    settings = [(trained.mask, trained.mask_ratio)]
    settings += [(mask, ratio) for mask in ("geometric", "block") for ratio in RATIOS]
    with reporter.stage("evaluate"):
        for i, (mask, ratio) in enumerate(dict.fromkeys(settings)):
            hidden = _hide(tested, trained.window_, mask, ratio, trained.mask_length, seed)
            given = np.where(hidden, np.nan, tested)
            judge = partial(_errors, tested, hidden=hidden, scale=scale)
            bound = {name: _bound(fill, given) for name, fill in fills.items()}
            found, times = run_peers(bound, reporter, judge if peers and i == 0 else None)
            errors = {name: judge(values) for name, values in found.items()}
            rows += [{"model": m, "mask": mask, "ratio": ratio, **e} for m, e in errors.items()]
            if i == 0:
                judged, cells = errors, _cells(series, ids, tested, hidden, found)
                seconds |= {name: t for name, t in times.items() if name not in seconds}
            reporter.progress(i + 1, len(settings))
    with reporter.stage("fill"):
        filled = _filled(series, trained.transform(series.X))
    tables = {
        "scores": score_table(judged, seconds),
        "errors": pd.DataFrame(rows),
        "cells": cells,
        "filled": filled,
        "curve": losses(trained),
    }
    scores = flat_scores(judged, seconds)
    missing = f" {len(filled)} missing values filled." if len(filled) else ""
    headline = (
        f"MSE {scores['mse']:.3f} on hidden values; untrained {scores['untrained_mse']:.3f}"
        f"{best_peer(judged, 'mse', largest=False)}.{missing}"
    )
    return Report(RECIPE, headline, scores, tables, trained)


def _bound(fill: Callable[[Values], Values], given: Values) -> Callable[[], Values]:
    return lambda: np.asarray(fill(given))


def _parts(series: SeriesData, split: Split, seed: int) -> tuple[Values, Values, NDArray[np.intp]]:
    """Series to train on, those to test on, and which rows these are."""
    X = series.X.astype(float)
    if len(X) > 1:
        train, test = split.indices(len(X), y=series.y, column=series.split, seed=seed)
        return X[train], X[test], test
    begins, ends = cut_in_time(X, split, 3)
    return X[:, : begins[0]], X[:, begins[0] : ends[0]], np.zeros(1, dtype=np.intp)


def _hide(X: Values, window: int, mask: str, ratio: float, length: float, seed: int) -> Hidden:
    """A mask over each stretch of `window` steps, as in training: a block is a share of that."""
    from workbench.timeseries._masks import hidden_cells

    n, steps, d = X.shape
    stretches = -(-steps // window)
    found = hidden_cells((n * stretches, window, d), mask, ratio, length, seed)
    hidden = found.reshape(n, stretches * window, d)[:, :steps] & ~np.isnan(X)
    # A series keeps its last step, or it would become shorter.
    for row, end in enumerate(series_lengths(X)):
        hidden[row, end - 1] = False
    if not hidden.any():
        raise DatasetError("The mask hides no observed value of the test part: give longer series.")
    return hidden


def _errors(true: Values, found: Values, hidden: Hidden, scale: NDArray[Any]) -> dict[str, float]:
    error = ((found - true) / scale)[hidden]
    return {"mse": float((error**2).mean()), "mae": float(np.abs(error).mean())}


def _last(X: Values) -> Values:
    """Every gap filled with the value before it; at the beginning, with the one after it."""
    filled = np.empty_like(X)
    for i, one in enumerate(X):
        filled[i] = pd.DataFrame(one).ffill().bfill().fillna(0.0).to_numpy()
    return filled


def _means(train: Values) -> Callable[[Values], Values]:
    mean, _ = channel_scales(train)
    return lambda X: np.where(np.isnan(X), mean, X)


def _neighbours(train: Values) -> Callable[[Values], Values]:
    """Steps whose variables are alike, k nearest neighbours; with one variable, straight lines."""

    def fill(X: Values) -> Values:
        from sklearn.impute import KNNImputer

        if X.shape[2] < 2:
            return interpolate(X)
        steps = train.reshape(-1, train.shape[2])
        steps = steps[~np.isnan(steps).all(axis=1)]
        steps = steps[np.linspace(0, len(steps) - 1, min(len(steps), 1000)).astype(int)]
        mean, scale = channel_scales(train)
        model = KNNImputer(n_neighbors=5, keep_empty_features=True).fit((steps - mean) / scale)
        flat = (X.reshape(-1, X.shape[2]) - mean) / scale
        empty = np.isnan(flat).all(axis=1)
        # With nothing observed at a step there are no neighbours.
        filled = interpolate(X).reshape(flat.shape)
        filled[~empty] = model.transform(flat[~empty]) * scale + mean
        return filled.reshape(X.shape)

    return fill


def _cells(
    series: SeriesData, ids: NDArray[np.intp], tested: Values, hidden: Hidden, found: dict[str, Values]
) -> pd.DataFrame:
    """The first series of the test part, step by step: what it was, and what hidden values became."""
    few = slice(0, _SHOWN_SERIES)
    part = tested[few, :_SHOWN_STEPS]
    at, step, channel = (index.ravel() for index in np.indices(part.shape))
    keep = ~np.isnan(part).ravel()
    table = pd.DataFrame(
        {
            "id": series.ids[ids[few]][at],
            "step": step,
            "channel": np.asarray(series.channels)[channel],
            "true": part.ravel(),
            "hidden": hidden[few, :_SHOWN_STEPS].ravel(),
            "imputed": found["trained"][few, :_SHOWN_STEPS].ravel(),
            "linear": found["Linear"][few, :_SHOWN_STEPS].ravel(),
        }
    )
    return table[keep].reset_index(drop=True)


def _filled(series: SeriesData, values: Values) -> pd.DataFrame:
    """What was missing in the data set, and what it was filled with."""
    gaps = np.isnan(series.X)
    for one, end in enumerate(series_lengths(series.X)):
        gaps[one, end:] = False
    row, step, channel = (index[:_MOST_FILLED] for index in np.nonzero(gaps))
    return pd.DataFrame(
        {
            "id": series.ids[row],
            "step": step,
            "channel": np.asarray(series.channels)[channel],
            "imputed": values[row, step, channel],
        }
    )
