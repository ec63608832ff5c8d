"""Steps that turn a data set into one that methods can use, without code."""

import streamlit as st

from workbench.gui import choices, prepare
from workbench.gui.failures import guard

st.title("Prepare")
st.caption("Make raw recordings, logs and texts ready for a method, step by step; what you did is kept.")

dataset = choices.any_dataset()
with guard():
    prepare.about(dataset)
    prepare.start()
    preparation = prepare.building(dataset)
    if preparation is not None:
        prepare.outcome(dataset, preparation)
