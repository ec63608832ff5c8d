"""The stochastic game of DCMAB: clusters of merchants act on clusters of consumers, interval by interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.bidding import formulas
from workbench.bidding.clusters import rank_and_cut
from workbench.bidding.episode import Interval
from workbench.bidding.log import BidLog
from workbench.bidding.market import AuctionMarket
from workbench.bidding.outcome import Outcome

__all__ = ["BRATIO_MODES", "ClusterGame", "Clusters"]

BRATIO_MODES = {"paper": 0, "multiplier": 1, "none": 2}


@dataclass(frozen=True, eq=False)
class Clusters:
    """What is learned from a training log before any agent acts.

    Attributes
    ----------
    merchant : ndarray of int32, shape (n_merchants,)
    consumer : ndarray of int32, shape (n_consumers,)
    history : ndarray, shape (n_consumer_clusters, 2)
        Share of revenue and of cost of each consumer cluster.
    scale : ndarray, shape (n_merchant_clusters, 2)
        Revenue and cost of each merchant cluster with manual bids and no budgets; states and rewards are
        given in these units.
    mean_pcvr : ndarray, shape (n_merchants,)
    consumer_names : ndarray
    """

    merchant: NDArray[np.int32]
    consumer: NDArray[np.int32]
    history: NDArray[np.float64]
    scale: NDArray[np.float64]
    mean_pcvr: NDArray[np.float64]
    consumer_names: NDArray[Any]

    @property
    def n(self) -> int:
        """Merchant clusters, an agent each."""
        return len(self.scale)

    @property
    def n_consumer(self) -> int:
        """Consumer clusters."""
        return len(self.history)

    @classmethod
    def fit(cls, market: AuctionMarket, n_merchant: int, n_consumer: int) -> Clusters:
        """Rank and cut merchants and consumers by their revenue under manual bids without budgets."""
        log, manual = market.log, market.manual
        revenue, cost = (a.sum(axis=(0, 2)) for a in (manual.revenue, manual.cost))
        merchant = rank_and_cut(revenue, log.presence, n_merchant)
        free = np.full(market.n_merchants, np.inf)
        # Groups are the consumers here, which one pass over the whole log at once keeps small.
        whole = market.with_steps(1).episode(groups=log.consumer, budgets=free, feedback="expected")
        by_consumer = whole.run(log.bid)
        n = len(log.consumers)
        earned, paid = (_padded(a.sum(axis=(0, 1)), n) for a in (by_consumer.revenue, by_consumer.cost))
        consumer = rank_and_cut(earned, np.bincount(log.consumer, minlength=n), n_consumer)
        history = np.stack([np.bincount(consumer, w, n_consumer) for w in (earned, paid)], axis=1)
        scale = np.stack([np.bincount(merchant, w, n_merchant) for w in (revenue, cost)], axis=1)
        return cls(
            merchant,
            consumer,
            history / np.maximum(history.sum(axis=0), 1e-12),
            np.maximum(scale, 1e-9 + 1e-3 * scale.sum(axis=0)),
            log.mean_pcvr,
            np.asarray(log.consumers),
        )

    def groups(self, log: BidLog) -> NDArray[np.int32]:
        """Consumer cluster of each request; a consumer never seen belongs to the lowest."""
        if len(log.consumers) == len(self.consumer_names) and (log.consumers == self.consumer_names).all():
            return self.consumer[log.consumer]
        known = dict(zip(self.consumer_names, self.consumer, strict=True))
        codes = np.array([known.get(name, 0) for name in log.consumers], dtype=np.int32)
        return codes[log.consumer]

    def ratio(self, log: BidLog) -> NDArray[np.float64]:
        """bratio: pcvr over the merchant's own average in training, shape (n_candidates,)."""
        mean = self.mean_pcvr[log.merchant]
        return np.divide(log.pcvr, mean, out=np.ones_like(log.pcvr), where=mean > 0)


@dataclass(eq=False)
class ClusterGame:
    """Plays a market with one table of actions an interval.

    Parameters
    ----------
    market : AuctionMarket
    clusters : Clusters
    bid_range : float
    bratio_mode : {"paper", "multiplier", "none"}
    """

    market: AuctionMarket
    clusters: Clusters
    bid_range: float = 0.9
    bratio_mode: str = "paper"

    def __post_init__(self) -> None:
        self.groups = self.clusters.groups(self.market.log)
        # Every cluster has its column even where no request of the log belongs to the last ones.
        self.ratio = self.clusters.ratio(self.market.log)
        limited = np.isfinite(self.market.budgets)
        self._budget = np.bincount(
            self.clusters.merchant, np.where(limited, self.market.budgets, 0.0), self.clusters.n
        )
        self.reset()

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of merchant and of consumer clusters."""
        return self.clusters.n, self.clusters.n_consumer

    @property
    def n_general(self) -> int:
        """Size of `general`."""
        n, m = self.shape
        return 2 * n * m + 2 * n

    def reset(self, seed: int = 0) -> None:
        """Full budgets, the clock at the start."""
        self.episode = self.market.episode(seed, groups=self.groups, count=True)
        self._sums, self._spent = np.zeros((*self.shape, 2)), np.zeros(self.market.n_merchants)
        self.share = np.zeros(self.shape)

    @property
    def done(self) -> bool:
        """Whether the last interval has been played."""
        return self.episode.done

    def general(self) -> NDArray[np.float64]:
        """g, and the spent and unspent share of each cluster's budget; shape (n_general,).

        g holds cost and revenue of every pair of clusters since the episode began, in units of the
        cluster's manual cost and revenue.
        """
        g = self._sums / self.clusters.scale[:, None, ::-1]
        spent = np.bincount(self.clusters.merchant, self._spent, self.clusters.n)
        used = np.divide(spent, self._budget, out=np.zeros_like(spent), where=self._budget > 0)
        return np.concatenate([g.ravel(), used, np.maximum(1.0 - used, 0.0)])

    def consumer_features(self) -> NDArray[np.float64]:
        """x_j for each consumer cluster: one-hot and history, shape (L, L + 2)."""
        return np.hstack([np.eye(self.shape[1]), self.clusters.history])

    def actor_states(self) -> NDArray[np.float64]:
        """[g, x_j] for each consumer cluster, shape (L, n_general + L + 2)."""
        g = self.general()
        return np.hstack([np.broadcast_to(g, (self.shape[1], len(g))), self.consumer_features()])

    def critic_state(self) -> NDArray[np.float64]:
        """[g, x^q], shape (n_general + L(L + 2),)."""
        return np.concatenate([self.general(), self.consumer_features().ravel()])

    def step(self, action: NDArray[np.float64]) -> Outcome:
        """Play the next interval with a_ij, shape (N, L)."""
        out = self.episode.step_actions(
            np.ascontiguousarray(action, dtype=np.float64),
            self.clusters.merchant,
            self.ratio,
            self.bid_range,
            BRATIO_MODES[self.bratio_mode],
        )
        self.book(out)
        return out

    def bids(self, action: NDArray[np.float64], interval: Interval) -> NDArray[np.float64]:
        """Bids per click of an interval's candidates with a_ij, shape (N, L)."""
        log, rows = self.market.log, interval.rows
        mine = action[self.clusters.merchant[interval.merchant], self.groups[log.request_of[rows]]]
        factor = formulas.action_factor(mine, self.ratio[rows], self.bid_range, self.bratio_mode)
        return interval.bid * factor

    def book(self, out: Outcome) -> None:
        """Add an interval's sums by merchant and consumer cluster to the state."""
        n, m = self.shape
        self._spent += out.cost.sum(axis=(0, 2))
        for k, name in enumerate(("cost", "revenue")):
            part = out.by_cluster(name, self.clusters.merchant, n)[0]
            self._sums[:, : part.shape[1], k] += part
        made = out.by_cluster("entered", self.clusters.merchant, n)[0]
        self.share = np.zeros((n, m))
        self.share[:, : made.shape[1]] = made / max(made.sum(), 1.0)


def _padded(values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return np.r_[values, np.zeros(n - len(values))]
