"""The result pages of an analysis of modalities and of a race of remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.gui import navigation, result
from workbench.gui.panels import plot, table
from workbench.gui.text import md
from workbench.plots import modality as plots
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["assignment", "race_view", "view"]

_QUANTITIES = (
    "validation_loss",
    "train_loss",
    "gradient_share",
    "cosine",
    "ogm_ratio",
    "ogr",
    "validation_score",
)


def assignment(guessed: dict[str, list[str]], names: list[str], *, key: str) -> dict[str, list[str]]:
    """A table in which each column's modality is edited; an empty cell leaves the column out."""
    owner = {column: modality for modality, columns in guessed.items() for column in columns}
    frame = pd.DataFrame({"column": names, "modality": [owner.get(name, "") for name in names]})
    edited = st.data_editor(
        frame, key=key, hide_index=True, disabled=["column"], height=min(420, 60 + 35 * len(names))
    )
    chosen: dict[str, list[str]] = {}
    for column, modality in zip(edited["column"], edited["modality"].fillna(""), strict=True):
        if str(modality).strip():
            chosen.setdefault(str(modality).strip(), []).append(column)
    return chosen


def view(run: Run, report: Report) -> None:
    """Winners and losers, contributions, dynamics, and what to do."""
    tables = report.tables
    result.score_cards(report, hidden=[n for n in report.scores if n.startswith(("alone_", "retention_"))])
    _advice(tables["advice"], run)
    left, right = st.columns(2)
    with left:
        st.subheader("Alone and together")
        plot(plots.score_overview(tables["scores"]), "scores", data=tables["scores"])
    with right:
        st.subheader("What each encoder keeps")
        plot(plots.retention(tables["modalities"]), "retention", data=tables["modalities"])
        st.caption("A linear probe of the encoder, joint against alone; bars are two standard errors.")
    if "per_class" in tables and len(tables["per_class"]):
        st.subheader("Who wins each class")
        plot(plots.class_winners(tables["per_class"]), "classes", data=tables["per_class"])
        st.caption("Recall that the branch lost in joint training; the star is the winner, beyond noise.")
    _contributions(tables)
    st.subheader("Over the epochs")
    quantity = st.selectbox("Quantity", _QUANTITIES, key="quantity", bind="query-params")
    plot(plots.dynamics(tables["dynamics"], str(quantity)), "dynamics", data=tables["dynamics"])
    with st.expander("Advanced: information, use and permutation tests"):
        if len(tables["information"]):
            plot(plots.information(tables["information"]), "information", data=tables["information"])
        table(tables["modalities"].round(4), "modalities")
        table(tables["utilisation"].round(4), "utilisation")
    result.tables(report)


def _advice(steps: pd.DataFrame, run: Run) -> None:
    st.subheader("What to do")
    for step in steps.itertuples():
        st.markdown(f"- **{md(str(step.action).replace('_', ' '))}**: {md(str(step.reason))}.")
    if "leave as it is" not in set(steps["action"]):
        navigation.link(
            "modality",
            "Race the remedies on this data",
            data=run.spec["dataset"]["ref"],
            estimator="modality.RemedyRace",
        )


def _contributions(tables: dict[str, Any]) -> None:
    functions = list(pd.unique(tables["contributions"]["value_function"]))
    if not functions:
        return
    st.subheader("What each modality contributes")
    function = str(
        st.selectbox("A modality is taken away by", functions, key="function", bind="query-params")
    )
    left, right = st.columns(2)
    with left:
        plot(
            plots.contributions(tables["contributions"], function),
            "contributions",
            data=tables["contributions"],
        )
    with right:
        if function in set(tables["interactions"]["value_function"]):
            plot(plots.interactions(tables["interactions"], function), "synergy", data=tables["interactions"])


def race_view(run: Run, report: Report) -> None:
    """The race, what each remedy does, and its tables."""
    result.score_cards(report)
    plot(plots.race(report.tables["race"]), "race", data=report.tables["race"])
    table(report.tables["remedies"], "remedies")
    result.tables(report)
