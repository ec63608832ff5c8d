"""The parts of the SQL page: a query that runs beside the page, its plan, its result, its history."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from workbench.datasets import assist
from workbench.errors import UsageError, WorkbenchError
from workbench.gui import access, editor, exports, navigation
from workbench.gui.background import Task
from workbench.gui.context import store
from workbench.gui.failures import guard, show
from workbench.gui.panels import python, table
from workbench.gui.text import count, duration, md

if TYPE_CHECKING:
    from workbench.facade import Store

__all__ = ["MAX_LINK", "Answer", "answer", "ask", "history", "link", "restore", "running", "share", "tables"]

ROWS = 1000
SECONDS = 60
KEEP_SECONDS = 600  # for a result that becomes a data set or a file
MAX_LINK = 6000  #: characters; proxies and chats cut addresses beyond about 8000
PATIENCE = 0.4  # seconds that a page waits before it says that the query is running
_TASK = "query.task"
_HISTORY_ROWS = 100


@dataclass(frozen=True)
class Answer:
    """What came of a query: its first rows, or its plan."""

    sql: str
    frame: pd.DataFrame | None = None
    plan: str = ""


def ask(*, plan: bool = False) -> None:
    """Start what stands in the editor; the address names it, so that the view can be restored."""
    sql = editor.current().strip()
    old: Task[Answer] | None = st.session_state.get(_TASK)
    if old is not None:
        old.stop()
    work = partial(_explained if plan else _answered, store(), sql, access.owner())
    st.session_state[_TASK] = Task(work)
    try:
        link("", sql)
    except UsageError:
        st.query_params.pop("sql", None)
    else:
        st.query_params["sql"] = sql


def restore(first: str) -> None:
    """Once a visit: put the query of a link into the editor and run it, else `first`, which is not run."""
    asked = st.query_params.get("sql")
    if editor.CURRENT not in st.session_state:
        editor.put(asked or first)
        if asked:
            ask()


def _answered(opened: Store, sql: str, owner: str, cancel: threading.Event) -> Answer:
    with assist.recorded(opened.dir, sql, owner) as facts:
        frame = opened.datasets.sql(sql, limit=ROWS, timeout=SECONDS, cancel=cancel)
        facts["n_rows"] = len(frame)
    return Answer(sql, frame=frame)


def _explained(opened: Store, sql: str, owner: str, cancel: threading.Event) -> Answer:
    return Answer(sql, plan=opened.datasets.explain(sql))


def link(base: str, sql: str) -> str:
    """The address that opens the page on `sql`.

    Raises
    ------
    UsageError
        If it would be too long for an address.
    """
    address = f"{base}?{urlencode({'sql': sql})}"
    if len(address) > MAX_LINK:
        raise UsageError(
            f"The query is too long for a link ({count(len(address))} characters, {count(MAX_LINK)} are the "
            "most): keep its result as a data set, or send the text."
        )
    return address


def share() -> None:
    """The link to what stands in the editor."""
    st.caption("Opens this query in any browser that reaches this workbench.")
    with guard():
        base = (st.context.url or navigation.address("sql")).partition("?")[0]
        st.code(link(base, editor.current().strip()), language=None, wrap_lines=True)


def answer() -> None:
    """What came of the query that was started last, or that it is running."""
    task: Task[Answer] | None = st.session_state.get(_TASK)
    if task is None:
        return
    if not task.wait(PATIENCE):
        running()
        return
    try:
        found = task.result()
    except WorkbenchError as error:
        show(error)
        return
    if found.sql != editor.current().strip():
        st.caption("The text has changed since; this is the answer to the query before.")
    if found.frame is None:
        st.subheader("Plan")
        st.caption("What the database would do, from the bottom up; nothing was run.")
        st.code(found.plan, language=None)
        return
    _result(found, task.seconds)


@st.fragment(run_every=0.5)
def running() -> None:
    """A running query: how long already, and the button that stops it."""
    task: Task[Answer] | None = st.session_state.get(_TASK)
    if task is None or task.done:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Cancel", on_click=task.stop, icon=":material/stop:", key="cancel")
        word = "Stopping" if task.stopping else "Running"
        st.caption(f"{word}, {duration(task.seconds)} (up to {SECONDS} s).", width="content")


def _result(found: Answer, seconds: float) -> None:
    assert found.frame is not None  # noqa: S101
    truncated = bool(found.frame.attrs.get("truncated"))
    more = f" shown of more ({count(ROWS)} at most)" if truncated else ""
    st.caption(f"{count(len(found.frame))} row{'s' * (len(found.frame) != 1)}{more}, in {duration(seconds)}.")
    table(found.frame, "result", download=False)
    exports.offer(
        "query",
        found.sql,
        {
            f"Whole result as {word}": (f"query.{word.lower()}", partial(_export, found.sql))
            for word in ("CSV", "Parquet")
        },
    )
    st.caption("In a CSV, text that a spreadsheet would run as a formula gets an apostrophe before it.")
    with st.form("keep", border=False, clear_on_submit=True):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        name = left.text_input(
            "Keep the whole result as a data set named",
            placeholder="a name in use gets a new version",
        )
        keep = right.form_submit_button("Keep", width="stretch")
    if keep and not name.strip():
        st.warning("Give the data set a name.")
    elif keep:
        with guard():
            with st.spinner("Keeping the result…"):
                kept = store().datasets.publish_query(found.sql, name.strip(), timeout=KEEP_SECONDS)
            navigation.open_page("datasets", data=kept.ref)
    python(f"import workbench as wb\n\nwb.open().datasets.sql({found.sql!r})")


def _export(sql: str, path: Path) -> None:
    store().datasets.export_query(sql, path, timeout=KEEP_SECONDS)


def history() -> None:
    """Earlier queries of the reader: search, take one up again, forget."""
    search = st.text_input("Contains", key="history.search")
    found = assist.history(store().dir, access.owner(), search=search.strip(), limit=_HISTORY_ROWS)
    if not len(found):
        st.caption("Nothing yet." if not search else "No earlier query contains that.")
        return
    chosen = st.dataframe(
        history_frame(found),
        hide_index=True,
        width="stretch",
        height=min(38 * (len(found) + 1), 300),
        on_select="rerun",
        selection_mode="multi-row",
        key=f"history-{hash(tuple(found['id']))}",
    )
    rows = [row for row in chosen["selection"]["rows"] if row < len(found)]
    with st.container(horizontal=True):
        st.button(
            "Put into the editor",
            disabled=len(rows) != 1,
            on_click=editor.put,
            args=(found["sql"].iloc[rows[0]] if rows else "",),
        )
        st.button(
            f"Forget ({len(rows)})" if rows else "Forget all",
            on_click=assist.forget,
            args=(store().dir, [int(i) for i in found["id"].iloc[rows]] if rows else None, access.owner()),
        )


def history_frame(found: pd.DataFrame) -> pd.DataFrame:
    """Earlier queries as a table for people: each on one line, with what came of it."""
    now = time.time()
    return pd.DataFrame(
        {
            "query": [" ".join(sql.split()) for sql in found["sql"]],
            "result": [
                error or f"{count(n_rows)} rows, {duration(seconds)}"
                for error, n_rows, seconds in zip(
                    found["error"], found["n_rows"].fillna(0), found["seconds"], strict=True
                )
            ],
            "when": [
                datetime.fromtimestamp(created).strftime("%H:%M" if now - created < 43200 else "%Y-%m-%d")
                for created in found["created"]
            ],
        }
    )


def tables() -> None:
    """Every data set with its columns and their types."""
    for dataset in store().datasets.list():
        st.markdown(f"**{md(dataset.name)}**")
        st.caption(", ".join(f"{md(c.name)} {md(c.type.lower())}" for c in dataset.columns[:60]))
        if len(dataset.columns) > 60:
            st.caption(f"and {len(dataset.columns) - 60} more columns")
