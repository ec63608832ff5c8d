"""The result page of a representation (recipe ``timeseries.represent``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.gui import result
from workbench.gui.panels import plot
from workbench.plots import represent, scores, series
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["view"]

#: Series drawn for one brush of the map, and channels drawn of each.
MAX_SERIES, MAX_CHANNELS = 8, 6


def view(run: Run, report: Report) -> None:
    """Scores with the control, the map with the series behind it, shapelets, confusion, losses."""
    result.score_cards(report, hidden=("C",))  # the probe's penalty is no score
    tables = report.tables
    if _has(report, "embedding"):
        _map(run, tables["embedding"])
    if _has(report, "matches") and _has(report, "shapelets"):
        _shapelets(run, report)
    left, right = st.columns(2)
    pairs = scores.score_pairs(report.scores)
    if len(pairs):
        with left:
            st.subheader("Trained and untrained")
            plot(scores.score_bars(pairs), "scores", data=pairs)
    if _has(report, "confusion"):
        with right:
            st.subheader("Confusion on the test series")
            plot(scores.confusion(tables["confusion"]), "confusion", data=tables["confusion"])
    if _has(report, "per_class"):
        result.per_class(report)
    if _has(report, "curve"):
        st.subheader("Losses")
        plot(scores.curves(tables["curve"]), "losses", data=tables["curve"])
    if _has(report, "importance"):
        with st.expander("Importance of the shapelets"):
            plot(scores.importance_bars(tables["importance"]), "importance", data=tables["importance"])
    result.tables(report)


def _has(report: Report, name: str) -> bool:
    return name in report.tables and len(report.tables[name]) > 0


def _map(run: Run, embedding: pd.DataFrame) -> None:
    st.subheader("Map of the series")
    st.caption(
        "Click a point, or several with the box tool above the map, to see the series below it. "
        "Hollow points were trained on, filled ones are test series, a cross is one predicted wrongly."
    )
    state = plot(represent.embedding_map(embedding), "embedding", data=embedding, on_select="rerun")
    points = state["selection"]["points"] if state else []
    ids = list(dict.fromkeys(str(point["customdata"][0]) for point in points if point.get("customdata")))
    if not ids:
        return
    named = {str(i): i for i in embedding["id"]}
    chosen = result.series_of(run, [named[i] for i in ids[:MAX_SERIES]])
    if chosen is None:
        return
    if len(ids) > MAX_SERIES:
        st.caption(f"The first {MAX_SERIES} of {len(ids)} chosen series.")
    X, channels = chosen.X[:, :, :MAX_CHANNELS], chosen.channels[:MAX_CHANNELS]
    if len(channels) < len(chosen.channels):
        st.caption(f"The first {MAX_CHANNELS} of {len(chosen.channels)} channels.")
    fig = series.series(
        X,
        channels=channels,
        names=[str(i) for i in chosen.ids],
        labels=None if chosen.y is None else list(chosen.y),
        all_labels=list(embedding["label"]) if "label" in embedding else None,
    )
    plot(fig, "chosen-series")


def _shapelets(run: Run, report: Report) -> None:
    """One shapelet over one of the series it matches best."""
    st.subheader("Shapelets over the series they match")
    matches, shapelets = report.tables["matches"], report.tables["shapelets"]
    ranked = _ranked(report, list(pd.unique(matches["shapelet"])))
    left, right = st.columns(2)
    shapelet = left.selectbox(
        "Shapelet, the most important first",
        ranked,
        key="shapelet",
        bind="query-params",
    )
    here = matches[matches["shapelet"] == shapelet].sort_values("rank")
    best = {str(row.id): row for row in here.itertuples()}
    name = right.selectbox("Series, the best match first", list(best), key="match", bind="query-params")
    if name is None:
        return
    chosen = result.series_of(run, [best[name].id])
    if chosen is None:
        return
    pattern = shapelets[shapelets["shapelet"] == shapelet]
    shown = [c for c in chosen.channels if str(c) in set(pattern["channel"].astype(str))][:MAX_CHANNELS]
    columns = [chosen.channels.index(c) for c in shown]
    key = (str(run.folder), run.finished, str(shapelet), name)
    fig = _shapelet_on_series(key, chosen.X[0][:, columns], shown, pattern, int(best[name].start))
    plot(go.Figure(fig), "shapelet")  # a copy: the theme is the reader's


@st.cache_resource(max_entries=100, show_spinner=False)
def _shapelet_on_series(
    key: tuple[str, float | None, str, str], _series: Any, _channels: Any, _shapelet: Any, _start: int
) -> go.Figure:
    """Made once: a panel a channel takes longer than the rest of the page."""
    return represent.shapelet_on_series(
        _series, channels=_channels, shapelet=_shapelet, start=_start, name=f"series {key[-1]}"
    )


def _ranked(report: Report, names: list[Any]) -> list[Any]:
    if not _has(report, "importance"):
        return names
    table = report.tables["importance"]
    rank = table.set_index(table["component"].astype(str))["score"].to_dict()
    return sorted(names, key=lambda name: -rank.get(str(name), 0.0))
