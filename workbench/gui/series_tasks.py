"""What the page of time series says of a task before it is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench import registry
from workbench.arrays import Split
from workbench.errors import DatasetError
from workbench.gui import navigation
from workbench.gui.context import store
from workbench.gui.text import count, md
from workbench.timeseries.tasks import refuse

if TYPE_CHECKING:
    from workbench.datasets import Dataset

__all__ = ["advice", "check"]

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
