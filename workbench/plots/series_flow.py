"""The flow of a task on series as a graph: data, pre-training, encoders, fusion, task."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from workbench.plots.template import CONTROL, PALETTE, figure, plain

__all__ = ["flow"]

MOST_LETTERS = 18  # of a name below its box
_STAGES = ("Data", "Pre-training", "Encoders", "Fusion", "Task")


def flow(
    *,
    data: Sequence[str],
    encoders: Sequence[tuple[str, str]],
    fusion: str,
    task: str,
    tuned: bool = False,
) -> go.Figure:
    """Boxes from left to right, joined by what passes between them.

    Parameters
    ----------
    data : sequence of str
        The data sets; the first is what the task is about, all are pre-trained on.
    encoders : sequence of (name, how it comes about)
        The second is "saved" for one that is taken as it is, and has no pre-training.
    fusion, task : str
    tuned : bool
        Whether encoders and fusion are trained with the task once more.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    n = max(len(encoders), len(data), 1)
    sources, rows = _rows(len(data)), _rows(len(encoders))
    boxes: list[tuple[int, float, str]] = [(0, y, name) for y, name in zip(sources, data, strict=True)]
    edges: list[tuple[tuple[int, float], tuple[int, float]]] = []
    for y, (name, how) in zip(rows, encoders, strict=True):
        if how != "saved":
            boxes.append((1, y, how))
            edges += [*(((0, source), (1, y)) for source in sources), ((1, y), (2, y))]
        else:
            edges.append(((0, sources[0]), (2, y)))
        boxes.append((2, y, name if how != "saved" else f"{name} (saved)"))
        edges.append(((2, y), (3, 0.0)))
    boxes += [(3, 0.0, fusion), (4, 0.0, task)]
    edges.append(((3, 0.0), (4, 0.0)))
    fig = figure(x="", y="", height=110 + 46 * n)
    fig.add_scatter(
        x=[x for a, b in edges for x in (a[0], b[0], None)],
        y=[y for a, b in edges for y in (a[1], b[1], None)],
        mode="lines",
        line={"color": PALETTE[1] if tuned else CONTROL, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    fig.add_scatter(
        x=[x for x, *_ in boxes],
        y=[y for _, y, _ in boxes],
        mode="markers+text",
        marker={"size": 22, "symbol": "square", "color": [PALETTE[x % len(PALETTE)] for x, *_ in boxes]},
        text=[plain(_cut(text)) for *_, text in boxes],
        customdata=[plain(text) for *_, text in boxes],
        textposition="bottom center",
        cliponaxis=False,
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    top = (n - 1) / 2 + 0.55
    for x, stage in enumerate(_STAGES):
        note = "<br>(fine-tuned together)" if tuned and stage == "Task" else ""
        fig.add_annotation(x=x, y=top, text=f"<b>{stage}</b>{note}", showarrow=False)
    fig.update_layout(font_size=11)  # five columns of words stand beside one another on a phone, too
    fig.update_xaxes(visible=False, range=[-0.6, 4.6])
    fig.update_yaxes(visible=False, range=[-(n - 1) / 2 - 0.75, top + 0.35])
    return fig


def _cut(text: str) -> str:
    """A name that leaves its neighbours room."""
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _rows(n: int) -> list[float]:
    """Heights of `n` boxes one below the other, about 0."""
    return [(n - 1) / 2 - i for i in range(n)]
