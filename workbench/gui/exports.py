"""Files that are made when they are asked for: first made, where a fault is one sentence, then saved."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.text import bytes_

__all__ = ["offer"]


@dataclass(frozen=True)
class _Made:
    of: str
    name: str
    content: bytes


def offer(key: str, of: str, files: Mapping[str, tuple[str, Callable[[Path], object]]]) -> None:
    """A button for each file, and one that saves what was made.

    A download button that makes its file when it is pressed would show nothing of ours where that fails.

    Parameters
    ----------
    key : str
    of : str
        What the files are made of; what was made of something else is not offered any more.
    files : mapping
        What a button says → the file's name, and what writes it to a path.
    """
    place = f"export.{key}"
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, (name, write) in files.items():
            if st.button(label, key=f"{place}.{name}", icon=":material/file_export:"):
                st.session_state.pop(place, None)
                with guard(), st.spinner(f"Writing {name}…"):
                    st.session_state[place] = _Made(of, name, _content(name, write))
    made: _Made | None = st.session_state.get(place)
    if made is not None and made.of == of:
        st.download_button(
            f"Save {made.name} ({bytes_(len(made.content))})",
            made.content,
            file_name=made.name,
            key=f"{place}.save",
            type="primary",
            icon=":material/download:",
            on_click="ignore",
        )


def _content(name: str, write: Callable[[Path], object]) -> bytes:
    opened = store().dir
    with tempfile.TemporaryDirectory(dir=None if opened.read_only else opened.tmp) as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()
