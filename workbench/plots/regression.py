"""Figures of a regression of series (recipe ``timeseries.regress``)."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.plots import scores
from workbench.plots.comparison import comparison
from workbench.plots.template import CONTROL, ROLES, figure, plain
from workbench.report import Report

__all__ = ["figures", "true_predicted"]


def true_predicted(table: pd.DataFrame) -> go.Figure:
    """Predicted against true numbers; a perfect model's points lie on the line.

    Parameters
    ----------
    table : DataFrame with the columns id, true, predicted

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="True value", y="Predicted value")
    low = float(min(table["true"].min(), table["predicted"].min()))
    high = float(max(table["true"].max(), table["predicted"].max()))
    fig.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": CONTROL, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    fig.add_scatter(
        x=table["true"].tolist(),
        y=table["predicted"].tolist(),
        mode="markers",
        marker={"color": ROLES["trained"], "size": 8, "opacity": 0.8},
        customdata=[plain(i) for i in table["id"]],
        hovertemplate="series %{customdata}<br>true %{x:.4g}, predicted %{y:.4g}<extra></extra>",
        showlegend=False,
    )
    return fig


def figures(report: Report) -> dict[str, go.Figure]:
    """Predictions, peers and losses."""
    tables = report.tables
    drawn = {
        "predictions": true_predicted(tables["predictions"]),
        "peers": comparison(tables["scores"], "test_rmse"),
    }
    if len(tables["curve"]):
        drawn["losses"] = scores.curves(tables["curve"])
    return drawn
