"""Pipelines: start one, watch its graph, and say when it starts by itself."""

import streamlit as st

from workbench.gui import choices, navigation, pipelines
from workbench.gui.context import store
from workbench.gui.panels import python
from workbench.gui.text import md

st.title("Pipelines")
st.caption("What is done again and again: functions whose steps are runs, started by hand or by themselves.")

names = pipelines.overview()
if not names:
    st.info("No pipeline is declared yet: put a file into pipelines/, as docs/pipelines.md shows.")
    st.stop()

name = choices.pick("Pipeline", names, key="pipeline")
if not name:
    st.stop()
declared = store().pipelines.get(name)
st.markdown(md(declared.doc))

st.subheader("Start it")
params = pipelines.start(declared)
pipelines.backfill(declared, params)

st.subheader("Runs")
last = pipelines.history(name)
if last is not None:
    navigation.link("run", f"The graph of the latest run, {md(last.name)}, on its page", run=last.id)
    pipelines.steps(last)

st.subheader("Starts by itself")
pipelines.schedules(declared, params)
python(pipelines.code(declared, params))
