"""Every run: filter, open, cancel, retry, delete."""

import streamlit as st

from workbench.gui import navigation, runs
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python

LIMIT = 200  # rows of a page


def act(action: str, ids: list[str]) -> None:
    with guard():
        getattr(store().queue, action)(ids)
        st.toast(f"{action.capitalize()}: {len(ids)} run{'s' * (len(ids) != 1)}.")


st.title("Runs")
st.caption("Everything that was submitted, newest first. Select rows to act on them.")

left, middle, right = st.columns([2, 3, 1])
state = left.selectbox(
    "State",
    ["all", "queued", "running", "done", "failed", "cancelled"],
    key="state",
    bind="query-params",
)
text = middle.text_input("Id, name, estimator or data set contains", key="text", bind="query-params")

wanted = {"state": None if state == "all" else state, "text": text}
total = store().queue.count(**wanted)
number = 1
if total > LIMIT:
    last = -(-total // LIMIT)
    st.session_state["page"] = min(st.session_state.get("page", 1), last)  # the filter may have left fewer
    number = right.number_input(f"Page of {last}", 1, last, key="page", bind="query-params")
found = store().runs(**wanted, limit=LIMIT, offset=(number - 1) * LIMIT)

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
    height=runs.height(len(found)),
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
if total > LIMIT:
    first = (number - 1) * LIMIT
    st.caption(f"Runs {first + 1:,} to {first + len(found):,} of {total:,}.")

python("import workbench as wb\n\nfor run in wb.runs(limit=20):\n    print(run.id, run.state, run.headline)")
