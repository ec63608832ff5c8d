"""The market behind the standard interfaces: PettingZoo for many agents, Gymnasium for one."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from workbench.bidding.game import BRATIO_MODES, ClusterGame, Clusters
from workbench.bidding.market import AuctionMarket
from workbench.errors import UsageError

__all__ = ["BidderEnv", "MarketEnv"]


class MarketEnv(ParallelEnv):
    """Clusters of merchants as the agents of a PettingZoo ``ParallelEnv``.

    An agent's action is a_ij for each consumer cluster j; its observation [g, x^q] is that of
    `workbench.bidding.game.ClusterGame`; its reward is its cluster's revenue in the interval, in units of the
    cluster's revenue with manual bids and no budgets, mixed with the total by `beta`. An episode is one pass
    through the log, after which every agent is terminated. With sampled feedback the seed of `reset` draws
    the clicks.

    Parameters
    ----------
    market : AuctionMarket
    n_merchant_clusters, n_consumer_clusters : int
    beta : float
        Weight of the total in every reward.
    bid_range, bratio_mode
        As of `workbench.bidding.DCMABBidder`.
    clusters : Clusters, optional
        Fitted on another log; by default on this market's own.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "auction_market_v0", "render_modes": ["ansi"]}

    def __init__(
        self,
        market: AuctionMarket,
        *,
        n_merchant_clusters: int = 3,
        n_consumer_clusters: int = 3,
        beta: float = 0.0,
        bid_range: float = 0.9,
        bratio_mode: str = "paper",
        clusters: Clusters | None = None,
    ) -> None:
        if not 0 <= beta <= 1:
            raise UsageError(f"beta must lie between 0 and 1, not {beta}.")
        if not 0 < bid_range <= 1:
            raise UsageError(f"bid_range must lie between 0 and 1, not {bid_range}.")
        if bratio_mode not in BRATIO_MODES:
            raise UsageError(f"bratio_mode must be one of {', '.join(BRATIO_MODES)}, not {bratio_mode!r}.")
        if min(n_merchant_clusters, n_consumer_clusters) < 1:
            raise UsageError("There must be at least 1 merchant cluster and 1 consumer cluster.")
        fitted = clusters or Clusters.fit(market, n_merchant_clusters, n_consumer_clusters)
        self.game = ClusterGame(market, fitted, bid_range, bratio_mode)
        self.beta = beta
        self.render_mode = "ansi"
        self.possible_agents = [f"cluster_{i + 1}" for i in range(self.game.shape[0])]
        self.agents: list[str] = []
        size = len(self.game.critic_state())
        self._observation = {a: Box(-np.inf, np.inf, (size,), np.float32) for a in self.possible_agents}
        self._action = {a: Box(-1.0, 1.0, (self.game.shape[1],), np.float32) for a in self.possible_agents}
        self.state_space = Box(-np.inf, np.inf, (size + self.game.share.size,), np.float32)

    def observation_space(self, agent: str) -> Box:
        return self._observation[agent]

    def action_space(self, agent: str) -> Box:
        return self._action[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Full budgets, the clock at the start."""
        self.game.reset(0 if seed is None else seed)
        self.agents = list(self.possible_agents)
        return self._observe(), {a: {} for a in self.agents}

    def step(self, actions: dict[str, NDArray[np.floating[Any]]]) -> tuple[Any, Any, Any, Any, Any]:
        """Play one interval; actions are cut to [−1, 1]."""
        out = self.game.step(self._table(actions))
        n, scale = self.game.shape[0], self.game.clusters.scale[:, 0]
        own = out.by_cluster("revenue", self.game.clusters.merchant, n)[0].sum(axis=1)
        cost = out.by_cluster("cost", self.game.clusters.merchant, n)[0].sum(axis=1)
        mixed = (1 - self.beta) * own + self.beta * own.sum()
        reward = mixed / ((1 - self.beta) * scale + self.beta * scale.sum())
        acting, done = self.agents, self.game.done
        observations = self._observe()
        self.agents = [] if done else acting
        infos = {a: {"revenue": float(own[i]), "cost": float(cost[i])} for i, a in enumerate(acting)}
        return (
            observations,
            {a: float(reward[i]) for i, a in enumerate(acting)},
            dict.fromkeys(acting, done),
            dict.fromkeys(acting, False),
            infos,
        )

    def _table(self, actions: dict[str, NDArray[np.floating[Any]]]) -> NDArray[np.float64]:
        """a_ij, shape (N, L)."""
        table = np.empty(self.game.shape)
        for row, agent in zip(table, self.possible_agents, strict=True):
            if agent not in actions:
                raise UsageError(f"The action of {agent} is missing; every agent acts in every interval.")
            action = np.asarray(actions[agent], dtype=np.float64)
            if action.shape != row.shape or np.isnan(action).any():
                raise UsageError(
                    f"The action of {agent} must be {len(row)} numbers, one a consumer cluster, not {action}."
                )
            row[:] = np.clip(action, -1.0, 1.0)
        return table

    def state(self) -> NDArray[np.float32]:
        """s^q and the last interval's share of bids d, for centralised critics."""
        return np.concatenate([self.game.critic_state(), self.game.share.ravel()]).astype(np.float32)

    def render(self) -> str:
        """Spent money and time in one line."""
        spent = self.game.episode.spent.sum()
        return f"interval {self.game.episode.t} of {self.game.market.n_intervals}, spent {spent:.2f}"

    def _observe(self) -> dict[str, NDArray[np.float32]]:
        seen = self.game.critic_state().astype(np.float32)
        return {a: seen.copy() for a in self.agents}


class BidderEnv(gym.Env):
    """One merchant in the market, the others bidding as in the log, as a Gymnasium environment.

    The action a in [−1, 1] multiplies the merchant's own bids by 1 + a; the observation holds time left,
    budget left, spending of the last interval over its even rate, the share of its auctions won, revenue over
    cost, the interval's revenue share, and the last factor. The reward is the interval's revenue, in units of
    what the merchant earns with its own bids and no budget.

    Parameters
    ----------
    market : AuctionMarket
    merchant : object
        Name.
    n_steps : int, default=24
    """

    metadata = {"render_modes": []}

    def __init__(self, market: AuctionMarket, merchant: Any, n_steps: int = 24) -> None:
        self.market = market.with_steps(n_steps)
        self.code = int(market.log.merchant_codes([merchant])[0])
        own = market.manual.revenue[:, self.code].sum()
        self._unit = float(own) if own > 0 else 1.0
        self._high = np.array([1, 1, 100, 1, 20, 100, 2], dtype=np.float32)
        self.observation_space = Box(np.zeros(7, dtype=np.float32), self._high, dtype=np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self._presence = np.array([
            (market.log.merchant[self._rows(t)] == self.code).sum() for t in range(self.market.n_intervals)
        ])  # fmt: skip

    def _rows(self, t: int) -> slice:
        first, last = self.market.log.indptr[self.market.bounds[t : t + 2]]
        return slice(int(first), int(last))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Full budgets, the clock at the start."""
        super().reset(seed=seed)
        self._episode = self.market.episode(int(self.np_random.integers(2**31)))
        self._last = np.array([0.0, 0.0, 0.0, 0.0, 1.0])
        return self._observe(), {}

    def step(
        self, action: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Play one interval."""
        chosen = np.asarray(action, dtype=np.float64)
        if chosen.size != 1 or np.isnan(chosen).any():
            raise UsageError(f"The action must be one number, not {chosen}.")
        factor = np.ones(self.market.n_merchants)
        factor[self.code] = 1.0 + float(np.clip(chosen.ravel()[0], -1.0, 1.0))
        t = self._episode.t
        out = self._episode.step_factors(factor)
        cost, revenue = (float(a[0, self.code].sum()) for a in (out.cost, out.revenue))
        budget = self.market.budgets[self.code]
        rate = budget / self.market.n_intervals
        wins = out.wins[0, self.code].sum() / max(self._presence[t], 1)
        speed = cost / rate if np.isfinite(rate) and rate > 0 else 0.0
        roi = np.log1p(revenue / cost) if cost > 0 else 0.0
        reward = revenue / self._unit
        self._last = np.array([speed, wins, roi, reward, factor[self.code]])
        return self._observe(), reward, self._episode.done, False, {"cost": cost, "revenue": revenue}

    def _observe(self) -> NDArray[np.float32]:
        budget, spent = self.market.budgets[self.code], self._episode.spent[self.code]
        left = max(1.0 - spent / budget, 0.0) if np.isfinite(budget) and budget > 0 else 1.0
        time_left = 1.0 - self._episode.t / self.market.n_intervals
        seen = np.concatenate([[time_left, left], self._last]).astype(np.float32)
        return np.clip(seen, 0.0, self._high)
