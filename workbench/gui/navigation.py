"""The pages, their addresses, and links to them that restore a view."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import streamlit as st

from workbench.gui.config import PAGES

__all__ = ["address", "link", "menu", "open_page", "page"]

# name -> (title, icon); the name is the file in pages/ and, with hyphens, the address.
_TITLES = {
    "home": ("Home", "home"),
    "datasets": ("Datasets", "table"),
    "sql": ("SQL", "terminal"),
    "time_series": ("Time series", "show_chart"),
    "selection": ("Feature selection", "filter_alt"),
    "modality": ("Modality", "layers"),
    "bidding": ("Bidding", "gavel"),
    "runs": ("Runs", "list"),
    "run": ("Run", "monitoring"),
    "models": ("Models", "deployed_code"),
}
_HIDDEN = {"run"}  # reached by a link with an id


def page(name: str) -> Any:
    """The page in ``pages/<name>.py``."""
    title, icon = _TITLES[name]
    return st.Page(
        PAGES / f"{name}.py",
        title=title,
        icon=f":material/{icon}:",
        url_path=name.replace("_", "-"),
        default=name == "home",
        visibility="hidden" if name in _HIDDEN else "visible",
    )


def menu() -> list[Any]:
    """Every page, as :func:`streamlit.navigation` takes them."""
    return [page(name) for name in _TITLES]


def link(name: str, label: str, **params: str) -> None:
    """A link to a page with the query parameters that restore a view."""
    st.page_link(page(name), label=label, query_params=params or None)


def address(name: str, **params: str) -> str:
    """The relative address of a view, for links inside tables."""
    return f"/{name.replace('_', '-')}" + (f"?{urlencode(params)}" if params else "")


def open_page(name: str, **params: str) -> None:
    """Go to a page at once."""
    st.switch_page(page(name), query_params=params or None)
