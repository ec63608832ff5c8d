"""The result page of a search for fields."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.gui import navigation, result
from workbench.gui.panels import plot, table
from workbench.gui.text import bytes_, md
from workbench.plots import scores
from workbench.plots import selection as plots
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["budget_hint", "kinds", "view"]

_HIDDEN = ("retrained_test_auc", "bytes", "full_bytes", "n_fields", "n_kept")


def budget_hint(method: type) -> str:
    """What decides how many fields a method keeps, in a sentence."""
    names = inspect.signature(method).parameters
    budgets = {"max_fields": "fields", "max_bytes": "bytes", "max_latency_ms": "milliseconds a request"}
    offered = [f"at most so many {unit} ({name})" for name, unit in budgets.items() if name in names]
    if not offered:
        return ""
    rule = "Either the penalty (λ)" if "penalty" in names else "Either the method's own rule"
    return f"{rule} decides how many fields are dropped, or a budget: {', or '.join(offered)}."


def kinds(guessed: dict[str, str], *, key: str) -> dict[str, str]:
    """A table in which the kind of each field is edited; returns the kinds that differ from the guess."""
    frame = pd.DataFrame({"field": list(guessed), "kind": list(guessed.values())})
    edited = st.data_editor(
        frame,
        key=key,
        hide_index=True,
        disabled=["field"],
        column_config={
            "kind": st.column_config.SelectboxColumn(
                "kind", options=["categorical", "numeric", "multi", "sequence"], required=True
            )
        },
        height=min(420, 60 + 35 * len(frame)),
    )
    chosen = dict(zip(edited["field"], edited["kind"], strict=True))
    return {name: kind for name, kind in chosen.items() if kind != guessed[name]}


def view(run: Run, report: Report) -> None:
    """Kept and dropped fields, gates, AUC by number of fields, size, calibration, and the SQL."""
    tables = report.tables
    for note in tables["notes"]["note"]:
        st.warning(md(note))
    result.score_cards(report, hidden=[*_HIDDEN, *(n for n in report.scores if n.startswith("full_"))])
    _lists(tables["importance"], tables["seeds"]["seed"].unique().tolist() if "seeds" in tables else [])
    left, right = st.columns(2)
    with left:
        st.subheader("Scores")
        plot(
            scores.importance_bars(tables["importance"], top=40, score_title="Score"),
            "importance",
            data=tables["importance"],
        )
        if "path" in tables and len(tables["path"]) > 1:
            st.caption(
                "A point for every penalty of the path that a field outlived; the decimals are its gate."
            )
    with right:
        if "gates" in tables:
            st.subheader("Gates over the search")
            kept = set(tables["importance"].loc[tables["importance"]["kept"].astype(bool), "component"])
            plot(plots.gate_paths(tables["gates"], kept), "gates", data=tables["gates"])
            st.caption("Grey: fields that are dropped. A gate of exactly 0 gives its field no say at all.")
    left, right = st.columns(2)
    with left:
        st.subheader("AUC by number of fields")
        plot(plots.auc_by_k(tables["curve"]), "curve", data=tables["curve"])
        st.caption("New models on the best fields of each ranking. The band: 95 % over the test rows.")
    with right:
        st.subheader("Before and after")
        plot(plots.before_after(tables["models"], tables["curve"]), "models", data=tables["models"])
        _difference(tables["models"])
    if "path" in tables and len(tables["path"]) > 1:
        st.subheader("The path of penalties")
        plot(plots.penalty_path(tables["path"]), "path", data=tables["path"])
    left, right = st.columns(2)
    with left:
        st.subheader("Calibration")
        plot(plots.calibration(tables["calibration"]), "calibration", data=tables["calibration"])
    with right:
        st.subheader("Each field alone")
        plot(plots.memorised(tables["fields"]), "fields", data=tables["fields"])
        st.caption("A field that is far better on the training rows than on others only memorises.")
    sql = str(tables["sql"]["sql"].iloc[0])
    st.subheader("The kept columns")
    st.code(sql, language="sql")
    with st.container(horizontal=True):
        st.download_button(
            "Query", f"{sql};\n", f"{run.id}-fields.sql", icon=":material/download:", on_click="ignore"
        )
        navigation.link("sql", "Run it in the SQL box", sql=sql)
    result.tables(report)


def _lists(importance: pd.DataFrame, seeds: list[int]) -> None:
    left, right = st.columns(2)
    for place, title, mask in (
        (left, "Kept", importance["kept"].astype(bool)),
        (right, "Dropped", ~importance["kept"].astype(bool)),
    ):
        part = importance.loc[mask, ["component", "score", "cost"]]
        if seeds:
            part = part.assign(
                **{"kept by": [f"{n} of {len(seeds)} seeds" for n in importance["seeds"][mask]]}
            )
        with place:
            st.subheader(f"{title} ({len(part)})")
            if len(part):
                shown = part.rename(columns={"component": "field", "cost": "bytes"})
                table(shown.round({"score": 4}), title.lower(), height=min(300, 40 + 35 * len(part)))
            else:
                st.caption("None.")


def _difference(models: pd.DataFrame) -> None:
    by = models.set_index("model").to_dict("index")
    full, pruned = by["full"], by["pruned"]
    st.caption(
        f"{full['n_fields'] - pruned['n_fields']} fields less: "
        f"{bytes_(full['bytes'])} → {bytes_(pruned['bytes'])}, "
        f"{full['latency_ms']:.2f} → {pruned['latency_ms']:.2f} ms a request of 100 rows, "
        f"AUC {full['auc']:.4f} → {pruned['auc']:.4f}{_gain(pruned)}, "
        f"log loss {full['logloss']:.4f} → {pruned['logloss']:.4f}."
    )


def _gain(pruned: dict[Any, Any]) -> str:
    """The difference with its interval; runs of earlier versions have none."""
    if "gain" not in pruned:
        return ""
    return f" ({pruned['gain']:+.4f}, 95 % {pruned['gain_low']:+.4f} to {pruned['gain_high']:+.4f})"
