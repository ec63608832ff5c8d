"""Figures of a model beside its untrained control and its peers (recipes ``timeseries.…``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.plots.scores import score_label
from workbench.plots.template import CONTROL, PALETTE, ROLES, figure, plain
from workbench.report import Report

__all__ = [
    "SMALLER_IS_BETTER",
    "comparison",
    "figures",
    "label_curve",
    "lines_by_step",
    "metrics_of",
    "model_colour",
]

#: Metrics of which less is better.
SMALLER_IS_BETTER = ("mse", "mae", "test_rmse", "test_mae", "seconds")

_PEER = "#7FA8C9"  #: a paler blue, so that the trained model stands out


def model_colour(model: str) -> str:
    """Blue is what was trained, grey its untrained control, pale blue a peer."""
    return ROLES.get(model, _PEER)


def metrics_of(scores: pd.DataFrame) -> list[str]:
    """The metrics that more than one model has, in the order of the table; seconds last."""
    counts = scores.groupby("metric", sort=False)["model"].nunique()
    found = [str(metric) for metric in counts.index[counts > 1] if metric not in ("flagged", "seconds")]
    return [*found, "seconds"]


def comparison(scores: pd.DataFrame, metric: str) -> go.Figure:
    """One bar a model, the best at the top.

    Parameters
    ----------
    scores : DataFrame with the columns model, metric, value
    metric : str

    Returns
    -------
    plotly.graph_objects.Figure
    """
    part = scores[scores["metric"] == metric].dropna(subset=["value"])
    part = part.sort_values("value", ascending=metric not in SMALLER_IS_BETTER)  # plotly draws upwards
    better = "less is better" if metric in SMALLER_IS_BETTER else "more is better"
    unit = "Seconds" if metric == "seconds" else score_label(metric)
    fig = figure(x=f"{unit} ({better})", y="", height=110 + 34 * max(len(part), 2))
    fig.add_bar(
        orientation="h",
        x=part["value"].tolist(),
        y=[plain(name) for name in part["model"]],
        marker_color=[model_colour(str(name)) for name in part["model"]],
        texttemplate="%{x:.3f}" if part["value"].abs().max() < 10 else "%{x:.3~s}",
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.4g}<extra></extra>",
    )
    values = part["value"].to_numpy(dtype=float)
    low, high = (min(0.0, values.min()), max(0.0, values.max())) if len(values) else (0.0, 1.0)
    room = (high - low or 1.0) * 0.2
    fig.update_xaxes(range=[low - (room if low < 0 else 0), high + room])
    fig.update_yaxes(type="category")
    fig.update_layout(showlegend=False)
    return fig


def label_curve(table: pd.DataFrame) -> go.Figure:
    """Accuracy by number of labels, a line a model.

    Parameters
    ----------
    table : DataFrame with the columns model, share, labels, accuracy

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Labelled series to learn from", y="Test accuracy", height=340)
    for model, part in table.groupby("model", sort=False):
        part = part.sort_values("labels")
        fig.add_scatter(
            name=plain(model),
            x=part["labels"].tolist(),
            y=part["accuracy"].tolist(),
            customdata=part["share"].tolist(),
            mode="lines+markers",
            line={"color": model_colour(str(model))},
            hovertemplate="%{x} labels (%{customdata:.0%}): %{y:.3f}<extra>%{fullData.name}</extra>",
        )
    fig.update_xaxes(type="log", tickvals=sorted(set(table["labels"])), tickformat="d")
    fig.update_yaxes(range=[0, 1.04])
    fig.update_layout(showlegend=True)
    return fig


def figures(report: Report) -> dict[str, go.Figure]:
    """The peers by each metric (recipe ``timeseries.baselines``)."""
    table = report.tables["scores"]
    return {metric: comparison(table, metric) for metric in metrics_of(table)} if len(table) else {}


def lines_by_step(table: pd.DataFrame, metric: str, models: Sequence[str] | None = None) -> go.Figure:
    """A metric by steps ahead, a line a model.

    Parameters
    ----------
    table : DataFrame with the columns model, step and `metric`
    metric : str
    models : sequence of str, optional
        By default all.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Steps ahead", y=score_label(metric), height=340)
    others = iter(PALETTE[1:])
    for model, part in table.groupby("model", sort=False):
        if models is not None and model not in models:
            continue
        part = part.dropna(subset=[metric]).sort_values("step")
        fig.add_scatter(
            name=plain(model),
            x=part["step"].tolist(),
            y=part[metric].tolist(),
            mode="lines+markers" if len(part) < 3 else "lines",
            line={"color": ROLES.get(str(model)) or next(others, CONTROL)},
            hovertemplate="%{x} steps ahead: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    high = float(np.nanmax(table[metric])) if len(table) else 1.0
    fig.update_yaxes(range=[0, high * 1.05 or 1.0])
    fig.update_layout(hovermode="x unified", showlegend=True)
    return fig
