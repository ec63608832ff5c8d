"""Choose what you want to know of a data set of series, and start a run."""

import streamlit as st

from workbench import notebook, registry, search
from workbench.gui import access, choices, forms, navigation, pretraining, series_tasks
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

tasks, named = choices.task_estimators(), choices.came_by_link("estimator")
left, middle, right = st.columns(3)
ref = choices.pick("Data set", refs, key="data", place=left)
task = choices.pick_task(tasks, place=middle)
name = choices.pick("Estimator", tasks.get(task or "", []), key="estimator", place=right)
if ref is None or name is None:
    st.stop()
dataset, cls = store().dataset(ref), registry.estimator(name)
# Who comes by a link to an estimator wants to set it up.
left, right = st.columns([1, 2], vertical_alignment="bottom")
usual = "Manual" if named else None
modes = series_tasks.modes(cls)
# What was chosen for a representation says nothing of how a question is to be answered.
mode_key = "mode" if series_tasks.FIND in modes else "setup"
mode = choices.pick("How", modes, key=mode_key, usual=usual, place=left)
with right.container(horizontal=True, vertical_alignment="center"):
    st.caption(choices.summary(dataset), width="content")
    navigation.link("datasets", "Look at it", data=ref)
stored, sound = dataset, False
params: dict[str, object] = {}
chosen = pretraining.Pretraining()
answer, n_trials, vary = {}, 0, []
# No form: the flow below is drawn anew with every choice.
with st.container():
    with guard():
        dataset = series_tasks.target(cls, stored)
        series_tasks.advice(cls, dataset)
        if mode == series_tasks.FIND:
            answer = series_tasks.answer_fields(cls)
        elif mode != "Default":
            params = series_tasks.saved_encoders(cls, forms.parameters(cls, prefix=cls.__name__))
        if mode == "Manual":
            chosen = pretraining.fields(cls, params, dataset, refs)
            params = chosen.params
        sound = True
    split, seed = forms.split(has_column="split" in dataset.roles)
    where = forms.launcher(store().queue.launchers())
    if mode == series_tasks.SMART:
        n_trials, vary = series_tasks.search_fields(cls)
    with st.container(horizontal=True):
        # What was refused above must not be started as if it had not been asked for.
        start = st.button("Start", type="primary", disabled=not sound)
        rehearse = mode != series_tasks.FIND and st.button("Check and estimate the time", disabled=not sound)

with guard():
    asked = {"split": split, "seed": seed, "launcher": where}
    given = {**params, **answer.get("params", {})}
    forms.check(cls, given)
    if start or rehearse:
        series_tasks.check(cls, given, dataset, split, chosen.more)
    if start and dataset is not stored:
        dataset = series_tasks.settle(dataset)
    if mode != series_tasks.FIND:
        series_tasks.flow(cls, params, dataset, chosen)
    how = {"split": split.kind, "test_share": split.test_size, "seed": seed, "launcher": where}
    if chosen.needs_pipeline:
        units = {"data": ref, "estimator": name, **chosen.asked, **how}
        if start:
            found = store().pipelines.run("units", units, owner=access.owner())
            navigation.open_page("run", run=found.id)
        python(f"import workbench as wb\n\nwb.open().pipelines.run('units', {units!r})")
        st.stop()
    if mode == series_tasks.FIND:
        if start:
            found = store().pipelines.run("answer", {"data": ref, **answer, **how}, owner=access.owner())
            navigation.open_page("search", search=found.id)
        python(
            "import workbench as wb\n\n"
            f"wb.open().pipelines.run('answer', { ({'data': ref, **answer, **how})!r})"
        )
        st.stop()
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
        search_ = {"n_trials": n_trials, "vary": vary, "params": params, **asked}
        found = search.start(store(), name, dataset, **search_, owner=access.owner())
        navigation.open_page("search", search=found.id)
    elif start:
        run = store().submit(name, dataset, params=params, owner=access.owner(), **asked)
        navigation.open_page("run", run=run.id)
    python(notebook.snippet(name, ref, params, split=split, seed=seed))
