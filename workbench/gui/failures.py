"""What a user sees when something goes wrong: one sentence, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from workbench.errors import WorkbenchError, of_system
from workbench.gui.text import md
from workbench.store import default_root

__all__ = ["guard", "show"]

_log = logging.getLogger("workbench.gui")


def show(error: Exception) -> bool:
    """Show `error` on the page; True, so that Streamlit shows nothing of its own."""
    known = error if isinstance(error, WorkbenchError) else of_system(error)
    if known is not None:
        st.error(md(str(known)))
        return True
    _log.error("A page failed.", exc_info=error)
    st.error(
        "This page failed in a way that the workbench did not foresee. "
        f"The details are in {md(str(default_root().resolve() / 'web.log'))}."
    )
    return True


@contextmanager
def guard() -> Iterator[None]:
    """Show whatever fails inside the block. Streamlit's own stop and rerun are no failures and pass."""
    try:
        yield
    except Exception as error:
        show(error)
