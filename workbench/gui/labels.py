"""The parts of the Labels page: choose points, rows or stretches, give them a label, save, train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.datasets import points
from workbench.datasets.roles import layout
from workbench.errors import DatasetError, WorkbenchError
from workbench.gui import access, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard, show
from workbench.gui.panels import plot
from workbench.gui.pending import Kind, Pending, typed_label
from workbench.gui.text import count, md
from workbench.plots import labels as plots

if TYPE_CHECKING:
    from workbench.datasets import Dataset

__all__ = ["about", "changes", "pending", "train", "views"]

ROWS = 200  # of a table, at once
MAX_BANDS = 100
_SAVED = "labels.saved"
_COLOURS = {"label": "their labels", "cluster": "clusters (k-means)"}
_SERIES, _TABLE = "timeseries.CSL", "modality.LateFusionClassifier"


def pending(dataset: Dataset) -> Pending:
    """The edits of `dataset` that this session has not saved."""
    found: Pending = st.session_state.setdefault(f"labels.{dataset.ref}", Pending())
    return found


def about(dataset: Dataset) -> None:
    """How many have which label already."""
    found = _counts(dataset.ref, dataset.role_revision)
    known = found[found["label"].notna()]
    unit = "series" if "series_id" in dataset.roles else "rows"
    if not len(known):
        st.caption(f"No label yet, {count(found['n'].sum())} {unit}.")
        return
    shown = [f"{md(label)} {count(n)}" for label, n in zip(known["label"][:8], known["n"][:8], strict=True)]
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    without = int(found[found["label"].isna()]["n"].sum())
    st.caption(f"Labels: {', '.join(shown)}{more} · without a label {count(without)} {unit}")


@st.cache_data(max_entries=20, show_spinner=False)
def _counts(ref: str, revision: int) -> pd.DataFrame:
    return points.counts(store().dataset(ref).with_roles(revision))


def views(dataset: Dataset) -> dict[str, Any]:
    """The ways of choosing that suit a data set."""
    recording = "time" in dataset.roles and "value" in dataset.roles
    ways: dict[str, Any] = {}
    if not recording or "series_id" in dataset.roles:
        ways |= {"Points": _points, "Table": _series_table if recording else _table}
    if recording:
        ways["Intervals"] = _intervals
    return ways


# --- choosing -----------------------------------------------------------------------------------


@st.cache_data(max_entries=10, show_spinner="Computing a map…")
def _coordinates(ref: str, revision: int) -> pd.DataFrame:
    return points.coordinates(store().dataset(ref).with_roles(revision))


@st.cache_data(max_entries=20, show_spinner=False)
def _clusters(ref: str, revision: int, x: str, y: str, run: str, k: int) -> list[str]:
    table = _drawn(ref, revision, run)
    found = points.clusters(table[x].to_numpy(), table[y].to_numpy(), k)
    return [f"cluster {c + 1}" if c >= 0 else "" for c in found]


@st.cache_data(max_entries=10, show_spinner="Reading the map…")
def _drawn(ref: str, revision: int, run: str) -> pd.DataFrame:
    """Coordinates of the data themselves, or of a run's map."""
    if not run:
        return _coordinates(ref, revision)
    dataset = store().dataset(ref).with_roles(revision)
    table = store().run(run).report().tables["embedding"][["id", "x", "y"]]
    index = dataset.series_index()
    names = {str(i): i for i in index["id"]}
    table = table[table["id"].astype(str).isin(names)].rename(columns={"x": "map x", "y": "map y"})
    table = table.assign(id=[names[str(i)] for i in table["id"]])
    labels = dict(zip(index["id"], index["label"], strict=True))
    table.insert(1, "label", pd.Series([labels[i] for i in table["id"]], dtype=object, index=table.index))
    return table.reset_index(drop=True)


def _maps(dataset: Dataset) -> dict[str, str]:
    """What can be drawn: the data, and the maps of runs that embedded them."""
    found = {"": "the data themselves"}
    for run in store().runs(state="done", limit=100):
        if (
            run.dataset.partition("@")[0] == dataset.name
            and (run.folder / "artifacts" / "report" / "embedding.parquet").exists()
        ):
            found[run.id] = f"the map of run {run.name} ({run.id})"
    return found


def _points(dataset: Dataset) -> None:
    maps = _maps(dataset)
    first, second, third, fourth = st.columns(4)
    run = first.selectbox("Points of", list(maps), format_func=maps.__getitem__, key="labels.map")
    table = _drawn(dataset.ref, dataset.role_revision, run or "")
    axes = [name for name in table.columns if name not in ("id", "label")]
    x = second.selectbox("Across", axes, index=0, key=f"labels.x.{run}")
    y = third.selectbox("Up", axes, index=min(1, len(axes) - 1), key=f"labels.y.{run}")
    by = fourth.selectbox("Colours", list(_COLOURS), format_func=_COLOURS.__getitem__, key="labels.by")
    edits = pending(dataset)
    kind: Kind = "series" if dataset.is_series else "rows"
    changed = edits.labels()
    table = table.assign(
        label=[changed.get(i, label) for i, label in zip(table["id"], table["label"], strict=True)]
    )
    picked: list[str] = []
    if by == "cluster":
        k = fourth.number_input("Clusters", 2, 50, 4, 1, key="labels.k")
        table["cluster"] = _clusters(dataset.ref, dataset.role_revision, x, y, run or "", int(k))
        picked = st.pills(
            "Choose whole clusters", sorted(set(table["cluster"]) - {""}, key=lambda c: int(c.split()[1])),
            selection_mode="multi", key=f"labels.clusters.{len(edits)}",
        )  # fmt: skip
    st.caption(
        "Drag over the points to choose them (the lasso stands above the map), then give them a label."
    )
    fig = plots.points(table, x=x, y=y, by=by, changed=[i in changed for i in table["id"]])
    # The key changes with every edit, so that a selection is not given a label twice.
    state = plot(fig, f"labels-{dataset.ref}-{run}-{x}-{y}-{by}-{len(edits)}", on_select="rerun")
    places = (
        [p["customdata"][0] for p in state["selection"]["points"] if p.get("customdata")] if state else []
    )
    chosen = table["id"].iloc[sorted(set(places))].tolist()
    if picked:
        chosen = table["id"][table["cluster"].isin(picked)].tolist()
    _assigning(dataset, kind, chosen)


def _series_table(dataset: Dataset) -> None:
    index = dataset.series_index()
    changed = pending(dataset).labels()
    index["new label"] = [_shown(changed[i]) if i in changed else "" for i in index["id"]]
    wanted = st.text_input("Series whose name or label contains", key="labels.contains").lower()
    if wanted:
        text = index["id"].astype(str) + " " + index["label"].astype(str)
        index = index[text.str.lower().str.contains(wanted, regex=False)]
    rows = _selected(index, f"{dataset.ref}-{wanted}-{len(pending(dataset))}")
    _assigning(dataset, "series", index["id"].iloc[rows].tolist())


def _table(dataset: Dataset) -> None:
    left, middle, right = st.columns([2, 2, 1])
    names = [column.name for column in dataset.columns]
    column = left.selectbox("Rows where", names, index=None, placeholder="all rows", key="labels.column")
    contains = middle.text_input(
        "contains (empty: is missing)", disabled=column is None, key="labels.contains"
    )
    _, n = points.rows(dataset, column, contains, limit=0)
    pages = max(1, -(-n // ROWS))
    page = right.number_input(
        f"Page of {count(pages)}", 1, pages, 1, 1, key=f"labels.page.{column}.{contains}"
    )
    found, _ = points.rows(dataset, column, contains, limit=ROWS, offset=(int(page) - 1) * ROWS)
    number = found.columns[0]
    changed = pending(dataset).labels()
    found.insert(1, "new label", [_shown(changed[i]) if i in changed else "" for i in found[number]])
    rows = _selected(found, f"{dataset.ref}-{column}-{contains}-{page}-{len(pending(dataset))}")
    st.caption(f"{count(n)} rows match.")
    chosen = [int(i) for i in found[number].iloc[rows]]
    if not chosen and column is not None and st.checkbox(f"All {count(n)} rows that match", key="labels.all"):
        every, _ = points.rows(dataset, column, contains, limit=n)
        chosen = [int(i) for i in every[number]]
    _assigning(dataset, "rows", chosen)


def _selected(frame: pd.DataFrame, key: str) -> list[int]:
    state = st.dataframe(
        frame,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="multi-row",
        key=f"labels-{key}",
    )
    rows: list[int] = [row for row in state["selection"]["rows"] if row < len(frame)]
    return rows


def _intervals(dataset: Dataset) -> None:
    names: dict[str, Any] = {}
    series = None
    if "series_id" in dataset.roles:
        names = {str(i): i for i in _series_names(dataset.ref, dataset.role_revision)}
        chosen = st.selectbox("Series", list(names), key="labels.series", bind="query-params")
        series = names.get(chosen or "")
    frame = _recording(dataset.ref, dataset.role_revision, series)
    time, label = dataset.roles["time"][0], next(iter(dataset.roles.get("label", [])), None)
    channels = [name for name in frame.columns if name not in (time, label)]
    edits = pending(dataset)
    saved = points.intervals(frame[time], frame[label])[:MAX_BANDS] if label else []
    fig = plots.recording(frame, time=time, channels=channels, saved=saved, pending=edits.intervals(series))
    st.caption("Drag over a stretch to choose it; Shift adds another. Correct its ends below if need be.")
    state = plot(fig, f"labels-{dataset.ref}-{series}-{len(edits)}", on_select="rerun")
    boxes = [sorted(box["x"]) for box in state["selection"]["box"]] if state else []
    if not boxes:
        st.caption("No stretch is chosen.")
        _assigning(dataset, "intervals", [])
        return
    shown = st.data_editor(
        pd.DataFrame([{"from": str(low), "to (not included)": str(high)} for low, high in boxes]),
        hide_index=True,
        width="stretch",
        key=f"labels-boxes-{boxes}",
    )
    stamped = not pd.api.types.is_numeric_dtype(frame[time])
    with guard():
        keys = [(series, _moment(low, stamped), _moment(high, stamped)) for low, high in shown.to_numpy()]
        _assigning(dataset, "intervals", keys)


@st.cache_data(max_entries=20, show_spinner=False)
def _recording(ref: str, revision: int, series: Any) -> pd.DataFrame:
    return points.recording(store().dataset(ref).with_roles(revision), series)


@st.cache_data(max_entries=20, show_spinner=False)
def _series_names(ref: str, revision: int) -> list[Any]:
    return points.series_names(store().dataset(ref).with_roles(revision))


def _moment(text: str, stamped: bool) -> Any:
    """An end of a stretch as it stands in the table: a point in time, or a number."""
    try:
        return pd.Timestamp(text) if stamped else float(text)
    except ValueError as error:
        raise DatasetError(f"{text!r} is not a {'point in time' if stamped else 'number'}.") from error


def _shown(label: Any) -> str:
    return "(cleared)" if label is None else str(label)


# --- giving a label, saving, training -----------------------------------------------------------


def _assigning(dataset: Dataset, kind: Kind, keys: list[Any]) -> None:
    known = _counts(dataset.ref, dataset.role_revision)["label"].dropna()
    given = [edit.label for edit in pending(dataset).edits if edit.label is not None]
    offered = list(dict.fromkeys([*(str(label) for label in known), *(str(label) for label in given)]))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.selectbox(
            f"Label for the {count(len(keys))} chosen",
            offered,
            index=None,
            accept_new_options=True,
            placeholder="choose or type",
            key="labels.label",
            width=260,
        )
        # Read here and not by callbacks, which would be given what was chosen when the page was last drawn.
        assign = st.button("Assign", type="primary", disabled=not keys or not label)
        clear = st.button("Clear their labels", disabled=not keys)
    if assign or clear:
        with guard():
            value = None if clear else typed_label(dataset, label)
            pending(dataset).assign(kind, keys, value)
            st.rerun()


def changes(dataset: Dataset) -> None:
    """What is not saved yet, and the button that saves it as a version."""
    edits = pending(dataset)
    if not edits:
        return
    st.subheader("Not saved yet")
    st.dataframe(edits.frame(), hide_index=True, width="stretch")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        column = st.text_input(
            "Column of the labels",
            value=next(iter(dataset.roles.get("label", [])), "label"),
            help="It gets the role 'label'; another name keeps the labels there are in their own column.",
            width=260,
        )
        saving = st.button("Save as a new version", type="primary")
        st.button("Undo the last", on_click=edits.undo, icon=":material/undo:")
    if saving:
        with guard():
            with st.spinner("Saving the labels…"):
                made = edits.save(dataset, column.strip() or None)
            st.session_state[_SAVED] = made.ref
            navigation.open_here(data=made.ref)


def train(dataset: Dataset) -> None:
    """One click from the labels to a run that uses them, or to the form with its parameters."""
    if st.session_state.get(_SAVED) == dataset.ref:
        st.success(f"Saved as {md(dataset.ref)}.")
    if "label" not in dataset.roles or len(pending(dataset)):
        return
    if dataset.is_series and layout(dataset.roles) != "wide" and not _one_label_each(dataset):
        st.caption(
            "The labels change within a series: cut it into windows, and each gets a label of its own."
        )
        recipe = '[{"step":"windows","length":100,"label":"majority"}]'
        navigation.link("prepare", "Cut it into windows", data=dataset.ref, recipe=recipe)
        return
    name = _SERIES if dataset.is_series else _TABLE
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Train with these labels", icon=":material/play_arrow:"):
            try:
                run = store().submit(name, dataset, owner=access.owner())
            except WorkbenchError as error:
                show(error)
            else:
                navigation.open_page("run", run=run.id)
        page = "time_series" if dataset.is_series else "modality"
        navigation.link(page, "Choose method and parameters", data=dataset.ref, estimator=name)
    st.caption("What has no label is left out where a method needs one, and used where it does not.")


def _one_label_each(dataset: Dataset) -> bool:
    try:
        dataset.series_index()
    except DatasetError:
        return False
    return True
