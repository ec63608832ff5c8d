"""Pipelines drawn: the graph of steps with their states, when each ran, and the shipped reports' figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.plots.template import CONTROL, PALETTE, figure, plain

__all__ = ["STATES", "calibration", "drift_bars", "figures", "graph", "layout", "sweep", "timeline"]

#: Colour and symbol of each state, so that it can be told without colours too.
STATES: dict[str, tuple[str, str]] = {
    "waiting": (CONTROL, "circle-open"),
    "running": (PALETTE[0], "circle"),
    "done": (PALETTE[2], "square"),
    "failed": (PALETTE[3], "x"),
    "cancelled": (PALETTE[1], "diamond"),
    "skipped": (CONTROL, "diamond-open"),
}

_ROW = 62  # pixels between two steps


def figures(report: Any) -> dict[str, go.Figure]:
    """The figures of a pipeline's report."""
    steps: pd.DataFrame = report.tables["steps"]
    return {"steps": graph(steps), "time": timeline(steps)}


def layout(steps: pd.DataFrame) -> pd.DataFrame:
    """Where each step is drawn: `x` is one more than that of the steps it needs, `y` its place there."""
    depth: dict[str, int] = {}
    for name, needs in zip(
        steps["name"], steps["needs"], strict=True
    ):  # in order: what is needed comes before
        depth[name] = 1 + max((depth[each] for each in needs if each in depth), default=-1)
    columns = pd.Series(depth, index=steps["name"], dtype=int)
    place = columns.groupby(columns).cumcount()
    size = columns.map(columns.value_counts())
    y = (size - 1) / 2 - place
    return pd.DataFrame({"name": steps["name"].to_numpy(), "x": columns.to_numpy(), "y": y.to_numpy()})


def graph(steps: pd.DataFrame) -> go.Figure:
    """The steps as a graph from left to right: who needs whose output, and how far each is."""
    places = layout(steps).set_index("name")
    rows = int(places["x"].value_counts().max()) if len(places) else 1
    fig = figure(x="", y="", height=max(170, 90 + _ROW * rows))
    xs: list[Any] = []
    ys: list[Any] = []
    for name, needs in zip(steps["name"], steps["needs"], strict=True):
        for need in needs:
            if need in places.index:
                ends = places.loc[[need, name]]
                xs += [*ends["x"], None]
                ys += [*ends["y"], None]
    fig.add_scatter(
        x=xs, y=ys, mode="lines", line={"color": CONTROL, "width": 1}, hoverinfo="skip", showlegend=False
    )
    for state, (colour, symbol) in STATES.items():
        own = steps[steps["state"] == state]
        if own.empty:
            continue
        where = places.loc[own["name"]]
        fig.add_scatter(
            x=where["x"],
            y=where["y"],
            name=state,
            mode="markers+text",
            marker={"size": 20, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
            text=[_label(row) for row in own.itertuples()],
            textposition="bottom center",
            cliponaxis=False,
            customdata=[_hover(row) for row in own.itertuples()],
            hovertemplate="%{customdata}<extra></extra>",
        )
    last = places["x"].max() if len(places) else 0
    fig.update_xaxes(visible=False, range=[-0.6, last + 0.6])
    fig.update_yaxes(visible=False, range=[-(rows - 1) / 2 - 0.7, (rows - 1) / 2 + 0.5])
    return fig


def _label(row: Any) -> str:
    share = f" {row.progress:.0%}" if row.state == "running" and row.progress > 0 else ""
    again = " ↺" if isinstance(row.reused, str) else ""
    return f"{plain(row.name)}{share}{again}"


def _hover(row: Any) -> str:
    lines = [f"<b>{plain(row.name)}</b>", f"{row.kind}, {row.state}"]
    if row.seconds == row.seconds and row.seconds is not None:
        lines.append(f"{row.seconds:.1f} s")
    if row.attempt > 1:
        lines.append(f"attempt {row.attempt}")
    if isinstance(row.reused, str):
        lines.append("taken from an earlier run")
    if row.error:
        lines.append(plain(row.error)[:200])
    return "<br>".join(lines)


def timeline(steps: pd.DataFrame) -> go.Figure:
    """When each step ran, in seconds since the first began; steps taken from earlier runs are left out."""
    own = steps[steps["started"].notna() & steps["finished"].notna() & steps["reused"].isna()]
    fig = figure(x="Seconds since the first step began", y="", height=max(170, 90 + 28 * len(own)))
    if own.empty:
        return fig
    begin = own["started"].astype(float)
    for state, (colour, _) in STATES.items():
        part = own[own["state"] == state]
        if part.empty:
            continue
        took = part["finished"].astype(float) - part["started"].astype(float)
        fig.add_bar(
            y=[plain(name) for name in part["name"]],
            x=took,
            base=part["started"].astype(float) - begin.min(),
            orientation="h",
            name=state,
            marker_color=colour,
            hovertemplate="%{y}: %{x:.1f} s<extra></extra>",
        )
    order = [plain(name) for name in own.sort_values("started")["name"]]
    fig.update_yaxes(categoryorder="array", categoryarray=order[::-1])
    return fig


def drift_bars(drift: pd.DataFrame, most: int = 30) -> go.Figure:
    """The population stability index of the columns that drifted most, with the usual limits."""
    worst = drift.dropna(subset=["psi"]).nlargest(most, "psi")
    fig = figure(x="Population stability index", y="", height=max(220, 90 + 24 * len(worst)))
    if worst.empty:
        return fig
    colours = np.select([worst["psi"] > 0.25, worst["psi"] > 0.1], [PALETTE[3], PALETTE[1]], PALETTE[2])
    fig.add_bar(
        x=worst["psi"][::-1],
        y=[plain(name) for name in worst["column"]][::-1],
        orientation="h",
        marker_color=colours[::-1],
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        showlegend=False,
    )
    for limit, words in ((0.1, "little"), (0.25, "much")):
        fig.add_vline(x=limit, line={"color": CONTROL, "dash": "dot"}, annotation_text=words)
    return fig


def calibration(curves: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Predicted against observed rate, before and after calibration."""
    fig = figure(x="Predicted rate", y="Observed rate")
    top = max((float(curve[["predicted", "observed"]].max().max()) for curve in curves.values()), default=1.0)
    fig.add_scatter(
        x=[0, top], y=[0, top], mode="lines", name="exact", line={"color": CONTROL, "dash": "dot"}
    )
    for i, (name, curve) in enumerate(curves.items()):
        fig.add_scatter(
            x=curve["predicted"],
            y=curve["observed"],
            mode="lines+markers",
            name=name,
            marker={"color": PALETTE[i], "symbol": ["circle", "square"][i % 2], "size": 8},
            line={"color": PALETTE[i]},
        )
    return fig


def sweep(table: pd.DataFrame) -> go.Figure:
    """What each bidder earns against the budget; a line for each reserve price and number of slots."""
    fig = figure(x="Budget as a share of unlimited spend", y="GMV")
    bidders = list(dict.fromkeys(table["bidder"]))
    dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]
    for i, (setting, part) in enumerate(table.groupby(["reserve", "slots"], sort=True)):
        reserve, slots = setting
        for name, rows in part.groupby("bidder", sort=False):
            colour = PALETTE[bidders.index(name) % len(PALETTE)]
            rows = rows.sort_values("budget_fraction")
            several = table[["reserve", "slots"]].drop_duplicates().shape[0] > 1
            fig.add_scatter(
                x=rows["budget_fraction"],
                y=rows["gmv"],
                mode="lines+markers",
                name=plain(f"{name}, reserve {reserve:g}, {slots} slots" if several else name),
                line={"color": colour, "dash": dashes[i % len(dashes)]},
                marker={"color": colour},
            )
    return fig
