"""Figures of a bidding report (recipe ``bidding.simulate``)."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.plots.template import CONTROL, PALETTE, SEQUENTIAL, figure, plain, whole_steps
from workbench.report import Report

__all__ = [
    "actions",
    "budget_sweep",
    "comparison",
    "figures",
    "landscape",
    "learning",
    "live",
    "spend",
    "winners",
]

_MONEY = "Merchants' revenue (GMV, money)"
_DASHES = ("solid", "dash", "dot", "dashdot")


def figures(report: Report) -> dict[str, go.Figure]:
    """Every figure that the report's tables allow, by name."""
    tables = report.tables
    names = list(dict.fromkeys(tables["comparison"]["bidder"]))
    drawn = {
        "comparison": comparison(tables["comparison"]),
        "spend": spend(tables["spend"], names),
        "budget_sweep": budget_sweep(tables["budget_sweep"], names),
        "landscape": landscape(tables["landscape"]),
        "winners": winners(tables["winners"]),
    }
    if "curve" in tables:
        drawn["learning"] = learning(tables["curve"])
    if "actions" in tables:
        drawn["actions"] = actions(tables["actions"])
    return drawn


def comparison(table: pd.DataFrame) -> go.Figure:
    """Stacked bars: GMV of each bidder by merchant cluster."""
    fig = figure(x="Bidder", y=_MONEY)
    parts = table[table["cluster"] != "total"]
    for k, (cluster, rows) in enumerate(parts.groupby("cluster", sort=False)):
        fig.add_bar(x=rows["bidder"], y=rows["gmv"], name=plain(cluster), marker_color=_colour(k))
    return fig.update_layout(barmode="stack")


def spend(table: pd.DataFrame, names: list[str]) -> go.Figure:
    """Share of the budgets spent against time, and the even plan."""
    fig = figure(x="Share of requests gone by", y="Share of all budgets spent")
    for name, rows in table.groupby("bidder", sort=False):
        colour = _colour(names.index(str(name)))
        fig.add_scatter(x=rows["time"], y=rows["spent"], name=plain(name), line_color=colour)
    return fig.add_scatter(x=[0, 1], y=[0, 1], name="even plan", line={"dash": "dot", "color": CONTROL})


def budget_sweep(table: pd.DataFrame, names: list[str]) -> go.Figure:
    """GMV against the budget fraction."""
    fig = figure(x="Budget, share of unlimited manual cost", y=_MONEY)
    for name, rows in table.groupby("bidder", sort=False):
        colour = _colour(names.index(str(name)))
        fig.add_scatter(
            x=rows["fraction"], y=rows["gmv"], name=plain(name), mode="lines+markers", line_color=colour
        )
    return fig


def landscape(table: pd.DataFrame) -> go.Figure:
    """How likely a bid is to win a slot."""
    merchant = plain(table["merchant"].iloc[0]) if len(table) else ""
    fig = figure(x=f"Bid of merchant {merchant} (money per impression)", y="Probability of winning a slot")
    return fig.add_scatter(x=table["price"], y=table["win_probability"], line_color=_colour(0))


def learning(curve: pd.DataFrame) -> go.Figure:
    """Revenue in all and of each cluster over the episodes; a line style a bidder."""
    fig = figure(x="Episode", y=_MONEY)
    for b, (bidder, mine) in enumerate(curve.groupby("bidder", sort=False)):
        shown = mine[mine["name"].str.startswith("gmv")]
        for k, (name, rows) in enumerate(shown.groupby("name", sort=True)):
            label = str(name).replace("gmv_cluster_", "cluster ").replace("gmv", "total")
            line = {"color": _colour(k), "dash": _DASHES[b % len(_DASHES)]}
            fig.add_scatter(x=rows["episode"], y=rows["value"], name=f"{plain(bidder)}, {label}", line=line)
    return whole_steps(fig)


def live(metrics: pd.DataFrame) -> dict[str, go.Figure]:
    """`learning` from a running run's metrics: columns name (``bidder/figure``), step and value."""
    parts = metrics["name"].str.rpartition("/")
    curve = pd.DataFrame(
        {"bidder": parts[0], "name": parts[2], "episode": metrics["step"], "value": metrics["value"]}
    )
    return {"Learning": learning(curve)}


def winners(table: pd.DataFrame) -> go.Figure:
    """Heat map: the share of each consumer cluster's revenue that each merchant cluster earns."""
    fig = _grid(table, ["consumers"], "share", "Consumer cluster")
    return fig.update_traces(zmin=0, zmax=1, colorscale=SEQUENTIAL, colorbar=_bar("share"))


def actions(table: pd.DataFrame) -> go.Figure:
    """Heat map of a_ij: a row a bidder and merchant cluster, a column an interval and consumer cluster."""
    fig = _grid(table, ["interval", "consumers"], "action", "Interval (t) and consumer cluster (c)")
    return fig.update_traces(zmin=-1, zmax=1, colorscale="RdBu", colorbar=_bar("a<sub>ij</sub>"))


def _grid(table: pd.DataFrame, columns: list[str], value: str, x: str) -> go.Figure:
    """A heat map with a row a bidder and merchant cluster, the first bidder at the top."""
    rows = (table["bidder"] + " m" + table["merchants"].astype(str)).map(plain)
    short = {"interval": "t", "consumers": "c"}
    named = [short[c] + table[c].astype(str) for c in columns]
    label = named[0] if len(named) == 1 else named[0] + ", " + named[1]
    wide = table.assign(row=rows, column=label)
    grid = wide.pivot_table(index="row", columns="column", values=value, sort=False)
    fig = figure(x=x, y="", height=140 + 24 * max(len(grid), 4))
    fig.add_heatmap(z=grid.to_numpy().tolist(), x=list(grid.columns), y=list(grid.index))
    return fig.update_yaxes(autorange="reversed", title="Merchant cluster (m)")


def _bar(title: str) -> dict[str, object]:
    """A narrow colour bar, which leaves a telephone's screen to the map."""
    return {"title": title, "thickness": 10, "xpad": 4}


def _colour(k: int) -> str:
    return PALETTE[k % len(PALETTE)]
