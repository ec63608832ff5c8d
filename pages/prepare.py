"""Steps that turn a data set into one that methods can use, without code."""

import streamlit as st

from workbench.gui import choices, navigation, prepare
from workbench.gui.context import store
from workbench.gui.failures import guard

st.title("Prepare")
st.caption("Make raw recordings, logs and texts ready for a method, step by step; what you did is kept.")

refs = choices.all_refs()
if not refs:
    st.info("No data set yet: import one first.")
    navigation.link("datasets", "Import a data set")
    st.stop()
ref = choices.pick("Data set", refs, key="data")
if ref is None:
    st.stop()
dataset = store().dataset(ref)
with guard():
    prepare.about(dataset)
    prepare.start()
    preparation = prepare.building(dataset)
    if preparation is not None:
        prepare.outcome(dataset, preparation)
