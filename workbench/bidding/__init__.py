"""Auctions with budgets, bidders of every school, and DCMAB.

A log (`BidLog`, or one bidder's `ReplayLog`) becomes an `AuctionMarket` (or a `ReplayMarket`); bidders are
scikit-learn-style estimators with ``fit(market_or_log)``, ``bid(requests)`` and ``evaluate(market_or_log)``.
Importing this package imports neither torch nor numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "A2CBidder": "dcmab",
    "AdaptivePacingBidder": "control",
    "AuctionMarket": "market",
    "AuctionNetMarket": "auctionnet",
    "BanditBidder": "dcmab",
    "BidLog": "log",
    "DCMABBidder": "dcmab",
    "DDPGBidder": "dcmab",
    "DRLBBidder": "drlb",
    "IQLBidder": "iql",
    "LinearBidder": "rules",
    "LogGenerator": "generate",
    "LoggedBids": "ope",
    "MCPCBidder": "rules",
    "MPIDBidder": "constrained",
    "ManualBidder": "rules",
    "MarketComparison": "experiment",
    "MirrorDescentBidder": "control",
    "OCPCBidder": "constrained",
    "ORTBBidder": "rules",
    "OnlineLPBidder": "lp",
    "Outcome": "outcome",
    "PIDBidder": "control",
    "PriceLandscape": "landscape",
    "RLBBidder": "dp",
    "ReplayComparison": "replay_experiment",
    "ReplayLog": "log",
    "ReplayMarket": "replay",
    "SSMDPBidder": "dp",
    "Trajectories": "iql",
    "TruthfulBidder": "rules",
    "USCBBidder": "uscb",
    "UniformScaleBidder": "rules",
    "estimate_value": "ope",
    "generate_log": "generate",
    "log_bids": "ope",
    "read_campaign_info": "readers",
    "read_replay": "readers",
    "read_traffic_share": "readers",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"workbench.bidding.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
