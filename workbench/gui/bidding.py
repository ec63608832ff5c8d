"""The result page of a bidding run (recipe ``bidding.simulate``), and the page's what-if."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from workbench.bidding.experiment import BIDDERS
from workbench.gui import result
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.panels import plot, table
from workbench.gui.text import count, score
from workbench.plots import bidding as plots
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.bidding.market import AuctionMarket
    from workbench.runs import Run

__all__ = ["bidders", "choose", "generate", "view", "what_if"]

#: What the comparison shows of a bidder, and under which name.
_COLUMNS = {
    "bidder": "Bidder",
    "gmv": "GMV",
    "platform_revenue": "Platform revenue",
    "roi": "ROI",
    "budget_use": "Budget use",
    "clicks": "Clicks",
    "depth": "Bids an auction",
    "gini": "Gini of GMV",
}
#: Bidders chosen at first.
DEFAULT = ["Manual", "UniformScale", "AdaptivePacing", "DCMAB"]
#: Requests that the what-if runs at most, so that a moved slider is answered at once.
MAX_REQUESTS = 100_000


def view(run: Run, report: Report) -> None:
    """The comparison, the learned multipliers, spending against plan, prices, and other budgets."""
    tables = report.tables
    drawn = plots.figures(report)
    st.subheader("Bidders beside one another")
    plot(drawn["comparison"], "comparison")
    _compared(tables["comparison"])
    st.subheader("Who wins which consumers")
    plot(drawn["winners"], "winners", data=tables["winners"])
    st.subheader("Learned multipliers")
    st.caption("What each merchant's own bids are multiplied by when the day begins, a column a bidder.")
    multipliers = tables["multipliers"]
    three = st.column_config.NumberColumn(format="%.3f")
    numbers = multipliers.select_dtypes("number").columns
    table(multipliers, "multipliers-by-merchant", column_config=dict.fromkeys(numbers, three))
    if "actions" in drawn:
        st.subheader("What the agents do over the hours")
        st.caption(
            "a for each interval, agent and consumer cluster: a bid is multiplied by 1 + a · bratio, within "
            "the bid range. Blue raises bids, red lowers them."
        )
        plot(drawn["actions"], "multipliers", data=tables["actions"])
    left, right = st.columns(2)
    with left:
        st.subheader("Spending against an even plan")
        plot(drawn["spend"], "spend", data=tables["spend"])
    with right:
        st.subheader("With other budgets")
        plot(drawn["budget_sweep"], "budget-sweep", data=tables["budget_sweep"])
    with left:
        st.subheader("Prices")
        plot(drawn["landscape"], "landscape", data=tables["landscape"])
    if "learning" in drawn:
        with right:
            st.subheader("Learning")
            plot(drawn["learning"], "learning", data=tables["curve"])
    result.tables(report)
    st.subheader("What if")
    if st.toggle("Run the log's auctions again with other settings", key="what", bind="query-params"):
        with guard():
            what_if(run.spec["dataset"]["ref"])


def bidders() -> str:
    """A field for the bidders to compare, as `MarketComparison` takes them."""
    return choose(
        BIDDERS,
        "bidders",
        DEFAULT,
        "Each is fitted on the training requests and tried on the others. IQL, DRLB, USCB, Bandit, A2C, DDPG "
        "and DCMAB learn and take longer.",
    )


def choose(names: Iterable[str], key: str, first: list[str], help: str) -> str:
    """A field for some of these bidders, `first` chosen at first; their names, divided by commas."""
    chosen = st.multiselect("Bidders", list(names), default=first, key=key, bind="query-params", help=help)
    return ", ".join(chosen)


def generate(n_requests: int, n_merchants: int, seed: int) -> None:
    """Publish a generated log as a data set of the store."""
    from workbench.bidding.generate import LogGenerator

    world = LogGenerator(n_merchants=n_merchants, n_calibration=min(n_requests, 8_000), random_state=seed)
    frame = world.sample(n_requests).to_frame()
    store().datasets.publish_frame(frame, f"auctions-{n_requests}-{n_merchants}-{seed}")


def _compared(comparison: pd.DataFrame) -> None:
    """One row a bidder, the best first; by merchant cluster it is among the report's tables."""
    total = comparison[comparison["cluster"] == "total"].sort_values("gmv", ascending=False)
    shown = total[list(_COLUMNS)].map(lambda value: score(value) if isinstance(value, float) else str(value))
    table(shown.rename(columns=_COLUMNS), "comparison")


@st.cache_resource(max_entries=4, show_spinner="Reading the log …")
def _market(ref: str) -> AuctionMarket:
    """A market over the log's first requests, kernels compiled; kept while the page is used."""
    from workbench.bidding import kernels
    from workbench.bidding.market import AuctionMarket
    from workbench.bidding.recipe import log_of

    kernels.warm_up()
    log, _ = log_of(store().dataset(ref).to_table())
    if log.n_requests > MAX_REQUESTS:
        log = log.select(range(MAX_REQUESTS))
    return AuctionMarket(log)


@st.cache_data(max_entries=16, show_spinner=False)
def _bid_quantiles(ref: str) -> NDArray[np.float64]:
    """The bids' quantiles from 0 to 1 in steps of 0.05."""
    return np.asarray(np.quantile(_market(ref).log.bid, np.linspace(0, 1, 21)), dtype=np.float64)


def what_if(ref: str) -> None:
    """Auctions run again with moved sliders: one factor on all bids, slots, reserve, budgets."""
    free = _market(ref)
    first, second, third, fourth = st.columns(4)
    kept: Any = {"bind": "query-params"}
    factor = first.slider("Factor on all bids", 0.1, 2.0, 1.0, 0.05, key="what_factor", **kept)
    slots = second.slider("Slots", 1, 10, 3, key="what_slots", **kept)
    share = third.slider("Budget, share of manual cost", 0.1, 2.0, 0.35, 0.05, key="what_budget", **kept)
    quantile = fourth.slider("Reserve, quantile of bids", 0.0, 0.9, 0.0, 0.05, key="what_reserve", **kept)
    reserve = float(_bid_quantiles(ref)[round(20 * quantile)]) if quantile > 0 else 0.0
    market = free.with_options(slots=slots, reserve=reserve, budgets=float(share))
    moved, manual = market.run(factor).scores(), market.run(1.0).scores()
    labels = {"gmv": "GMV", "platform_revenue": "Platform revenue", "roi": "ROI", "budget_use": "Budget use"}
    for place, (name, label) in zip(st.columns(len(labels)), labels.items(), strict=True):
        change = moved[name] / manual[name] - 1 if manual[name] else 0.0
        same = abs(change) < 0.0005
        place.metric(
            label,
            score(moved[name]),
            f"{change:+.1%}",
            border=True,
            delta_color="off" if same else "normal",
            delta_arrow="off" if same else "auto",
        )
    st.caption(f"{count(market.log.n_requests)} auctions, run twice. Changes are against factor 1.")
