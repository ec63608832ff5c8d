"""What every page needs from the server: the store, and whether the reader's theme is dark."""

from __future__ import annotations

import streamlit as st

import workbench as wb
from workbench.store import default_root

__all__ = ["dark", "store"]


@st.cache_resource(show_spinner=False)
def _open(root: str) -> wb.Store:
    return wb.open(root)


def store() -> wb.Store:
    """The store that this server was started for."""
    return _open(str(default_root().resolve()))


def dark() -> bool:
    """Whether the reader's browser shows the dark theme."""
    return st.context.theme.type == "dark"
