"""Notebooks as pages show them: the form of one's parameters, and what a run of it came to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import streamlit as st

from workbench.errors import UsageError
from workbench.gui import config
from workbench.gui.access import login_configured
from workbench.gui.panels import plot, table
from workbench.gui.sandbox import show
from workbench.gui.text import md
from workbench.notebooks import Document, Value
from workbench.notebooks.html import figures
from workbench.notebooks.process import EXECUTED, PAGE, kept

if TYPE_CHECKING:
    from workbench.report import Report
    from workbench.runs import Run

__all__ = ["changed", "executed", "fields", "refusal", "view", "worked"]

#: The worked examples, beside the package.
WORKED = config.ROOT / "notebooks"
ENABLE = "WORKBENCH_NOTEBOOKS"


def refusal() -> str | None:
    """Why notebooks are not run from the pages, where they are not."""
    missing = [name for name in ("nbclient", "nbconvert", "ipykernel") if find_spec(name) is None]
    if missing:
        return f"Running notebooks needs {', '.join(missing)}: install the extra 'notebooks'."
    alone = config.is_loopback(st.get_option("server.address") or "127.0.0.1") and not (
        config.trusted_header() or login_configured()
    )
    if alone or os.environ.get(ENABLE) == "1":
        return None
    return (
        "A notebook may do whatever its author likes with this server, so that they are not run from the "
        f"pages where others can reach it. Whoever runs the server can allow it: {ENABLE}=1."
    )


def worked() -> list[Path]:
    """The worked examples that are there."""
    return sorted(WORKED.glob("*.ipynb"))


def fields(document: Document) -> dict[str, Any]:
    """A field for each parameter; returns what they hold, for :func:`changed`."""
    held: dict[str, Any] = {}
    for name, default in document.parameters.items():
        key = f"parameter-{name}"
        if isinstance(default, bool):
            held[name] = st.checkbox(name, default, key=key)
        elif isinstance(default, int):
            held[name] = st.number_input(name, value=default, step=1, key=key)
        elif isinstance(default, float):
            held[name] = st.number_input(name, value=default, format="%g", key=key)
        elif isinstance(default, str):
            held[name] = st.text_input(name, default, key=key)
        else:
            held[name] = st.text_input(f"{name} (JSON)", json.dumps(default), key=key)
    return held


def changed(document: Document, held: Mapping[str, Any]) -> dict[str, Value]:
    """The values that differ from the notebook's own.

    Raises
    ------
    UsageError
        If one is not written as JSON has it.
    """
    values: dict[str, Value] = {}
    for name, default in document.parameters.items():
        value = held[name]
        if not isinstance(default, bool | int | float | str):
            try:
                value = json.loads(value)
            except ValueError:
                raise UsageError(
                    f"The parameter {name} must be a value as JSON has it, not {value!r}."
                ) from None
        if value != default:
            values[name] = value
    return values


def view(run: Run, report: Report) -> None:
    """The result page's body."""
    executed(run)
    st.subheader("Cells")
    table(report.tables["cells"], "cells")


def executed(run: Run) -> None:
    """The notebook with what came out of it, also where it failed half-way."""
    page, made = kept(run.folder, PAGE), kept(run.folder, EXECUTED)
    if page is None or made is None:
        return
    notebook: Mapping[str, Any] = json.loads(made.read_text(encoding="utf-8"))
    st.download_button(
        "Notebook with outputs",
        made.read_bytes(),
        file_name=f"{run.name}-{run.id}.ipynb",
        key="executed",
        icon=":material/download:",
        on_click="ignore",
    )
    show(page.read_text(encoding="utf-8"))
    for number, drawn in enumerate(figures(notebook), 1):
        st.subheader(f"Figure {number}")
        try:
            fig = go.Figure(data=drawn.get("data"), layout=drawn.get("layout"), skip_invalid=True)
        except (ValueError, TypeError):
            st.caption(md("This figure cannot be drawn here."))
        else:
            plot(fig, f"figure-{number}")
