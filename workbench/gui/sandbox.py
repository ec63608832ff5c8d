"""HTML that somebody else wrote, in a frame that can do nothing."""

from __future__ import annotations

from html import escape

import streamlit as st

__all__ = ["framed", "show"]


def framed(html: str) -> str:
    """`html` in a frame without scripts, forms, links to other windows, or this site's rights.

    Streamlit's own frames allow scripts of the same origin, so that another one stands inside.
    """
    style = "position:fixed;inset:0;width:100%;height:100%;border:0"
    return (
        "<!doctype html><style>body{margin:0}</style>"
        f'<iframe sandbox="" title="Contents" style="{style}" srcdoc="{escape(html, quote=True)}"></iframe>'
    )


def show(html: str, *, height: int = 700) -> None:
    """Show `html` on the page."""
    st.iframe(framed(html), height=height)
