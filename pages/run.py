"""One run: live while it runs, its result when it is done."""

import streamlit as st

from workbench.gui import models, navigation, notebooks, pipelines, result, runs
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.text import duration, md

id_ = st.query_params.get("run")
if not id_:
    st.title("Run")
    st.caption("Watch a run while it goes on, and read its result when it is done.")
    st.info("This page shows one run: choose it in the list.")
    navigation.link("runs", "All runs")
    st.stop()

run = store().run(id_)


def act(action: str, **options: bool) -> None:
    with guard():
        getattr(store().queue, action)([run.id], **options)


def keep(name: str) -> None:
    with guard():
        saved = run.save_model(name)
        st.toast(f"Saved as {saved.ref}.")


st.title(md(run.name))
with st.container(horizontal=True, vertical_alignment="center"):
    runs.badge(run.state)
    st.caption(md(run.estimator_name) + (" on" if run.dataset else ""), width="content")
    if run.dataset:
        navigation.link("datasets", md(run.dataset), data=run.dataset)
    elif run.recipe == "pipeline":
        navigation.link("pipelines", "pipeline", pipeline=run.spec["pipeline"])
    elif run.recipe == "notebook":
        navigation.link("notebooks", "all notebooks")
    if run.parent:
        navigation.link("run", "part of a pipeline", run=run.parent)
    if run.finished and run.started:
        st.caption(f"took {duration(run.seconds)}", width="content")
runs.facts(run)

if not run.is_finished:
    st.button("Cancel", on_click=act, args=("cancel",), icon=":material/stop:")
    runs.live(run.id)
    st.stop()

if run.state == "done":
    report = result.report_of(run)
    st.markdown(f"**{md(report.headline)}**")
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.dataset and not run.is_recorded:
            with st.popover("Keep the model", type="primary"), st.form("keep", border=False):
                name = st.text_input(
                    "Name (a name in use gets a new version)", value=run.dataset.partition("@")[0]
                )
                if st.form_submit_button("Keep", type="primary"):
                    keep(name.strip())
        if run.recipe == "apply":
            with st.popover("Keep as a data set"), st.form("keep-data", border=False):
                to = st.text_input("Name", value=f"{run.dataset.partition('@')[0]} predicted")
                if st.form_submit_button("Keep", type="primary"):
                    with guard():
                        models.keep(run.id, to.strip())
        result.downloads(run, report)
        kept = {each.name for each in store().pipelines.list()}
        if run.dataset and not run.is_recorded and "again" in kept:
            navigation.link("pipelines", "Put it on a schedule", pipeline="again", **{"again.run": run.id})
    result.body(run, report)
    result.reproduce(run)
else:
    if run.state == "failed":
        st.error(md(run.error))
    elif not run.is_recorded:
        st.info("This run was cancelled; a retry continues from its checkpoint.")
    if run.is_recorded:
        st.info("A script did this run and recorded it: to do it again, run the script again.")
    else:
        with st.container(horizontal=True):
            st.button("Retry", on_click=act, args=("retry",), type="primary")
            st.button("Retry from the start", on_click=act, args=("retry",), kwargs={"fresh": True})
    if run.recipe == "pipeline":
        pipelines.steps(run)
    elif run.recipe == "notebook":
        notebooks.executed(run)
runs.log_tail(run)
with st.expander("Specification"):
    st.json(run.spec)
