"""What the page of time series asks of the pre-training: on which data sets, and how of each encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench import registry
from workbench.datasets.roles import layout
from workbench.errors import DatasetError, WorkbenchError
from workbench.gui import forms
from workbench.gui.context import store
from workbench.timeseries._task import ENCODERS

if TYPE_CHECKING:
    from workbench.datasets import Dataset

__all__ = ["Pretraining", "fields", "n_variables"]

#: Recipes that can do with series of several data sets, and with encoders that are searched for.
_JOINED = ("timeseries.represent", "timeseries.classify", "timeseries.regress")
_SEARCHED = (*_JOINED, "timeseries.cluster")


@dataclass(frozen=True)
class Pretraining:
    """What was chosen.

    Attributes
    ----------
    params : dict
        The estimator's parameters, encoders set up by hand among its encoders.
    more : list of str
        Further data sets to pre-train on.
    domain : bool
        Whether these are the target of a shift.
    smart : list of str
        Encoders whose parameters are searched for first.
    """

    params: dict[str, Any] = field(default_factory=dict)
    more: list[str] = field(default_factory=list)
    domain: bool = False
    smart: list[str] = field(default_factory=list)

    @property
    def needs_pipeline(self) -> bool:
        """Whether it takes more than one run."""
        return bool(self.more or self.smart)

    @property
    def asked(self) -> dict[str, Any]:
        """What the pipeline ``units`` is given beside the task's data."""
        return {"more": self.more, "params": self.params, "smart": self.smart, "domain": self.domain}


def fields(cls: type, params: Mapping[str, Any], dataset: Dataset, refs: Sequence[str]) -> Pretraining:
    """Fields for the data sets to pre-train on, and for the mode of each encoder.

    Parameters
    ----------
    cls : type
    params : mapping
        The estimator's parameters as chosen so far.
    dataset : Dataset
        What the task is about.
    refs : sequence of str
        All data sets of series.

    Returns
    -------
    Pretraining
    """
    recipe = registry.recipe_of(cls)
    more, domain = _more(recipe, dataset, refs)
    chosen: dict[str, Any] = dict(params)
    smart: list[str] = []
    if "encoders" in getattr(cls, "_parameter_constraints", {}):
        chosen, smart = _encoders(cls, params, searched=recipe in _SEARCHED)
    # What is refused is refused after all fields are drawn, or those below would forget what they hold.
    for ref in more:
        _check(dataset, store().dataset(ref))
    if smart and "label" not in dataset.roles:
        raise DatasetError(
            f"The parameters of {smart[0]} are searched for by what labels say, and {dataset.ref} has none: "
            "set it up by hand, or give a column the role 'label'."
        )
    return Pretraining(chosen, more, domain, smart)


def _encoders(cls: type, params: Mapping[str, Any], *, searched: bool) -> tuple[dict[str, Any], list[str]]:
    """A mode for each encoder; returns the parameters with those set up by hand, and what is searched for."""
    asked = params.get("encoders", "TS2Vec")
    named = asked.split("+") if isinstance(asked, str) else list(asked)
    words = [one.strip() for one in named if isinstance(one, str)]
    encoders: list[Any] = []
    smart: list[str] = []
    modes = ["Default", "Manual"] + (["Smart"] if searched else [])
    for name in words:
        mode = st.segmented_control(
            f"Pre-training of {name}",
            modes,
            default="Default",
            required=True,
            key=f"{name}.mode",
            bind="query-params",
            help="Default: as published. Manual: every parameter of its own. Smart: searched for first, by "
            "runs that Optuna asks for and that labels judge.",
        )
        if mode == "Manual":
            with st.container(border=True):
                epochs = params.get("pretrain_epochs")
                given = {} if epochs is None else {"n_epochs": epochs}
                given |= forms.parameters(ENCODERS[name], prefix=f"{cls.__name__}.{name}")
            forms.check(ENCODERS[name], given)
            encoders.append({"$estimator": f"timeseries.{name}", "params": given})
        else:
            encoders.append(name)
            smart += [name] if mode == "Smart" else []
    encoders += [one for one in named if not isinstance(one, str)]
    chosen = dict(params)
    if any(isinstance(one, dict) and "$estimator" in one for one in encoders):
        chosen["encoders"] = encoders
    return chosen, smart


def _more(recipe: str, dataset: Dataset, refs: Sequence[str]) -> tuple[list[str], bool]:
    others = [ref for ref in refs if ref.partition("@")[0] != dataset.name]
    if recipe not in _JOINED or not others:
        return [], False
    left, right = st.columns([2, 1])
    more = left.multiselect(
        "Pre-train on these data sets too",
        others,
        key="more",
        bind="query-params",
        help="Their series are learnt from without labels. They need as many variables; lengths may differ.",
    )
    domain = False
    if more and recipe != "timeseries.represent":
        domain = right.checkbox(
            "They are the target of a shift",
            key="shift",
            bind="query-params",
            help="Labels are learnt from the first data set alone, and the scores are of these.",
        )
    return list(more), bool(domain)


def _check(dataset: Dataset, other: Dataset) -> None:
    """Refuse a data set of another number of variables.

    Raises
    ------
    DatasetError
    """
    mine, theirs = n_variables(dataset), n_variables(other)
    if mine is not None and theirs is not None and mine != theirs:
        raise DatasetError(
            f"{other.ref} has {theirs} variables and {dataset.ref} has {mine}: only data sets of as many can "
            "be pre-trained on together."
        )


def n_variables(dataset: Dataset) -> int | None:
    """Variables of a data set's series; None where only reading it would tell."""
    try:
        kind = layout(dataset.roles)
    except WorkbenchError:
        return None
    if kind == "fully long":
        return None
    return len(dataset.roles["value"]) if kind == "long" else 1
