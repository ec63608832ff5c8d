"""Figures of anomaly detection (recipe ``timeseries.detect``)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from workbench.plots import scores
from workbench.plots.comparison import comparison
from workbench.plots.series import TIME
from workbench.plots.template import CONTROL, PALETTE, ROLES, figure, translucent
from workbench.report import Report

__all__ = ["MAX_POINTS", "figures", "precision_recall", "runs", "thinned", "track"]

#: Points of a drawn line; of more, the highest of each stretch is kept. Those above the threshold are drawn
#: once more, so that a track has twice as many at most, 4,000.
MAX_POINTS = 2000
#: Stretches that are shaded at most.
_MAX_BANDS = 300


def thinned(score: NDArray[np.floating], most: int = MAX_POINTS) -> NDArray[np.intp]:
    """Positions of the highest score in each of `most` equal stretches: no peak is lost."""
    n = len(score)
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, most + 1).astype(np.intp)
    filled = np.where(np.isnan(score), -np.inf, score)
    highest = np.maximum.reduceat(filled, edges[:-1])
    hits = np.flatnonzero(filled == np.repeat(highest, np.diff(edges)))
    kept: NDArray[np.intp] = hits[np.searchsorted(hits, edges[:-1])]  # the first of each stretch
    return kept


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last positions of the runs of True."""
    edges = np.diff(flags.astype(np.int8), prepend=0, append=0)
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))


def track(table: pd.DataFrame, threshold: float, *, values: pd.DataFrame | None = None) -> go.Figure:
    """Scores over time with the threshold; true intervals shaded orange, alarms marked red.

    Parameters
    ----------
    table : DataFrame with the columns step, score, anomaly
        Of one series, in the order of time.
    threshold : float
    values : DataFrame with the columns step and one a variable, optional
        Drawn below, each in its own range.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    score = table["score"].to_numpy(dtype=float)
    step = table["step"].to_numpy()
    kept = thinned(score)
    fig = figure(x=TIME, y="Anomaly score", height=360 if values is None else 520)
    true = table["anomaly"].fillna(False).to_numpy(dtype=bool)
    top = float(np.nanmax(score)) if np.isfinite(score).any() else 1.0
    height = max(top, threshold) * 1.05 or 1.0
    intervals = runs(true)[:_MAX_BANDS]
    if intervals:
        # One trace for all of them: a shape each takes seconds to make where there are hundreds.
        low, high = (step[list(ends)] for ends in zip(*intervals, strict=True))
        sides = [low - 0.5, low - 0.5, high + 0.5, high + 0.5, high + 0.5]
        fig.add_scatter(
            x=np.stack(sides, axis=1).ravel(),
            y=np.tile([0.0, height, height, 0.0, np.nan], len(low)),
            name="truly anomalous",
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=translucent(PALETTE[1], 0.25),
            hoverinfo="skip",
        )
    fig.add_scatter(
        x=step[kept],  # arrays: lists are checked, and copied, value by value
        y=score[kept],
        name="score",
        mode="lines",
        line={"color": ROLES["trained"], "width": 1.2},
        hovertemplate="step %{x}: %{y:.4g}<extra></extra>",
    )
    above = kept[score[kept] > threshold]
    fig.add_scatter(
        x=step[above],
        y=score[above],
        name="above the threshold",
        mode="markers",
        marker={"color": PALETTE[3], "size": 5},
        hovertemplate="step %{x}: %{y:.4g}<extra>alarm</extra>",
    )
    fig.add_hline(y=threshold, line={"color": CONTROL, "dash": "dash"})
    fig.update_yaxes(range=[0, height])
    if values is not None:
        _below(fig, values)
    fig.update_layout(showlegend=True)
    return fig


def _below(fig: go.Figure, values: pd.DataFrame) -> None:
    """The variables in a panel under the track, standardised so that they share it."""
    fig.update_layout(
        yaxis={"domain": [0.46, 1.0]},
        xaxis={"anchor": "y2"},
        yaxis2={"domain": [0.0, 0.38], "anchor": "x", "title": {"text": "Variables (z-score)"}},
    )
    step = values["step"].to_numpy()
    kept = np.unique(np.linspace(0, len(step) - 1, min(MAX_POINTS, len(step))).astype(int))
    for i, name in enumerate(column for column in values.columns if column != "step"):
        one = values[name].to_numpy(dtype=float)
        deviation = np.nanstd(one) or 1.0
        scaled = (one - np.nanmean(one)) / deviation
        fig.add_scatter(
            x=step[kept],
            y=scaled[kept],
            name=str(name).replace("&", "&amp;").replace("<", "&lt;"),
            mode="lines",
            line={"color": PALETTE[(i + 2) % len(PALETTE)], "width": 1},
            yaxis="y2",
            hovertemplate="step %{x}: z-score %{y:.3g}<extra>%{fullData.name}</extra>",
        )


def precision_recall(table: pd.DataFrame, threshold: float) -> dict[str, float]:
    """Precision, recall and F1 of single steps at a threshold; empty where no anomaly is known.

    Parameters
    ----------
    table : DataFrame with the columns score, anomaly
    threshold : float
        A step above it is an alarm.

    Returns
    -------
    dict of str to float
        Precision, recall and F1 of the steps; empty where nothing is known.
    """
    if table["anomaly"].isna().all():
        return {}
    true = table["anomaly"].fillna(False).to_numpy(dtype=bool)
    found = table["score"].to_numpy() > threshold
    hits = int((true & found).sum())
    precision = hits / found.sum() if found.any() else 0.0
    recall = hits / true.sum() if true.any() else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def figures(report: Report) -> dict[str, go.Figure]:
    """The track of the first series, peers and losses."""
    tables = report.tables
    first = tables["track"]["id"].iloc[0]
    drawn = {
        "score": track(tables["track"][tables["track"]["id"] == first], report.scores["threshold"]),
        "peers": comparison(tables["scores"], "vus_pr" if "vus_pr" in report.scores else "flagged"),
    }
    if len(tables["curve"]):
        drawn["losses"] = scores.curves(tables["curve"])
    return drawn
