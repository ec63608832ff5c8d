"""Plots and tables as they stand on a page, each with its data to take away."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.gui.context import dark
from workbench.plots.template import themed

__all__ = ["plot", "python", "table"]

_CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["toImage", "autoScale2d"]}

#: Rows that a table shows at most; the rest is in its download.
SHOWN_ROWS = 1000


def plot(
    fig: go.Figure,
    key: str,
    *,
    data: pd.DataFrame | None = None,
    on_select: Literal["ignore", "rerun"] = "ignore",
) -> Any:
    """Draw `fig` in the reader's theme; below it, its `data` as CSV.

    Returns
    -------
    The plot's selection, where `on_select` is ``"rerun"``.
    """
    state = st.plotly_chart(
        themed(fig, dark=dark()),
        key=f"plot-{key}",
        theme=None,
        width="stretch",
        config=_CONFIG,
        on_select=on_select,
    )
    if data is not None:
        _csv(data, key)
    return state if on_select == "rerun" else None


def table(data: pd.DataFrame, key: str, *, download: bool = True, **options: Any) -> Any:
    """Show at most the first :data:`SHOWN_ROWS` rows of `data`, and offer the whole as CSV."""
    shown = data.head(SHOWN_ROWS)
    state = st.dataframe(shown, key=f"frame-{key}", hide_index=True, width="stretch", **options)
    if len(shown) < len(data):
        st.caption(f"The first {len(shown)} of {len(data)} rows.")
    if download:
        _csv(data, key)
    return state


def python(code: str, *, label: str = "Show the Python") -> None:
    """The Python that does what the page shows, folded away."""
    with st.expander(label, icon=":material/code:"):
        st.code(code, language="python")


def _csv(data: pd.DataFrame, key: str) -> None:
    st.download_button(
        "Data as CSV",
        lambda: data.to_csv(index=False).encode(),
        file_name=f"{key}.csv",
        mime="text/csv",
        key=f"csv-{key}",
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
    )
