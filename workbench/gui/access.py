"""Who may see the pages: everybody on this machine, and beyond it only people who have signed in."""

from __future__ import annotations

import streamlit as st

from workbench.gui import config

__all__ = ["login_configured", "owner", "require"]


def login_configured() -> bool:
    """Whether ``[auth]`` is set up for :func:`streamlit.login`."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def require() -> None:
    """Stop the page unless its reader is known, where an authentication is configured."""
    if config.trusted_header():
        if not owner():
            st.error("The proxy in front of this server has not said who you are: sign in there first.")
            st.stop()
    elif login_configured() and not st.user.is_logged_in:
        st.title("Workbench")
        if st.button("Sign in", type="primary"):
            st.login()
        st.stop()


def owner() -> str:
    """Who the reader is, if that is known; the runs of all others are those of the server's user."""
    user = st.user.to_dict()
    return str(user.get("email") or user.get("name") or "")
