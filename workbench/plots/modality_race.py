"""The figure of a race of remedies."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.plots.template import CONTROL, PALETTE, figure, plain, translucent

__all__ = ["race"]


def race(table: pd.DataFrame) -> go.Figure:
    """Remedies by their validation score, each joined to plain joint training of the same budget.

    Parameters
    ----------
    table : DataFrame with the columns remedy, seed, validation and baseline
        The star is the best mean; where there are several seeds, small dots are each one's.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    mean = table.groupby("remedy", sort=False)[["validation", "baseline"]].mean()
    best = mean["validation"].idxmax()
    mean = mean.iloc[::-1].sort_values("validation", kind="stable")
    names = {name: plain(name.replace("_", " ")) for name in mean.index}
    fig = figure(x="Score on the validation rows", y="", height=120 + 30 * len(mean))
    for name, row in mean.iterrows():
        fig.add_scatter(
            x=[row["baseline"], row["validation"]],
            y=[names[name]] * 2,
            mode="lines",
            line={"color": translucent(PALETTE[0], 0.35), "width": 5},
            hoverinfo="skip",
            showlegend=False,
        )
    if (table["seed"] != table["seed"].iloc[0]).any():
        fig.add_scatter(
            x=table["validation"].tolist(),
            y=[names[name] for name in table["remedy"]],
            mode="markers",
            name="one seed",
            marker={"color": translucent(PALETTE[0], 0.4), "size": 6},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    fig.add_scatter(
        x=mean["baseline"].tolist(),
        y=list(names.values()),
        mode="markers",
        name="plain, same budget",
        marker={"color": CONTROL, "symbol": "line-ns-open", "size": 16, "line_width": 3},
        hovertemplate="%{y}: plain joint training of the same budget %{x:.3f}<extra></extra>",
    )
    fig.add_scatter(
        x=mean["validation"].tolist(),
        y=list(names.values()),
        mode="markers",
        name="remedy",
        marker={
            "color": PALETTE[0],
            "size": [16 if name == best else 11 for name in mean.index],
            "symbol": ["star" if name == best else "circle" for name in mean.index],
            "opacity": 1,
        },
        customdata=(mean["validation"] - mean["baseline"]).tolist(),
        hovertemplate="%{y}: %{x:.3f} (%{customdata:+.3f})<extra></extra>",
    )
    fig.update_yaxes(type="category", categoryorder="array", categoryarray=list(names.values()))
    return fig
