"""Runs side by side on a page: what was changed, what came of it, how it went, and what each left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench import significance
from workbench.comparison import PAIRS, Comparison, less_is_better
from workbench.errors import WorkbenchError
from workbench.gui import choices, navigation, result, runs
from workbench.gui.context import store
from workbench.gui.failures import show
from workbench.gui.panels import plot, python, table
from workbench.gui.text import bytes_, md, score
from workbench.plots import compare as plots
from workbench.plots.scores import score_label
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["artifacts", "asked", "changes", "curves", "link", "results", "selection", "show_python"]

MAX_RUNS = 100
MAX_BESIDE = 6  # runs whose figures and tables stand beside each other
_PAIR_WORDS = {"dataset": "data sets (seeds averaged)", "seed": "data sets and seeds"}


def asked() -> list[Run]:
    """The runs that the address names, ``?runs=a,b,c``; those that are gone are named and left out."""
    found = []
    for id_ in [part for part in st.query_params.get("runs", "").split(",") if part][:MAX_RUNS]:
        try:
            found.append(store().run(id_))
        except WorkbenchError as error:
            show(error)
    return found


def _set_asked(ids: Sequence[str]) -> None:
    st.query_params["runs"] = ",".join(ids)


def selection(compared: Comparison) -> None:
    """The runs that are compared; some can be taken away, others added."""
    frame = runs.frame(compared.runs)
    groups = compared.groups()
    frame.insert(1, "group", groups["group"])
    ids = [run.id for run in compared.runs]
    chosen = st.dataframe(
        frame,
        column_config=runs.COLUMNS | {"group": st.column_config.TextColumn("Group", width=220)},
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="multi-row",
        key=f"compared-{hash(tuple(ids))}",
    )
    picked = {ids[row] for row in chosen["selection"]["rows"]}
    rest = [id_ for id_ in ids if id_ not in picked]
    with st.container(horizontal=True):
        for label, left in (
            (f"Take away ({len(picked)})", rest),
            (f"Keep only ({len(picked)})", sorted(picked)),
        ):
            st.button(label, disabled=not picked or not left, on_click=_set_asked, args=(left,))
        with st.popover("Add runs", icon=":material/add:"):
            _adding(ids)


def _adding(ids: Sequence[str]) -> None:
    others = {run.id: run for run in store().runs(limit=200) if run.id not in ids}
    more = st.multiselect(
        "Runs",
        list(others),
        format_func=lambda id_: f"{others[id_].name} · {others[id_].dataset} · {id_}",
        key="compare.more",
    )
    st.button("Add", type="primary", disabled=not more, on_click=_set_asked, args=([*ids, *more],))


def link() -> str:
    """The address that restores this view, in full where the server knows it."""
    base = (st.context.url or navigation.address("compare")).partition("?")[0]
    return f"{base}?{urlencode(st.query_params.to_dict(), safe=',')}"


def changes(compared: Comparison) -> None:
    """Only what differs between the runs."""
    found = compared.parameters()
    names = _names(compared.runs)
    main = found[found["kind"] != "environment"].drop(columns="kind")
    rest = found[found["kind"] == "environment"].drop(columns="kind")
    if main.empty:
        st.caption("The runs have the same parameters, data set, split, seed and device.")
    else:
        table(_text(main).rename(columns=names), "changes")
    if not rest.empty:
        with st.expander(f"Environment: {len(rest)} difference{'s' * (len(rest) != 1)}"):
            table(_text(rest).rename(columns=names), "environment", download=False)


def results(compared: Comparison) -> None:
    """Mean and spread by group, whether the differences are more than chance, and every score."""
    names = compared.score_names()
    if not names:
        st.info("None of these runs has a score yet.")
        return
    left, right = st.columns(2)
    chosen = choices.pick("Score", names, key="score", place=left)
    if chosen is None:
        return
    pairs = right.selectbox(
        "Methods are paired by",
        [None, *PAIRS],
        format_func=lambda kind: _PAIR_WORDS.get(kind or "", "what the runs allow"),
        key="pairs",
        bind="query-params",
    )
    summary = compared.summary(chosen)
    less = less_is_better(chosen)
    if not summary.empty:
        st.caption(
            f"Mean ± standard deviation over the runs of a group, which differ by their seed. "
            f"{'Less' if less else 'More'} is better."
        )
        plot(plots.spread(summary, compared.values(chosen), score=chosen), "spread")
        shown = summary.assign(
            result=[_mean_sd(*pair) for pair in zip(summary["mean"], summary["sd"], strict=True)]
        )
        table(shown[["group", "n", "result", "mean", "sd", "best", "worst"]], "groups")
    st.subheader("More than chance?")
    _significance(compared.matrix(chosen, pairs), less=less)
    with st.expander("All scores"):
        table(compared.scores().rename(columns=_names(compared.runs)), "scores")


def _significance(scores: pd.DataFrame, *, less: bool) -> None:
    by = " and ".join("data set" if name == "dataset" else str(name) for name in scores.index.names if name)
    if scores.shape[1] < 2:
        st.caption("There is one method only: add runs with other parameters or another estimator.")
        return
    pairs = significance.pairwise(scores)
    if not (pairs["n"] > 1).any():
        st.caption(
            f"No two methods share more than one {by}: run each on the same data sets, or the same seeds."
        )
        return
    told = int((pairs["p_holm"] < 0.05).sum())
    st.markdown(
        f"Wilcoxon's signed-rank test over each {by}, with Holm's correction for {len(pairs)} "
        f"pair{'s' * (len(pairs) != 1)}: **{told or 'none'}** below 0.05."
    )
    least = float(pairs["least_p"].max())
    if least > 0.05:
        few = int(pairs["n"].min())
        st.caption(f"With {few} pairs no p-value below {score(least)} is possible: no test could tell more.")
    if scores.index.names == ["dataset", "seed"] and len(set(scores.index.get_level_values(0))) == 1:
        st.caption("Seeds of one data set: what is found holds for this data set and says nothing of others.")
    table(pairs[["first", "second", "n", "difference", "p_holm", "p", "statistic", "least_p"]], "pairs")
    ranks = significance.average_ranks(scores, less_is_better=less)
    if ranks is None:
        st.caption("Average ranks need two methods with scores in the same two places.")
        return
    friedman = f"Friedman's test: p = {score(ranks.p)}. " if ranks.p == ranks.p else ""
    st.markdown(
        f"{friedman}Average ranks over {ranks.n_blocks} complete places; methods whose ranks lie within the "
        f"critical difference of {ranks.critical_difference:.2f} (Nemenyi, 0.05) are joined."
    )
    data = ranks.average.rename("average_rank").rename_axis("method").reset_index()
    plot(plots.average_ranks(ranks), "ranks", data=data)


def curves(compared: Comparison) -> None:
    """The curves of all runs in one figure, by run or by group; best and last values below."""
    points = compared.curves
    names = list(dict.fromkeys(points["curve"]))
    if not names:
        st.caption("None of these runs has reported a curve.")
        return
    left, right = st.columns([3, 2])
    chosen = choices.pick("Curve", names, key="curve", place=left)
    by = right.segmented_control(
        "Lines",
        ["Runs", "Groups"],
        default="Runs",
        required=True,
        key="lines",
        bind="query-params",
    )
    if chosen is None:
        return
    title = score_label(chosen.rpartition("/")[2])
    if by == "Groups":
        banded = compared.bands(chosen)
        plot(plots.bands(banded, y_title=title), "bands", data=banded)
    else:
        drawn = points[points["curve"] == chosen].dropna()
        plot(plots.overlay(drawn, _names(compared.runs), y_title=title), "overlay", data=drawn)
    endings = compared.endings()
    endings = endings[endings["curve"] == chosen].drop(columns="curve")
    table(endings.assign(run=endings["run"].map(_names(compared.runs))), "endings")


def artifacts(compared: Comparison) -> None:
    """Figures, tables and files of the runs beside each other."""
    some = compared.runs[:MAX_BESIDE]
    if len(compared.runs) > MAX_BESIDE:
        st.caption(f"The first {MAX_BESIDE} of {len(compared.runs)} runs.")
    reports = {run.id: report for run in some if (report := _report(run)) is not None}
    _beside(
        "Figure",
        some,
        {run.id: _figures(run, reports.get(run.id)) for run in some},
        lambda run, name, fig: plot(go.Figure(fig), f"{name}-{run.id}"),  # the theme is the reader's
    )
    _beside(
        "Table",
        some,
        {id_: report.tables for id_, report in reports.items()},
        lambda run, name, frame: table(frame, f"{name}-{run.id}"),
    )
    files = {run.id: {name: path.stat().st_size for name, path in run.artifacts.items()} for run in some}
    every = sorted({name for found in files.values() for name in found})
    if every:
        with st.expander(f"Files ({len(every)})"):
            rows = [
                {
                    "file": name,
                    **{run.id: bytes_(files[run.id][name]) if name in files[run.id] else "–" for run in some},
                }
                for name in every
            ]
            table(pd.DataFrame(rows).rename(columns=_names(some)), "files", download=False)


def _beside(
    kind: str, some: Sequence[Run], things: dict[str, dict[str, Any]], draw: Callable[[Run, str, Any], object]
) -> None:
    names = list(dict.fromkeys(name for found in things.values() for name in found))
    if not names:
        return
    chosen = choices.pick(kind, names, key=kind.lower())
    having = [run for run in some if chosen in things.get(run.id, {})]
    for start in range(0, len(having), 2):
        for column, run in zip(st.columns(2), having[start : start + 2], strict=False):
            with column:
                navigation.link("run", md(_names(some)[run.id]), run=run.id)
                draw(run, str(chosen), things[run.id][str(chosen)])


def _report(run: Run) -> Report | None:
    if run.state != "done":
        return None
    try:
        return result.report_of(run)
    except WorkbenchError as error:
        show(error)
        return None


def _figures(run: Run, report: Report | None) -> dict[str, go.Figure]:
    return {} if report is None else _drawn(str(store().dir.root), run.id, run.finished)


@st.cache_resource(max_entries=10 * MAX_BESIDE, show_spinner=False)
def _drawn(root: str, id_: str, finished: float | None) -> dict[str, go.Figure]:
    """The figures of a run that has ended, which are the same for good; one of them is looked at."""
    run = store().run(id_)
    return result.drawn(run, result.report_of(run))


def show_python(compared: Comparison, chosen: str | None) -> None:
    """The Python that makes the same tables."""
    ids = [run.id for run in compared.runs]
    lines = ["import workbench as wb", "", f"compared = wb.open().compare({ids!r})", "compared.parameters()"]
    if chosen:
        lines += [
            f"compared.summary({chosen!r})",
            "",
            "from workbench.significance import average_ranks, pairwise",
            "",
            f"pairwise(compared.matrix({chosen!r}))",
            f"average_ranks(compared.matrix({chosen!r}), less_is_better={less_is_better(chosen)})",
        ]
    python("\n".join(lines))


def _names(some: Sequence[Run]) -> dict[str, str]:
    """How each run is called: by its name, and where that is not its own by its id too."""
    count = pd.Series([run.name for run in some]).value_counts()
    return {run.id: run.name if count[run.name] == 1 else f"{run.name} · {run.id[:6]}" for run in some}


def _text(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.map(lambda value: "–" if value is None else str(value))


def _mean_sd(mean: float, sd: float) -> str:
    return score(mean) if sd != sd else f"{score(mean)} ± {score(sd)}"
