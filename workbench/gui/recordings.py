"""The result pages of forecasting, anomaly detection and imputation: what happens along the time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from workbench.gui import navigation, result
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import plot, table
from workbench.gui.tasks import losses, peers
from workbench.gui.text import count, md, moment
from workbench.plots import anomalies, comparison, forecasts, imputation, scores
from workbench.plots.series import dated
from workbench.report import Report
from workbench.timeseries.tasks.detect import alarms

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["detect", "forecast", "impute"]

#: Variables drawn under a track.
MAX_VARIABLES = 6


def forecast(run: Run, report: Report) -> None:
    """What comes next, forecasts of the test part beside what came, errors by step and peers."""
    tables = report.tables
    result.score_cards(report, hidden=("season",))
    found = tables["forecasts"]
    name = _pick("Series", list(pd.unique(found["id"].astype(str))), key="series")
    channels = list(pd.unique(found["channel"].astype(str)))
    chosen = st.multiselect(
        "Variables", channels, default=channels[: forecasts.MAX_CHANNELS], key="channels"
    )[: forecasts.MAX_CHANNELS]
    if not chosen:
        st.info("Choose at least one variable.")
        return
    mine = found[found["id"].astype(str) == name]
    history = tables["history"][tables["history"]["id"].astype(str) == name]
    future = tables["future"][tables["future"]["id"].astype(str) == name]
    times = result.times_of(run, name)
    if len(future):
        st.subheader("What comes next")
        plot(dated(forecasts.fan(history, future, chosen), times), "future", data=future)
    st.subheader("Forecasts of the test part")
    origins = sorted(int(origin) for origin in mine["origin"].unique())
    origin = origins[-1]
    if len(origins) > 1:
        moments = [] if times is None else [moment(time) for time in times]
        origin = st.select_slider(
            "Foretold from step" if times is None else "Foretold from",
            origins,
            value=origins[-1],
            key="origin",
            format_func=lambda step: str(step) if times is None else moments[step],
        )
    one = mine[mine["origin"] == origin]
    plot(dated(forecasts.fan(history, one, chosen), times), "forecast", data=one)
    left, right = st.columns(2)
    with left:
        st.subheader("Error by steps ahead")
        plot(comparison.lines_by_step(tables["by_step"], "mse"), "by-step", data=tables["by_step"])
        st.caption("In units of the variables' variance in the train part.")
    with right:
        peers(report)
    losses(report)
    result.tables(report)


def detect(run: Run, report: Report) -> None:
    """The track with a threshold to move, the alarms, the variables below, and peers."""
    tables = report.tables
    result.score_cards(report, hidden=("flagged", "threshold"))  # both stand below, beside the slider
    name = _pick("Series", list(pd.unique(tables["track"]["id"].astype(str))), key="series")
    track = tables["track"][tables["track"]["id"].astype(str) == name].reset_index(drop=True)
    _thresholded(run, report, track)
    peers(report)
    losses(report)
    result.tables(report)


@st.fragment
def _thresholded(run: Run, report: Report, track: pd.DataFrame) -> None:
    """Only this part is drawn again when the threshold moves."""
    st.subheader("Score over time")
    top = float(np.nanmax(track["score"]))
    first = float(report.scores["threshold"])
    left, right = st.columns([2, 1])
    threshold = left.slider(
        "Threshold", 0.0, max(top, first) * 1.02, first, format="%.4g", key="threshold", width="stretch"
    )
    below = right.checkbox("Variables below", value=False, key="variables", bind="query-params")
    rates = anomalies.precision_recall(track, threshold)
    flagged = float((track["score"] > threshold).mean())
    with st.container(horizontal=True):
        for label, value in {"flagged": flagged, **rates}.items():
            with st.container(border=True, width=result.CARD_WIDTH):
                st.metric(scores.score_label(label), f"{value:.1%}" if label == "flagged" else f"{value:.3f}")
    values = _variables(run, track) if below else None
    times = _times(run, track["id"].iloc[0])
    plot(dated(anomalies.track(track, threshold, values=values), times), "track", data=track)
    if len(track) > anomalies.MAX_POINTS:
        st.caption(
            f"{count(len(track))} steps; of each stretch the highest score is drawn, so that no peak is lost."
        )
    found = alarms(track, threshold)
    st.subheader(f"Alarms ({len(found)})")
    if len(found):
        shown = found.rename(columns={"anomalous": "truly anomalous"}).round({"peak": 3})
        if times is not None:
            for column, words in (("start", "from"), ("end", "to")):
                shown[words] = times[found[column].to_numpy(dtype=int)]
        if (found["id"] == found["id"].iloc[0]).all():
            shown = shown.drop(columns="id")
        state = table(
            shown,
            "alarms",
            height=min(300, 40 + 35 * len(shown)),
            on_select="rerun",
            selection_mode="multi-row",
        )
        _marks(run, found.iloc[state["selection"]["rows"]])
        if found["anomalous"].isna().all():
            st.caption("No column has the role 'anomaly', so that nobody knows which of these are true.")
    else:
        st.caption("No step is above the threshold.")


def _marks(run: Run, chosen: pd.DataFrame) -> None:
    """Say of chosen alarms whether they are true: a new version of the data set has it as a label."""
    with st.container(horizontal=True, vertical_alignment="center"):
        false = st.button(f"False alarm ({len(chosen)})", disabled=chosen.empty, icon=":material/thumb_down:")
        true = st.button(f"True alarm ({len(chosen)})", disabled=chosen.empty, icon=":material/thumb_up:")
        if chosen.empty:
            st.caption("Choose alarms to say whether they are true.", width="content")
    if not (false or true):
        return
    with guard():
        # The latest version, so that marks add up.
        dataset = store().dataset(run.dataset.partition("@")[0])
        spans = [(row["id"], int(row["start"]), int(row["end"]), true) for row in chosen.to_dict("records")]
        made = dataset.mark_steps(spans)
        st.success(
            f"Kept in {md(made.ref)}, in its column with the role 'anomaly': a new run is judged by it."
        )
        again = {"data": made.ref, "estimator": run.spec["estimator"]}
        navigation.link("time_series", "Run it again on that version", **again)


def _times(run: Run, id_: object) -> pd.DatetimeIndex | None:
    """The series' times; read once, as its variables are."""
    key = f"times.{run.id}.{id_}"
    if key not in st.session_state:
        for old in [name for name in st.session_state if str(name).startswith("times.")]:
            del st.session_state[old]
        st.session_state[key] = result.times_of(run, id_)
    kept: pd.DatetimeIndex | None = st.session_state[key]
    return kept


def _variables(run: Run, track: pd.DataFrame) -> pd.DataFrame | None:
    """The series' variables at the steps of its track; read once, not at every move of the threshold."""
    key = f"variables.{run.id}.{track['id'].iloc[0]}"
    if key not in st.session_state:
        found = result.series_of(run, [track["id"].iloc[0]])
        if found is None:
            return None
        steps = track["step"].to_numpy()
        columns = {name: found.X[0, steps, i] for i, name in enumerate(found.channels[:MAX_VARIABLES])}
        for old in [name for name in st.session_state if str(name).startswith("variables.")]:
            del st.session_state[old]  # one series at a time
        st.session_state[key] = pd.DataFrame({"step": steps, **columns})
    kept: pd.DataFrame = st.session_state[key]
    return kept


def impute(run: Run, report: Report) -> None:
    """Hidden stretches beside what they were filled with, errors by share hidden, what was filled, peers."""
    tables = report.tables
    result.score_cards(report)
    st.subheader("Hidden on purpose, and filled")
    cells = tables["cells"]
    names = list(pd.unique(cells["id"].astype(str)))
    left, right = st.columns([1, 2]) if len(names) > 1 else (st, st)
    name = _pick("Series", names, key="series", place=left)
    channels = list(pd.unique(cells["channel"].astype(str)))
    chosen = right.multiselect(
        "Variables", channels, default=channels[: imputation.MAX_CHANNELS], key="channels"
    )
    one = cells[(cells["id"].astype(str) == name) & cells["channel"].astype(str).isin(chosen)]
    if len(one):
        plot(dated(imputation.hidden_stretches(one), result.times_of(run, name)), "cells", data=one)
    left, right = st.columns(2)
    with left:
        st.subheader("Error by share hidden")
        masks = [str(mask) for mask in pd.unique(tables["errors"]["mask"])]
        mask = _pick("Hidden as", masks, key="mask")
        plot(imputation.errors(tables["errors"], mask), "errors", data=tables["errors"])
    with right:
        peers(report)
    if len(tables["filled"]):
        st.subheader(f"Missing in the data, and filled ({count(len(tables['filled']))})")
        table(tables["filled"].round({"imputed": 4}), "filled", height=300)
    losses(report)
    result.tables(report)


def _pick(label: str, options: list[str], *, key: str, place: object = st) -> str:
    """A choice that is in the address; nothing is asked where there is nothing to choose from."""
    if len(options) == 1:
        return options[0]
    chosen = place.selectbox(label, options, key=key, bind="query-params")  # type: ignore[attr-defined]
    return str(chosen) if chosen in options else options[0]
