"""Figures of time series: chosen series channel by channel, and class means with bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from workbench.plots.template import (
    GRID_ROW,
    LIGHT,
    PALETTE,
    class_colours,
    class_order,
    plain,
    translucent,
)

__all__ = ["class_means", "dated", "panels", "series"]

TIME = "Time (steps)"


def panels(channels: Sequence[str], *, x: str = TIME) -> go.Figure:
    """Stacked panels over one time axis, one a channel."""
    rows = max(len(channels), 1)
    fig = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=min(0.04, 0.3 / rows))
    last = str(rows) if rows > 1 else ""
    titles: dict[str, Any] = {f"xaxis{last}": {"title": {"text": x}}}
    for row, channel in enumerate(channels, start=1):
        titles[f"yaxis{row if row > 1 else ''}"] = {"title": {"text": plain(channel)}}
    return fig.update_layout(template=LIGHT, height=max(280, 80 + GRID_ROW * rows), **titles)


def dated(fig: go.Figure, times: pd.DatetimeIndex | None) -> go.Figure:
    """Turn the steps along the time axis of a figure into the times of these steps.

    Parameters
    ----------
    fig : plotly.graph_objects.Figure
        Whose x values are steps, counted from 0; it is changed.
    times : DatetimeIndex or None
        Of all steps of the series. Before the first and after the last step time goes on by the median
        distance. None: steps stay steps.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    if times is None or len(times) < 2:
        return fig
    ticks = times.as_unit("us").asi8
    usual, last = float(np.median(np.diff(ticks))), len(ticks) - 1
    for trace in fig.data:
        steps = np.asarray(trace.x, dtype=float)
        beyond = np.minimum(steps, 0) + np.maximum(steps - last, 0)
        at = np.interp(steps, np.arange(len(ticks)), ticks) + beyond * usual
        trace.x = np.rint(at).astype(np.int64).astype("datetime64[us]")
        if trace.hovertemplate:
            trace.hovertemplate = trace.hovertemplate.replace("step %{x}", "%{x}")
    fig.for_each_xaxis(lambda axis: axis.update(title_text="Time") if axis.title.text == TIME else None)
    return fig


def series(
    X: NDArray[np.floating[Any]],
    *,
    channels: Sequence[str],
    names: Sequence[str],
    labels: Sequence[Any] | None = None,
    all_labels: Sequence[Any] | None = None,
) -> go.Figure:
    """Chosen series, a panel a channel.

    Parameters
    ----------
    X : ndarray, shape (n, T, d)
        NaN where a series has ended or a value is missing: the line breaks there.
    channels : length d
    names : length n
    labels : length n, optional
        Colours the lines by class; without them every series has a colour of its own.
    all_labels : optional
        Labels of the whole data set, so that a class keeps the colour it has elsewhere.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = panels(channels)
    colours = class_colours(all_labels if all_labels is not None else labels or [])
    for i, name in enumerate(names):
        label = None if labels is None or labels[i] is None else str(labels[i])
        colour = colours.get(label) if label is not None else None
        colour = colour or PALETTE[i % len(PALETTE)]
        used = np.flatnonzero(~np.isnan(X[i]).all(axis=1))
        length = int(used[-1]) + 1 if len(used) else 0
        shown = f"{name} ({label})" if label is not None else str(name)
        for d in range(len(channels)):
            fig.add_scatter(
                x=list(range(length)),
                y=[None if np.isnan(v) else float(v) for v in X[i, :length, d]],
                name=plain(shown),
                legendgroup=str(name),
                showlegend=d == 0,
                mode="lines" if length > 1 else "markers",
                line={"color": colour, "width": 1.5},
                hovertemplate="step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
                row=d + 1,
                col=1,
            )
    return fig


def class_means(table: pd.DataFrame) -> go.Figure:
    """The mean of every class with a band of one standard deviation, a panel a channel.

    Parameters
    ----------
    table : DataFrame with the columns label, channel, step, mean, sd
        One row a class, channel and time step. A missing label stands for all series.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    channels = list(pd.unique(table["channel"].astype(str)))
    fig = panels(channels)
    table = table.assign(
        label=table["label"].map(lambda v: "all series" if pd.isna(v) else str(v)),
        channel=table["channel"].astype(str),
    )
    order = class_order(table["label"])
    colours = class_colours(order)
    for row, channel in enumerate(channels, start=1):
        for label in order:
            part = table[(table["channel"] == channel) & (table["label"] == label)]
            # Shorter classes end earlier.
            part, colour = part.dropna(subset=["mean"]).sort_values("step"), colours[label]
            step, mean = part["step"].tolist(), part["mean"]
            sd = part["sd"].fillna(0.0)
            fig.add_scatter(
                x=step + step[::-1],
                y=(mean + sd).tolist() + (mean - sd).tolist()[::-1],
                fill="toself",
                fillcolor=translucent(colour, 0.15),
                line={"width": 0},
                mode="lines",
                legendgroup=label,
                showlegend=False,
                hoverinfo="skip",
                row=row,
                col=1,
            )
            fig.add_scatter(
                x=step,
                y=mean.tolist(),
                name=plain(label),
                mode="lines",
                line={"color": colour, "width": 2},
                legendgroup=label,
                legendrank=1000 + order.index(label),
                showlegend=row == 1,
                hovertemplate="step %{x}: mean %{y:.4g}<extra>%{fullData.name}</extra>",
                row=row,
                col=1,
            )
    return fig
