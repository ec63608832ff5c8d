"""The Modality page's table of columns, and the result pages of an analysis and of a race of remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.errors import UsageError
from workbench.gui import access, navigation, result
from workbench.gui.context import store
from workbench.gui.panels import plot, table
from workbench.gui.text import md, score
from workbench.modality import columns
from workbench.modality.remedies import REMEDIES
from workbench.plots import modality as plots
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.arrays import Split
    from workbench.datasets import Dataset
    from workbench.runs import Run

__all__ = ["assignment", "check", "race_view", "rows", "submit_each", "view"]

#: Rows by which a column is judged to be text before a run.
_FIRST_ROWS = 1000


def assignment(guessed: dict[str, list[str]], names: list[str], *, key: str) -> dict[str, list[str]]:
    """Two tables: one names the guessed modalities anew, the other moves single columns between them.

    An emptied name leaves the columns out. Two modalities of one name become one.

    Parameters
    ----------
    guessed : dict of str to list of str
    names : list of str
        All columns that may be used.
    key : str
        Of the widgets.

    Returns
    -------
    dict of str to list of str
        Modality to its columns.
    """
    few = pd.DataFrame(
        {
            "modality": list(guessed),
            "columns": [len(columns) for columns in guessed.values()],
            "among them": [", ".join(columns[:3]) for columns in guessed.values()],
        }
    )
    renamed = st.data_editor(
        few,
        key=f"{key}.names",
        hide_index=True,
        disabled=["columns", "among them"],
        width="stretch",
        column_config={
            "modality": st.column_config.TextColumn("Modality", help="Empty it to leave its columns out."),
            "columns": st.column_config.NumberColumn("Columns", width="small"),
            "among them": st.column_config.TextColumn("Among them", width="large"),
        },
    )
    called = dict(zip(guessed, renamed["modality"].fillna("").astype(str).str.strip(), strict=True))
    owner = {column: modality for modality, columns in guessed.items() for column in columns}
    frame = pd.DataFrame({"column": names, "modality": [owner.get(name, "") for name in names]})
    with st.expander(f"Column by column ({len(names)})"):
        edited = st.data_editor(
            frame,
            key=f"{key}.columns",
            hide_index=True,
            disabled=["column"],
            height=min(420, 60 + 35 * len(names)),
            column_config={
                "column": st.column_config.TextColumn("Column"),
                "modality": st.column_config.TextColumn(
                    "Modality", help="As guessed, before renaming; a new name begins a new modality."
                ),
            },
        )
    chosen: dict[str, list[str]] = {}
    for column, modality in zip(edited["column"], edited["modality"].fillna(""), strict=True):
        name = called.get(str(modality).strip(), str(modality).strip())
        if name:
            chosen.setdefault(name, []).append(column)
    return chosen


def rows(roles: dict[str, list[str]]) -> None:
    """Say what the data set's roles make of its rows: their weights, and which are never divided."""
    said = [
        f"Training rows count by their weight, the column {md(name)}." for name in roles.get("weight", [])
    ]
    said += [
        f"Rows of one {md(name)} stay together in training, validation and test."
        for name in roles.get("user", [])
    ]
    if not said:
        said = [
            "A column with the role 'weight' weighs the training rows; those of one 'user' stay together."
        ]
    st.caption(" ".join(said))


def check(chosen: dict[str, list[str]], dataset: Dataset, *, rivals: bool) -> None:
    """Refuse, before a run is queued, what the first rows show to be impossible.

    Parameters
    ----------
    chosen : dict of str to list of str
        Columns of each modality.
    dataset : Dataset
    rivals : bool
        Whether modalities will be compared, so that there have to be two.

    Raises
    ------
    ModalitiesError
    """
    names = [column.name for column in dataset.columns]
    columns.assign(chosen, names)
    if rivals:
        columns.check_rivals(chosen, len(names))
    columns.check_text(
        dataset.frame([c for part in chosen.values() for c in part], limit=_FIRST_ROWS), chosen
    )


def submit_each(dataset: Dataset, params: dict[str, object], split: Split, seed: int) -> list[Run]:
    """Queue a run of its own for each remedy of a race; they are compared in the list of runs.

    Raises
    ------
    UsageError
        If a remedy does not exist.
    """
    from workbench.modality.race import DEFAULT_RACE, candidates

    shared = {k: v for k, v in params.items() if k not in ("remedies", "task", "n_seeds", "metric")}
    names = params.get("remedies", DEFAULT_RACE)
    if not isinstance(names, (list, tuple)) or not names:
        raise UsageError("remedies must be a list of names.")
    racing = candidates(list(names), task=str(params.get("task", "classification")), **shared)
    return [
        store().submit(
            estimator,
            dataset,
            split=split,
            seed=seed,
            name=f"{name.replace('_', ' ')} on {dataset.ref}",
            owner=access.owner(),
        )
        for name, estimator in racing.items()
    ]


def view(run: Run, report: Report) -> None:
    """Winners and losers, contributions, dynamics, and what to do."""
    tables = report.tables
    _cards(report)
    _advice(tables["advice"], run)
    _notes(tables)
    left, right = st.columns(2)
    with left:
        st.subheader("Alone and together")
        plot(plots.score_overview(tables["scores"]), "scores", data=tables["scores"])
        st.caption(
            "Blue is the joint network, the other colours networks for one modality each, grey what combines "
            "these; linear reads all columns at once. Whiskers are two standard errors."
        )
    with right:
        st.subheader("What each encoder keeps")
        plot(plots.retention(tables["modalities"]), "retention", data=tables["modalities"])
        st.caption(
            "What a linear probe finds in the encoder trained jointly, of what it finds in the one trained "
            "alone. Orange lost something beyond noise; whiskers are two standard errors."
        )
    if "per_class" in tables and len(tables["per_class"]):
        st.subheader("Who wins each class")
        plot(plots.class_winners(tables["per_class"]), "classes", data=tables["per_class"])
        st.caption(
            "Recall of each modality's own network less that of its branch of the joint network: the deeper "
            "the orange, the more joint training leaves the class to others. The star is who lost least, "
            "beyond noise; a class without one has no winner."
        )
    _contributions(tables)
    _dynamics(tables["dynamics"])
    _advanced(tables)
    result.tables(report)


def _cards(report: Report) -> None:
    """The four numbers that the verdict rests on, with two standard errors of the differences."""
    table = report.tables["scores"]
    error = dict(zip(table["name"], table["error"].astype(float), strict=True))
    alone = {name: report.scores[f"alone_{name}"] for name in report.tables["modalities"]["modality"]}
    best = max(alone, key=lambda name: alone[name])
    cards = [
        ("Joint network", report.scores["test_score"], f"{score(report.scores['train_score'])} in training"),
        (f"Best alone: {best}", alone[best], "a network for it only"),
        ("Competition gap", report.scores["gap"], "best alone less joint"),
        ("Headroom", report.scores["headroom"], "separate networks combined, less joint"),
    ]
    with st.container(horizontal=True):
        for (title, value, caption), row in zip(cards, ("", "", "gap", "headroom"), strict=True):
            with st.container(border=True, width=168):
                st.metric(md(title), f"{value:+.3f}" if row else score(value))
                st.caption(md(f"± {2 * error[row]:.3f}; {caption}" if row else caption))


def _advice(steps: pd.DataFrame, run: Run) -> None:
    st.subheader("What to do")
    for step in steps.itertuples():
        action = str(step.action)
        does = f" ({md(REMEDIES[action].does)})" if action in REMEDIES else ""
        st.markdown(f"- **{md(action.replace('_', ' '))}**{does}: {md(str(step.reason))}.")
    if "leave as it is" not in set(steps["action"]):
        navigation.link(
            "modality",
            "Race the remedies on this data",
            data=run.spec["dataset"]["ref"],
            estimator="modality.RemedyRace",
        )


def _notes(tables: dict[str, pd.DataFrame]) -> None:
    for note in tables["notes"]["note"]:
        st.caption(f":material/info: {md(note)}")


def _contributions(tables: dict[str, pd.DataFrame]) -> None:
    functions = list(pd.unique(tables["contributions"]["value_function"]))
    if not functions:
        return
    st.subheader("What each modality contributes")
    function = str(
        st.selectbox(
            "Taking a modality away means",
            functions,
            format_func=lambda name: plots.FUNCTIONS.get(name, name),
            key="function",
            bind="query-params",
        )
    )
    left, right = st.columns(2)
    with left:
        plot(
            plots.contributions(tables["contributions"], function),
            "contributions",
            data=tables["contributions"],
        )
        st.caption("Shapley values: from the score of guessing by frequency to the score with everything.")
    if function in set(tables["interactions"]["value_function"]):
        with right:
            plot(plots.interactions(tables["interactions"], function), "synergy", data=tables["interactions"])
            st.caption(
                "Synergy of pairs: blue tell more together than apart, orange tell the same and replace one "
                "another."
            )


def _dynamics(curves: pd.DataFrame) -> None:
    st.subheader("Over the epochs")
    left, right = st.columns(2)
    quantity = str(
        left.selectbox(
            "Quantity",
            list(plots.QUANTITIES),
            format_func=lambda name: plots.QUANTITIES[name][0],
            key="quantity",
            bind="query-params",
        )
    )
    network = str(
        right.selectbox(
            "Network",
            ["joint", "alone"],
            format_func={"joint": "the joint network", "alone": "a network for each modality"}.__getitem__,
            key="network",
            bind="query-params",
        )
    )
    if not len(curves.query("quantity == @quantity and network == @network")):
        st.info("This is measured in the joint network only.")
        return
    plot(plots.dynamics(curves, quantity, network=network), "dynamics", data=curves)
    st.caption(f"{plots.QUANTITIES[quantity][1]} Lines are means over the seeds, bands their range.")


def _advanced(tables: dict[str, pd.DataFrame]) -> None:
    with st.expander("Advanced: information, use and permutation tests"):
        if len(tables["information"]):
            st.markdown("**Information about the target**")
            plot(plots.information(tables["information"]), "information", data=tables["information"])
            st.caption(
                "Partial information decomposition of clustered modalities, pair by pair, less what permuted "
                "labels show."
            )
        st.markdown("**Every modality**")
        table(tables["modalities"].round(4), "modalities")
        st.caption(
            "p_value: chance that a modality whose rows are exchanged scores as well; drop: score lost when "
            "it is muted; perceptual: the same for exchanged rows, of the score; branch_alone: the joint "
            "network with the others muted, no measure of the encoder."
        )
        st.markdown("**Conditional utilisation**")
        table(tables["utilisation"].round(4), "utilisation")
        st.caption("Share of the score with both that is lost without the first.")


def race_view(run: Run, report: Report) -> None:
    """The race, what each remedy does and costs, and its tables."""
    result.score_cards(report, hidden=("seconds",))
    raced = report.tables["race"]
    st.subheader("The race")
    plot(plots.race(raced), "race", data=raced)
    seeds = raced["seed"].nunique()
    judged = "of one training" if seeds == 1 else f"means over {seeds} trainings"
    st.caption(
        f"Dots are scores on rows kept for validation, {judged}; the star is kept and trained on all rows. "
        "The grey mark is plain joint training of as many epochs as the remedy takes in all: what lies to "
        "the right of its mark helps."
    )
    st.subheader("What was raced")
    mean = raced.drop(columns="seed").groupby("remedy", sort=False).mean().reset_index()
    shown = mean.merge(report.tables["remedies"], on="remedy").sort_values("validation", ascending=False)
    shown["remedy"] = shown["remedy"].str.replace("_", " ")
    order = ["remedy", "gain", "validation", "baseline", "test", "epochs", "seconds", "does", "source"]
    three = st.column_config.NumberColumn(format="%.3f")
    table(
        shown[[name for name in order if name in shown]],
        "remedies",
        column_config={
            "gain": st.column_config.NumberColumn(format="%+.3f", help="validation less baseline"),
            "validation": three,
            "baseline": three,
            "test": st.column_config.NumberColumn(
                format="%.3f", help="Of the training without the validation rows; it decides nothing."
            ),
            "epochs": st.column_config.NumberColumn(format="%d", help="its preparatory trainings included"),
            "seconds": st.column_config.NumberColumn(format="%.1f"),
            "does": st.column_config.TextColumn("what it does", width="large"),
        },
    )
    result.tables(report)
