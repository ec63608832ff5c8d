"""Several bidders on one bidder's own log, as a single estimator: what the page runs on such a log."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from workbench.bidding.base import BaseBidder, replay_of_values, values_of
from workbench.bidding.experiment import Comparison, load_bidder
from workbench.bidding.log import ReplayLog
from workbench.bidding.replay import ReplayMarket
from workbench.bidding.rules import LinearBidder, cost_of_a_click
from workbench.errors import DatasetError

__all__ = ["REPLAY_BIDDERS", "ReplayComparison"]

#: Bidders of a replay by the name that pages and parameters use, cheapest first.
REPLAY_BIDDERS: dict[str, tuple[str, str]] = {
    "MCPC": ("rules", "MCPCBidder"),
    "Truthful": ("rules", "TruthfulBidder"),
    "Linear": ("rules", "LinearBidder"),
    "ORTB": ("rules", "ORTBBidder"),
    "PID": ("control", "PIDBidder"),
    "M-PID": ("constrained", "MPIDBidder"),
    "AdaptivePacing": ("control", "AdaptivePacingBidder"),
    "MirrorDescent": ("control", "MirrorDescentBidder"),
    "OnlineLP": ("lp", "OnlineLPBidder"),
    "SS-MDP": ("dp", "SSMDPBidder"),
    "RLB": ("dp", "RLBBidder"),
    "IQL": ("iql", "IQLBidder"),
    "DRLB": ("drlb", "DRLBBidder"),
    "USCB": ("uscb", "USCBBidder"),
}
#: They count money in whole numbers.
WHOLE = ("SS-MDP", "RLB")
#: They have to know what a click may cost, or is worth.
PRICED = ("MCPC", "Truthful", "PID", "M-PID", "AdaptivePacing", "MirrorDescent")


class ReplayComparison(Comparison):
    """Bidders compared on one bidder's log, each fitted on one part of it and replayed on another.

    Parameters
    ----------
    bidders : str, default="MCPC, Linear, ORTB, SS-MDP, RLB"
        Names, divided by commas: MCPC, Truthful, Linear, ORTB, PID, M-PID, AdaptivePacing, MirrorDescent,
        OnlineLP, SS-MDP, RLB, IQL, DRLB, USCB.
    budget_fraction : float, default=0.03125
        Budget of an episode, as a share of what buying all its auctions would cost.
    episode : int, default=1000
        Auctions after which the budget is given anew.
    target_cpc : float, optional
        What a click may cost, for MCPC, PID, M-PID and whoever has to know what a click is worth; by
        default what it costs to buy the whole training part.
    random_state : int, RandomState or None, default=None
        Seed of learners.

    Attributes
    ----------
    names_ : list of str
    bidders_ : list of estimators
        Fitted, in the order of `names_`.
    """

    _recipe = "bidding.replay"
    _table = REPLAY_BIDDERS
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "bidders": [str],
        "budget_fraction": [Interval(Real, 0, None, closed="neither")],
        "episode": [Interval(Integral, 1, None, closed="left")],
        "target_cpc": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        bidders: str = "MCPC, Linear, ORTB, SS-MDP, RLB",
        budget_fraction: float = 0.03125,
        episode: int = 1000,
        target_cpc: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.bidders = bidders
        self.budget_fraction = budget_fraction
        self.episode = episode
        self.target_cpc = target_cpc
        self.random_state = random_state

    def market(self, log: ReplayLog, fraction: float | None = None) -> ReplayMarket:
        """The replay that the parameters describe, over a log."""
        if not log.won.all():
            row = int((~log.won).argmax()) + 1
            raise DatasetError(
                f"Row {row}: the price is unknown, so a win cannot be replayed; "
                "keep the auctions whose price is known."
            )
        share = self.budget_fraction if fraction is None else fraction
        budget = share * float(log.price.mean()) * min(self.episode, len(log))
        # A budget in whole coins is the same for those who count them and for those who do not.
        budget = max(np.floor(budget), 1.0) if _whole(log) else budget
        return ReplayMarket(log, budget, episode=int(self.episode))

    def unfitted(self, market: ReplayMarket) -> list[tuple[str, BaseBidder]]:
        """Each named bidder with what it has to know of the training part."""
        names, log = self.names(), market.log
        if not _whole(log) and set(names) & set(WHOLE):
            row = int((log.price % 1 > 0).argmax()) + 1
            raise DatasetError(
                f"Row {row}: price is {log.price[row - 1]:g}; {' and '.join(WHOLE)} count money in whole "
                "numbers: give prices in the smallest coin, or leave the two out."
            )
        cpc = 1.0 if self.target_cpc is None else float(self.target_cpc)
        if self.target_cpc is None and set(names) & set(PRICED):
            if not log.click.any():
                raise DatasetError(
                    "The training auctions hold no click, so that what one costs is unknown: "
                    f"give target_cpc, or leave {', '.join(n for n in names if n in PRICED)} out."
                )
            cpc = cost_of_a_click(log)
        own: dict[str, dict[str, Any]] = {name: {"value_per_click": cpc} for name in REPLAY_BIDDERS}
        own["MCPC"] = {"ecpc": cpc}
        own["M-PID"] = {"cpc": cpc}
        top = int(min(log.price.max(), 10_000))
        own["SS-MDP"] = own["RLB"] = {"horizon": market.horizon, "max_price": max(top, 1)}
        if "PID" in names:
            base = LinearBidder().fit(market).base_bid_
            # The published gains are for a reference of 40,000 a click.
            gains = {"p": 20 / cpc, "i": 0.04 / cpc, "d": 4 / cpc, "low": -2.0, "high": 5.0}
            own["PID"] = {
                "target": cpc,
                "base_bid": base,
                "first_bid": base,
                "min_bid": 0.0,
                "n_steps": 40,
                **gains,
            }
        return [(n, load_bidder(REPLAY_BIDDERS, n, random_state=self.random_state, **own[n])) for n in names]

    def fit(self, X: Any, y: Any = None) -> ReplayComparison:
        """Fit every bidder on a log (in the replay that the parameters describe) or in a given replay.

        An array of shape (n_auctions, n_merchants) is taken as the values of a log, the first column being
        the bidder's, as every bidder of replays takes it.
        """
        self._validate_params()
        if not isinstance(X, (ReplayMarket, ReplayLog)):
            X = replay_of_values(values_of(self, X, reset=True))
        market = X if isinstance(X, ReplayMarket) else self.market(X)
        self._fit_each(self.unfitted(market), market)
        return self


def _whole(log: ReplayLog) -> bool:
    return bool((log.price % 1 == 0).all())
