"""Figures of versions: how columns drifted from one to the next, and what was made of what."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from workbench.plots.template import CONTROL, PALETTE, figure, plain

__all__ = ["MUCH_DRIFT", "NO_DRIFT", "drift", "drifted", "lineage", "order"]

#: Population stability indices below the first are commonly taken for none, above the second for much.
NO_DRIFT, MUCH_DRIFT = 0.1, 0.25
_BEFORE, _AFTER = CONTROL, PALETTE[0]
_TOP = 8  # values of a column of words


def drifted(table: pd.DataFrame, *, top: int = 20) -> go.Figure | None:
    """Columns by their population stability index, the most drifted at the top; None if there is none."""
    known = table.dropna(subset=["psi"]).head(top)[::-1]
    if not len(known):
        return None
    colours = [
        PALETTE[3] if psi > MUCH_DRIFT else PALETTE[1] if psi > NO_DRIFT else PALETTE[2]
        for psi in known["psi"]
    ]
    fig = figure(x="Population stability index", y="", height=110 + 24 * max(len(known), 3))
    fig.add_bar(
        orientation="h",
        x=known["psi"].tolist(),
        y=[plain(name) for name in known["column"]],
        marker_color=colours,
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    fig.update_yaxes(type="category")
    for limit in (NO_DRIFT, MUCH_DRIFT):
        fig.add_vline(x=limit, line={"color": CONTROL, "width": 1, "dash": "dot"})
    return fig


def drift(before: Mapping[str, Any], after: Mapping[str, Any], *, names: tuple[str, str]) -> go.Figure | None:
    """One column in two versions, from the entries of their profiles; None where there is nothing to draw.

    Numbers and times as densities (shares of rows per unit, so that different bins compare), words as shares.
    """
    if before.get("top") and after.get("top"):
        return _words(before, after, names)
    if not (before.get("histogram") and after.get("histogram")):
        return None
    fig = figure(x=plain(before["name"]), y="Density", height=220)
    for entry, name, colour in ((before, names[0], _BEFORE), (after, names[1], _AFTER)):
        edges, counts = entry["histogram"]["edges"], entry["histogram"]["counts"]
        total = max(sum(counts), 1)
        heights = [
            count / total / ((high - low) or 1.0)
            for count, (low, high) in zip(counts, itertools.pairwise(edges), strict=True)
        ]
        x = [edge for edge in edges for _ in (0, 1)]
        if entry["histogram"].get("epoch"):
            x = [datetime.fromtimestamp(edge, UTC).replace(tzinfo=None) for edge in x]
        fig.add_scatter(
            x=x,
            y=[0.0, *(height for height in heights for _ in (0, 1)), 0.0],
            mode="lines",
            line={"color": colour, "width": 1.6},
            fill="tozeroy",
            name=plain(name),
            hovertemplate="%{x}<extra>%{fullData.name}</extra>",
        )
    fig.update_yaxes(showticklabels=False)
    return fig


def _words(before: Mapping[str, Any], after: Mapping[str, Any], names: tuple[str, str]) -> go.Figure:
    shares = [
        {str(value): count / max(_rows(entry), 1) for value, count in entry["top"]}
        for entry in (before, after)
    ]
    words = sorted({*shares[0], *shares[1]}, key=lambda w: -max(s.get(w, 0.0) for s in shares))[:_TOP][::-1]
    fig = figure(x="Share of rows", y=plain(before["name"]), height=110 + 34 * max(len(words), 2))
    for share, name, colour in zip(shares, names, (_BEFORE, _AFTER), strict=True):
        fig.add_bar(
            orientation="h",
            x=[share.get(word, 0.0) for word in words],
            y=[plain(word) for word in words],
            name=plain(name),
            marker_color=colour,
            hovertemplate="%{y}: %{x:.1%}<extra>%{fullData.name}</extra>",
        )
    fig.update_xaxes(tickformat=".0%")
    fig.update_yaxes(type="category")
    return fig


def _rows(entry: Mapping[str, Any]) -> int:
    return int(entry.get("rows") or sum(count for _, count in entry["top"]))


def order(edges: pd.DataFrame) -> list[tuple[str, int]]:
    """Every version of the graph with its depth below the roots, parents before their children."""
    parents: dict[str, list[str]] = {}
    for parent, child in zip(edges["parent"], edges["child"], strict=True):
        parents.setdefault(parent, [])
        parents.setdefault(child, []).append(parent)
    depths: dict[str, int] = {}
    waiting = list(parents)
    while waiting:
        ready = [name for name in waiting if all(parent in depths for parent in parents[name])]
        if not ready:  # a circle, which versions cannot make
            ready = waiting[:1]
        for name in ready:
            depths[name] = 1 + max((depths.get(parent, -1) for parent in parents[name]), default=-1)
        waiting = [name for name in waiting if name not in depths]
    return list(depths.items())


def lineage(
    edges: pd.DataFrame, *, here: str | None = None, facts: Mapping[str, str] | None = None
) -> go.Figure:
    """What was made of what, as a graph with a line a version, its parents above it.

    Parameters
    ----------
    edges : DataFrame with the columns parent, child, how and kept
    here : str, optional
        The version that is being looked at.
    facts : mapping of version to text, optional
        Said behind its name.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    placed = order(edges)
    row = {name: place for place, (name, _) in enumerate(placed)}
    depth = dict(placed)
    gone = {parent for parent, kept in zip(edges["parent"], edges["kept"], strict=True) if not kept}
    how = dict(zip(edges["child"], edges["how"], strict=True))
    deepest = max(depth.values())
    fig = figure(x="", y="", height=60 + 44 * len(placed))
    for parent, child in zip(edges["parent"], edges["child"], strict=True):
        x, y = (depth[parent], depth[child]), (row[parent], row[child])
        fig.add_scatter(
            x=[x[0], x[0], x[1]],
            y=[y[0], y[1], y[1]],
            mode="lines",
            line={"color": CONTROL, "width": 1.5, "shape": "linear"},
            hoverinfo="skip",
            showlegend=False,
        )
    names = [name for name, _ in placed]
    texts = [
        f"<b>{plain(name)}</b>" if name == here else plain(name) + (" (deleted)" if name in gone else "")
        for name in names
    ]
    told = [
        " · ".join(part for part in (how.get(name, ""), (facts or {}).get(name, "")) if part)
        for name in names
    ]
    fig.add_scatter(
        x=[depth[name] for name in names],
        y=[row[name] for name in names],
        mode="markers",
        marker={
            "size": 13,
            "color": [PALETTE[3] if n == here else CONTROL if n in gone else PALETTE[0] for n in names],
            "symbol": ["circle-open" if name in gone else "circle" for name in names],
        },
        customdata=[[name] for name in names],
        hovertemplate="%{customdata[0]}<extra></extra>",
        showlegend=False,
    )
    for name, text, fact in zip(names, texts, told, strict=True):
        fig.add_annotation(
            x=depth[name],
            y=row[name],
            text=text + (f"<br><span style='font-size:11px'>{plain(fact)}</span>" if fact else ""),
            showarrow=False,
            xanchor="left",
            align="left",
            xshift=14,
        )
    fig.update_xaxes(visible=False, range=[-0.3, deepest + max(2.5, 0.9 * (deepest + 1))])
    fig.update_yaxes(visible=False, range=[len(names) - 0.4, -0.6])
    fig.update_layout(margin={"l": 4, "r": 4, "t": 4, "b": 4})
    return fig
