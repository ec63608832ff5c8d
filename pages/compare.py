"""Any runs side by side; the address restores the view."""

import streamlit as st

from workbench.comparison import Comparison
from workbench.gui import compare, navigation

st.title("Compare")
st.caption("See what was changed between runs, what came of it, and whether it is more than chance.")

found = compare.asked()
if not found:
    st.info("Choose the runs to compare: select their rows in the list of runs and press Compare.")
    navigation.link("runs", "All runs")
    st.stop()
compared = Comparison(found)

compare.selection(compared)
st.subheader("What was changed")
compare.changes(compared)
st.subheader("What came of it")
compare.results(compared)
st.subheader("How it went")
compare.curves(compared)
st.subheader("What each run left")
compare.artifacts(compared)
with st.expander("Link to this view", icon=":material/link:", key="link"):
    st.code(compare.link(), language=None, wrap_lines=True)
compare.show_python(compared, st.query_params.get("score"))
