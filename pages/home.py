"""What is going on, and what to do next."""

import streamlit as st

from workbench.gui import choices, datasets, navigation, runs
from workbench.gui.context import store
from workbench.gui.text import md

RECENT = 4  # runs
LATEST = 6  # data sets
NEXT = {
    "datasets": "Import a data set",
    "sql": "Ask the data sets in SQL",
    "time_series": "Learn from time series",
    "selection": "Select the fields of a click model",
    "modality": "See which modality wins",
    "bidding": "Let bidders compete",
    "pipelines": "Have it done every night",
}


@st.fragment(run_every=2)
def recent() -> None:
    found = store().runs(limit=RECENT)
    if found:
        runs.cards(found)
    else:
        st.info("No run yet: choose a data set and start one on the Time series page.")


st.title("Workbench")
st.caption("Versioned data sets, background runs with live progress, and results that reproduce.")

with st.container(horizontal=True, vertical_alignment="center"):
    st.subheader("Recent runs", width="content")
    navigation.link("runs", "All runs")
recent()

left, right = st.columns([2, 1], gap="large")
with left:
    known = store().datasets.list()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Data sets", width="content")
        if len(known) > LATEST:
            navigation.link("datasets", f"All {len(known)}")
    for dataset in sorted(known, key=lambda each: each.created, reverse=True)[:LATEST]:
        with st.container(horizontal=True, vertical_alignment="center", border=True, gap="small"):
            navigation.link("datasets", md(dataset.name), data=dataset.ref)
            st.caption(choices.summary(dataset))
            for page, label in datasets.runs_of(dataset)[:1]:
                navigation.link(page, label, data=dataset.ref)
    if not known:
        st.info("No data set yet: import a file on the Datasets page.")
with right:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("What to do next")
    for page, label in NEXT.items():
        navigation.link(page, label)
