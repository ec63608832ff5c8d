"""The trials of a search, as they come in."""

import streamlit as st

from workbench.gui import navigation, series_tasks

st.title("Search")
st.caption("Trials of one search, the best first; each is a run.")

name = st.query_params.get("search")
if not name:
    st.info("A search is started from the page of time series: choose 'Find the best' or 'Smart' there.")
    navigation.link("time_series", "Start a search")
    st.stop()
series_tasks.leaderboard(name)
