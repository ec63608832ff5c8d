"""What every bidder is: an estimator with ``fit(market_or_log)``, ``bid(requests)`` and ``evaluate``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from workbench.bidding.log import BidLog, ReplayLog
from workbench.bidding.market import AuctionMarket, Policy
from workbench.bidding.outcome import Outcome
from workbench.bidding.replay import ReplayMarket, ReplayOutcome, ReplayPolicy
from workbench.errors import DatasetError

__all__ = ["BaseBidder", "FixedPolicy"]


class BaseBidder(BaseEstimator):
    """Base of bidders.

    A subclass takes part in a market of many merchants (``_fit_market`` and ``_policy``), in the replay of
    one bidder's log (``_fit_replay`` and ``_replay_policy``), or in both.
    """

    _recipe = "bidding.simulate"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def fit(self, X: AuctionMarket | BidLog | ReplayMarket | ReplayLog, y: Any = None) -> BaseBidder:
        """Learn from a market or a log.

        Parameters
        ----------
        X : AuctionMarket, BidLog, ReplayMarket or ReplayLog
            A bare log is taken without budgets.
        y : ignored

        Raises
        ------
        DatasetError
            If this bidder cannot bid on such a log.
        """
        self._validate_params()
        market = self._as_market(X)
        if isinstance(market, AuctionMarket):
            self.n_merchants_in_ = market.n_merchants
            self._fit_market(market)
        else:
            self.n_merchants_in_ = 1
            self._fit_replay(market)
        return self

    def bid(self, requests: Any) -> NDArray[np.float64]:
        """Bids for every candidate (or auction) of a log, with the whole budget and time still left.

        Per click for a `BidLog`, per impression for a `ReplayLog`.
        """
        check_is_fitted(self)
        market = self._as_market(requests)
        if isinstance(market, AuctionMarket):
            from dataclasses import replace

            view = market.episode().interval()
            whole = replace(view, stop=requests.n_requests if isinstance(requests, BidLog) else 0)
            return self._policy(market).bids(replace(whole, rows=slice(0, market.log.n_candidates)))
        from workbench.bidding.replay import Step

        return self._replay_policy(market).bids(Step(market, 0, len(market.log), 0, market.budget, 1.0))

    def simulate(self, X: Any, seed: int = 0, **options: Any) -> Outcome | ReplayOutcome:
        """Bid in a market and give back all sums."""
        check_is_fitted(self)
        market = self._as_market(X)
        if isinstance(market, AuctionMarket):
            return market.run(self._policy(market), seed=seed, **options)
        return market.run(self._replay_policy(market))

    def evaluate(self, X: Any, seed: int = 0) -> pd.DataFrame:
        """Bid in a market (or a replay) and give the figures back, one row."""
        out = self.simulate(X, seed=seed)
        return pd.DataFrame([out.scores()]) if isinstance(out, Outcome) else out.table()

    def _as_market(self, X: Any) -> AuctionMarket | ReplayMarket:
        if isinstance(X, BidLog):
            X = AuctionMarket(X)
        elif isinstance(X, ReplayLog):
            X = ReplayMarket(X)
        if isinstance(X, AuctionMarket):
            if type(self)._policy is BaseBidder._policy:
                raise DatasetError(
                    f"{type(self).__name__} bids on one bidder's log; give it market.replay(merchant)."
                )
            fitted = getattr(self, "n_merchants_in_", X.n_merchants)
            if fitted not in (X.n_merchants, 1):
                raise DatasetError(
                    f"The market has {X.n_merchants} merchants, the one of fit had {fitted}; "
                    "fit on a log with the same merchants."
                )
            return X
        if isinstance(X, ReplayMarket):
            if type(self)._replay_policy is BaseBidder._replay_policy:
                raise DatasetError(
                    f"{type(self).__name__} bids for the merchants of a market; give it an AuctionMarket."
                )
            return X
        raise DatasetError(f"A bidder takes a market or a log, not {type(X).__name__}.")

    def _fit_market(self, market: AuctionMarket) -> None:
        """Learn from a market."""

    def _fit_replay(self, market: ReplayMarket) -> None:
        """Learn from a replay."""

    def _policy(self, market: AuctionMarket) -> Policy:
        raise NotImplementedError

    def _replay_policy(self, market: ReplayMarket) -> ReplayPolicy:
        raise NotImplementedError


class FixedPolicy:
    """A policy that looks at nothing but the requests."""

    n_steps = 1

    def __init__(self, function: Any) -> None:
        self._function = function

    def bids(self, requests: Any) -> NDArray[np.float64]:
        """Bids by the function that was given."""
        return self._function(requests)

    def observe(self, result: Any) -> None:
        """Nothing is learned."""
