"""The query editor: a text area that completes names while one types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

__all__ = ["CURRENT", "current", "editor", "put"]

#: The text of the editor, in the session's state.
CURRENT = "query.text"
_REVISION = "query.revision"  # grows when the text is put there by the page and not by the keyboard
_KEY = "query.editor"

Complete = Callable[[str, int], Sequence[str]]


@cache
def _component() -> Any:
    html, css, js = (
        Path(__file__).with_name(f"editor.{suffix}").read_text(encoding="utf-8")
        for suffix in ("html", "css", "js")
    )
    return st.components.v2.component("workbench_query_editor", html=html, css=css, js=js)


def current() -> str:
    """What stands in the editor."""
    return str(st.session_state.get(CURRENT, ""))


def put(text: str) -> None:
    """Put `text` into the editor."""
    st.session_state[CURRENT] = text
    st.session_state[_REVISION] = st.session_state.get(_REVISION, 0) + 1


@st.fragment
def editor(complete: Complete, run: Callable[[], None]) -> None:
    """Draw the editor.

    Parameters
    ----------
    complete : callable
        ``complete(text, position)`` returns the words that the one before `position` may become.
    run : callable
        Called on Ctrl+Enter, when :func:`current` is what is to be run.
    """
    draft = (st.session_state.get(_KEY) or {}).get("draft") or {}
    text, position = str(draft.get("text", "")), int(draft.get("position", 0))
    # An answer to a text that is no longer there is not shown.
    words = list(complete(text, position)) if text == current() and position else []
    asked = _component()(
        key=_KEY,
        data={
            "text": current(),
            "revision": st.session_state.setdefault(_REVISION, 0),
            "words": words,
            "of": text,
            "at": position,
        },
        default={"draft": {}},
        on_draft_change=_typed,
        on_run_change=lambda: None,
    )
    if asked.run is not None:
        st.session_state[CURRENT] = asked.run
        run()
        st.rerun(scope="app")


def _typed() -> None:
    draft = st.session_state[_KEY]["draft"]
    st.session_state[CURRENT] = str(draft["text"])
