"""Figures of forecasts (recipe ``timeseries.forecast``)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from workbench.plots import scores
from workbench.plots.comparison import comparison, lines_by_step
from workbench.plots.series import panels
from workbench.plots.template import PALETTE, ROLES, translucent
from workbench.report import Report

__all__ = ["fan", "figures"]

#: Panels of one figure at most, and steps of history before a forecast, in horizons.
MAX_CHANNELS, _BEFORE = 6, 4


def fan(history: pd.DataFrame, forecasts: pd.DataFrame, channels: Sequence[str] | None = None) -> go.Figure:
    """A forecast with its band after the history, and what came, a panel a channel.

    Parameters
    ----------
    history : DataFrame with the columns step, channel, value
        Of one series; what lies after the beginning of the forecast is drawn as what came.
    forecasts : DataFrame with the columns step, channel, forecast, low, high
        From one origin.
    channels : sequence of str, optional
        Which ones; default: the first few.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    names = list(pd.unique(forecasts["channel"].astype(str))) if channels is None else list(channels)
    names = names[:MAX_CHANNELS]
    fig = panels(names)
    begin, end = int(forecasts["step"].min()), int(forecasts["step"].max())
    first = begin - max(_BEFORE * (end - begin + 1), 24)
    near = history[(history["step"] >= first) & (history["step"] <= end)]
    for row, channel in enumerate(names, start=1):
        part = forecasts[forecasts["channel"].astype(str) == channel].sort_values("step")
        values = near[near["channel"].astype(str) == channel].sort_values("step")
        steps = part["step"].tolist()
        if part["low"].notna().all():
            fig.add_scatter(
                x=steps + steps[::-1],
                y=part["high"].tolist() + part["low"].tolist()[::-1],
                fill="toself",
                fillcolor=translucent(ROLES["trained"], 0.18),
                line={"width": 0},
                mode="lines",
                name="80 % band",
                legendgroup="band",
                showlegend=row == 1,
                hoverinfo="skip",
                row=row,
                col=1,
            )
        before, after = values[values["step"] < begin], values[values["step"] >= begin - 1]
        came = after if (after["step"] >= begin).any() else after[:0]
        for name, points, colour in (("history", before, ROLES["series"]), ("what came", came, PALETTE[1])):
            if points.empty:
                continue
            fig.add_scatter(
                x=points["step"].tolist(),
                y=points["value"].tolist(),
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                mode="lines",
                line={"color": colour, "width": 1.5},
                hovertemplate="step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
                row=row,
                col=1,
            )
        fig.add_scatter(
            x=steps,
            y=part["forecast"].tolist(),
            name="forecast",
            legendgroup="forecast",
            showlegend=row == 1,
            mode="lines+markers" if len(part) < 3 else "lines",
            line={"color": ROLES["trained"], "width": 2.2},
            hovertemplate="step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
            row=row,
            col=1,
        )
    fig.update_layout(legend={"traceorder": "normal"})
    return fig


def figures(report: Report) -> dict[str, go.Figure]:
    """The last forecast of the test part, what comes next, errors by step, peers and losses."""
    tables = report.tables
    forecasts, history, future = tables["forecasts"], tables["history"], tables["future"]
    series = forecasts["id"].iloc[0]
    mine = forecasts[forecasts["id"] == series]
    values = history[history["id"] == series]
    drawn = {}
    if len(future):
        drawn["what_comes_next"] = fan(values, future[future["id"] == future["id"].iloc[0]])
    drawn["a_forecast_of_the_test_part"] = fan(values, mine[mine["origin"] == mine["origin"].max()])
    drawn["error_by_steps_ahead"] = lines_by_step(tables["by_step"], "mse")
    drawn["peers"] = comparison(tables["scores"], "mse")
    if len(tables["curve"]):
        drawn["losses"] = scores.curves(tables["curve"])
    return drawn
