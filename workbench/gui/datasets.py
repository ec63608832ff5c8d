"""The parts of the Datasets page that look at one data set: a function a view."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.bidding.tables import is_log, is_replay
from workbench.datasets.roles import MANY, SINGLE
from workbench.gui import exports
from workbench.gui.choices import summary
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import plot, python, table
from workbench.gui.text import ago, count, md
from workbench.plots import profile as profile_plots
from workbench.plots import series as series_plots

if TYPE_CHECKING:
    from workbench.datasets import Dataset

__all__ = [
    "describe",
    "next_pages",
    "preview",
    "profile",
    "roles",
    "runs_of",
    "series",
]

PREVIEW_ROWS = 100
MAX_SERIES, MAX_CHANNELS = 8, 8
NO_ROLE = "–"


def describe(dataset: Dataset) -> str:
    """Where a data set comes from, and its size."""
    source = f"from {dataset.source}" if dataset.source else f"by {dataset.importer}"
    return f"{summary(dataset)} · {source} · {ago(dataset.created, time.time())}"


def next_pages(dataset: Dataset) -> list[tuple[str, str]]:
    """Where one goes from a data set: pages with what the link says."""
    return [*runs_of(dataset), ("prepare", "Prepare"), ("labels", "Label")]


def runs_of(dataset: Dataset) -> list[tuple[str, str]]:
    """The pages on which a run with the data set is started, the one that its roles speak for first."""
    if dataset.is_series:
        return [("time_series", "Use it in a run")]
    columns = [column.name for column in dataset.columns]
    if is_log(columns) or is_replay(columns):
        return [("bidding", "Let bidders compete")]
    found = []
    if {"label", "field"} <= set(dataset.roles):
        found.append(("selection", "Select its fields"))
    if {"label", "labels"} & set(dataset.roles):
        found.append(("modality", "Analyse its modalities"))
    if any(role.startswith("modality:") for role in dataset.roles):
        found.reverse()
    return found


# --- views of one data set ----------------------------------------------------------------------


def preview(dataset: Dataset) -> None:
    """What the import had to say, and the first rows."""
    for note in dataset.notes:
        st.info(md(note), icon=":material/info:")
    st.dataframe(dataset.head(PREVIEW_ROWS), hide_index=True, width="stretch", key="preview")
    st.caption(f"The first {min(PREVIEW_ROWS, dataset.n_rows)} of {count(dataset.n_rows)} rows.")
    exports.offer(
        "data",
        dataset.ref,
        {
            f"Whole data set as {kind}": (f"{dataset.name}-{dataset.version}.{kind.lower()}", dataset.export)
            for kind in ("CSV", "Parquet")
        },
    )
    python(f"import workbench as wb\n\nwb.dataset({dataset.ref!r}).head({PREVIEW_ROWS})")


def series(dataset: Dataset) -> None:
    """Chosen series channel by channel, and the means of the classes."""
    index = dataset.series_index()
    names = {str(i): i for i in index["id"]}
    left, right = st.columns([2, 1])
    chosen = left.multiselect(
        f"Series ({count(len(index))} in all)",
        list(names),
        default=list(names)[:1],
        max_selections=MAX_SERIES,
        key="series",
        bind="query-params",
    )
    if chosen:
        data = dataset.series([names[name] for name in chosen])
        channels = _channels(right, data.channels)
        columns = [data.channels.index(channel) for channel in channels]
        fig = series_plots.series(
            data.X[:, :, columns],
            channels=channels,
            names=chosen,
            labels=None if data.y is None else list(data.y),
            all_labels=list(index["label"]),
        )
        # Several may have begun at different times: their steps are what can be compared.
        plot(series_plots.dated(fig, dataset.times(chosen[0])) if len(chosen) == 1 else fig, "series")
    means = _means(dataset.ref, dataset.role_revision)
    st.subheader("Mean of each class")
    st.caption("The band is one standard deviation between the series of a class.")
    shown = _channels(st, tuple(pd.unique(means["channel"])), key="mean_channels")
    plot(series_plots.class_means(means[means["channel"].isin(shown)]), "class-means", data=means)
    python(
        f"import workbench as wb\n\ndata = wb.dataset({dataset.ref!r})\n"
        f"some = data.series({[names[name] for name in chosen]!r})  # .X has shape {'(n, T, d)'}\n"
        "means = data.class_means()"
    )


@st.cache_data(max_entries=20, show_spinner="Computing the means…")
def _means(ref: str, revision: int) -> pd.DataFrame:
    return store().dataset(ref).with_roles(revision).class_means()


def _channels(place: Any, channels: Sequence[str], key: str = "channels") -> list[str]:
    if len(channels) <= MAX_CHANNELS:
        return list(channels)
    chosen: list[str] = place.multiselect(
        f"Channels ({len(channels)} in all)",
        list(channels),
        default=list(channels)[:4],
        max_selections=MAX_CHANNELS,
        key=key,
        bind="query-params",
    )
    return chosen or list(channels)[:1]


def profile(dataset: Dataset) -> None:
    """Types, missing values and distributions, as computed at import."""
    overview = profile_plots.overview(dataset.profile)
    shares = st.column_config.NumberColumn("missing", format="percent")
    table(overview, "profile", column_config={"missing": shares})
    classes = profile_plots.classes(dataset.profile)
    if classes is not None:
        st.subheader("Series of each class")
        plot(classes, "classes")
    missing = profile_plots.missing(dataset.profile)
    if missing is not None:
        st.subheader("Missing values")
        plot(missing, "missing")
    column = st.selectbox("Column", list(overview["column"]), key="column", bind="query-params")
    if column is not None:
        fig = profile_plots.distribution(dataset.profile, column)
        if fig is None:
            st.caption("Nothing to draw: the column is empty.")
        else:
            plot(fig, "distribution")


def roles(dataset: Dataset) -> None:
    """Edit what each column means; a save makes a new role revision."""
    st.caption(
        f"Role revision {dataset.role_revision}. Runs keep the revision they were started with; "
        "columns without a role are left out."
    )
    held = {column: role for role, columns in dataset.roles.items() for column in columns}
    modality = st.text_input("Offer a modality by the name of", key="modality", max_chars=40)
    offered = [NO_ROLE, *SINGLE, *(role for role in MANY if "<" not in role)]
    offered += sorted({role for role in held.values() if role not in offered})
    if modality.strip():
        offered.append(f"modality:{modality.strip()}")
    editor = pd.DataFrame(
        {
            "column": [column.name for column in dataset.columns],
            "type": [column.type for column in dataset.columns],
            "role": [held.get(column.name, NO_ROLE) for column in dataset.columns],
        }
    )
    with st.form("roles", border=False):
        edited = st.data_editor(
            editor,
            column_config={
                "column": st.column_config.TextColumn("Column", disabled=True),
                "type": st.column_config.TextColumn("Type", disabled=True),
                "role": st.column_config.SelectboxColumn("Role", options=offered, required=True),
            },
            hide_index=True,
            width="stretch",
            key=f"roles-{dataset.ref}-{dataset.role_revision}",
        )
        saved = st.form_submit_button("Save the roles", type="primary")
    if saved:
        with guard():
            given: dict[str, list[str]] = {}
            for column, role in zip(edited["column"], edited["role"], strict=True):
                if role != NO_ROLE:
                    given.setdefault(role, []).append(column)
            changed = dataset.set_roles(given)
            st.success(f"Saved as role revision {changed.role_revision}.")
    with st.expander("What the roles mean"):
        for role, meaning in {**SINGLE, **MANY}.items():
            st.markdown(f"`{role}`: {md(meaning)}")
