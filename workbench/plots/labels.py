"""Figures to give labels on: points to brush, and a recording whose stretches are marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.plots.series import panels
from workbench.plots.template import (
    CONTROL,
    PALETTE,
    class_colours,
    class_order,
    class_symbols,
    figure,
    plain,
    translucent,
)

__all__ = ["NO_LABEL", "points", "recording"]

NO_LABEL = "no label"
#: Points from which WebGL draws them: below it SVG is as fast and sharper.
WEBGL_FROM = 5000
MAX_CHANNELS = 6


def points(
    table: pd.DataFrame, *, x: str, y: str, by: str = "label", changed: Sequence[bool] | None = None
) -> go.Figure:
    """Points in the colour of their label, to be brushed; each carries its place in `table` as custom data.

    Parameters
    ----------
    table : DataFrame with the columns id, x, y and by
    x, y, by : str
    changed : sequence of bool, optional
        Points whose label was changed and is not saved yet: they get a ring.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x=plain(x), y=plain(y), height=480)
    scatter = go.Scattergl if len(table) > WEBGL_FROM else go.Scatter
    names = pd.Series([NO_LABEL if _missing(value) else str(value) for value in table[by]])
    told = names[names != NO_LABEL]
    colours = {**class_colours(told), NO_LABEL: CONTROL}
    symbols = {**class_symbols(told), NO_LABEL: "circle"}
    ring = np.asarray(changed if changed is not None else np.zeros(len(table), bool), dtype=bool)
    for name in [*class_order(told), *([NO_LABEL] if len(told) < len(names) else [])]:
        chosen = np.flatnonzero((names == name).to_numpy())
        part = table.iloc[chosen]
        fig.add_trace(
            scatter(
                x=part[x].tolist(),
                y=part[y].tolist(),
                mode="markers",
                name=plain(name),
                marker={
                    "color": colours[name],
                    "symbol": symbols[name],
                    "size": 8,
                    "opacity": 0.5 if name == NO_LABEL else 0.85,
                    "line": {"width": np.where(ring[chosen], 2, 0).tolist(), "color": PALETTE[3]},
                },
                customdata=[[int(place)] for place in chosen],
                text=[plain(value) for value in part["id"]],
                hovertemplate="%{text}: "
                + plain(name).replace("%", "&#37;")
                + "<br>%{x:.4g}, %{y:.4g}<extra></extra>",
            )
        )
    fig.update_layout(dragmode="select", newselection_mode="gradual", showlegend=True)
    return fig


def recording(
    frame: pd.DataFrame,
    *,
    time: str,
    channels: Sequence[str],
    saved: Sequence[tuple[Any, Any, Any]] = (),
    pending: Sequence[tuple[Any, Any, Any]] = (),
) -> go.Figure:
    """Channels over time with their labelled stretches as bands; drag to choose a stretch.

    Parameters
    ----------
    frame : DataFrame
    time : str
    channels : sequence of str
    saved, pending : sequence of (start, end, label)
        Labels there are, and changes that are not saved yet; a label of None clears.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    shown = list(channels)[:MAX_CHANNELS]
    fig = panels(shown, x=plain(time))
    for row, channel in enumerate(shown, start=1):
        fig.add_scatter(
            x=frame[time],
            y=frame[channel],
            mode="lines+markers",
            name=plain(channel),
            line={"color": PALETTE[0], "width": 1.2},
            marker={"size": 2},
            showlegend=False,
            hovertemplate="%{x}: %{y:.4g}<extra></extra>",
            row=row,
            col=1,
        )
    labels = [str(label) for _, _, label in [*saved, *pending] if label is not None]
    colours = class_colours(labels)
    for bands, alpha, line in ((saved, 0.18, 0), (pending, 0.3, 1)):
        for start, end, label in bands:
            colour = CONTROL if label is None else colours[str(label)]
            fig.add_vrect(
                x0=start,
                x1=end,
                fillcolor=translucent(colour, alpha),
                line={"width": line, "color": colour, "dash": "dot"},
                annotation={
                    "text": plain("cleared" if label is None else label),
                    "font": {"size": 11},
                    "yanchor": "bottom",
                },
                annotation_position="top left",
                row=1,
                col=1,
            )
            for row in range(2, len(shown) + 1):
                fig.add_vrect(
                    x0=start, x1=end, fillcolor=translucent(colour, alpha), line_width=0, row=row, col=1
                )
    fig.update_layout(dragmode="select", selectdirection="h", margin={"t": 48})
    return fig


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value
