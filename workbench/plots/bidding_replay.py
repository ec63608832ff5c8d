"""Figures of a report on one bidder's log (recipe ``bidding.replay``)."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.plots.template import PALETTE, figure, plain
from workbench.report import Report

__all__ = ["bids", "budget_sweep", "comparison", "figures", "landscape"]


def figures(report: Report) -> dict[str, go.Figure]:
    """Every figure of the report, by name."""
    tables = report.tables
    return {
        "comparison": comparison(tables["comparison"]),
        "bids": bids(tables["bids"]),
        "budget_sweep": budget_sweep(tables["budget_sweep"]),
        "landscape": landscape(tables["landscape"]),
    }


def comparison(table: pd.DataFrame) -> go.Figure:
    """Clicks that each bidder bought."""
    fig = figure(x="Bidder", y="Clicks")
    names = [plain(name) for name in table["bidder"]]
    hover = [
        f"cost {cost:,.6g}, {wins:,} impressions"
        for cost, wins in zip(table["cost"], table["impressions"], strict=True)
    ]
    fig.add_bar(x=names, y=table["clicks"], marker_color=PALETTE[0], customdata=hover)
    return fig.update_traces(hovertemplate="%{x}: %{y} clicks, %{customdata}<extra></extra>")


def bids(table: pd.DataFrame) -> go.Figure:
    """What each bidder bids for auctions of rising predicted click rate."""
    fig = figure(x="Predicted click rate (pctr)", y="Bid (money per impression)")
    return _lines(fig, table, "pctr", "bid", "lines")


def budget_sweep(table: pd.DataFrame) -> go.Figure:
    """Clicks against the budget."""
    fig = figure(x="Share of the budget fitted for", y="Clicks")
    return _lines(fig, table, "fraction", "clicks", "lines+markers")


def landscape(table: pd.DataFrame) -> go.Figure:
    """How likely a bid is to win."""
    fig = figure(x="Bid (money per impression)", y="Probability of winning")
    return fig.add_scatter(x=table["price"], y=table["win_probability"], line_color=PALETTE[0])


def _lines(fig: go.Figure, table: pd.DataFrame, x: str, y: str, mode: str) -> go.Figure:
    for k, (name, rows) in enumerate(table.groupby("bidder", sort=False)):
        # Beyond the palette's length its colours come again, dotted.
        line = {"color": PALETTE[k % len(PALETTE)], "dash": "solid" if k < len(PALETTE) else "dot"}
        fig.add_scatter(x=rows[x], y=rows[y], name=plain(str(name)), mode=mode, line=line)
    return fig
