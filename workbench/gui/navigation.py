"""The pages, their addresses, and links to them that restore a view."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import streamlit as st

from workbench.gui.config import PAGES

__all__ = ["address", "link", "menu", "open_here", "open_page", "page", "section_style", "take_up"]

_WANTED = "navigation.wanted"
_BOUND = ("data", "view")  # parameters that pages bind to their pickers

# Section -> name -> (title, icon); the name is the file in pages/ and, with hyphens, the address.
_SECTIONS = {
    "": {"home": ("Home", "home")},
    "Data": {
        "datasets": ("Datasets", "table"),
        "sql": ("SQL", "terminal"),
        "prepare": ("Prepare", "build"),
        "labels": ("Labels", "label"),
        "storage": ("Storage", "database"),
    },
    "Methods": {
        "time_series": ("Time series", "show_chart"),
        "search": ("Search", "manage_search"),
        "selection": ("Features", "filter_alt"),
        "modality": ("Modality", "layers"),
        "bidding": ("Bidding", "gavel"),
    },
    "Results": {
        "runs": ("Runs", "list"),
        "run": ("Run", "monitoring"),
        "compare": ("Compare", "compare_arrows"),
        "models": ("Models", "deployed_code"),
    },
    "Automation": {
        "pipelines": ("Pipelines", "account_tree"),
        "notebooks": ("Notebooks", "menu_book"),
    },
}
_TITLES = {name: title for section in _SECTIONS.values() for name, title in section.items()}
_HIDDEN = {"run", "search"}  # reached by a link with an id


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


def section_style() -> str:
    """The style sheet that writes the name of each section above its first page in the menu.

    Streamlit draws sections of its own as a list with other things than items in it, which a screen reader
    cannot follow; so the list stays one.
    """
    rules, place = [], 1
    for section, names in _SECTIONS.items():
        if section:
            item = f'[data-testid="stSidebarNavItems"] > li:nth-child({place})'
            rules.append(f'{item}::before {{ content: "{section}"; }}')
        place += len(names.keys() - _HIDDEN)
    return "\n".join(rules)


def link(name: str, label: str, **params: str) -> None:
    """A link to a page with the query parameters that restore a view."""
    st.page_link(page(name), label=label, query_params=params or None)


def address(name: str, **params: str) -> str:
    """The relative address of a view, for links inside tables."""
    return f"/{name.replace('_', '-')}" + (f"?{urlencode(params)}" if params else "")


def open_here(**params: str) -> None:
    """Show another view of the page that is open."""
    st.session_state[_WANTED] = params
    st.rerun()


def open_page(name: str, **params: str) -> None:
    """Go to a page at once.

    An address whose parameters are bound to widgets of the page that is left cannot be given here (Streamlit
    refuses), so that those are put into the widgets of the page that opens, which put them into the address.
    """
    st.session_state[_WANTED] = {key: params.pop(key) for key in _BOUND if key in params}
    st.switch_page(page(name), query_params=params)  # None would clear what is bound, which is refused too


def take_up() -> None:
    """Put what :func:`open_here` and :func:`open_page` asked for into the widgets, before they are drawn."""
    for name, value in st.session_state.pop(_WANTED, {}).items():
        st.session_state[name] = value
