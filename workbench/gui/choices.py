"""What a form can choose from: data sets, estimators, models, and what earlier runs say of the time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import signature
from typing import TYPE_CHECKING, Any, NoReturn

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from workbench import registry
from workbench.errors import WorkbenchError
from workbench.gui import navigation
from workbench.gui.context import store
from workbench.gui.estimate import Estimate, Past, from_rehearsal
from workbench.gui.text import ago, bytes_, count
from workbench.runs.rehearsal import Rehearsal, rehearse

if TYPE_CHECKING:
    from workbench.datasets import Dataset
    from workbench.models import Model

__all__ = [
    "MODEL_COLUMNS",
    "all_refs",
    "any_dataset",
    "came_by_link",
    "epochs",
    "model_frame",
    "no_dataset",
    "past",
    "pick",
    "pick_task",
    "rehearsed",
    "series_estimators",
    "series_refs",
    "summary",
    "task_estimators",
    "waiting",
]

#: Families of estimators that do not take series: tables, logs, or other estimators' features.
_OTHER_FAMILIES = ("ctr.", "selection.", "bidding.", "modality.", "fusion.")

MODEL_COLUMNS: dict[str, Any] = {
    "model": st.column_config.TextColumn("Model"),
    "aliases": st.column_config.TextColumn("Called", width="small"),
    "headline": st.column_config.TextColumn("Result", width=270),
    "estimator": st.column_config.TextColumn("Estimator"),
    "dataset": st.column_config.TextColumn("Fitted on"),
    "size": st.column_config.TextColumn("Size", width="small"),
    "created": st.column_config.TextColumn("Saved", width="small"),
    "page": st.column_config.LinkColumn("Run", display_text="open", width="small"),
}


def all_refs() -> list[str]:
    """``name@version`` of every data set's latest version, and of the one that the address names."""
    return _with_asked([dataset.ref for dataset in store().datasets.list()])


def series_refs() -> list[str]:
    """The same, of data sets that hold time series."""
    return _with_asked([dataset.ref for dataset in store().datasets.list() if dataset.is_series])


def _with_asked(refs: list[str]) -> list[str]:
    """Add an older version where a link asks for it, so that the link restores its view."""
    asked = st.query_params.get("data")
    if not asked or asked in refs:
        return refs
    try:
        return [*refs, store().dataset(asked).ref]
    except WorkbenchError:
        return refs


def any_dataset() -> Dataset:
    """The data set that a page is about, picked in the address; without one the page says so and ends."""
    refs = all_refs()
    if not refs:
        no_dataset()
    ref = pick("Data set", refs, key="data")
    if ref is None:
        st.stop()
    return store().dataset(ref)


def no_dataset() -> NoReturn:
    """Say that there is no data set yet, and end the page."""
    st.info("No data set yet: import one first.")
    navigation.link("datasets", "Import a data set")
    st.stop()


def pick(
    label: str, options: Sequence[str], *, key: str, place: Any = st, usual: str | None = None
) -> str | None:
    """A picker that stands on the first or `usual` option and writes its choice into the address in any case.

    A widget leaves its default out of the address, and the first of a list changes: such a link would not
    restore the view. So the default is nothing, and the first option is chosen like a user would.
    """
    navigation.take_up()  # where the page runs without its frame, as in tests
    if options and key not in st.query_params and key not in st.session_state:
        first = usual if usual is not None and usual in options else options[0]
        st.query_params[key] = first
        st.session_state[key] = first
    elif options and key in st.session_state:
        # What another page's picker held is carried over only if it is put here anew; what was cleared, or is
        # no option here, becomes the first one.
        held = st.session_state[key]
        st.session_state[key] = held if held in options else options[0]
        if key not in st.query_params:
            # A picker that is new on this page does not put what it was given into the address by itself; one
            # that was there before does, and does not let anybody else.
            with suppress(StreamlitAPIException):
                st.query_params[key] = st.session_state[key]
    chosen: str | None = place.selectbox(label, options, index=None, key=key, bind="query-params")
    return chosen


def came_by_link(key: str) -> bool:
    """Whether the address names an option not chosen on the page; to be asked before it is picked."""
    asked, shown = st.query_params.get(key), f"shown.{key}"
    found = asked is not None and asked not in (st.session_state.get(key), st.session_state.get(shown))
    st.session_state[shown] = asked
    return found


def summary(dataset: Dataset) -> str:
    """Size of a data set in a few words."""
    return f"{count(dataset.n_rows)} rows · {len(dataset.columns)} columns · {bytes_(dataset.n_bytes)}"


def series_estimators() -> list[str]:
    """The estimators of time series, and third parties' ones, CSL first."""
    names = [n for n in registry.estimator_names() if not n.startswith(_OTHER_FAMILIES)]
    return sorted(names, key=lambda n: (n != "timeseries.CSL", not n.startswith("timeseries."), n))


#: What one may want to know of series, by the recipe that answers it.
_TASKS = {
    "timeseries.represent": "Learn a representation",
    "timeseries.classify": "Classify series",
    "timeseries.regress": "Foretell a number of each series",
    "timeseries.cluster": "Group series",
    "timeseries.forecast": "Forecast what comes next",
    "timeseries.detect": "Find anomalies",
    "timeseries.impute": "Fill in what is missing",
}
OTHER_TASK = "Something else"


def task_estimators() -> dict[str, list[str]]:
    """Task → the names of the estimators for it."""
    found: dict[str, list[str]] = {task: [] for task in (*_TASKS.values(), OTHER_TASK)}
    for name in series_estimators():
        found[_TASKS.get(registry.recipe_of(registry.estimator(name)), OTHER_TASK)].append(name)
    return {task: names for task, names in found.items() if names}


def pick_task(tasks: Mapping[str, Sequence[str]], *, place: Any = st) -> str | None:
    """What the reader wants to know; a link that names an estimator says it too."""
    asked = st.query_params.get("estimator")
    if asked and "task" not in st.query_params and "task" not in st.session_state:
        of = next((task for task, names in tasks.items() if asked in names), None)
        if of is not None:
            st.query_params["task"] = st.session_state["task"] = of
    return pick("What do you want to know?", list(tasks), key="task", place=place)


def epochs(cls: type, params: dict[str, Any]) -> int:
    """Epochs that a run will train for; 1 where the estimator has none."""
    argument = signature(cls).parameters.get("n_epochs")
    if argument is None:
        return 1
    return max(int(params.get("n_epochs", argument.default) or 0), 1)


def past(estimator: str, limit: int = 50) -> list[Past]:
    """Time and work of the latest finished runs of an estimator that went through in one attempt."""
    rows = {dataset.ref: dataset.n_rows for dataset in store().datasets.list()}
    found = []
    for run in store().runs(state="done", limit=limit):
        if run.estimator_name != estimator or run.attempt != 1 or run.dataset not in rows:
            continue
        work = epochs(registry.estimator(estimator), run.spec["params"]) * rows[run.dataset]
        found.append(Past(run.seconds or 0.0, work, run.dataset))
    return found


def rehearsed(estimator: str, ref: str, params: dict[str, Any], n_epochs: int) -> Estimate | None:
    """Expected time by a rehearsal, which takes some seconds; None where it fails or takes too long."""
    root = str(store().dir.root)
    found = _rehearse(estimator, ref, {k: v for k, v in params.items() if k != "n_epochs"}, root)
    return None if found is None else from_rehearsal(found, n_epochs)


@st.cache_data(show_spinner="Rehearsing on a few rows …", max_entries=100)
def _rehearse(estimator: str, ref: str, params: dict[str, Any], root: str) -> Rehearsal | None:
    return rehearse(estimator, ref, params, store=root)


def waiting() -> int:
    """Runs in the queue."""
    return len(store().runs(state="queued"))


def model_frame(models: Sequence[Model]) -> pd.DataFrame:
    """One row a model, with the columns of :data:`MODEL_COLUMNS`."""
    now = time.time()
    return pd.DataFrame(
        [
            {
                "model": model.ref,
                "aliases": ", ".join(model.aliases),
                "headline": model.card.get("headline", ""),
                "estimator": model.estimator.rpartition(":")[2],
                "dataset": model.dataset,
                "size": bytes_(model.n_bytes),
                "created": ago(model.created, now),
                "page": navigation.address("run", run=model.run) if model.run else None,
            }
            for model in models
        ],
        columns=list(MODEL_COLUMNS),
    )
