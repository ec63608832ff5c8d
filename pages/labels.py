"""Give labels by hand: brush points, select rows, mark stretches; saved as a version."""

import streamlit as st

from workbench.gui import choices, labels
from workbench.gui.failures import guard

st.title("Labels")
st.caption("Choose points, rows or stretches of a recording, say what they are, and train with it at once.")

dataset = choices.any_dataset()
with guard():
    labels.about(dataset)
    labels.train(dataset)
    ways = labels.views(dataset)
    way = st.segmented_control(
        "Choose by",
        list(ways),
        default=next(iter(ways)),
        required=True,
        key=f"way.{'-'.join(ways)}",
        label_visibility="collapsed",
    )
    ways[way or next(iter(ways))](dataset)
    labels.changes(dataset)
