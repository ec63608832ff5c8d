"""Pipelines as pages show them: their form, their graph, and what starts them by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.errors import UsageError
from workbench.gui import access, forms, imports, navigation, result
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import plot, table
from workbench.gui.text import ago, duration, md
from workbench.plots import pipelines as plots
from workbench.runs import notices

if TYPE_CHECKING:
    from workbench.pipelines import Pipeline
    from workbench.report import Report
    from workbench.runs import Run
    from workbench.runs.schedules import Schedule

__all__ = ["backfill", "code", "history", "overview", "schedules", "start", "steps", "view"]

SHOWN = 200

_STEP_COLUMNS: dict[str, Any] = {
    "page": st.column_config.LinkColumn("Run", display_text="open", width="small"),
    "name": st.column_config.TextColumn("Step"),
    "state": st.column_config.TextColumn("State", width="small"),
    "progress": st.column_config.ProgressColumn("Progress", min_value=0, max_value=100, format="%.0f %%"),
    "took": st.column_config.TextColumn("Took", width="small"),
    "attempt": st.column_config.NumberColumn("Attempt", width="small"),
    "result": st.column_config.TextColumn("Result", width="large"),
}


# --- a run's page -------------------------------------------------------------------------------


def steps(run: Run) -> None:
    """The graph of a pipeline run as it is now, and its steps with links to their runs."""
    found = store().pipelines.steps(run.id)
    if found.empty:
        st.caption("No step has been asked for yet.")
        return
    plot(plots.graph(found), f"graph-{run.id}")
    shown = pd.DataFrame(
        {
            "page": [navigation.address("run", run=child) if child else None for child in found["child"]],
            "name": found["name"],
            "state": found["state"],
            "progress": 100 * found["progress"],
            "took": [duration(None if pd.isna(seconds) else seconds) for seconds in found["seconds"]],
            "attempt": found["attempt"],
            "result": [_result(row) for row in found.to_dict("records")],
        }
    )
    table(shown, f"steps-{run.id}", column_config=_STEP_COLUMNS, download=False)


def view(run: Run, report: Report) -> None:
    """The body of the result page of a pipeline."""
    pages = [path for name, path in run.artifacts.items() if name.startswith("files/")]
    with st.container(horizontal=True):
        for path in pages:
            st.download_button(
                path.name,
                path.read_bytes,
                file_name=f"{run.id}-{path.name}",
                key=f"file-{path.parent.name}-{path.name}",
                icon=":material/description:",
                on_click="ignore",
            )
    result.score_cards(report)
    st.subheader("Steps")
    steps(run)
    st.subheader("Time")
    plot(plots.timeline(report.tables["steps"]), "timeline")


def _result(row: Mapping[Any, Any]) -> str:
    if row["error"]:
        return str(row["error"])
    again = "as done before: " if isinstance(row["reused"], str) else ""
    output = json.loads(row["output"]) if row["output"] else None
    if isinstance(output, dict) and "headline" in output:
        return f"{again}{output['headline']}"
    text = "" if output is None else json.dumps(output)
    return again + (text if len(text) <= SHOWN else f"{text[:SHOWN]} …")


# --- what there is ------------------------------------------------------------------------------


def overview() -> list[str]:
    """A table of all pipelines with their last run and next time; returns their names."""
    declared = store().pipelines.list()
    for problem in store().pipelines.broken().values():
        st.warning(md(problem))
    kept = store().schedules.list()
    now = time.time()
    rows = []
    for each in declared:
        last = next(iter(store().pipelines.runs(each.name, limit=1)), None)
        due = [moment for s in kept if s.pipeline == each.name for moment in s.upcoming(1)]
        rows.append(
            {
                "name": each.name,
                "summary": each.summary,
                "last": "never run" if last is None else f"{last.state}, {ago(last.created, now)}",
                "next": _moment(min(due)) if due else "",
            }
        )
    if rows:
        labels = {
            "name": st.column_config.TextColumn("Pipeline", width=130),
            "summary": st.column_config.TextColumn("What it does", width=535),
            "last": st.column_config.TextColumn("Last run", width=145),
            "next": st.column_config.TextColumn("Next by schedule", width=140),
        }
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", key="all", column_config=labels)
    return [each.name for each in declared]


# --- starting -----------------------------------------------------------------------------------


def start(declared: Pipeline) -> dict[str, Any]:
    """The form of a pipeline, drawn from its typed parameters; returns what it holds.

    Not an ``st.form``: the forms of dates and schedules below take its values, which a form would keep to
    itself.
    """
    params: dict[str, Any] = {}
    with guard():
        params = forms.typed(declared.parameters, prefix=declared.name, datasets=_names())
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    day = left.date_input("Logical date", value=datetime.now(UTC).date(), key="date", bind="query-params")
    reuse = right.checkbox(
        "Reuse finished steps", value=True, key="reuse", bind="query-params",
        help="Steps that an earlier run did with the same code and inputs are not done again.",
    )  # fmt: skip
    pressed = st.button("Start", type="primary")
    if pressed:
        with guard():
            _inside(declared, params)
            run = store().pipelines.run(
                declared.name, params, date=_one_day(day), reuse=reuse, owner=access.owner()
            )
            navigation.open_page("run", run=run.id)
    return params


def backfill(declared: Pipeline, params: Mapping[str, Any]) -> None:
    """A form that queues a run for each date of a range, with the parameters of the form above."""
    with st.expander("A range of dates"), st.form("backfill", border=False):
        today = datetime.now(UTC).date()
        left, right = st.columns(2)
        first = left.date_input("From", value=today - timedelta(days=7), key="first")
        last = right.date_input("To (included)", value=today, key="last")
        again = st.checkbox("Also dates that are done or queued", key="again")
        if st.form_submit_button("Queue a run for each date"):
            with guard():
                _inside(declared, params)
                runs = store().pipelines.backfill(
                    declared.name, _one_day(first), _one_day(last), params, again=again, owner=access.owner()
                )
                st.toast(f"Queued: {len(runs)} run{'s' * (len(runs) != 1)}.")


def history(name: str) -> Run | None:
    """The latest runs of a pipeline; returns the newest."""
    found = store().pipelines.runs(name, limit=50)
    if not found:
        st.info("This pipeline has not run yet: start it above.")
        return None
    now = time.time()
    shown = pd.DataFrame(
        {
            "page": [navigation.address("run", run=run.id) for run in found],
            "date": [run.spec["date"] for run in found],
            "state": [run.state for run in found],
            "result": [run.headline or run.error for run in found],
            "by": [run.schedule or run.owner or "hand" for run in found],
            "when": [ago(run.created, now) for run in found],
            "took": [duration(run.seconds) for run in found],
        }
    )
    labels: dict[str, Any] = {
        "page": st.column_config.LinkColumn("Open", display_text="open", width="small"),
        "date": st.column_config.TextColumn("Date", width="small"),
        "state": st.column_config.TextColumn("State", width="small"),
        "result": st.column_config.TextColumn("Result", width="large"),
        "by": st.column_config.TextColumn("Started by", width="small"),
        "when": st.column_config.TextColumn("Queued", width="small"),
        "took": st.column_config.TextColumn("Took", width="small"),
    }
    table(shown, f"runs-{name}", column_config=labels, download=False)
    return found[0]


def code(declared: Pipeline, params: Mapping[str, Any]) -> str:
    """The Python that does what the form does."""
    given = {name: value for name, value in params.items() if not _is_empty(value)}
    return (
        "import workbench as wb\n\n"
        f"run = wb.open().pipelines.run({declared.name!r}, {given!r})\n"
        "run.wait().headline"
    )


# --- schedules ----------------------------------------------------------------------------------


def schedules(declared: Pipeline, params: Mapping[str, Any]) -> None:
    """What starts this pipeline by itself: a list to act on, a form that adds to it, and its history."""
    kept = [each for each in store().schedules.list() if each.pipeline == declared.name]
    if kept:
        _listed(kept)
    else:
        st.info("Nothing starts this pipeline by itself yet: add a schedule below.")
    _add(declared, params)
    ticks = store().schedules.ticks(limit=500)
    ticks = ticks[ticks["schedule"].isin([each.name for each in kept])]
    if len(ticks):
        with st.expander("History of the schedules"):
            pages = [navigation.address("run", run=run) if run else "" for run in ticks["run"]]
            shown = ticks.assign(page=pages)
            link = st.column_config.LinkColumn("Run", display_text="open", width="small")
            table(
                shown[["due", "schedule", "outcome", "note", "page"]], f"ticks-{declared.name}",
                column_config={"page": link},
            )  # fmt: skip
    told = [
        n
        for n in notices.recent(store().dir)
        if n["schedule"] in {s.name for s in kept} or _is_of(n, declared)
    ]
    if told:
        with st.expander("Notices"):
            columns = ["kind", "title", "text", "sent"]
            frame = pd.DataFrame(told)
            frame["sent"] = [_sent(notice) for notice in told]
            table(frame[columns], f"notices-{declared.name}")


def _listed(kept: Sequence[Schedule]) -> None:
    shown = pd.DataFrame(
        {
            "Schedule": [each.name for each in kept],
            "When": [each.words for each in kept],
            "Next five times": [", ".join(_moment(due) for due in each.upcoming()) or "–" for each in kept],
            "State": ["paused" if each.paused else "on" for each in kept],
            "If the last one still runs": [each.overlap for each in kept],
            "Made up after a pause of the worker": [each.catch_up for each in kept],
        }
    )
    chosen = st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="multi-row",
        key=f"schedules-{hash(tuple((each.name, each.paused) for each in kept))}",
    )
    picked = [kept[row].name for row in chosen["selection"]["rows"]]
    with st.container(horizontal=True):
        for label, action in (("Pause", "pause"), ("Resume", "resume"), ("Delete", "delete")):
            st.button(
                f"{label} ({len(picked)})" if picked else label,
                disabled=not picked,
                on_click=_act,
                args=(action, picked),
                key=f"schedule-{action}",
            )


def _act(action: str, names: Sequence[str]) -> None:
    with guard():
        for name in names:
            getattr(store().schedules, action)(name)


def _add(declared: Pipeline, params: Mapping[str, Any]) -> None:
    known = [parameter.name for parameter in declared.parameters]
    with (
        st.expander("Add a schedule, with the parameters of the form above"),
        st.form("schedule", border=False),
    ):
        left, middle, right = st.columns(3)
        name = left.text_input("Name", value=f"{declared.name} by night", key="schedule-name")
        trigger = middle.selectbox(
            "Starts", ["at times", "for a new version of", "for a new file in"], key="trigger"
        )
        what = right.text_input(
            "Cron time, data set or folder", value="30 2 * * *", key="what",
            help="Minute, hour, day of the month, month, day of the week; or a data set; or a folder.",
        )  # fmt: skip
        zone = left.text_input("Time zone", value="UTC", key="zone")
        overlap = middle.selectbox("If the last one still runs", ["skip", "queue", "allow"], key="overlap")
        catch_up = right.selectbox("Of what was missed, make up", ["last", "none", "all"], key="catch_up")
        fills = left.selectbox("The new version or file goes to", ["", *known], key="fills")
        if not st.form_submit_button("Add"):
            return
        with guard():
            _inside(declared, params)
            at_times, for_data = trigger == "at times", trigger == "for a new version of"
            folder = None if at_times or for_data else str(_server_folder(what))
            store().schedules.add(
                name, declared.name, {k: v for k, v in params.items() if not _is_empty(v)}, zone=zone,
                fills=fills, overlap=overlap, catch_up=catch_up, owner=access.owner(),
                cron=what if at_times else None, dataset=what if for_data else None, folder=folder,
            )  # fmt: skip
            st.rerun()


# --- small things -------------------------------------------------------------------------------


def _names() -> list[str]:
    return [dataset.name for dataset in store().datasets.list()]


def _inside(declared: Pipeline, params: Mapping[str, Any]) -> None:
    """Let paths that were typed into a page lie only where imports may read."""
    for parameter in declared.parameters:
        value = params.get(parameter.name)
        if parameter.kind == "folder" and isinstance(value, str) and value:
            _server_folder(value)


def _server_folder(text: str) -> Path:
    folders = imports.import_folders()
    if not folders:
        raise UsageError(
            "No folder of the server may be read: name some in WORKBENCH_IMPORT_DIRS when you start it."
        )
    fixed, brace, rest = text.partition("{")  # what {date} stands for is not known yet
    if brace and ".." in Path(rest).parts:
        raise UsageError(f"{text!r} leads out of its folder.")
    return imports.server_path(fixed.rpartition("/")[0] if brace else fixed, folders)


def _one_day(value: Any) -> date:
    return value if isinstance(value, date) else value[0]


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value is forms.EMPTY


def _is_of(notice: Mapping[str, Any], declared: Pipeline) -> bool:
    return bool(notice["run"]) and any(r.id == notice["run"] for r in store().pipelines.runs(declared.name))


def _sent(notice: Mapping[str, Any]) -> str:
    if notice["sent"]:
        return f"sent {ago(notice['sent'], time.time())}"
    return notice["error"] or "not sent: no address is configured, or not yet"


def _moment(due: datetime) -> str:
    return due.strftime("%a %d %b %H:%M")
