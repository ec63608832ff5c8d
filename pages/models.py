"""Saved estimators: what they are, and applying one to another data set."""

import streamlit as st

from workbench.gui import access, choices, models, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python
from workbench.gui.text import md

st.title("Models")
st.caption("Estimators kept from finished runs, ready to be applied to other data.")

saved = store().models.list()
if not saved:
    st.info("No model is saved yet: open a finished run and keep its model under a name.")
    navigation.link("runs", "All runs")
    st.stop()


def delete(refs: list[str]) -> None:
    with guard():
        for ref in refs:
            store().models.delete(ref)


chosen = st.dataframe(
    choices.model_frame(saved),
    column_config=choices.MODEL_COLUMNS,
    hide_index=True,
    width="stretch",
    on_select="rerun",
    selection_mode="multi-row",
    key=f"models-{hash(tuple(model.ref for model in saved))}",
)
picked = [saved[row].ref for row in chosen["selection"]["rows"]]
st.button(
    f"Delete ({len(picked)})" if picked else "Delete", disabled=not picked, on_click=delete, args=(picked,)
)

st.subheader("Apply a model")
with st.form("apply", border=False):
    left, right = st.columns(2)
    ref = choices.pick("Model", [model.ref for model in saved], key="model", place=left)
    data = choices.pick("Data set", choices.all_refs(), key="data", place=right)
    start = st.form_submit_button("Apply", type="primary", disabled=data is None)
if start and ref and data:
    with guard():
        run = store().apply(ref, data, owner=access.owner())
        navigation.open_page("run", run=run.id)
if ref and data:
    st.caption(f"{md(ref)} must know the channels and columns of {md(data)}; the run says so if not.")
    python(f"import workbench as wb\n\nwb.open().predict({ref!r}, {data!r}, to='predictions')")
if ref:
    shown = store().models.get(ref)
    models.card(shown)
    models.onnx(shown)
