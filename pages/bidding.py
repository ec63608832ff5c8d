"""Choose a log, an auction and bidders, and start a run."""

import streamlit as st

from workbench import notebook, registry
from workbench.bidding.tables import is_log, is_replay
from workbench.gui import access, bidding, bidding_replay, choices, forms, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python

st.title("Bidding")
st.caption("Let bidders compete for the requests of a log, under budgets, and compare what they earn.")

logs = {
    dataset.ref: is_log(names)
    for dataset in store().datasets.list()
    if is_log(names := [c.name for c in dataset.columns]) or is_replay(names)
}
with st.expander("Generate a log", expanded=not logs):
    st.caption(
        "Merchants, consumers and requests with the shape of a large shop's home page, three hours long."
    )
    left, middle, right = st.columns(3)
    requests = left.number_input("Requests", 1_000, 100_000, 10_000, 1_000)
    merchants = middle.number_input("Merchants", 100, 5_000, 1_000, 100)
    day = right.number_input("Seed", 0, 2**31 - 1, 0, 1)
    if st.button("Generate"):
        with guard():
            bidding.generate(int(requests), int(merchants), int(day))
            st.rerun()
if not logs:
    st.info("No data set holds a log of auctions yet: generate one, or import one.")
    navigation.link("datasets", "Import a data set")
    st.stop()

ref = choices.pick("Log", list(logs), key="data")
if ref is None:
    st.stop()
many = logs[ref]
name = "bidding.MarketComparison" if many else "bidding.ReplayComparison"
dataset, cls = store().dataset(ref), registry.estimator(name)
st.caption(choices.summary(dataset))
if not many:
    st.caption("One bidder's own auctions: each bidder buys from them at the prices of the log.")

with st.form("start", border=False):
    params = {}
    chosen = bidding.bidders() if many else bidding_replay.bidders()
    with guard():
        prefix = "bidding" if many else "replay"
        params = {"bidders": chosen, **forms.parameters(cls, prefix=prefix, skip={"bidders"})}
    split, seed = forms.split(has_column="split" in dataset.roles)
    where = forms.launcher(store().queue.launchers())
    start = st.form_submit_button("Start", type="primary")

with guard():
    forms.check(cls, params)
    cls(**params).names()  # refuses what is no bidder, or none at all
    if start:
        given = {"params": params, "split": split, "seed": seed, "launcher": where}
        run = store().submit(name, dataset, **given, owner=access.owner())
        navigation.open_page("run", run=run.id)
    python(notebook.snippet(name, ref, params, split=split, seed=seed))

if many:
    st.subheader("What if")
    with guard():
        bidding.what_if(ref)
