"""The result pages of classification, regression and clustering of series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.gui import result
from workbench.gui.panels import plot
from workbench.gui.text import md
from workbench.plots import classes, clusters, comparison, regression, scores, series
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["baselines", "classify", "cluster", "losses", "peers", "regress"]

#: Channels drawn of a series, and medoids drawn at once.
MAX_CHANNELS, MAX_SERIES = 6, 8


def classify(run: Run, report: Report) -> None:
    """Peers, confusion, accuracy by number of labels, and each series beside its probabilities."""
    tables = report.tables
    result.score_cards(report)
    left, right = st.columns(2)
    with left:
        peers(report)
    with right:
        st.subheader("Confusion on the test series")
        plot(scores.confusion(tables["confusion"]), "confusion", data=tables["confusion"])
    st.subheader("Accuracy by number of labels")
    st.caption(
        "Encoders stay as they were trained on all series; only the head learns again, from fewer labels, a "
        "few of every class first."
    )
    plot(comparison.label_curve(tables["label_curve"]), "label-curve", data=tables["label_curve"])
    _probabilities(run, tables["probabilities"])
    result.per_class(report)
    losses(report)
    result.tables(report)


def _probabilities(run: Run, shares: pd.DataFrame) -> None:
    st.subheader("Probabilities beside the series")
    shares = shares.assign(name=shares["id"].astype(str))
    wrong = shares["label"].astype(str) != shares["predicted"].astype(str)
    # Errors first, the surest of them at the top: there is most to learn from.
    ordered = shares.assign(wrong=wrong).sort_values(["wrong", "sure"], ascending=[False, False])
    told: dict[str, str] = {
        str(row.name): f"{row.name}: {row.predicted} ({row.sure:.0%}), truly {row.label}"
        for row in ordered[["name", "predicted", "sure", "label"]].itertuples(index=False)
    }
    chosen = st.selectbox(
        f"Test series, the {int(wrong.sum())} wrong ones first",
        list(told),
        format_func=told.__getitem__,
        key="series",
        bind="query-params",
    )
    if chosen is None:
        return
    left, right = st.columns([1, 2])
    row = shares[shares["name"] == chosen].iloc[0]
    with left:
        plot(classes.probability_bars(shares, chosen), "probabilities")
    with right:
        found = result.series_of(run, [row["id"]])
        if found is not None:
            fig = series.series(
                found.X[:, :, :MAX_CHANNELS],
                channels=found.channels[:MAX_CHANNELS],
                names=[chosen],
                labels=[row["label"]],
                all_labels=[name[2:] for name in shares.columns if name.startswith("p:")],
            )
            plot(fig, "one-series")


def regress(run: Run, report: Report) -> None:
    """Predicted against true numbers, and peers."""
    result.score_cards(report)
    left, right = st.columns(2)
    with left:
        st.subheader("Predicted and true")
        predictions = report.tables["predictions"]
        plot(regression.true_predicted(predictions), "predictions", data=predictions)
    with right:
        peers(report)
    losses(report)
    result.tables(report)


def cluster(run: Run, report: Report) -> None:
    """The map of clusters, their medoids, and the labels in each."""
    tables = report.tables
    result.score_cards(report)
    left, right = st.columns([3, 2])
    with left:
        st.subheader("Map of the clusters")
        plot(clusters.cluster_map(tables["map"]), "map", data=tables["map"])
        st.caption("A star is the medoid: the training series nearest to the middle of its cluster.")
    with right:
        peers(report)
    st.subheader("Medoids")
    found = tables["map"].query("medoid").drop_duplicates("cluster").sort_values("cluster")
    names = found["cluster"].map(str).tolist()
    chosen = st.multiselect("Clusters", names, default=names[:MAX_SERIES], key="clusters")
    shown = found[found["cluster"].map(str).isin(chosen)].head(MAX_SERIES)
    medoids = result.series_of(run, shown["id"].tolist()) if len(shown) else None
    if medoids is not None:
        fig = series.series(
            medoids.X[:, :, :MAX_CHANNELS],
            channels=medoids.channels[:MAX_CHANNELS],
            names=[str(i) for i in shown["id"]],
            labels=[str(c) for c in shown["cluster"]],
            all_labels=names,
        )
        plot(fig, "medoids")
        st.caption("In brackets the cluster.")
    if tables["map"]["label"].notna().any():
        st.subheader("Labels in each cluster")
        plot(clusters.groups(tables["groups"]), "groups", data=tables["groups"])
    losses(report)
    result.tables(report)


def baselines(run: Run, report: Report) -> None:
    """The peers of a task, without anything of ours."""
    result.score_cards(report)
    peers(report)
    result.tables(report)


def peers(report: Report) -> None:
    """The model beside its control and its peers, by a metric of one's choice."""
    table_ = report.tables["scores"]
    st.subheader("Beside its control and peers")
    metrics = comparison.metrics_of(table_)
    metric = st.selectbox(
        "Metric", metrics, format_func=scores.score_label, key="metric", bind="query-params"
    )
    plot(comparison.comparison(table_, str(metric or metrics[0])), "peers", data=table_)
    st.caption(
        "Blue was trained; grey is the same without pre-training; pale blue are other methods, on the same "
        "split."
    )


def losses(report: Report) -> None:
    """Losses by epoch, one figure a network, where anything was trained."""
    curve = report.tables["curve"]
    if not len(curve):
        return
    with st.expander("Losses"):
        owners = curve["name"].str.partition("/")[0]
        for owner in pd.unique(owners):
            part = curve[owners == owner]
            st.markdown(f"**{md(owner)}**")
            shown = part.assign(name=part["name"].str.partition("/")[2])
            plot(scores.curves(shown), f"losses-{owner}", data=shown)
