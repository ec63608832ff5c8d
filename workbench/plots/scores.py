"""Figures of any report: scores beside their control, confusion, curves, importance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.plots.template import (
    CONTROL,
    PALETTE,
    ROLES,
    SEQUENTIAL,
    class_order,
    figure,
    plain,
    whole_steps,
)
from workbench.report import Report

__all__ = [
    "CONTROLS",
    "confusion",
    "curves",
    "figures",
    "importance_bars",
    "score_bars",
    "score_label",
    "score_pairs",
]

#: What stands before a score's name when it is the control's.
CONTROLS = ("untrained", "control")

_ACRONYMS = {
    **{name: name.upper() for name in ("nmi", "mse", "mae", "rmse", "pr", "vus", "f1", "auc", "cv")},
    "r2": "R²",
}

#: Scores that are no qualities, or where less is better: they have no place among the bars.
_NOT_QUALITY = ("second", "time", "n_", "loss", "bytes", "mae", "mse")


def score_pairs(scores: Mapping[str, float]) -> pd.DataFrame:
    """Flat scores as (model, metric, value): ``untrained_x`` or ``control_x`` is the control's ``x``.

    Where there is a control, only what both have is kept.

    Only finite qualities between -1 and 1 are kept; seconds and counts are not comparable with them.
    """
    rows = []
    for name, value in scores.items():
        prefix = next((control for control in CONTROLS if name.startswith(f"{control}_")), None)
        metric = name if prefix is None else name.removeprefix(f"{prefix}_")
        if not any(part in metric for part in _NOT_QUALITY) and np.isfinite(value) and abs(value) <= 1:
            rows.append((prefix or "trained", metric, float(value)))
    table = pd.DataFrame(rows, columns=["model", "metric", "value"])
    compared = table.loc[table["model"] != "trained", "metric"]
    return table[table["metric"].isin(compared)].reset_index(drop=True) if len(compared) else table


def score_label(name: str) -> str:
    """A score's name for people: ``test_accuracy`` is "Test accuracy", ``nmi`` is "NMI"."""
    words = [_ACRONYMS.get(word, word) for word in str(name).split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def score_bars(scores: pd.DataFrame) -> go.Figure:
    """One group of bars a metric, one bar a model.

    Parameters
    ----------
    scores : DataFrame with the columns model, metric, value

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="", y="Score", height=340)
    # The trained model first; whatever else there is keeps the table's order.
    models = sorted(pd.unique(scores["model"]), key=lambda name: name != "trained")
    others = iter(PALETTE[1:])
    for model in models:
        part = scores[scores["model"] == model]
        colour = ROLES.get(model) or next(others, CONTROL)
        fig.add_bar(
            name=plain(model),
            x=[plain(score_label(name)) for name in part["metric"]],
            y=part["value"].tolist(),
            marker_color=colour,
            texttemplate="%{y:.2f}",
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.4f}<extra>%{fullData.name}</extra>",
        )
    low = min(0.0, float(scores["value"].min())) if len(scores) else 0.0
    fig.update_layout(barmode="group", yaxis_range=[low, 1.08], yaxis_tickformat=".2~f")
    names = [plain(score_label(name)) for name in pd.unique(scores["metric"])]
    # A word a line: on a phone two names beside one another would touch.
    return fig.update_xaxes(tickvals=names, ticktext=[name.replace(" ", "<br>") for name in names])


def confusion(table: pd.DataFrame) -> go.Figure:
    """Counts by true and predicted class, with the share of the true class under the pointer.

    Parameters
    ----------
    table : DataFrame with the columns true, predicted, count

    Returns
    -------
    plotly.graph_objects.Figure
    """
    labels = class_order([*table["true"], *table["predicted"]])
    counts = (
        table.assign(true=table["true"].astype(str), predicted=table["predicted"].astype(str))
        .pivot_table(index="true", columns="predicted", values="count", aggfunc="sum", fill_value=0)
        .reindex(index=labels, columns=labels, fill_value=0)
        .to_numpy(dtype=int)
    )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    fig = figure(x="Predicted class", y="True class", height=max(320, min(760, 110 + 34 * len(labels))))
    fig.add_heatmap(
        x=[plain(label) for label in labels],
        y=[plain(label) for label in labels],
        z=share.tolist(),
        zmin=0,
        zmax=1,
        text=counts.tolist(),
        texttemplate="%{text}" if len(labels) <= 25 else None,
        colorscale=SEQUENTIAL,
        showscale=False,  # the counts stand in the cells, the share under the pointer
        hovertemplate="true %{y}, predicted %{x}<br>%{text} cases, %{z:.1%} of the class<extra></extra>",
        xgap=1,
        ygap=1,
    )
    # Class names are names even when they are digits; the first class stands at the top.
    fig.update_xaxes(type="category", showgrid=False)
    fig.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return fig


def curves(
    table: pd.DataFrame, *, x: str = "epoch", x_title: str = "Epoch", y_title: str = "Mean loss of the epoch"
) -> go.Figure:
    """One line a name.

    Parameters
    ----------
    table : DataFrame with the columns name, value and `x`
    x : str
        The column along the axis.
    x_title : str
    y_title : str

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x=x_title, y=y_title)
    for name, part in table.groupby("name", sort=False):
        part = part.sort_values(x)
        fig.add_scatter(
            name=plain(name),
            x=part[x].tolist(),
            y=part["value"].tolist(),
            # A single point is no line: show it all the same.
            mode="lines+markers" if len(part) < 3 else "lines",
            hovertemplate=f"{x_title.lower()} %{{x}}: %{{y:.4g}}<extra>%{{fullData.name}}</extra>",
        )
    fig.update_layout(hovermode="x unified", showlegend=True)
    return whole_steps(fig)


def importance_bars(table: pd.DataFrame, *, top: int = 20, score_title: str = "Importance") -> go.Figure:
    """The `top` components by score, the best at the top; dropped ones in grey.

    Parameters
    ----------
    table : DataFrame with the columns of :data:`workbench.report.IMPORTANCE_COLUMNS`
    top : int
        Bars at most.
    score_title : str

    Returns
    -------
    plotly.graph_objects.Figure
    """
    best = table.nlargest(top, "score").iloc[::-1]
    best = best.assign(component=best["component"].map(plain), kind=best["kind"].map(plain))
    fig = figure(x=score_title, y="", height=90 + 22 * max(len(best), 4))
    kept = best["kept"].fillna(True).astype(bool)
    for name, mask, colour in (("kept", kept, PALETTE[0]), ("dropped", ~kept, CONTROL)):
        part = best[mask]
        if part.empty:
            continue
        fig.add_bar(
            name=name,
            orientation="h",
            x=part["score"].tolist(),
            y=part["component"].tolist(),
            customdata=part[["kind", "cost"]].astype(object).to_numpy().tolist(),
            marker_color=colour,
            hovertemplate="%{y} (%{customdata[0]}): %{x:.4g}<br>cost %{customdata[1]}<extra></extra>",
        )
    fig.update_yaxes(type="category", categoryorder="array", categoryarray=best["component"].tolist())
    fig.update_layout(showlegend=not bool(kept.all()))
    return fig


def figures(report: Report) -> dict[str, go.Figure]:
    """Whatever of the standard tables and scores `report` holds, drawn."""
    drawn: dict[str, go.Figure] = {}
    tables = report.tables
    pairs = score_pairs(report.scores)
    if len(pairs):
        drawn["scores"] = score_bars(pairs)
    if "curve" in tables and len(tables["curve"]):
        drawn["curve"] = curves(tables["curve"])
    if "confusion" in tables and len(tables["confusion"]):
        drawn["confusion"] = confusion(tables["confusion"])
    if "importance" in tables and len(tables["importance"]):
        drawn["importance"] = importance_bars(tables["importance"])
    return drawn
