"""The result page of a run on one bidder's own log (recipe ``bidding.replay``), and its choice of bidders."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from workbench.bidding.replay_experiment import REPLAY_BIDDERS
from workbench.gui import bidding, result
from workbench.gui.panels import plot, table
from workbench.plots import bidding_replay as plots
from workbench.report import Report

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["bidders", "view"]

#: What the comparison shows of a bidder, and under which name.
_COLUMNS = {
    "bidder": "Bidder",
    "clicks": "Clicks",
    "impressions": "Impressions",
    "cost": "Cost",
    "ecpc": "Cost of a click",
    "win_rate": "Win rate",
    "budget_use": "Budget use",
}
#: Bidders chosen at first.
DEFAULT = ["MCPC", "Linear", "ORTB", "SS-MDP", "RLB"]


def view(run: Run, report: Report) -> None:
    """What each bidder bought, how it bids, what prices are, and what smaller budgets buy."""
    tables = report.tables
    drawn = plots.figures(report)
    st.subheader("Bidders beside one another")
    plot(drawn["comparison"], "comparison")
    shown = tables["comparison"].sort_values("clicks", ascending=False)[list(_COLUMNS)]
    shown = shown.map(_text)
    table(shown.rename(columns=_COLUMNS), "comparison")
    left, right = st.columns(2)
    with left:
        st.subheader("How they bid")
        plot(drawn["bids"], "bids", data=tables["bids"])
    with right:
        st.subheader("With smaller budgets")
        plot(drawn["budget_sweep"], "budget-sweep", data=tables["budget_sweep"])
    st.subheader("Prices")
    plot(drawn["landscape"], "landscape", data=tables["landscape"])
    result.tables(report)


def bidders() -> str:
    """A field for the bidders to compare, as `ReplayComparison` takes them."""
    return bidding.choose(
        REPLAY_BIDDERS,
        "replay_bidders",
        DEFAULT,
        "Each is fitted on one part of the auctions and replayed on the other. SS-MDP and RLB count money in "
        "whole numbers; IQL, DRLB and USCB learn and take longer.",
    )


def _text(value: object) -> str:
    """Counts and money whole, shares to three places."""
    if not isinstance(value, (int, float)):
        return str(value)
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
