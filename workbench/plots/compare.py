"""Runs side by side: their curves in one figure, groups with their spread, and average ranks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from workbench.plots.scores import score_label
from workbench.plots.template import CONTROL, HEIGHT, PALETTE, figure, plain, translucent, whole_steps
from workbench.significance import Ranks

__all__ = ["average_ranks", "bands", "overlay", "spread"]

_LEGEND_ROW = 20  # pixels of two names in the legend, which stands above the curves
_TICK = 24  # characters of a line beside an axis: what a phone has room for
_LOG_RATIO = 100  # largest over smallest value from which a logarithmic axis reads better


def overlay(points: pd.DataFrame, names: Mapping[str, str], *, y_title: str) -> go.Figure:
    """One curve of every run.

    Parameters
    ----------
    points : DataFrame with the columns run, step, value
    names : mapping
        How each run is called; its order is that of the colours.
    y_title : str

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Step", y=y_title)
    for i, (run, name) in enumerate(names.items()):
        part = points[points["run"] == run].sort_values("step")
        if part.empty:
            continue
        fig.add_scatter(
            name=plain(name),
            x=part["step"].tolist(),
            y=part["value"].tolist(),
            mode="lines+markers" if len(part) < 3 else "lines",  # one point is no line
            line={"color": _colour(i), "dash": _dash(i)},
            hovertemplate="step %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    return _finished(fig, points["value"])


def bands(table: pd.DataFrame, *, y_title: str) -> go.Figure:
    """The mean curve of every group, with a band of one standard deviation where it has several runs.

    Parameters
    ----------
    table : DataFrame with the columns group, step, n, mean, sd
    y_title : str

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Step", y=y_title)
    for i, (group, part) in enumerate(table.groupby("group", sort=False)):
        steps, mean, sd = part["step"].tolist(), part["mean"], part["sd"].fillna(0.0)
        if (part["n"] > 1).any():
            fig.add_scatter(
                x=[*steps, *reversed(steps)],
                y=[*(mean + sd), *reversed((mean - sd).tolist())],
                fill="toself",
                fillcolor=translucent(_colour(i), 0.18),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=str(i),
            )
        fig.add_scatter(
            name=plain(f"{group} ({int(part['n'].max())})"),
            x=steps,
            y=mean.tolist(),
            customdata=part[["sd", "n"]]
            .astype(object)
            .where(part[["sd", "n"]].notna(), None)
            .to_numpy()
            .tolist(),
            mode="lines+markers" if len(part) < 3 else "lines",
            line={"color": _colour(i), "dash": _dash(i)},
            legendgroup=str(i),
            hovertemplate="step %{x}: %{y:.4g} ± %{customdata[0]:.2g} (%{customdata[1]} runs)"
            "<extra>%{fullData.name}</extra>",
        )
    return _finished(fig, table["mean"])


def _finished(fig: go.Figure, values: pd.Series) -> go.Figure:
    whole_steps(fig)
    low, high = values.min(), values.max()
    if low > 0 and high / low > _LOG_RATIO:
        fig.update_yaxes(type="log")
    n_names = sum(trace.showlegend is not False for trace in fig.data)
    fig.update_layout(showlegend=True, height=HEIGHT + _LEGEND_ROW * (n_names // 2))
    return fig


def spread(summary: pd.DataFrame, values: pd.DataFrame, *, score: str) -> go.Figure:
    """Mean and standard deviation of every group, with its runs as points.

    Parameters
    ----------
    summary : DataFrame with the columns group, n, mean, sd
    values : DataFrame with the columns group, name, value
    score : str
        Its name.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    groups = summary["group"].tolist()
    lines = {group: textwrap.wrap(str(group), _TICK) or [""] for group in groups}
    row = max(38, 14 + 16 * max(map(len, lines.values()), default=1))
    fig = figure(x=score_label(score), y="", height=110 + row * max(len(groups), 3))
    points = values[values["group"].isin(groups)]
    fig.add_scatter(
        name="run",
        x=points["value"].tolist(),
        y=points["group"].map(plain).tolist(),
        text=points["name"].map(plain).tolist(),
        mode="markers",
        marker={"color": CONTROL, "size": 7, "opacity": 0.7},
        hovertemplate="%{text}: %{x:.4g}<extra></extra>",
    )
    fig.add_scatter(
        name="mean ± sd",
        x=summary["mean"].tolist(),
        y=summary["group"].map(plain).tolist(),
        customdata=summary["n"].tolist(),
        error_x={"type": "data", "array": summary["sd"].fillna(0.0).tolist(), "thickness": 2, "width": 6},
        mode="markers",
        marker={"color": PALETTE[0], "size": 11, "symbol": "diamond"},
        hovertemplate="%{y}: %{x:.4g} of %{customdata} runs<extra></extra>",
    )
    order = [plain(group) for group in reversed(groups)]  # the best at the top
    fig.update_yaxes(
        type="category", categoryorder="array", categoryarray=order,
        tickvals=order, ticktext=["<br>".join(map(plain, lines[group])) for group in reversed(groups)],
    )  # fmt: skip
    return fig


def average_ranks(ranks: Ranks) -> go.Figure:
    """Average ranks as a critical-difference diagram: a bar joins methods that do not differ.

    Each method is a row, so that long names have room; Demšar (2006) draws them along one axis.
    """
    names = [plain(name) for name in ranks.average.index]
    k, n_bars = len(names), len(ranks.cliques)
    fig = figure(x="Average rank (1 is best)", y="", height=130 + 30 * k + 14 * n_bars)
    fig.add_scatter(
        x=ranks.average.tolist(),
        y=list(range(k)),
        text=[f"{rank:.2f}" for rank in ranks.average],
        textposition="top center",
        cliponaxis=False,
        customdata=names,
        mode="markers+text",
        marker={"color": PALETTE[0], "size": 11},
        hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
        showlegend=False,
    )
    rank = dict(zip(ranks.average.index.astype(str), ranks.average, strict=True))
    for i, clique in enumerate(ranks.cliques):
        fig.add_scatter(
            name="not told apart",
            x=[rank[clique[0]], rank[clique[-1]]],
            y=[k - 0.4 + 0.45 * i] * 2,
            mode="lines",
            line={"color": PALETTE[3], "width": 5},
            hovertemplate=f"{plain(', '.join(clique))}<extra></extra>",
            legendgroup="clique",
            showlegend=i == 0,
        )
    fig.add_scatter(
        name=f"critical difference {ranks.critical_difference:.2f}",
        x=[1, 1 + ranks.critical_difference],
        y=[-0.9, -0.9],
        mode="lines+markers",
        line={"color": CONTROL, "width": 2},
        marker={"symbol": "line-ns-open", "size": 9, "color": CONTROL},
        hoverinfo="name",
    )
    fig.update_xaxes(range=[0.8, max(k, 1 + ranks.critical_difference) + 0.2])
    fig.update_yaxes(
        tickmode="array",
        tickvals=list(range(k)),
        ticktext=names,
        range=[k + 0.45 * n_bars, -1.4],
        showgrid=False,
    )
    return fig


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]


def _dash(i: int) -> str:
    """Another dash where the colours come round again."""
    return ("solid", "dash", "dot", "dashdot")[i // len(PALETTE) % 4]
