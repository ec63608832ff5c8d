"""Figures of a preparation: what the rows were before, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.plots.series import panels
from workbench.plots.template import (
    CONTROL,
    PALETTE,
    ROLES,
    SEQUENTIAL,
    class_colours,
    class_order,
    figure,
    plain,
)

__all__ = ["before_after", "counts", "events", "figures", "spans", "vectors"]

Roles = Mapping[str, Sequence[str]]
DOTTED = 400  # rows up to which the lines have dots
MAX_CHANNELS, MAX_SPANS, MAX_USERS, MAX_ROWS, MAX_WORDS = 4, 60, 12, 25, 60


def figures(
    before: pd.DataFrame,
    after: pd.DataFrame,
    before_roles: Roles,
    after_roles: Roles,
    *,
    words: Sequence[str] = (),
) -> dict[str, go.Figure]:
    """The figures that tell something of this preparation, by their titles.

    Parameters
    ----------
    before, after : DataFrame
        Rows of the same series or users.
    before_roles, after_roles : mapping of role to columns
    words : sequence of str
        What the columns of a vector stand for, where that is known.

    Returns
    -------
    dict of str to plotly.graph_objects.Figure
    """
    drawn: dict[str, go.Figure] = {}
    both = [all(roles.get(role) for roles in (before_roles, after_roles)) for role in ("time", "value")]
    if all(both) and not after_roles.get("channel"):
        drawn["Before and after"] = before_after(before, after, before_roles, after_roles)
    elif after_roles.get("time") and after_roles.get("user"):
        drawn["Events"] = events(after, after_roles)
    if "window" in after and "window" not in before and after_roles.get("time"):
        drawn["Windows"] = spans(after, after_roles)
    for role in ("split", "label"):
        if after_roles.get(role) and after_roles.get(role) != before_roles.get(role):
            name = after_roles[role][0]
            drawn[f"Rows by {role}"] = counts(before.get(name), after[name], name=name)
    for role, names in after_roles.items():
        if role.startswith("modality:") and role not in before_roles:
            drawn[f"Vectors of {role.partition(':')[2]}"] = vectors(after[list(names)], words)
    return drawn


def before_after(
    before: pd.DataFrame, after: pd.DataFrame, before_roles: Roles, after_roles: Roles
) -> go.Figure:
    """Every channel over time: grey points for the rows before, lines for those after.

    The line breaks where a value is missing; its colour is the side of the split, where there is one.
    """
    channels = [name for name in after_roles["value"] if name in before][:MAX_CHANNELS]
    fig = panels(channels, x=plain(after_roles["time"][0]))
    old_time, new_time = before_roles["time"][0], after_roles["time"][0]
    split = after_roles.get("split", [None])[0]
    keys = [names[0] for role in ("series_id",) if (names := after_roles.get(role))]
    for row, channel in enumerate(channels, start=1):
        fig.add_scatter(
            x=before[old_time],
            y=before[channel],
            mode="markers",
            name="before",
            legendgroup="before",
            showlegend=row == 1,
            marker={"color": CONTROL, "size": 7 if len(before) <= DOTTED else 4, "opacity": 0.35},
            hovertemplate="%{x}: %{y:.4g}<extra>before</extra>",
            row=row,
            col=1,
        )
        told: set[str] = set()
        for name, part in _parts(after, [*keys, *([split] if split else [])]):
            side = str(name[-1]) if split else "after"
            fig.add_scatter(
                x=part[new_time],
                y=part[channel],
                mode="lines+markers" if len(after) <= DOTTED else "lines",
                name=plain(side),
                legendgroup=side,
                showlegend=row == 1 and side not in told,
                line={"color": ROLES.get(side, PALETTE[0]), "width": 1.2},
                marker={"size": 3},
                hovertemplate=f"{plain(name[0]) if keys else 'after'}<br>%{{x}}: %{{y:.4g}}<extra></extra>",
                row=row,
                col=1,
            )
            told.add(side)
    return fig


def _parts(frame: pd.DataFrame, keys: Sequence[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    if not keys:
        return [((), frame)]
    return [
        (name if isinstance(name, tuple) else (name,), part)
        for name, part in frame.groupby(list(keys), sort=False, dropna=False)
    ]


def spans(after: pd.DataFrame, roles: Roles) -> go.Figure:
    """From when to when each window reaches, a line a window; coloured by split, else by label."""
    time = roles["time"][0]
    by = next((roles[role][0] for role in ("split", "label") if roles.get(role)), None)
    windows = after.groupby("window", sort=False)
    table = pd.DataFrame({"start": windows[time].min(), "end": windows[time].max()})
    table["by"] = windows[by].first().map(_name) if by else "window"
    shown = table.head(MAX_SPANS)
    colours = {**class_colours(table["by"]), "no label": CONTROL, "window": PALETTE[0], **ROLES}
    fig = figure(x=plain(time), y="Window", height=130 + 5 * max(len(shown), 14))
    for name in pd.unique(shown["by"]):
        part = shown[shown["by"] == name]
        x, y, hover = [], [], []
        for window, row in part.iterrows():
            place = shown.index.get_loc(window)
            x += [row["start"], row["end"], None]
            y += [place, place, None]
            hover += [str(window)] * 3
        fig.add_scatter(
            x=x,
            y=y,
            mode="lines",
            name=plain(name),
            line={"color": colours.get(str(name), PALETTE[0]), "width": 4},
            customdata=hover,
            hovertemplate="%{customdata}: %{x}<extra>%{fullData.name}</extra>",
        )
    fig.update_yaxes(autorange="reversed", showticklabels=False)
    fig.update_layout(showlegend=by is not None)
    return fig


def counts(before: pd.Series | None, after: pd.Series, *, name: str = "value") -> go.Figure:
    """Rows of each value, before in grey and after in the value's own colour."""
    new = after.map(_name).value_counts()
    old = None if before is None else before.map(_name).value_counts()
    order = class_order({*new.index, *(old.index if old is not None else [])})
    order.sort(key=lambda value: value == "test")  # after the train part
    colours = {**class_colours(order), "no label": CONTROL, **ROLES}
    fig = figure(x=plain(name), y="Rows in the preview", height=280)
    if old is not None:
        fig.add_bar(
            x=[plain(value) for value in order],
            y=[int(old.get(value, 0)) for value in order],
            name="before",
            marker_color=CONTROL,
        )
    fig.add_bar(
        x=[plain(value) for value in order],
        y=[int(new.get(value, 0)) for value in order],
        name="after",
        marker_color=[colours.get(value, PALETTE[0]) for value in order],
    )
    fig.update_xaxes(type="category")
    fig.update_layout(showlegend=old is not None)
    return fig


def events(after: pd.DataFrame, roles: Roles) -> go.Figure:
    """The events of some users over time, a line of points a user; a new colour with each session."""
    time, user = roles["time"][0], roles["user"][0]
    users = list(pd.unique(after[user]))[:MAX_USERS]
    by = "session" if "session" in after else next(iter(roles.get("label", [])), None)
    fig = figure(x=plain(time), y="User", height=140 + 30 * max(len(users), 4))
    for place, name in enumerate(users):
        part = after[after[user] == name]
        codes = pd.factorize(part[by].map(_name))[0] if by else np.zeros(len(part), int)
        hover = part[by].map(_name) if by else [""] * len(part)
        fig.add_scatter(
            x=part[time],
            y=[place] * len(part),
            mode="markers",
            name=plain(name),
            marker={"color": [PALETTE[code % len(PALETTE)] for code in codes], "size": 7},
            customdata=[plain(word) for word in hover],
            hovertemplate="%{x}<br>%{customdata}<extra>%{fullData.name}</extra>",
        )
    fig.update_yaxes(tickvals=list(range(len(users))), ticktext=[plain(name) for name in users])
    fig.update_layout(showlegend=False)
    return fig


def vectors(frame: pd.DataFrame, words: Sequence[str] = ()) -> go.Figure:
    """The first rows as a heat map, a column a feature; named by its word where that is known."""
    shown = frame.iloc[:MAX_ROWS, :MAX_WORDS]
    names = [plain(word) for word in words[: shown.shape[1]]] or [plain(name) for name in shown.columns]
    fig = figure(x="Feature", y="Row", height=160 + 14 * max(len(shown), 10))
    fig.add_heatmap(
        z=shown.to_numpy(dtype=float),
        x=names,
        colorscale=SEQUENTIAL,
        colorbar={"title": "weight", "thickness": 12},
        hovertemplate="row %{y}, %{x}: %{z:.3f}<extra></extra>",
    )
    fig.update_yaxes(autorange="reversed")
    fig.update_xaxes(type="category", tickangle=-60)
    return fig


def _name(value: Any) -> str:
    return "no label" if value is None or value != value or value is pd.NA else str(value)
