"""What every bidder is: an estimator with ``fit(market_or_log)``, ``bid(requests)`` and ``evaluate``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from workbench.bidding.log import BidLog, ReplayLog
from workbench.bidding.market import AuctionMarket, Policy
from workbench.bidding.outcome import Outcome
from workbench.bidding.replay import AuctionRule, ReplayMarket, ReplayOutcome, ReplayPolicy, Step
from workbench.errors import DatasetError

__all__ = ["BaseBidder", "FixedPolicy", "MarketBidder", "ReplayBidder", "replay_of_values", "values_of"]

#: Of a market made from a plain array: the budgets as a share of what the values would pay as bids.
ARRAY_BUDGET = 0.5


class BaseBidder(BaseEstimator):
    """Base of bidders.

    A bidder takes part in a market of many merchants (`MarketBidder`), in the replay of one merchant's log
    (`ReplayBidder`), or in both.
    """

    _recipe = "bidding.simulate"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def fit(self, X: Any, y: Any = None) -> BaseBidder:
        """Learn from a market or a log.

        Parameters
        ----------
        X : AuctionMarket, BidLog, ReplayMarket, ReplayLog or array-like of shape (n_auctions, n_merchants)
            A bare log is taken without budgets. In an array each row is an auction and each column a
            merchant, who values winning it at that number and bids it; there is one slot, and budgets are
            half of what those bids would pay. A bidder of replays is the first column.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        DatasetError
            If this bidder cannot bid on such a log.
        ValueError
            If an array is not of shape (n_auctions, n_merchants), or holds negative or missing values.
        """
        self._validate_params()
        market = self._as_market(X, reset=True)
        if isinstance(market, AuctionMarket) and isinstance(self, MarketBidder):
            self.n_merchants_in_ = market.n_merchants
            self._fit_market(market)
        elif isinstance(market, ReplayMarket) and isinstance(self, ReplayBidder):
            self.n_merchants_in_ = 1
            self._fit_replay(market)
        return self

    def bid(self, requests: Any) -> NDArray[np.float64]:
        """Bids for every candidate (or auction) of a log, with the whole budget and time still left.

        Per click for a `BidLog`, per impression for a `ReplayLog`.
        """
        check_is_fitted(self)
        market = self._as_market(requests)
        if isinstance(market, AuctionMarket) and isinstance(self, MarketBidder):
            log = market.log
            view = market.episode().interval()
            whole = replace(view, stop=log.n_requests, rows=slice(0, log.n_candidates))
            return self._policy(market).bids(whole)
        assert isinstance(market, ReplayMarket)  # noqa: S101  (`_as_market` gives what the bidder takes)
        assert isinstance(self, ReplayBidder)  # noqa: S101
        return self._replay_policy(market).bids(Step(market, 0, len(market.log), 0, market.budget, 1.0))

    def simulate(self, X: Any, seed: int = 0, **options: Any) -> Outcome | ReplayOutcome:
        """Bid in a market and give back all sums."""
        check_is_fitted(self)
        market = self._as_market(X)
        if isinstance(market, AuctionMarket) and isinstance(self, MarketBidder):
            return market.run(self._policy(market), seed=seed, **options)
        assert isinstance(market, ReplayMarket)  # noqa: S101
        assert isinstance(self, ReplayBidder)  # noqa: S101
        return market.run(self._replay_policy(market))

    def evaluate(self, X: Any, seed: int = 0) -> pd.DataFrame:
        """Bid in a market (or a replay) and give the figures back, one row."""
        out = self.simulate(X, seed=seed, count=True)
        return pd.DataFrame([out.scores()]) if isinstance(out, Outcome) else out.table()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _as_market(self, X: Any, *, reset: bool = False) -> AuctionMarket | ReplayMarket:
        if not isinstance(X, (AuctionMarket, BidLog, ReplayMarket, ReplayLog)):
            X = self._array_market(X, reset)
        if isinstance(X, BidLog):
            X = AuctionMarket(X)
        elif isinstance(X, ReplayLog):
            X = ReplayMarket(X)
        if isinstance(X, ReplayMarket):
            if not isinstance(self, ReplayBidder):
                raise DatasetError(
                    f"{type(self).__name__} bids for the merchants of a market; give it an AuctionMarket."
                )
            return X
        if not isinstance(self, MarketBidder):
            raise DatasetError(
                f"{type(self).__name__} bids on one bidder's log; give it market.replay(merchant)."
            )
        fitted = getattr(self, "n_merchants_in_", X.n_merchants)
        if not reset and fitted not in (X.n_merchants, 1):
            raise DatasetError(
                f"The market has {X.n_merchants} merchants, the one of fit had {fitted}; "
                "fit on a log with the same merchants."
            )
        return X

    def _array_market(self, X: Any, reset: bool) -> AuctionMarket | ReplayMarket:
        values = values_of(self, X, reset=reset)
        if isinstance(self, MarketBidder):
            log = BidLog.from_values(values)
            return AuctionMarket(
                log, "second", slots=1, budgets=ARRAY_BUDGET, interval=min(3, log.n_requests)
            )
        return replay_of_values(values)


def replay_of_values(values: NDArray[np.float64]) -> ReplayMarket:
    """The auctions of the first of some merchants, with half of what its values would pay as bids."""
    log = ReplayLog.from_values(values)
    paid = log.price[log.pctr * log.value_per_click >= log.price].sum()
    return ReplayMarket(log, budget=max(ARRAY_BUDGET * float(paid), float(log.price.mean()), 1.0))


def values_of(estimator: BaseEstimator, X: Any, *, reset: bool) -> NDArray[np.float64]:
    """Values of auctions (rows) to merchants (columns), checked as scikit-learn checks its input."""
    if not isinstance(X, (list, tuple)) and not hasattr(X, "shape") and not hasattr(X, "__array__"):
        raise DatasetError(f"A bidder takes a market, a log or an array, not {type(X).__name__}.")
    return validate_data(
        estimator, X, reset=reset, dtype=np.float64, ensure_non_negative=True, ensure_min_samples=2,
        ensure_min_features=2,
    )  # fmt: skip


class MarketBidder(BaseBidder, ABC):
    """A bidder for all merchants of a market."""

    @abstractmethod
    def _policy(self, market: AuctionMarket) -> Policy:
        """What bids in the market, interval by interval."""

    @abstractmethod
    def _fit_market(self, market: AuctionMarket) -> None:
        """Learn from the market."""


class ReplayBidder(BaseBidder, ABC):
    """A bidder on one merchant's own auctions."""

    @abstractmethod
    def _replay_policy(self, market: ReplayMarket) -> ReplayPolicy | AuctionRule:
        """What bids in the replay, step by step or auction by auction."""

    @abstractmethod
    def _fit_replay(self, market: ReplayMarket) -> None:
        """Learn from the replay."""


class FixedPolicy:
    """A policy that looks at nothing but the requests."""

    n_steps = 1

    def __init__(self, function: Callable[[Any], NDArray[np.float64]]) -> None:
        self._function = function

    def bids(self, requests: Any) -> NDArray[np.float64]:
        """Bids by the function that was given."""
        return self._function(requests)

    def observe(self, result: Any) -> None:
        """Nothing is learned."""
