"""What the page of time series says of a task before it is started."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench import registry, search
from workbench.arrays import Split
from workbench.errors import DatasetError
from workbench.gui import navigation
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import plot, table
from workbench.gui.pretraining import Pretraining, n_variables
from workbench.gui.text import count, duration, md, score
from workbench.parameters import describe
from workbench.plots import scores, series_flow
from workbench.timeseries._task import ENCODERS
from workbench.timeseries.tasks import channels, refuse, refuse_columns

if TYPE_CHECKING:
    from workbench.datasets import Dataset
    from workbench.models import Model
    from workbench.runs import Run

__all__ = [
    "FIND",
    "SMART",
    "advice",
    "answer_fields",
    "check",
    "flow",
    "leaderboard",
    "modes",
    "saved_encoders",
    "search_fields",
    "settle",
    "target",
]

#: Ways to set up a run that are a search.
FIND, SMART = "Find the best", "Smart"


_CUT = "The last part of every series in time, as large as the test share, is kept to judge by."


def advice(cls: type, dataset: Dataset) -> None:
    """What the task makes of the data set's roles, and what it lacks."""
    kind = registry.recipe_of(cls).rpartition(".")[2]
    roles = dataset.roles
    said = []
    if kind in ("classify", "regress"):
        if "label" not in roles:
            st.info("The data set has no label: give a column the role 'label', or label some series.")
            with st.container(horizontal=True):
                navigation.link("datasets", "Give it roles", data=dataset.ref)
                navigation.link("labels", "Label series", data=dataset.ref)
            return
        known, n = _labelled(dataset)
        if known < n:
            said.append(
                f"{count(known)} of {count(n)} series have a label; the encoders learn from the others too."
            )
        if "domain" in roles:
            said.append(
                f"The column {md(roles['domain'][0])} tells the domains apart: encoders learn from "
                "both, labels of the source are learnt from, and the target is what the scores are of."
            )
    if kind == "forecast":
        said.append(_CUT)
        if "exogenous" in roles:
            said.append(f"Known ahead: {md(', '.join(roles['exogenous']))}.")
    if kind == "detect":
        said.append("Whole series are train or test, as the data set says." if "split" in roles else _CUT)
        said.append(
            f"{md(roles['anomaly'][0])} says what is anomalous; it only judges."
            if "anomaly" in roles
            else "No column has the role 'anomaly': alarms are raised, and nothing judges them."
        )
    if said:
        st.caption(" ".join(said))


def check(
    cls: type,
    params: Mapping[str, Any],
    dataset: Dataset,
    split: Split,
    more: Sequence[str] = (),
) -> None:
    """Refuse, in one sentence, what is bound to fail; `more` are further data sets to pre-train on.

    Raises
    ------
    DatasetError
    """
    recipe = registry.recipe_of(cls)
    if not recipe.startswith("timeseries."):
        return
    _check_encoders(params, dataset)
    refuse(recipe, params, _index_of(dataset), channels(dataset), split)
    for ref in more:
        refuse_columns(channels(store().dataset(ref)), of=f" of {ref}")


def target(cls: type, dataset: Dataset) -> Dataset:
    """A field for what is to be found out: the column of labels, or the measured channels.

    Returns
    -------
    Dataset
        As seen with the roles that were chosen; they are written when a run is started, by `settle`.
    """
    kind = registry.recipe_of(cls).rpartition(".")[2]
    roles = {role: list(columns) for role, columns in dataset.roles.items()}
    if kind in ("classify", "regress"):
        used = {name for role, columns in roles.items() if role not in ("label", "field") for name in columns}
        offered = [column.name for column in dataset.columns if column.name not in used]
        now = roles.get("label", [None])[0]
        if not offered:
            return dataset
        chosen = st.selectbox(
            "Target",
            offered,
            index=None if now is None else offered.index(now),
            key=f"target.{dataset.name}",
            placeholder="No column has the role 'label' yet",
            help="The column that is to be foretold; starting a run gives it the role 'label'.",
        )
        if chosen is not None:
            roles["label"] = [chosen]
    elif kind in ("forecast", "detect", "impute") and n_variables(dataset) not in (None, 1):
        chosen_channels = st.multiselect(
            "Target",
            roles["value"],
            default=roles["value"],
            key=f"channels.{dataset.name}",
            help="The channels that are used; starting a run takes the role 'value' from the others.",
        )
        roles["value"] = list(chosen_channels) or roles["value"]
    if "field" in roles:
        roles["field"] = [name for name in roles["field"] if name not in roles.get("label", [])]
    roles = {role: columns for role, columns in roles.items() if columns}
    return dataset if roles == dataset.roles else dataset.seen_with(roles)


def settle(dataset: Dataset) -> Dataset:
    """Write the roles that were chosen, as the next revision, where they differ."""
    return store().dataset(dataset.ref).set_roles(dataset.roles)


def modes(cls: type) -> list[str]:
    """Ways to set up a run of `cls`, the one for whoever just wants an answer first, where there is one."""
    return [FIND, "Default", "Manual", SMART] if _question(cls) else ["Manual", "Default", SMART]


def _question(cls: type) -> str | None:
    kind = registry.recipe_of(cls).rpartition(".")[2]
    return kind if kind in ("classify", "regress", "cluster", "forecast", "detect", "impute") else None


def saved_encoders(cls: type, params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with saved encoders, where some are chosen: they are taken as they are, on any data set."""
    offered = [p.name for p in describe(cls)]
    models = [model.ref for model in store().models.list() if _encoder_name(model) is not None]
    if "encoders" not in offered or not models:
        return dict(params)
    chosen = st.multiselect(
        "Saved encoders",
        models,
        key=f"{cls.__name__}.saved",
        bind="query-params",
        help="Encoders kept from earlier runs, on whatever data set, are taken as they are; of those above "
        "only the ones that you chose yourself are trained beside them.",
    )
    named = [one for one in str(params.get("encoders", "")).split("+") if one]
    found: list[Any] = [*named, *({"$model": ref} for ref in chosen)]
    return {**params, "encoders": found} if chosen else dict(params)


def _encoder_name(model: Model) -> str | None:
    name = model.estimator.rpartition(":")[2].rpartition(".")[2]
    return name if name in ENCODERS else None


def _check_encoders(params: Mapping[str, Any], dataset: Dataset) -> None:
    """Refuse saved encoders that were fitted on another number of variables, or on far longer series."""
    asked = params.get("encoders", ())
    for one in asked if isinstance(asked, list) else ():
        if isinstance(one, dict) and "$model" in one:
            model = store().models.get(one["$model"])
            _check_variables(model, n_variables(dataset), dataset.ref)
            _check_length(model, params.get("window"), dataset)


def _check_variables(model: Model, n_channels: int | None, ref: str) -> None:
    fitted = model.learned("n_channels_")
    if n_channels is not None and fitted is not None and fitted != n_channels:
        raise DatasetError(
            f"The encoder {model.ref} was fitted on {fitted} variables, and {ref} has {n_channels}: choose "
            "another encoder, or give as many columns the role 'value'."
        )


def _check_length(model: Model, window: int | None, dataset: Dataset) -> None:
    """What an encoder looks for must fit into what it is shown; most look for nothing of a fixed length."""
    needed = model.learned("window_size_")  # of TNC
    if _encoder_name(model) == "CSL":
        needed = int(0.8 * model.learned("n_timestamps_"))  # its longest shapelet
    shown = int(_index_of(dataset)["length"].max()) if window is None else int(window)
    if needed is not None and needed > shown:
        what = f"{dataset.ref} has no series of more than {shown}" if window is None else f"is shown {shown}"
        raise DatasetError(
            f"The encoder {model.ref} looks for shapes of {needed} steps, and {what}: choose one that was "
            "fitted on shorter series."
        )


def flow(cls: type, params: Mapping[str, Any], dataset: Dataset, chosen: Pretraining | None = None) -> None:
    """The way from the data to the answer, as the form has it now."""
    if "encoders" not in {p.name for p in describe(cls)}:
        return
    given = {p.name: p.default for p in describe(cls)} | dict(params)
    asked = given["encoders"]
    names = asked.split("+") if isinstance(asked, str) else list(asked)
    tuned = given.get("mode") == "fine_tune"
    chosen = chosen or Pretraining()
    fig = series_flow.flow(
        data=[dataset.ref, *chosen.more],
        encoders=[_box(one, given, chosen.smart) for one in names],
        fusion=str(given["fusion"]),
        task=cls.__name__.removeprefix("UniTS"),
        tuned=tuned,
    )
    plot(fig, "flow")


def _box(one: Any, given: Mapping[str, Any], smart: Sequence[str]) -> tuple[str, str]:
    """An encoder's name, and how it comes about."""
    if isinstance(one, str):
        return one, "searched for" if one in smart else _epochs_of(one, given)
    if "$model" in one:
        return one["$model"], "saved"
    name = one["$estimator"].rpartition(".")[2]
    epochs = one["params"].get("n_epochs")
    return name, _epochs_of(name, {"pretrain_epochs": epochs}) + ", by hand"


def _epochs_of(name: str, given: Mapping[str, Any]) -> str:
    epochs = given["pretrain_epochs"]
    if epochs is None:
        epochs = next(p.default for p in describe(ENCODERS[name.strip()]) if p.name == "n_epochs")
    return f"{epochs} epochs" if epochs else "untrained"


def search_fields(cls: type) -> tuple[int, list[str]]:
    """Fields for a search over hyper-parameters: how many trials, and which parameters to vary."""
    offered = [parameter.name for parameter in search.searchable(cls)]
    st.caption(
        "Optuna draws parameters, learning from the trials before. Each trial is a run, judged on a share of "
        "the train part, first with few epochs, and the best third goes on; the best is then tested. What is "
        "not varied keeps the value given above, and numbers are looked for around it."
    )
    left, right = st.columns([1, 2])
    n_trials = left.number_input("Trials", 2, 200, 20, 1, key="trials", bind="query-params")
    usual = [name for name in ("encoders", "fusion", "learning_rate", "penalty") if name in offered]
    vary = right.multiselect("Vary", offered, default=usual, key=f"vary.{cls.__name__}")
    return int(n_trials), list(vary)


def answer_fields(cls: type) -> dict[str, Any]:
    """What must be known to find the best by itself: minutes, quality, and what the task asks for."""
    left, middle, right = st.columns(3)
    found: dict[str, Any] = {"task": _question(cls)}
    found["quality"] = left.selectbox(
        "Quality",
        ["quick", "good", "best"],
        index=1,
        key="quality",
        bind="query-params",
        help="quick: two encoders at two epochs; good: four encoders and one fusion; best: all six encoders, "
        "two fusions, and fine tuning.",
    )
    found["minutes"] = middle.number_input(
        "Minutes", 1, 1440, 30, 1, key="minutes", bind="query-params", help="After these no trial is begun."
    )
    asked = {"forecast": ("horizon", 24), "cluster": ("n_clusters", 8)}.get(str(found["task"]))
    found["params"] = {}
    if asked is not None:
        name, usual = asked
        value = right.number_input(name, 1, None, usual, 1, key=f"answer.{name}", bind="query-params")
        found["params"] = {name: int(value)}
    st.caption("Baselines and encoders run beside one another, each as a run; the best is then tested.")
    return found


@st.fragment(run_every=2)
def leaderboard(id_: str) -> None:
    """The trials of a search, the best first, as they come in; what is left to do; the best as a model."""
    main = store().run(id_)
    found = search.trials(store(), id_)
    if not found:
        st.info(f"No trial has begun yet: the search is {main.state}.")
        return
    ended = sum(run.is_finished for run in found)
    planned = int(main.spec["params"].get("trials", 0)) or len(found)
    _time_left(main, found, planned)
    best, test = search.winner(found), search.tested(store(), id_)
    judged = None if best is None else search.objective(best)
    if best is not None and judged is not None:
        metric = scores.score_label(judged[0].removeprefix("test_"))
        st.markdown(f"Best so far: {md(best.name.partition(': ')[2])}, {metric} {score(judged[1])}")
        kept = test if test is not None and test.state == "done" else best
        with st.container(horizontal=True):
            navigation.link("run", "Open it", run=best.id)
            if test is not None:
                navigation.link("run", "Its test on the test part", run=test.id)
            navigation.link("run", "The search itself", run=id_)
            name = f"{kept.dataset.partition('@')[0]} {kept.spec['recipe'].rpartition('.')[2]}"
            if st.button("Keep the best as a model", type="primary", help=f"As {name}, in Models."):
                with guard():
                    navigation.open_page("models", model=kept.save_model(name).ref)
    elif ended == len(found) and main.is_finished:
        st.warning("No trial has a score to be judged by: open one to see why.")
    board = search.leaderboard(found)
    board.insert(0, "page", [navigation.address("run", run=i) for i in board.pop("id")])
    columns = {
        "page": st.column_config.LinkColumn("Open", display_text="open", width=60),
        "score": st.column_config.NumberColumn("Score", format="%.4g"),
        "seconds": st.column_config.NumberColumn("Seconds", format="%.1f"),
    }
    table(board, f"board-{id_}", column_config=columns)
    st.caption("Scores are of a share of the train part. Each of these runs is in the list of runs too.")


def _time_left(main: Run, found: list[Run], planned: int) -> None:
    ended = sum(run.is_finished for run in found)
    if main.is_finished:
        st.progress(1.0, text=f"{ended} trials; the search is {main.state}.")
        return
    asked = main.spec["params"]
    left = search.remaining(found, max(planned, len(found)), int(asked.get("at_once", 1)))
    said = (
        f"{ended} of {max(planned, len(found))} trials have ended"
        if "trials" in asked
        else f"{ended} trials ended"
    )
    if "minutes" in asked and main.started:
        rest = max(main.started + 60 * float(asked["minutes"]) - time.time(), 0.0)
        said += f"; trials are begun for {duration(rest)} more"
    if left is not None:
        said += f"; those known take about {duration(left)} more"
    st.progress(ended / max(planned, len(found), 1), text=said)


@st.cache_data(max_entries=20, show_spinner=False)
def _index(ref: str, revision: int, roles: str) -> pd.DataFrame:
    return store().dataset(ref).with_roles(revision).seen_with(json.loads(roles)).series_index()


def _index_of(dataset: Dataset) -> pd.DataFrame:
    return _index(dataset.ref, dataset.role_revision, json.dumps(dataset.roles))


def _labelled(dataset: Dataset) -> tuple[int, int]:
    try:
        index = _index_of(dataset)
    except DatasetError as error:
        st.warning(md(str(error)))
        return 0, 0
    return int(index["label"].notna().sum()), len(index)
