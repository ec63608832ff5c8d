"""How every figure looks: a light and a dark plotly template, and one colour for one thing.

The qualitative palette is Okabe and Ito's ("Color Universal Design", 2008), told apart with the common
forms of colour blindness; its yellow and black are left out because they vanish on a white or a dark page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

__all__ = [
    "CONTROL",
    "DARK",
    "GRID_ROW",
    "HEIGHT",
    "LIGHT",
    "PALETTE",
    "ROLES",
    "SEQUENTIAL",
    "class_colours",
    "class_order",
    "class_symbols",
    "figure",
    "plain",
    "themed",
    "translucent",
    "whole_steps",
]

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31")
CONTROL = "#8A8F98"  #: grey of whatever is only there to compare with

#: The colour of a thing that appears in several figures.
ROLES = {
    "trained": PALETTE[0],
    "untrained": CONTROL,
    "control": CONTROL,
    "train": PALETTE[5],
    "test": PALETTE[3],
    "series": CONTROL,
    "shapelet": PALETTE[3],
}

#: From the page's background to blue, so that one scale serves light and dark pages.
SEQUENTIAL = [[0.0, "rgba(0,114,178,0.04)"], [0.5, "rgba(0,114,178,0.55)"], [1.0, "rgba(0,114,178,1)"]]

#: Beyond the palette's length the colours come again with the next symbol.
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")

#: Whole numbers that an axis names one by one.
MOST_TICKS = 10
HEIGHT = 380  #: pixels of an ordinary figure
GRID_ROW = 130  #: pixels of one row of stacked panels


def _template(text: str, grid: str, hover: str) -> go.layout.Template:
    axis = {
        "gridcolor": grid,
        "linecolor": grid,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
        "tickfont": {"size": 12},
    }
    return go.layout.Template(
        layout={
            "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(PALETTE),
            "colorscale": {"sequential": SEQUENTIAL},
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 8, "r": 8, "t": 36, "b": 8},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
            "hoverlabel": {"bgcolor": hover, "font": {"color": text}},
            "hovermode": "closest",
            "bargap": 0.25,
        }
    )


LIGHT = _template(text="#1F2937", grid="#E5E7EB", hover="#FFFFFF")
DARK = _template(text="#E5E7EB", grid="#374151", hover="#111827")


def figure(*, x: str, y: str, height: int = HEIGHT) -> go.Figure:
    """An empty figure with the light template and its axis titles."""
    # At once: every later change of a layout is checked anew, which takes longer than all else.
    axes = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    return go.Figure(layout={"template": LIGHT, "height": height} | axes)


def themed(fig: go.Figure, *, dark: bool) -> go.Figure:
    """`fig` itself, set in the dark or the light template."""
    fig.update_layout(template=DARK if dark else LIGHT)
    return fig


def whole_steps(fig: go.Figure) -> go.Figure:
    """`fig` with an axis of epochs, steps or episodes that tells no halves of them, where there are few."""
    last = max((max(line.x) for line in fig.data if line.x is not None and len(line.x)), default=0)
    return fig.update_xaxes(dtick=1) if last <= MOST_TICKS else fig


def class_order(labels: Iterable[Any]) -> list[str]:
    """The distinct labels as text, numbers by value and the rest by name, missing ones left out."""
    names = {str(label) for label in labels if label is not None and label == label}  # NaN != NaN

    def key(name: str) -> tuple[int, float, str]:
        try:
            return 0, float(name), name
        except ValueError:
            return 1, 0.0, name

    return sorted(names, key=key)


def class_colours(labels: Iterable[Any]) -> dict[str, str]:
    """A colour for every class, by the order of the labels: the same set gets the same colours everywhere."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(class_order(labels))}


def class_symbols(labels: Iterable[Any]) -> dict[str, str]:
    """A marker symbol for every class; it changes where the colours come round again."""
    order = class_order(labels)
    return {name: _SYMBOLS[i // len(PALETTE) % len(_SYMBOLS)] for i, name in enumerate(order)}


def plain(text: Any) -> str:
    """`text` for a trace name, a tick or a hover label: plotly would render tags and links in it."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;")


def translucent(colour: str, alpha: float) -> str:
    """The hex `colour` with an opacity, for bands."""
    red, green, blue = hex_to_rgb(colour)
    return f"rgba({red},{green},{blue},{alpha})"
