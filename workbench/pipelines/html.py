"""A report as one HTML page that needs no network: headings, sentences, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["write_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; background: #fff; max-width: 60rem; margin:
2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .25rem .75rem; border-bottom: 1px solid #e5e7eb; text-align: left; }
div.table { overflow-x: auto; }
"""


def write_page(file: Path, title: str, parts: Sequence[str | tuple[str, pd.DataFrame | go.Figure]]) -> Path:
    """Write a page.

    Parameters
    ----------
    file : Path
    title : str
    parts : sequence
        In order: sentences, and pairs of a heading and a table or figure.

    Returns
    -------
    Path
        The page.
    """
    body, drawn = [f"<h1>{escape(title)}</h1>"], False
    for part in parts:
        if isinstance(part, str):
            body.append(f"<p>{escape(part)}</p>")
            continue
        heading, shown = part
        body.append(f"<h2>{escape(heading)}</h2>")
        if isinstance(shown, pd.DataFrame):
            body.append(f'<div class="table">{_table(shown)}</div>')
        else:
            body.append(shown.to_html(full_html=False, include_plotlyjs=not drawn))
            drawn = True
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
    view = '<meta name="viewport" content="width=device-width">'
    file.write_text("\n".join([head, view, f"<style>{_STYLE}</style>", *body, "</html>"]), encoding="utf-8")
    return file


def _table(frame: pd.DataFrame) -> str:
    def cell(value: object) -> str:
        if value is None or value != value:
            return "–"
        return f"{value:.4g}" if isinstance(value, float) else escape(str(value))

    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
    rows = [
        "<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    ]
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
