"""Runs as pages show them: state badges, the table, and what is live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench import registry
from workbench.gui import navigation, pipelines
from workbench.gui.context import store
from workbench.gui.panels import plot
from workbench.gui.text import ago, bytes_, duration, md, score
from workbench.plots.scores import curves

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["COLUMNS", "badge", "cards", "facts", "frame", "height", "live", "log_tail"]

LOG_LINES = 200
CARD_LENGTH = 150  # letters of a result on a card
SHOWN_ROWS = 20  # of the table before it scrolls

_COLOURS: dict[str, Any] = {
    "queued": "gray",
    "running": "blue",
    "done": "green",
    "failed": "red",
    "cancelled": "orange",
}

#: How :func:`frame` is shown by ``st.dataframe``. What one looks for first fits a page of 1280 px; the rest,
#: which the run's name says already unless it was given another, is reached by scrolling.
COLUMNS: dict[str, Any] = {
    "page": st.column_config.LinkColumn("Open", display_text="open", width=60),
    "name": st.column_config.TextColumn("Run", width=235),
    "state": st.column_config.TextColumn("State", width=85),
    "progress": st.column_config.ProgressColumn(
        "Progress", min_value=0, max_value=100, format="%.0f %%", width=110
    ),
    "result": st.column_config.TextColumn("Result", width=245),
    "started": st.column_config.TextColumn("Submitted", width=90),
    "took": st.column_config.TextColumn("Took", width=95),
    "estimator": st.column_config.TextColumn("Estimator"),
    "dataset": st.column_config.TextColumn("Data set"),
    "id": st.column_config.TextColumn("Id", width="small"),
}


def badge(state: str) -> None:
    """The state in its colour."""
    st.badge(state, color=_COLOURS.get(state, "gray"))


def _result(run: Run) -> str:
    accuracy = run.scores.get("test_accuracy")
    if run.state == "done" and accuracy is not None:
        text = f"accuracy {score(accuracy)}"
        control = run.scores.get("untrained_test_accuracy")
        return text if control is None else f"{text} (untrained {score(control)})"
    return run.headline if run.state == "done" else run.error


def frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run, with the columns of :data:`COLUMNS`."""
    now = time.time()
    return pd.DataFrame(
        [
            {
                "page": navigation.address("run", run=run.id),
                "name": run.name,
                "state": run.state,
                "progress": 100 * run.progress,
                "result": _result(run),
                "started": ago(run.created, now),
                "took": duration(run.seconds),
                "estimator": run.estimator_name,
                "dataset": run.dataset,
                "id": run.id,
            }
            for run in runs
        ],
        columns=list(COLUMNS),
    )


def height(n_rows: int) -> int:
    """Pixels of a table that shows so many rows, at most :data:`SHOWN_ROWS`, without a bar of its own."""
    return 35 * (min(max(n_rows, 1), SHOWN_ROWS) + 1) + 3


def cards(runs: Sequence[Run]) -> None:
    """A bordered card a run, two beside one another, each a link to the run's page."""
    now = time.time()
    for start in range(0, len(runs), 2):
        for column, run in zip(st.columns(2), runs[start : start + 2], strict=False):
            with column.container(border=True, height="stretch"):
                with st.container(horizontal=True, vertical_alignment="center"):
                    badge(run.state)
                    navigation.link("run", md(run.name), run=run.id)
                if run.state == "running":
                    st.progress(min(max(run.progress, 0.0), 1.0), text=_progress_text(run))
                else:
                    waiting = "Waiting for a worker." if run.state == "queued" else ""
                    told = shorten(_result(run), CARD_LENGTH, placeholder=" …")
                    st.caption(md(told) or waiting or "Stopped before its end.")
                data = f" on {md(run.dataset)}" if run.dataset else ""
                st.caption(f"{md(run.estimator_name)}{data} · {ago(run.created, now)}")


def _progress_text(run: Run) -> str:
    left = f", about {duration(run.remaining)} left" if run.remaining is not None else ""
    return f"{md(run.stage) or 'starting'}: {run.progress:.0%}{left}"


def facts(run: Run) -> None:
    """Who submitted the run, of what commit, and what its process used."""
    used = run.usage
    told = [
        f"by {md(run.owner)}" if run.owner else "",
        f"commit {md(run.git_commit[:10])}" if run.git_commit else "",
        f"on {md(used.get('gpu') or used['device'])}" if used else f"asked for {md(run.device)}",
        f"peak memory {bytes_(used['memory_bytes'])}" if used else "",
        f"of the GPU {bytes_(used['gpu_memory_bytes'])}" if used.get("gpu_memory_bytes") else "",
        f"processor time {duration(used['cpu_seconds'])}" if used else "",
        f"launcher {md(run.launcher)}" if run.launcher != "local" else "",
        f"attempt {run.attempt}" if run.attempt > 1 else "",
    ]
    st.caption(" · ".join(part for part in told if part))


@st.fragment(run_every=1)
def live(run_id: str) -> None:
    """What a queued or running run is doing; loads the page again when it has ended."""
    run = store().run(run_id)
    if run.is_finished:
        st.rerun()
    if run.cancelling:
        st.info("Cancelling: the run saves its checkpoint first.")
    if run.state == "queued":
        _waiting(run)
    else:
        st.progress(min(max(run.progress, 0.0), 1.0), text=_progress_text(run))
        st.caption(f"Running for {duration(run.seconds)} on {md(run.slot or 'a worker')}.")
    if run.recipe == "pipeline":
        pipelines.steps(run)
    _live_figures(run)
    log_tail(run)


def _live_figures(run: Run) -> None:
    metrics = run.metrics()
    if metrics.empty:
        return
    draw = registry.live_of(run.spec["recipe"])
    if draw is None:
        drawn = {"": curves(metrics, x="step", x_title="Epoch", y_title="Mean loss of the epoch")}
    else:
        drawn = draw(metrics)
    for i, (title, fig) in enumerate(drawn.items()):
        if title:
            st.subheader(md(title))
        fig.update_layout(uirevision=run.id)  # a zoom outlives the next second
        plot(fig, f"live-{i}")


def _waiting(run: Run) -> None:
    if not store().queue.workers():
        st.warning("No worker is running, so this run waits: start one with `python -m workbench worker`.")
        return
    ahead = [
        other
        for other in store().runs(state="queued")
        if (-other.priority, other.created) < (-run.priority, run.created)
    ]
    st.info(f"Waiting for a free worker; {len(ahead)} run{'s' * (len(ahead) != 1)} ahead in the queue.")


def log_tail(run: Run) -> None:
    """The last lines of the run's log."""
    with st.expander("Log", expanded=run.state in ("running", "failed"), key=f"log-{run.id}"):
        st.code(run.log(tail=LOG_LINES) or "Nothing has been logged yet.", language=None, height=240)
