"""Figures of a representation report (recipe ``timeseries.represent``): losses, map, scores, shapelets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from workbench.plots import scores
from workbench.plots.series import panels
from workbench.plots.template import (
    CONTROL,
    ROLES,
    class_colours,
    class_order,
    class_symbols,
    figure,
    plain,
)
from workbench.report import Report

__all__ = ["WEBGL_FROM", "embedding_map", "figures", "shapelet_lines", "shapelet_on_series"]

#: Points from which the map is drawn by WebGL: below it SVG is as fast and sharper.
WEBGL_FROM = 5000


def embedding_map(table: pd.DataFrame) -> go.Figure:
    """The embeddings in two dimensions; every point carries its series' id in ``customdata[0]``.

    Colour is the label; hollow points were trained on, filled ones are test series, and a cross is a
    test series whose label was predicted wrongly.

    Parameters
    ----------
    table : DataFrame with the columns id, split, x, y and, where there are labels, label, predicted, correct

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Map axis 1 (arbitrary units)", y="Map axis 2 (arbitrary units)", height=460)
    scatter = go.Scattergl if len(table) > WEBGL_FROM else go.Scatter
    labelled = bool("label" in table and table["label"].notna().any())
    label = table["label"].astype(object).where(table["label"].notna(), "no label") if labelled else None
    table = table.assign(label="series" if label is None else label.map(str))
    colours = class_colours(table["label"]) if labelled else {"series": ROLES["trained"]}
    colours["no label"] = CONTROL
    symbols = class_symbols(table["label"])
    for name in class_order(table["label"]):
        part = table[table["label"] == name]
        train = part["split"].astype(str).eq("train")
        wrong = part["correct"].eq(False) if "correct" in part else pd.Series(False, index=part.index)
        symbol = np.where(train, f"{symbols[name]}-open", symbols[name])
        symbol = np.where(~train & wrong, "x", symbol)
        predicted = part["predicted"].map(_text) if "predicted" in part else [""] * len(part)
        fig.add_trace(
            scatter(
                x=part["x"].tolist(),
                y=part["y"].tolist(),
                mode="markers",
                name=plain(name),
                marker={"color": colours[name], "symbol": symbol.tolist(), "size": 8, "opacity": 0.85},
                customdata=[
                    [str(i), str(s), plain(p)]
                    for i, s, p in zip(part["id"], part["split"], predicted, strict=True)
                ],
                hovertemplate="series %{customdata[0]} (%{customdata[1]})<br>class "
                + plain(name).replace("%", "&#37;")
                + "%{customdata[2]}<extra></extra>",
            )
        )
    fig.update_xaxes(showticklabels=False)
    fig.update_yaxes(showticklabels=False)
    fig.update_layout(showlegend=labelled)
    return fig


def _text(predicted: Any) -> str:
    return "" if predicted is None or predicted != predicted else f", predicted {predicted}"


def shapelet_lines(shapelets: pd.DataFrame, which: Sequence[Any]) -> go.Figure:
    """The shapelets `which`, a panel a channel.

    Parameters
    ----------
    shapelets : DataFrame with the columns shapelet, measure, channel, step, value
    which : sequence
        Their ids.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    table = shapelets[shapelets["shapelet"].isin(list(which))]
    channels = list(pd.unique(table["channel"].astype(str)))
    fig = panels(channels)
    colours = class_colours([str(w) for w in which])
    for (name, channel), part in table.groupby(["shapelet", "channel"], sort=False):
        part = part.sort_values("step")
        row = channels.index(str(channel)) + 1
        fig.add_scatter(
            x=part["step"].tolist(),
            y=part["value"].tolist(),
            name=plain(f"{name} ({part['measure'].iloc[0]})"),
            legendgroup=str(name),
            showlegend=row == 1,
            mode="lines",
            line={"color": colours[str(name)]},
            row=row,
            col=1,
        )
    return fig


def shapelet_on_series(
    series: NDArray[np.floating[Any]],
    *,
    channels: Sequence[str],
    shapelet: pd.DataFrame,
    start: int,
    name: str = "series",
) -> go.Figure:
    """A shapelet drawn over the window of a series where it matches best.

    The series is z-normalised channel by channel, as the encoder sees it. A Euclidean shapelet is drawn at
    its own values; the cosine and cross-correlation measures ignore scale or offset, so theirs are fitted
    to the window by least squares, channel by channel.

    Parameters
    ----------
    series : ndarray, shape (T, d)
    channels : length d
    shapelet : DataFrame with the columns measure, channel, step, value
        The rows of one shapelet.
    start : int
        First time step of the window.
    name : str
        Of the series.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = panels([f"{channel} (z-score)" for channel in channels])
    used = np.flatnonzero(~np.isnan(series).all(axis=1))
    x = series[: used[-1] + 1] if len(used) else series[:0]
    with np.errstate(invalid="ignore"):
        sd = np.nanstd(x, axis=0)
        z = (x - np.nanmean(x, axis=0)) / np.where(sd > 0, sd, 1.0)
    measure = str(shapelet["measure"].iloc[0])
    fitted = not measure.lower().startswith("euclid")
    for d, channel in enumerate(channels):
        part = shapelet[shapelet["channel"].astype(str) == str(channel)].sort_values("step")
        values = part["value"].to_numpy(dtype=float)
        window = z[start : start + len(values), d]
        if fitted and len(window) == len(values) and len(values) > 1:
            values = _fit(values, window)
        steps = list(range(start, start + len(values)))
        fig.add_scatter(
            x=list(range(len(z))),
            y=[None if np.isnan(v) else float(v) for v in z[:, d]],
            name=plain(name),
            legendgroup="series",
            showlegend=d == 0,
            mode="lines",
            line={"color": ROLES["series"], "width": 1.3},
            row=d + 1,
            col=1,
        )
        fig.add_scatter(
            x=steps,
            y=values.tolist(),
            name=plain(f"shapelet ({measure}{', fitted to the window' if fitted else ''})"),
            legendgroup="shapelet",
            showlegend=d == 0,
            mode="lines",
            line={"color": ROLES["shapelet"], "width": 2.5},
            row=d + 1,
            col=1,
        )
    return fig


def _fit(values: NDArray[np.floating[Any]], window: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """`values` moved and scaled (never flipped) to lie over `window`."""
    here = ~np.isnan(window)
    if not here.any():
        return values
    v, w = values[here], window[here]
    spread = ((v - v.mean()) ** 2).sum()
    slope = max(((v - v.mean()) * (w - w.mean())).sum() / spread, 0.0) if spread > 0 else 0.0
    return slope * (values - v.mean()) + w.mean()


def figures(report: Report) -> dict[str, go.Figure]:
    """The standard figures of :mod:`workbench.plots.scores` and the embedding map."""
    drawn = scores.figures(report)
    embedding = report.tables.get("embedding")
    if embedding is not None and len(embedding):
        drawn = {"embedding": embedding_map(embedding), **drawn}
    shapelets, importance = report.tables.get("shapelets"), report.tables.get("importance")
    if shapelets is not None and len(shapelets):
        best = list(pd.unique(shapelets["shapelet"]))
        if importance is not None and len(importance):
            rank = importance.set_index(importance["component"].astype(str))["score"].to_dict()
            best.sort(key=lambda name: -rank.get(str(name), 0.0))
        drawn["shapelets"] = shapelet_lines(shapelets, best[:5])
    return drawn
