"""What the page of time series says of a task before it is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench import registry, search
from workbench.arrays import Split
from workbench.errors import DatasetError
from workbench.gui import access, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import table
from workbench.gui.text import count, md, score
from workbench.plots import scores
from workbench.timeseries.tasks import refuse

if TYPE_CHECKING:
    from workbench.datasets import Dataset

__all__ = ["advice", "check", "leaderboard", "search_fields"]

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
        known, n = _labelled(dataset.ref, dataset.role_revision)
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


def check(cls: type, params: Mapping[str, Any], dataset: Dataset, split: Split) -> None:
    """Refuse, in one sentence, what is bound to fail.

    Raises
    ------
    DatasetError
    """
    recipe = registry.recipe_of(cls)
    if not recipe.startswith("timeseries."):
        return
    index = _index(dataset.ref, dataset.role_revision)
    values = set(dataset.roles["value"])
    columns = pd.DataFrame(
        [
            {
                "name": column["name"],
                "n": dataset.n_rows,
                "missing": column["missing"],
                "least": column.get("min"),
                "most": column.get("max"),
            }
            for column in dataset.profile["columns"]
            if column["name"] in values
        ],
        columns=["name", "n", "missing", "least", "most"],
    )
    refuse(recipe, params, index, columns, split)


def search_fields(cls: type) -> tuple[int, list[str]]:
    """Fields for a search over hyper-parameters: how many trials (0 for none), and which to vary."""
    offered = [parameter.name for parameter in search.searchable(cls)]
    with st.expander("Search for better parameters"):
        st.caption(
            "Every trial is a run of its own, judged on a share of the train part; the best is then tested. "
            "What is not varied keeps the value given above, and numbers are drawn around it."
        )
        left, right = st.columns([1, 2])
        n_trials = left.number_input(
            "Trials (0 for no search)", 0, 200, 0, 1, key="trials", bind="query-params"
        )
        usual = [name for name in ("encoders", "fusion", "learning_rate", "penalty") if name in offered]
        vary = right.multiselect("Vary", offered, default=usual, key=f"vary.{cls.__name__}")
    return int(n_trials), list(vary)


@st.fragment(run_every=2)
def leaderboard(name: str) -> None:
    """The trials of a search, the best first, as they come in; and the way to test the best."""
    found = search.trials(store(), name)
    if not found:
        st.info(f"There is no search {md(name)}: its runs may have been deleted.")
        return
    ended = sum(run.is_finished for run in found)
    st.progress(ended / len(found), text=f"{ended} of {len(found)} trials have ended")
    best = search.winner(found)
    judged = None if best is None else search.objective(best)
    if best is not None and judged is not None:
        metric = scores.score_label(judged[0].removeprefix("test_"))
        number = best.name.partition(" trial ")[2].partition(" ")[0]
        st.markdown(f"Best so far: trial {md(number)}, {metric} {score(judged[1])}")
        with st.container(horizontal=True):
            navigation.link("run", "Open it", run=best.id)
            if st.button("Train the best on the whole train part and test it", type="primary"):
                with guard():
                    run = search.submit_winner(store(), best, owner=access.owner())
                    navigation.open_page("run", run=run.id)
    elif ended == len(found):
        st.warning("No trial has a score to be judged by: open one to see why.")
    board = search.leaderboard(found)
    board.insert(0, "page", [navigation.address("run", run=i) for i in board.pop("id")])
    columns = {
        "page": st.column_config.LinkColumn("Open", display_text="open", width=60),
        "score": st.column_config.NumberColumn("Score", format="%.4g"),
        "seconds": st.column_config.NumberColumn("Seconds", format="%.1f"),
    }
    table(board, f"board-{name}", column_config=columns)
    st.caption("Scores are of a share of the train part. Each of these runs is in the list of runs too.")


@st.cache_data(max_entries=20, show_spinner=False)
def _index(ref: str, revision: int) -> pd.DataFrame:
    return store().dataset(ref).with_roles(revision).series_index()


def _labelled(ref: str, revision: int) -> tuple[int, int]:
    try:
        index = _index(ref, revision)
    except DatasetError as error:
        st.warning(md(str(error)))
        return 0, 0
    return int(index["label"].notna().sum()), len(index)
