"""Figures of a clustering of series (recipe ``timeseries.cluster``)."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.plots import scores
from workbench.plots.comparison import comparison
from workbench.plots.represent import WEBGL_FROM
from workbench.plots.template import SEQUENTIAL, class_colours, class_order, figure, plain
from workbench.report import Report

__all__ = ["cluster_map", "figures", "groups"]


def cluster_map(table: pd.DataFrame) -> go.Figure:
    """The features in two dimensions, coloured by cluster; a star is the medoid of its cluster.

    Every point carries its series' id in ``customdata[0]``.

    Parameters
    ----------
    table : DataFrame with the columns id, x, y, cluster, label, medoid

    Returns
    -------
    plotly.graph_objects.Figure
    """
    fig = figure(x="Map axis 1 (arbitrary units)", y="Map axis 2 (arbitrary units)", height=460)
    scatter = go.Scattergl if len(table) > WEBGL_FROM else go.Scatter
    names = table["cluster"].map(str)
    colours = class_colours(names)
    for name in class_order(names):
        part = table[names == name].sort_values("medoid")  # a medoid lies over the others
        labels = ["" if label is None or label != label else f", label {label}" for label in part["label"]]
        fig.add_trace(
            scatter(
                x=part["x"].tolist(),
                y=part["y"].tolist(),
                name=plain(f"cluster {name}"),
                mode="markers",
                marker={
                    "color": colours[name],
                    "symbol": ["star" if medoid else "circle" for medoid in part["medoid"]],
                    "size": [18 if medoid else 8 for medoid in part["medoid"]],
                    "line": {"width": [1.5 if medoid else 0 for medoid in part["medoid"]], "color": "white"},
                    "opacity": 0.85,
                },
                customdata=[[str(i), plain(label)] for i, label in zip(part["id"], labels, strict=True)],
                hovertemplate="series %{customdata[0]}%{customdata[1]}<extra>%{fullData.name}</extra>",
            )
        )
    fig.update_xaxes(showticklabels=False)
    fig.update_yaxes(showticklabels=False)
    fig.update_layout(showlegend=True)
    return fig


def groups(table: pd.DataFrame) -> go.Figure:
    """How many series of each label every cluster holds.

    Parameters
    ----------
    table : DataFrame with the columns cluster, label, count

    Returns
    -------
    plotly.graph_objects.Figure
    """
    clusters, labels = class_order(table["cluster"]), class_order(table["label"])
    counts = (
        table.assign(cluster=table["cluster"].astype(str), label=table["label"].astype(str))
        .pivot_table(index="cluster", columns="label", values="count", aggfunc="sum", fill_value=0)
        .reindex(index=clusters, columns=labels, fill_value=0)
    )
    fig = figure(x="Label", y="Cluster", height=max(260, 110 + 34 * len(clusters)))
    fig.add_heatmap(
        x=[plain(label) for label in labels],
        y=clusters,
        z=counts.to_numpy().tolist(),
        texttemplate="%{z}" if len(labels) <= 25 else None,
        colorscale=SEQUENTIAL,
        showscale=False,
        hovertemplate="cluster %{y}, label %{x}: %{z} series<extra></extra>",
        xgap=1,
        ygap=1,
    )
    fig.update_xaxes(type="category", showgrid=False)
    fig.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return fig


def figures(report: Report) -> dict[str, go.Figure]:
    """The map, the clusters' labels, peers and losses."""
    tables = report.tables
    metric = "nmi" if "nmi" in report.scores else "silhouette"
    drawn = {
        "map": cluster_map(tables["map"]),
        "clusters_and_labels": groups(tables["groups"]),
        "peers": comparison(tables["scores"], metric),
    }
    if len(tables["curve"]):
        drawn["losses"] = scores.curves(tables["curve"])
    return drawn
