"""Figures of a bidding report."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.report import Report

__all__ = ["actions", "budget_sweep", "comparison", "figures", "landscape", "learning", "spend"]

#: Okabe and Ito's colours, told apart by the colour-blind too; a bidder keeps its colour everywhere.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def figures(report: Report) -> dict[str, go.Figure]:
    """Every figure that the report's tables allow, by name."""
    tables = report.tables
    names = list(dict.fromkeys(tables["comparison"]["bidder"]))
    drawn = {
        "comparison": comparison(tables["comparison"]),
        "spend": spend(tables["spend"], names),
        "budget_sweep": budget_sweep(tables["budget_sweep"], names),
        "landscape": landscape(tables["landscape"]),
    }
    if "curve" in tables:
        drawn["learning"] = learning(tables["curve"])
        drawn["actions"] = actions(tables["actions"])
    return drawn


def comparison(table: pd.DataFrame) -> go.Figure:
    """Stacked bars: GMV of each bidder by merchant cluster."""
    parts = table[table["cluster"] != "total"]
    figure = go.Figure()
    for k, (cluster, rows) in enumerate(parts.groupby("cluster", sort=True)):
        figure.add_bar(x=rows["bidder"], y=rows["gmv"], name=str(cluster), marker_color=_COLOURS[k % 8])
    figure.update_layout(barmode="stack", xaxis_title="Bidder", yaxis_title="Merchants' revenue (GMV, money)")
    return figure


def spend(table: pd.DataFrame, names: list[str]) -> go.Figure:
    """Share of the budgets spent against time, and the even plan."""
    figure = go.Figure()
    for name, rows in table.groupby("bidder", sort=False):
        figure.add_scatter(
            x=rows["time"], y=rows["spent"], name=str(name), line_color=_colour(names, str(name))
        )
    figure.add_scatter(x=[0, 1], y=[0, 1], name="even plan", line={"dash": "dot", "color": "#777777"})
    figure.update_layout(xaxis_title="Share of requests gone by", yaxis_title="Share of all budgets spent")
    return figure


def budget_sweep(table: pd.DataFrame, names: list[str]) -> go.Figure:
    """GMV against the budget fraction."""
    figure = go.Figure()
    for name, rows in table.groupby("bidder", sort=False):
        figure.add_scatter(
            x=rows["fraction"],
            y=rows["gmv"],
            name=str(name),
            mode="lines+markers",
            line_color=_colour(names, str(name)),
        )
    figure.update_layout(
        xaxis_title="Budget over the cost of manual bids without one",
        yaxis_title="Merchants' revenue (GMV, money)",
    )
    return figure


def landscape(table: pd.DataFrame) -> go.Figure:
    """How likely a bid is to win a slot."""
    figure = go.Figure(go.Scatter(x=table["price"], y=table["win_probability"], line_color=_COLOURS[0]))
    merchant = table["merchant"].iloc[0] if len(table) else ""
    figure.update_layout(
        xaxis_title=f"Bid of merchant {merchant} (money per impression)",
        yaxis_title="Probability of winning a slot",
    )
    return figure


def learning(curve: pd.DataFrame) -> go.Figure:
    """Revenue of each cluster over the episodes, a line style a bidder."""
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot")
    for b, (bidder, mine) in enumerate(curve.groupby("bidder", sort=False)):
        shown = mine[mine["name"].str.startswith("gmv")]
        for k, (name, rows) in enumerate(shown.groupby("name", sort=True)):
            label = str(name).replace("gmv_cluster_", "cluster ").replace("gmv", "total")
            figure.add_scatter(
                x=rows["episode"],
                y=rows["value"],
                name=f"{bidder}, {label}",
                line={"color": _COLOURS[k % 8], "dash": dashes[b % 4]},
            )
    figure.update_layout(xaxis_title="Episode", yaxis_title="Merchants' revenue (GMV, money)")
    return figure


def actions(table: pd.DataFrame) -> go.Figure:
    """Heat map of a_ij: a row a bidder and merchant cluster, a column an interval and consumer cluster."""
    rows = table["bidder"] + ", merchants " + table["merchants"].astype(str)
    columns = "interval " + table["interval"].astype(str) + ", consumers " + table["consumers"].astype(str)
    grid = table.assign(row=rows, column=columns).pivot_table(
        index="row", columns="column", values="action", sort=False
    )
    figure = go.Figure(
        go.Heatmap(
            z=grid.to_numpy(),
            x=list(grid.columns),
            y=list(grid.index),
            zmin=-1,
            zmax=1,
            colorscale="RdBu",
            colorbar_title="a<sub>ij</sub>",
        )
    )
    figure.update_layout(xaxis_title="Interval and consumer cluster", yaxis_title="Agent")
    return figure


def _colour(names: list[str], name: str) -> str:
    return _COLOURS[names.index(name) % 8]
