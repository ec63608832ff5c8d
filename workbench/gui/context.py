"""What every page needs from the server: the store, and whether the reader's theme is dark."""

from __future__ import annotations

import streamlit as st

import workbench as wb
from workbench.store import default_root

__all__ = ["dark", "say_if_read_only", "store"]


@st.cache_resource(show_spinner=False)
def _open(root: str) -> wb.Store:
    return wb.open(root)


def store() -> wb.Store:
    """The store that this server was started for."""
    return _open(str(default_root().resolve()))


def dark() -> bool:
    """Whether the reader's browser shows the dark theme."""
    return st.context.theme.type == "dark"


def say_if_read_only() -> None:
    """Tell the reader of a store that can only be looked at, before something is tried in vain."""
    if store().dir.read_only:
        st.sidebar.info("This store is read-only: all of it can be looked at, and nothing changed.")
