"""Choose what you want to know of a data set of series, and start a run."""

import streamlit as st

from workbench import notebook, registry, search
from workbench.gui import access, choices, forms, navigation, series_tasks
from workbench.gui.context import store
from workbench.gui.estimate import estimate
from workbench.gui.failures import guard
from workbench.gui.panels import python
from workbench.gui.text import count, duration

st.title("Time series")
st.caption("Say what you want to know; the answer stands beside an untrained control and other methods.")

refs = choices.series_refs()
if not refs:
    st.info("No data set holds time series yet: import one, and give its columns roles.")
    navigation.link("datasets", "Import a data set")
    st.stop()

tasks = choices.task_estimators()
left, middle, right = st.columns(3)
ref = choices.pick("Data set", refs, key="data", place=left)
task = choices.pick_task(tasks, place=middle)
name = choices.pick("Estimator", tasks.get(task or "", []), key="estimator", place=right)
if ref is None or name is None:
    st.stop()
dataset, cls = store().dataset(ref), registry.estimator(name)
with st.container(horizontal=True, vertical_alignment="center"):
    st.caption(choices.summary(dataset), width="content")
    navigation.link("datasets", "Look at it", data=ref)
series_tasks.advice(cls, dataset)

with st.form("start", border=False):
    params = {}
    with guard():
        params = forms.parameters(cls, prefix=cls.__name__)
    split, seed = forms.split(has_column="split" in dataset.roles)
    where = forms.launcher(store().queue.launchers())
    n_trials, vary = series_tasks.search_fields(cls)
    with st.container(horizontal=True):
        start = st.form_submit_button("Start", type="primary")
        rehearse = st.form_submit_button("Check and estimate the time")

with guard():
    forms.check(cls, params)
    if start or rehearse:
        series_tasks.check(cls, params, dataset, split)
    epochs = choices.epochs(cls, params)
    expected = estimate(choices.past(name), work=epochs * dataset.n_rows, dataset=ref)
    if expected is None and rehearse:
        expected = choices.rehearsed(name, ref, params, epochs)
    if expected is None:
        st.caption("Nothing comparable has run in this store yet; a rehearsal on a few rows tells the time.")
    else:
        st.caption(
            f"About {duration(expected.seconds)} ({duration(expected.low)} to {duration(expected.high)}), "
            f"judged by {expected.basis}. {count(choices.waiting())} runs wait before it."
        )
    if start and n_trials:
        asked = {"n_trials": n_trials, "vary": vary, "params": params, "split": split, "seed": seed}
        asked["launcher"] = where
        found = search.start(store(), name, dataset, **asked, owner=access.owner())
        navigation.open_page("search", search=found)
    elif start:
        given = {"params": params, "split": split, "seed": seed, "launcher": where}
        run = store().submit(name, dataset, **given, owner=access.owner())
        navigation.open_page("run", run=run.id)
    python(notebook.snippet(name, ref, params, split=split, seed=seed))
