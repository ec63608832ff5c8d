"""What is going on, and what to do next."""

import streamlit as st

from workbench.gui import choices, navigation, runs
from workbench.gui.context import store
from workbench.gui.text import md

RECENT = 4


@st.fragment(run_every=2)
def recent() -> None:
    found = store().runs(limit=RECENT)
    if found:
        runs.cards(found)
    else:
        st.info("No run yet: choose a data set and start one on the Time series page.")


st.title("Workbench")
st.caption("Versioned data sets, background runs with live progress, and results that reproduce.")

datasets = store().datasets.list()
st.subheader("Recent runs")
recent()

st.subheader("Data sets")
if datasets:
    for dataset in datasets[:6]:
        with st.container(horizontal=True, vertical_alignment="center"):
            navigation.link("datasets", md(dataset.name), data=dataset.ref)
            st.caption(choices.summary(dataset), width="content")
    if len(datasets) > 6:
        navigation.link("datasets", f"All {len(datasets)} data sets")
else:
    st.info("No data set yet: import a file on the Datasets page.")

st.subheader("What to do next")
navigation.link("datasets", "Import a data set and look at it")
navigation.link("time_series", "Train an encoder of time series")
navigation.link("runs", "See all runs")
