"""Figures of a classification of series (recipe ``timeseries.classify``)."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.plots import scores
from workbench.plots.comparison import comparison, label_curve
from workbench.plots.template import CONTROL, class_colours, class_order, figure, plain
from workbench.report import Report

__all__ = ["figures", "probability_bars"]


def probability_bars(table: pd.DataFrame, series_id: object) -> go.Figure:
    """The probability of each class of one series; the true class in its colour.

    Parameters
    ----------
    table : DataFrame with the columns id, label and ``p:<class>``
    series_id : object

    Returns
    -------
    plotly.graph_objects.Figure
    """
    row = table[table["id"].astype(str) == str(series_id)].iloc[0]
    shares = {str(name)[2:]: float(row[name]) for name in table.columns if str(name).startswith("p:")}
    names = [name for name in class_order(shares) if name in shares]
    colours = class_colours(shares)
    fig = figure(x="Probability", y="", height=max(200, 90 + 30 * len(names)))
    fig.add_bar(
        orientation="h",
        x=[shares[name] for name in names],
        y=[plain(f"{name} (true)" if name == str(row["label"]) else name) for name in names],
        marker_color=[colours[name] if name == str(row["label"]) else CONTROL for name in names],
        texttemplate="%{x:.0%}",
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    fig.update_xaxes(range=[0, 1.05], tickformat=".0%")
    fig.update_yaxes(type="category", autorange="reversed")
    fig.update_layout(showlegend=False)
    return fig


def figures(report: Report) -> dict[str, go.Figure]:
    """Peers, confusion, accuracy by number of labels, and losses."""
    tables = report.tables
    drawn = {
        "peers": comparison(tables["scores"], "test_accuracy"),
        "confusion": scores.confusion(tables["confusion"]),
        "accuracy_by_labels": label_curve(tables["label_curve"]),
    }
    if len(tables["curve"]):
        drawn["losses"] = scores.curves(tables["curve"])
    return drawn
