"""An executed notebook as HTML that can do nothing: no scripts, no requests.

The outputs of a notebook may hold any HTML. The page forbids the browser to run or to load anything, and the
workbench shows it in a frame that may not do so either (:func:`workbench.gui.sandbox.show`).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

__all__ = ["FIGURE", "as_html", "figures"]

FIGURE = "application/vnd.plotly.v1+json"

# Whatever a browser is told here it will not do: there is nothing but the text, and pictures in the text.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; background: #fff; margin: 1rem; max-width: 70rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; font-size: 13px }
.highlight, .jp-Editor { background: #f3f4f6; border-radius: 4px; padding: .3rem .6rem }
table { border-collapse: collapse; border: 0 } .anchor-link { display: none }
th, td { padding: .15rem .6rem; border: 0; border-bottom: 1px solid #e5e7eb; text-align: right }
img { max-width: 100% } .prompt, .jp-InputPrompt, .jp-OutputPrompt { color: #6b7280; font-size: 11px }
"""


def figures(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plotly figures among the outputs, as JSON, in their order."""
    return [
        output["data"][FIGURE]
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if FIGURE in output.get("data", {})
    ]


def as_html(notebook: Mapping[str, Any], title: str) -> str:
    """`notebook` as one page.

    Plotly's figures need scripts: a line stands in their place that says which of :func:`figures` it is.
    """
    from html import escape

    import nbformat
    from nbconvert.exporters import HTMLExporter
    from pygments.formatters import HtmlFormatter

    shown = nbformat.from_dict(deepcopy(dict(notebook)))
    number = 0
    for cell in shown.cells:
        for output in cell.get("outputs", ()):
            if FIGURE in output.get("data", {}):
                number += 1
                output["data"] = {"text/plain": f"(figure {number})"}
    exporter = HTMLExporter(template_name="basic")
    body, _ = exporter.from_notebook_node(shown)
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(title)}</title><style>{colours}{_STYLE}</style></head><body>{body}</body></html>"
    )
