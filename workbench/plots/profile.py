"""Figures and tables of a data set's stored profile (:mod:`workbench.datasets.profile`)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from workbench.plots.template import PALETTE, class_colours, class_order, figure, plain

__all__ = ["classes", "distribution", "missing", "overview"]


def overview(profile: Mapping[str, Any]) -> pd.DataFrame:
    """One row a column: type, missing share, distinct values, and the spread of numbers."""
    n_rows = max(int(profile["n_rows"]), 1)
    rows = []
    for column in profile["columns"]:
        quantiles = column.get("quantiles", {})
        rows.append(
            {
                "column": column["name"],
                "type": column["type"],
                "missing": column["missing"] / n_rows,
                "distinct": column.get("distinct"),
                "min": _short(column.get("min")),
                "median": _short(quantiles.get("0.5")),
                "mean": _short(column.get("mean")),
                "max": _short(column.get("max")),
                "sd": _short(column.get("std")),
            }
        )
    return pd.DataFrame(rows)


def missing(profile: Mapping[str, Any], *, top: int = 40) -> go.Figure | None:
    """Share of missing values of the columns that have any, the worst at the top; None if none has."""
    n_rows = max(int(profile["n_rows"]), 1)
    shares = {c["name"]: c["missing"] / n_rows for c in profile["columns"] if c["missing"]}
    if not shares:
        return None
    worst = sorted(shares, key=lambda name: shares[name])[-top:]
    fig = figure(x="Missing (share of rows)", y="", height=100 + 22 * max(len(worst), 4))
    fig.add_bar(
        orientation="h",
        x=[shares[name] for name in worst],
        y=[plain(name) for name in worst],
        marker_color=PALETTE[3],
        hovertemplate="%{y}: %{x:.2%}<extra></extra>",
    )
    fig.update_xaxes(range=[0, 1], tickformat=".0%")
    fig.update_yaxes(type="category")
    return fig


def distribution(profile: Mapping[str, Any], column: str) -> go.Figure | None:
    """Histogram or most frequent values of one column; None where it has no values."""
    entry = next(c for c in profile["columns"] if c["name"] == column)
    rows = "Rows in the sample" if profile.get("sampled") else "Rows"
    if entry.get("top"):
        return _top(entry, rows)
    histogram = entry.get("histogram")
    if not histogram:
        return None
    edges, counts = histogram["edges"], histogram["counts"]
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    hover = [f"{_short(low)} to {_short(high)}" for low, high in itertools.pairwise(edges)]
    if histogram.get("epoch"):
        middles = [datetime.fromtimestamp(m, UTC).replace(tzinfo=None) for m in middles]
        hover = [str(m) for m in middles]
    fig = figure(x=plain(column), y=rows, height=300)
    fig.add_bar(
        x=middles,
        y=counts,
        marker_color=PALETTE[0],
        customdata=hover,
        hovertemplate="%{customdata}: %{y} rows<extra></extra>",
    )
    fig.update_layout(bargap=0.02)
    return fig


def _top(entry: Mapping[str, Any], rows: str) -> go.Figure:
    shown = entry["top"][::-1]
    fig = figure(x=rows, y=plain(entry["name"]), height=110 + 24 * max(len(shown), 3))
    fig.add_bar(
        orientation="h",
        x=[count for _, count in shown],
        y=[plain(value) for value, _ in shown],
        marker_color=PALETTE[0],
        hovertemplate="%{y}: %{x} rows<extra></extra>",
    )
    fig.update_yaxes(type="category")
    return fig


def classes(profile: Mapping[str, Any]) -> go.Figure | None:
    """Number of series of each class, in the classes' own colours; None without labelled series."""
    counts = profile.get("series", {}).get("label")
    if not counts:
        return None
    by_name = {str(value): count for value, count in counts if value is not None}
    order, colours = class_order(by_name), class_colours(by_name)
    fig = figure(x="Class", y="Series", height=300)
    fig.add_bar(
        x=[plain(name) for name in order],
        y=[by_name[name] for name in order],
        marker_color=[colours[name] for name in order],
        hovertemplate="%{x}: %{y} series<extra></extra>",
    )
    fig.update_xaxes(type="category")
    return fig


def _short(value: Any) -> str:
    """A number with four digits that matter, a text as it is."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or 10_000 <= abs(value) < 1e9:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.4g}"
