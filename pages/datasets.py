"""Import a data set, look at it, and say what its columns mean."""

import streamlit as st

from workbench.gui import care, choices, datasets, imports, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.text import md

VIEWS = {
    "Preview": datasets.preview,
    "Series": datasets.series,
    "Profile": datasets.profile,
    "Roles": datasets.roles,
    "Versions": care.versions,
    "Changes": care.changes,
    "Lineage": care.lineage,
}

st.title("Datasets")
st.caption("Import files as immutable versions, look at them, and say what their columns mean.")
imports.import_panel()

refs = choices.all_refs()
if not refs:
    st.info("No data set yet: import a file above.")
    st.stop()
ref = choices.pick("Data set", refs, key="data")
if ref is None:
    st.stop()
dataset = store().dataset(ref)
st.caption(md(datasets.describe(dataset)))
with st.container(horizontal=True, vertical_alignment="center"):
    for page, label in datasets.next_pages(dataset):
        navigation.link(page, label, data=ref)

views = [name for name in VIEWS if name != "Series" or dataset.is_series]
view = st.segmented_control(
    "View",
    views,
    default="Preview",
    required=True,
    key="view",
    bind="query-params",
    label_visibility="collapsed",
)
with guard():
    VIEWS[view or "Preview"](dataset)
