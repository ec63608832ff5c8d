"""Choose a log, an auction and bidders, and start a run."""

import streamlit as st

from workbench import notebook, registry
from workbench.bidding.recipe import is_log
from workbench.gui import access, bidding, choices, forms, navigation
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import python

NAME = "bidding.MarketComparison"

st.title("Bidding")
st.caption("Let bidders compete for the requests of a log, under budgets, and compare what they earn.")

refs = [dataset.ref for dataset in store().datasets.list() if is_log([c.name for c in dataset.columns])]
with st.expander("Generate a log", expanded=not refs):
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
if not refs:
    st.info("No data set holds a log of auctions yet: generate one, or import one.")
    navigation.link("datasets", "Import a data set")
    st.stop()

ref = choices.pick("Log", refs, key="data")
if ref is None:
    st.stop()
dataset, cls = store().dataset(ref), registry.estimator(NAME)
st.caption(choices.summary(dataset))

with st.form("start", border=False):
    params = {}
    chosen = bidding.bidders()
    with guard():
        params = {"bidders": chosen, **forms.parameters(cls, prefix="bidding", skip={"bidders"})}
    split, seed = forms.split(has_column="split" in dataset.roles)
    where = forms.launcher(store().queue.launchers())
    start = st.form_submit_button("Start", type="primary")

with guard():
    forms.check(cls, params)
    cls(**params).unfitted()  # refuses what is no bidder, or none at all
    if start:
        given = {"params": params, "split": split, "seed": seed, "launcher": where}
        run = store().submit(NAME, dataset, **given, owner=access.owner())
        navigation.open_page("run", run=run.id)
    python(notebook.snippet(NAME, ref, params, split=split, seed=seed))

st.subheader("What if")
with guard():
    bidding.what_if(ref)
