"""Several bidders in one market, as a single estimator: what the bidding page runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import Interval, StrOptions

from workbench.bidding.base import BaseBidder, values_of
from workbench.bidding.kernels import MECHANISMS
from workbench.bidding.log import BidLog
from workbench.bidding.market import AuctionMarket
from workbench.errors import UsageError

__all__ = ["BIDDERS", "Comparison", "MarketComparison", "load_bidder", "make_bidder"]

#: Bidders of a market by the name that pages and parameters use, cheapest first.
BIDDERS: dict[str, tuple[str, str]] = {
    "Manual": ("rules", "ManualBidder"),
    "UniformScale": ("rules", "UniformScaleBidder"),
    "Linear": ("rules", "LinearBidder"),
    "ORTB": ("rules", "ORTBBidder"),
    "PID": ("control", "PIDBidder"),
    "AdaptivePacing": ("control", "AdaptivePacingBidder"),
    "MirrorDescent": ("control", "MirrorDescentBidder"),
    "OnlineLP": ("lp", "OnlineLPBidder"),
    "Truthful": ("rules", "TruthfulBidder"),
    "OCPC": ("constrained", "OCPCBidder"),
    "IQL": ("iql", "IQLBidder"),
    "DRLB": ("drlb", "DRLBBidder"),
    "USCB": ("uscb", "USCBBidder"),
    "Bandit": ("dcmab", "BanditBidder"),
    "A2C": ("dcmab", "A2CBidder"),
    "DDPG": ("dcmab", "DDPGBidder"),
    "DCMAB": ("dcmab", "DCMABBidder"),
}


def make_bidder(name: str, **params: Any) -> BaseBidder:
    """The bidder called `name`, with those of `params` that it has."""
    return load_bidder(BIDDERS, name, **params)


def load_bidder(table: Mapping[str, tuple[str, str]], name: str, **params: Any) -> BaseBidder:
    """The bidder that a table of names has as `name`, with those of `params` that it has.

    Raises
    ------
    UsageError
        If the table has none of that name.
    """
    from importlib import import_module

    if name not in table:
        raise UsageError(f"There is no bidder {name!r}; choose from {', '.join(table)}.")
    module, cls = table[name]
    bidder = getattr(import_module(f"workbench.bidding.{module}"), cls)()
    return bidder.set_params(**{k: v for k, v in params.items() if k in bidder.get_params()})


class Comparison(BaseEstimator):
    """Several bidders as one estimator; what they are compared in is the subclass's."""

    #: Names that `bidders` may hold.
    _table: ClassVar[Mapping[str, tuple[str, str]]]
    bidders: str

    def names(self) -> list[str]:
        """The bidders named, each once.

        Raises
        ------
        UsageError
            If there is none, or one that there is not here.
        """
        found = list(dict.fromkeys(name.strip() for name in self.bidders.split(",") if name.strip()))
        if not found:
            raise UsageError(f"Name at least one bidder: {', '.join(self._table)}.")
        for name in found:
            if name not in self._table:
                raise UsageError(f"There is no bidder {name!r}; choose from {', '.join(self._table)}.")
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _fit_each(self, pairs: Sequence[tuple[str, BaseBidder]], market: Any) -> None:
        self.names_ = [name for name, _ in pairs]
        self.bidders_ = [clone(bidder).fit(market) for _, bidder in pairs]


class MarketComparison(Comparison):
    """Bidders compared in one market, each fitted on the training log and tried on another.

    Parameters
    ----------
    bidders : str, default="Manual, UniformScale, AdaptivePacing, DCMAB"
        Names, divided by commas: Manual, UniformScale, Linear, ORTB, PID, AdaptivePacing, MirrorDescent,
        OnlineLP, Truthful, OCPC, IQL, DRLB, USCB, Bandit, A2C, DDPG, DCMAB.
    mechanism : {"gsp", "vcg", "first", "second"}, default="gsp"
        Auction. With "second" there is one slot whatever `slots` says.
    slots : int, default=3
        Slots of a request.
    slot_decay : float, default=1.0
        How often a slot is seen, relative to the one above it.
    reserve : float, default=0.0
        Lowest price of a click.
    budget_fraction : float, default=0.333
        Each merchant's budget, as a share of what it would pay with its own bids and no budget.
    interval : str, default="1h"
        How often learners act.
    feedback : {"expected", "sampled"}, default="expected"
        Whether expectations are booked, or clicks and conversions drawn.
    reward : float, default=1.0
        Weight of the total in a learner's reward: 0 is self-interest, 1 full coordination.
    bratio_mode : {"paper", "multiplier", "none"}, default="multiplier"
        How a request's conversion rate enters a learner's bid: as published (which, whenever bids fall, makes
        them fall most for requests that convert well), so that it never does that, or not at all.
    n_clusters : int, default=3
        Merchant clusters, one agent each.
    n_episodes : int, default=100
        Times that a learner plays the training log.
    random_state : int, RandomState or None, default=None
        Seed of learners and of sampled feedback.

    Attributes
    ----------
    names_ : list of str
    bidders_ : list of estimators
        Fitted, in the order of `names_`.
    """

    _recipe = "bidding.simulate"
    _table = BIDDERS
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "bidders": [str],
        "mechanism": [StrOptions(set(MECHANISMS))],
        "slots": [Interval(Integral, 1, 20, closed="both")],
        "slot_decay": [Interval(Real, 0, 1, closed="right")],
        "reserve": [Interval(Real, 0, None, closed="left")],
        "budget_fraction": [Interval(Real, 0, None, closed="neither")],
        "interval": [str],
        "feedback": [StrOptions({"expected", "sampled"})],
        "reward": [Interval(Real, 0, 1, closed="both")],
        "bratio_mode": [StrOptions({"paper", "multiplier", "none"})],
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "n_episodes": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        bidders: str = "Manual, UniformScale, AdaptivePacing, DCMAB",
        mechanism: str = "gsp",
        slots: int = 3,
        slot_decay: float = 1.0,
        reserve: float = 0.0,
        budget_fraction: float = 0.333,
        interval: str = "1h",
        feedback: str = "expected",
        reward: float = 1.0,
        bratio_mode: str = "multiplier",
        n_clusters: int = 3,
        n_episodes: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.bidders = bidders
        self.mechanism = mechanism
        self.slots = slots
        self.slot_decay = slot_decay
        self.reserve = reserve
        self.budget_fraction = budget_fraction
        self.interval = interval
        self.feedback = feedback
        self.reward = reward
        self.bratio_mode = bratio_mode
        self.n_clusters = n_clusters
        self.n_episodes = n_episodes
        self.random_state = random_state

    def market(self, log: BidLog) -> AuctionMarket:
        """The market that the parameters describe, over a log."""
        slots = 1 if self.mechanism == "second" else int(self.slots)
        return AuctionMarket(
            log,
            self.mechanism,
            slots=slots,
            position_effects=float(self.slot_decay) ** np.arange(slots),
            reserve=float(self.reserve),
            budgets=float(self.budget_fraction),
            interval=self.interval,
            feedback=self.feedback,
        )

    def unfitted(self) -> list[tuple[str, BaseBidder]]:
        """Each named bidder with the parameters that it shares with this estimator."""
        shared = {n: getattr(self, n) for n in ("reward", "bratio_mode", "n_episodes", "random_state")}
        return [(n, make_bidder(n, n_merchant_clusters=self.n_clusters, **shared)) for n in self.names()]

    def fit(self, X: Any, y: Any = None) -> MarketComparison:
        """Fit every bidder on a log (in the market that the parameters describe) or in a given market.

        An array of shape (n_auctions, n_merchants) is taken as the values of a log, as every bidder takes it.
        """
        self._validate_params()
        if not isinstance(X, (AuctionMarket, BidLog)):
            X = BidLog.from_values(values_of(self, X, reset=True))
        market = X if isinstance(X, AuctionMarket) else self.market(X)
        self._fit_each(self.unfitted(), market)
        return self
