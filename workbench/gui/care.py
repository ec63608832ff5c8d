"""Looking after versions: what changed, where they come from, which may go, whether they are sound."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.errors import WorkbenchError
from workbench.gui import choices, imports, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard, show
from workbench.gui.panels import plot, python, table
from workbench.gui.text import ago, bytes_, count, md
from workbench.plots import care as plots

if TYPE_CHECKING:
    from workbench.datasets import Dataset
    from workbench.datasets.care import Diff

__all__ = ["changes", "deleting", "lineage", "retention", "size_frame", "sizes", "verification", "versions"]

MAX_DRIFTS = 6  # columns drawn


# --- one data set -------------------------------------------------------------------------------


def versions(dataset: Dataset) -> None:
    """Every version with its lineage; refresh it from its source; delete those that no run uses."""
    found = store().datasets.versions(dataset.name)
    now = time.time()
    uses = _uses()
    frame = pd.DataFrame(
        [
            {
                "version": version.ref,
                "rows": version.n_rows,
                "size": bytes_(version.n_bytes),
                "runs": uses.get(version.ref, 0),
                "made by": version.importer,
                "source": version.source,
                "parent": version.parent or "",
                "imported": ago(version.created, now),
                "sha256": version.checksum[:12],
            }
            for version in found
        ]
    )
    chosen = _selectable(frame, f"versions-{hash(tuple(version.ref for version in found))}")
    with st.container(horizontal=True, vertical_alignment="center"):
        deleting([found[row].ref for row in chosen])
        imports.refresh(dataset)
        if dataset.importer == "prepare":
            navigation.link("prepare", "Replay its recipe on other data", of=dataset.ref)
    if dataset.sql:
        with st.expander(f"The SQL that made {md(dataset.ref)}", icon=":material/code:"):
            st.code(dataset.sql, language="sql")
    python(f"import workbench as wb\n\nwb.open().datasets.versions({dataset.name!r})")


def _selectable(frame: pd.DataFrame, key: str, **config: Any) -> list[int]:
    state = st.dataframe(
        frame,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="multi-row",
        key=key,
        column_config=config or None,
    )
    rows: list[int] = [row for row in state["selection"]["rows"] if row < len(frame)]
    return rows


def _uses() -> dict[str, int]:
    frame = store().datasets.sizes()
    return dict(zip(frame["ref"], frame["n_runs"], strict=True))


def deleting(refs: Sequence[str]) -> None:
    """The button that deletes versions, asked once more; what runs use stays, and the runs are named."""
    if not refs:
        st.button("Delete", disabled=True, help="Select versions first.", icon=":material/delete:")
        return
    with st.popover(f"Delete ({len(refs)})", icon=":material/delete:"):
        st.markdown(f"Delete {md(', '.join(refs))}? This cannot be undone.")
        if st.button("Delete for good", type="primary", key="delete"):
            gone: list[str] = []
            for ref in refs:
                try:
                    gone += store().datasets.delete(ref)
                except WorkbenchError as error:
                    show(error)
                    navigation.link("runs", "Its runs", text=ref)
            if gone:
                st.session_state["care.deleted"] = gone
                if len(gone) == len(refs):
                    st.rerun()
    told = st.session_state.pop("care.deleted", None)
    if told:
        st.toast(f"Deleted {md(', '.join(told))}.")


def changes(dataset: Dataset) -> None:
    """What differs between two versions: columns, rows, distributions."""
    every = [version.ref for version in store().datasets.versions(dataset.name)]
    others = [ref for ref in choices.all_refs() if ref not in every]
    listed = [*every, *others]
    before_at = next((i for i, ref in enumerate(every) if ref == dataset.parent), None)
    if before_at is None:
        at = every.index(dataset.ref)
        before_at = at + 1 if at + 1 < len(every) else 0
    left, right = st.columns(2)
    before = left.selectbox("Before", listed, index=before_at, key=f"before.{dataset.ref}")
    after = right.selectbox("After", listed, index=listed.index(dataset.ref), key=f"after.{dataset.ref}")
    if before == after:
        st.info("Choose two versions: there is only one of this data set, or the same stands on both sides.")
        return
    _changes(before, after, _diff(before, after))
    python(f"import workbench as wb\n\ndiff = wb.open().datasets.diff({before!r}, {after!r})\ndiff.drift")


@st.cache_data(max_entries=20, show_spinner="Comparing…")
def _diff(before: str, after: str) -> Diff:
    return store().datasets.diff(before, after)


def _changes(before: str, after: str, found: Diff) -> None:
    rows = found.rows
    with st.container(horizontal=True):
        more = rows["after"] - rows["before"]
        st.metric("Rows", count(rows["after"]), f"{more:+,}" if more else None, width="content", border=True)
        for name in ("added", "removed"):
            if name in rows:
                st.metric(f"Rows {name}", count(rows[name]), width="content", border=True)
        st.metric("Columns changed", count(len(found.schema)), width="content", border=True)
        moved = int((found.drift["psi"] > plots.MUCH_DRIFT).sum())
        st.metric("Columns drifted much", count(moved), width="content", border=True)
    st.subheader("Columns")
    if len(found.schema):
        table(found.schema.fillna("–"), "schema", download=False)
    else:
        st.caption("The same columns with the same types.")
    st.subheader("Drift")
    ranking = plots.drifted(found.drift)
    if ranking is None:
        st.caption("No column can be compared.")
        return
    st.caption("Below the first dotted line nothing much happened; beyond the second a model would notice.")
    plot(ranking, "drifted", data=found.drift)
    old, new = (
        {entry["name"]: entry for entry in store().dataset(ref).profile["columns"]} for ref in (before, after)
    )
    drawn = [
        (name, psi, fig)
        for name, psi in zip(found.drift["column"], found.drift["psi"], strict=True)
        if (fig := plots.drift(old[name], new[name], names=(before, after))) is not None
    ][:MAX_DRIFTS]
    for start in range(0, len(drawn), 2):
        for place, (name, psi, fig) in zip(st.columns(2), drawn[start : start + 2], strict=False):
            with place:
                st.markdown(f"**{md(name)}**" + (f" · {psi:.3f}" if psi == psi else ""))
                plot(fig, f"drift-{name}")


def lineage(dataset: Dataset) -> None:
    """What the version was made of, and what was made of it, as a graph."""
    edges = store().datasets.lineage(dataset.ref)
    if not len(edges):
        source = dataset.source or dataset.importer
        st.info(f"{md(dataset.ref)} comes from {md(source)}, and nothing has been made of it yet.")
        with st.container(horizontal=True):
            navigation.link("sql", "Query it")
            navigation.link("prepare", "Prepare it", data=dataset.ref)
        return
    facts = {}
    for ref in {*edges["parent"], *edges["child"]}:
        try:
            version = store().dataset(ref)
        except WorkbenchError:
            continue
        facts[ref] = f"{count(version.n_rows)} rows, {ago(version.created, time.time())}"
    st.caption("Each version stands below what it was made of. Click one to open it.")
    fig = plots.lineage(edges, here=dataset.ref, facts=facts)
    state = plot(fig, f"lineage-{dataset.ref}", on_select="rerun")
    picked = (
        [p["customdata"][0] for p in state["selection"]["points"] if p.get("customdata")] if state else []
    )
    if picked and picked[0] != dataset.ref and picked[0] in facts:
        navigation.open_here(data=picked[0])
    python(f"import workbench as wb\n\nwb.open().datasets.lineage({dataset.ref!r})")


# --- the whole store ----------------------------------------------------------------------------


def size_frame(found: pd.DataFrame, now: float) -> pd.DataFrame:
    """Every version with its size, as a table for people."""
    return pd.DataFrame(
        {
            "version": found["ref"],
            "size": [bytes_(n) for n in found["n_bytes"]],
            "share": 100 * found["n_bytes"] / max(float(found["n_bytes"].sum()), 1.0),
            "rows": found["n_rows"],
            "runs": found["n_runs"],
            "latest": found["latest"],
            "made": [ago(moment, now) for moment in found["created"]],
        }
    )


def sizes() -> None:
    """All versions by size; delete those that no run uses."""
    found = store().datasets.sizes()
    total = bytes_(float(found["n_bytes"].sum()))
    st.caption(f"{count(len(found))} versions of {count(found['name'].nunique())} data sets, {total} in all.")
    chosen = _selectable(
        size_frame(found, time.time()),
        f"sizes-{hash(tuple(found['ref']))}",
        share=st.column_config.ProgressColumn("share", min_value=0, max_value=100, format="%.0f %%"),
    )
    deleting([found["ref"].iloc[row] for row in chosen])


def retention() -> None:
    """Old versions that a rule would delete; shown before anything goes."""
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    keep = left.number_input("Newest versions that stay in any case", 1, 1000, 3, 1, key="keep")
    days = middle.number_input(
        "Goes when older than so many days", 0.0, value=30.0, step=1.0, key="days", format="%g"
    )
    names = ["all data sets", *(dataset.name for dataset in store().datasets.list())]
    of = right.selectbox("Of", names, key="retain.of")
    rules: dict[str, Any] = {"keep": int(keep), "days": days or None, "name": None if of == names[0] else of}
    going = store().datasets.retain(**rules, dry_run=True)
    if not going:
        st.info("Nothing would go by this rule. What a run uses is never deleted.")
    else:
        frame = store().datasets.sizes().set_index("ref").loc[list(going)].reset_index()
        freed = bytes_(float(frame["n_bytes"].sum()))
        st.dataframe(size_frame(frame, time.time()).drop(columns="share"), hide_index=True, width="stretch")
        with st.popover(f"Delete these {len(going)}, {freed}", icon=":material/delete:"):
            st.markdown("This cannot be undone.")
            if st.button("Delete for good", type="primary", key="retain"):
                with guard():
                    gone = store().datasets.retain(**rules)
                    st.session_state["care.deleted"] = gone
                    st.rerun()
    shown = ", ".join(f"{key}={value!r}" for key, value in rules.items() if value is not None)
    python(f"import workbench as wb\n\nwb.open().datasets.retain({shown}, dry_run=True)")


def verification() -> None:
    """Compare files with the checksums they were sealed with."""
    st.caption("Reads every file once and compares it with the checksum that was taken when it was made.")
    if st.button("Verify all versions", icon=":material/verified:"):
        with st.spinner("Reading…"):
            st.session_state["care.verified"] = store().datasets.verify()
    found = st.session_state.get("care.verified")
    if found is None:
        return
    bad = found[found["problem"].notna()]
    if len(bad):
        for problem in bad["problem"]:
            st.error(md(problem))
    else:
        st.success(f"All {count(len(found))} versions are as they were made.")
