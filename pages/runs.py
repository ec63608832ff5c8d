"""Every run: filter, open, cancel, retry, delete."""

import streamlit as st

from workbench.gui import navigation, runs
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python

LIMIT = 500


def act(action: str, ids: list[str]) -> None:
    with guard():
        getattr(store().queue, action)(ids)
        st.toast(f"{action.capitalize()}: {len(ids)} run{'s' * (len(ids) != 1)}.")


st.title("Runs")
st.caption("Everything that was submitted, newest first. Select rows to act on them.")

left, right = st.columns(2)
state = left.selectbox(
    "State",
    ["all", "queued", "running", "done", "failed", "cancelled"],
    key="state",
    bind="query-params",
)
text = right.text_input("Name, estimator or data set contains", key="text", bind="query-params")

found = store().runs(state=None if state == "all" else state, limit=LIMIT)
words = text.lower()
found = [run for run in found if words in f"{run.name} {run.estimator_name} {run.dataset}".lower()]

if not found and state == "all" and not text:
    st.info("No run yet: choose a data set and start one.")
    navigation.link("time_series", "Start a run")
    st.stop()
if not found:
    st.info("No run matches the filter.")
    st.stop()

# The key holds the list itself: when it changes, a selection made by row number must not survive it.
chosen = st.dataframe(
    runs.frame(found),
    column_config=runs.COLUMNS,
    hide_index=True,
    width="stretch",
    on_select="rerun",
    selection_mode="multi-row",
    key=f"runs-{hash(tuple(run.id for run in found))}",
)
picked = [found[row] for row in chosen["selection"]["rows"]]
finished = [run.id for run in picked if run.is_finished]
unfinished = [run.id for run in picked if not run.is_finished]
stopped = [run.id for run in picked if run.state in ("failed", "cancelled")]

with st.container(horizontal=True):
    st.button("Refresh", icon=":material/refresh:")
    label = f"Compare ({len(picked)})" if picked else "Compare"
    if st.button(label, disabled=len(picked) < 2, key="compare", icon=":material/compare_arrows:"):
        navigation.open_page("compare", runs=",".join(run.id for run in picked))
    for label, action, ids in (
        ("Cancel", "cancel", unfinished),
        ("Retry", "retry", stopped),
        ("Delete", "delete", finished),
    ):
        st.button(
            f"{label} ({len(ids)})" if ids else label,
            disabled=not ids,
            on_click=act,
            args=(action, ids),
            key=action,
        )
if len(found) == LIMIT:
    st.caption(f"The newest {LIMIT} runs.")

python("import workbench as wb\n\nfor run in wb.runs(limit=20):\n    print(run.id, run.state, run.headline)")
