"""What the data sets take, which versions may go, and whether all are sound."""

import streamlit as st

from workbench.gui import care, choices
from workbench.gui.context import store
from workbench.gui.failures import guard

VIEWS = {"Sizes": care.sizes, "Retention": care.retention, "Verification": care.verification}

st.title("Storage")
st.caption("See what every version takes, let old ones go, and check that files are as they were made.")

if not store().datasets.list():
    choices.no_dataset()
view = st.segmented_control(
    "View",
    list(VIEWS),
    default="Sizes",
    required=True,
    key="view",
    bind="query-params",
    label_visibility="collapsed",
)
with guard():
    VIEWS[view or "Sizes"]()
