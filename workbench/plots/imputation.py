"""Figures of imputation (recipe ``timeseries.impute``)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.plots import scores
from workbench.plots.comparison import comparison, model_colour
from workbench.plots.series import panels
from workbench.plots.template import PALETTE, ROLES, figure, plain
from workbench.report import Report

__all__ = ["errors", "figures", "hidden_stretches"]

MAX_CHANNELS = 6


def hidden_stretches(cells: pd.DataFrame, *, steps: int = 200) -> go.Figure:
    """What was hidden of one series and what it was filled with, a panel a channel.

    Parameters
    ----------
    cells : DataFrame with the columns step, channel, true, hidden, imputed, linear
        Of one series.
    steps : int
        From the first hidden value on.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    channels = list(pd.unique(cells["channel"].astype(str)))[:MAX_CHANNELS]
    fig = panels(channels)
    begin = int(cells.loc[cells["hidden"], "step"].min()) if cells["hidden"].any() else 0
    first = max(begin - steps // 10, 0)
    near = cells[(cells["step"] >= first) & (cells["step"] < first + steps)]
    for row, channel in enumerate(channels, start=1):
        part = near[near["channel"].astype(str) == channel].sort_values("step")
        hidden = part["hidden"].to_numpy(dtype=bool)
        # A stretch is drawn from the observed value before it to the one after it.
        beside = hidden | np.append(hidden[1:], False) | np.append(False, hidden[:-1])
        for name, values, shown, style in (
            ("observed", part["true"], ~hidden, {"color": ROLES["series"], "width": 1.5}),
            ("hidden truth", part["true"], beside, {"color": PALETTE[1], "width": 1.5}),
            ("straight line", part["linear"], beside, {"color": ROLES["series"], "width": 1, "dash": "dot"}),
            ("imputed", part["imputed"], beside, {"color": ROLES["trained"], "width": 2.2}),
        ):
            drawn = values.to_numpy(dtype=float)
            fig.add_scatter(
                x=part["step"].tolist(),
                y=[float(v) if s and not np.isnan(v) else None for v, s in zip(drawn, shown, strict=True)],
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                mode="lines",
                line=style,
                hovertemplate="step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
                row=row,
                col=1,
            )
    return fig


def errors(table: pd.DataFrame, mask: str, metric: str = "mse") -> go.Figure:
    """The error by the share that is hidden, a line a model.

    Parameters
    ----------
    table : DataFrame with the columns model, mask, ratio and `metric`
    mask : str
    metric : str

    Returns
    -------
    plotly.graph_objects.Figure
    """
    name = scores.score_label(metric)
    fig = figure(x="Share of the values that is hidden", y=f"{name} (in deviations)", height=340)
    part = table[table["mask"] == mask]
    others = iter(PALETTE[1:])
    for model, points in part.groupby("model", sort=False):
        points = points.sort_values("ratio")
        own = model in ("trained", "untrained")
        fig.add_scatter(
            name=plain(model),
            x=points["ratio"].tolist(),
            y=points[metric].tolist(),
            mode="lines+markers",
            line={"color": model_colour(str(model)) if own else next(others)},
            hovertemplate="%{x:.1%} hidden: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    fig.update_xaxes(tickformat=".3~p", tickvals=sorted(set(part["ratio"])))
    fig.update_yaxes(rangemode="tozero")
    fig.update_layout(showlegend=True)
    return fig


def figures(report: Report) -> dict[str, go.Figure]:
    """Hidden stretches of the first series, errors by mask, peers and losses."""
    tables = report.tables
    cells = tables["cells"]
    drawn = {"hidden_stretches": hidden_stretches(cells[cells["id"] == cells["id"].iloc[0]])}
    for mask in pd.unique(tables["errors"]["mask"]):
        drawn[f"errors_{mask}"] = errors(tables["errors"], str(mask))
    drawn["peers"] = comparison(tables["scores"], "mse")
    if len(tables["curve"]):
        drawn["losses"] = scores.curves(tables["curve"])
    return drawn
