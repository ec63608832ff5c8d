"""One read-only query over the data sets; its result can become a data set."""

import time

import streamlit as st

from workbench.gui import choices, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python, table
from workbench.gui.text import count, duration, md

ROWS = 1000
SECONDS = 30

st.title("SQL")
st.caption(f"One read-only query over the data sets: up to {SECONDS} seconds, {count(ROWS)} rows shown.")

refs = choices.all_refs()
if not refs:
    st.info("No data set yet: import one first.")
    navigation.link("datasets", "Import a data set")
    st.stop()

with st.form("query", border=False):
    sql = st.text_area(
        "Query",
        value=f'SELECT *\nFROM "{refs[0].partition("@")[0]}"\nLIMIT 20',
        height=160,
        key="sql",
        bind="query-params",
        help='Every data set is a table by its name; an older version is "name@2".',
    )
    st.form_submit_button("Run", type="primary")
with st.expander("Tables and columns"):
    for dataset in store().datasets.list():
        st.markdown(
            f"**{md(dataset.name)}**: {', '.join(md(column.name) for column in dataset.columns[:50])}"
        )

with guard():
    started = time.monotonic()
    result = store().datasets.sql(sql, limit=ROWS, timeout=SECONDS)
    more = " and more" if result.attrs.get("truncated") else ""
    st.caption(f"{count(len(result))} rows{more} in {duration(time.monotonic() - started)}.")
    table(result, "result")
    with st.form("keep", border=False, clear_on_submit=True):
        name = st.text_input("Keep the whole result as a data set named")
        if st.form_submit_button("Keep") and name.strip():
            kept = store().datasets.publish_query(sql, name.strip())
            navigation.open_page("datasets", data=kept.ref)
    python(f"import workbench as wb\n\nwb.open().datasets.sql({sql!r})")
