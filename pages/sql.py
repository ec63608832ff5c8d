"""One read-only query over the data sets; its result can become a data set."""

import streamlit as st

from workbench.gui import choices, editor, sql
from workbench.gui.context import store

st.title("SQL")
st.caption("Ask the data sets anything, read-only; keep the answer as a data set, a file or a link.")

refs = choices.all_refs()
if not refs:
    choices.no_dataset()

sql.restore(f'SELECT *\nFROM "{refs[0].partition("@")[0]}"\nLIMIT 20')
editor.editor(store().datasets.complete, sql.ask)
with st.container(horizontal=True, vertical_alignment="center"):
    run = st.button("Run", type="primary", help="Ctrl+Enter")
    explain = st.button("Explain", help="The plan, without running it")
    # Drawn when they are opened: the text and the history change while the page stands still.
    for label, icon, draw in (
        ("Tables", "table", sql.tables),
        ("History", "history", sql.history),
        ("Share", "link", sql.share),
    ):
        popover = st.popover(label, icon=f":material/{icon}:", on_change="rerun", key=f"open.{label}")
        if popover.open:
            with popover:
                draw()
if run or explain:
    sql.ask(plan=explain)
sql.answer()
