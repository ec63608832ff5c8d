"""Bidders that learn by playing the clusters' game: what DCMAB, DDPG, the bandit and A2C share."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval as Bounds
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from workbench.bidding.base import MarketBidder
from workbench.bidding.episode import Interval
from workbench.bidding.game import BRATIO_MODES, ClusterGame, Clusters
from workbench.bidding.market import AuctionMarket
from workbench.bidding.outcome import Outcome
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.bidding._actor_critic import Sizes
    from workbench.bidding._networks import Best

__all__ = ["ClusterLearner"]

_COUNT = Bounds(Integral, 1, None, closed="left")
_POSITIVE = Bounds(Real, 0, None, closed="neither")


class ClusterLearner(MarketBidder):
    """Base of bidders whose agents are clusters of merchants.

    Subclasses say how agents are made (``_agents``), how they explore, and how they learn.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_merchant_clusters": [_COUNT],
        "n_consumer_clusters": [_COUNT],
        "reward": [StrOptions({"self", "coord"}), Bounds(Real, 0, 1, closed="both")],
        "coordinated_agents": [_COUNT, None],
        "bid_range": [Bounds(Real, 0, 1, closed="right")],
        "bratio_mode": [StrOptions(set(BRATIO_MODES))],
        "n_episodes": [_COUNT],
        "n_workers": [_COUNT],
        "actor_lr": [_POSITIVE],
        "critic_lr": [_POSITIVE],
        "noise": [Bounds(Real, 0, None, closed="left")],
        "max_grad_norm": [_POSITIVE],
        "logit_penalty": [Bounds(Real, 0, None, closed="left")],
        "keep": [StrOptions({"best", "last"})],
        "random_state": ["random_state"],
    }

    n_merchant_clusters: int
    n_consumer_clusters: int
    reward: str | float
    coordinated_agents: int | None
    bid_range: float
    bratio_mode: str
    n_episodes: int
    n_workers: int
    keep: str
    random_state: Any

    def _fit_market(self, market: AuctionMarket) -> None:
        import torch

        from workbench.bidding._actor_critic import Sizes
        from workbench.bidding._episode_loop import EpisodeLoop
        from workbench.bidding._networks import Best, one_thread
        from workbench.training.fingerprint import fingerprint

        if self.coordinated_agents is not None and self.coordinated_agents > self.n_merchant_clusters:
            raise UsageError(
                f"coordinated_agents is {self.coordinated_agents}, but there are only "
                f"{self.n_merchant_clusters} merchant clusters."
            )
        clusters = Clusters.fit(market, self.n_merchant_clusters, self.n_consumer_clusters)
        self._keep_clusters(clusters)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._games = [self._game(market) for _ in range(self.n_workers)]
        game = self._games[0]
        learning = self.coordinated_agents or game.shape[0]
        sizes = Sizes(*game.shape, game.n_general, learning)
        generator = torch.Generator().manual_seed(self._seed)
        agents, extras = self._agents(sizes, game.consumer_features(), generator)
        log, best = market.log, Best(agents.actor)

        def episode(number: int) -> dict[str, float]:
            losses = self._episode(agents, number, extras)
            return {**self._judge(agents, best), **losses}

        loop = EpisodeLoop(
            agents,
            agents.optimizer,
            episode,
            n_episodes=self.n_episodes,
            generator=generator,
            extras={**extras, "best": best},
            fingerprint=fingerprint(
                self, log.merchant, log.bid, log.pctr, log.pcvr, log.ppb, market.budgets,
                mechanism=market.mechanism, reserve=market.reserve, seed=self._seed,
            ),
        )  # fmt: skip
        with one_thread():
            loop.run()
        self.history_ = loop.history
        self.actor_ = best.arrays if self.keep == "best" else agents.actor.arrays()
        del self._games, self._seed

    @abstractmethod
    def _agents(
        self, sizes: Sizes, features: NDArray[np.float64], generator: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The torch module (with ``actor`` and ``optimizer``) and what else it remembers."""

    @abstractmethod
    def _episode(self, agents: Any, number: int, extras: dict[str, Any]) -> dict[str, float]:
        """Play `n_workers` games, learn, and give the losses."""

    def _judge(self, agents: Any, best: Best) -> dict[str, float]:
        """Play the day once more without noise; its figures, and the actors kept if none earned more."""
        game = self._games[0]
        game.reset()
        while not game.done:
            game.step(agents.act(game.general()))
        out, clusters = game.episode.outcome, game.clusters
        by = out.by_cluster("revenue", clusters.merchant, clusters.n).sum(axis=(0, 2))
        best.offer(float(by.sum()), agents.actor)
        names = {f"gmv_cluster_{i + 1}": float(v) for i, v in enumerate(by)}
        return {"gmv": float(by.sum()), "platform_revenue": float(out.cost.sum()), **names}

    def _play(self, games: list[ClusterGame], actions: list[NDArray[np.float64]]) -> list[Outcome]:
        """The next interval of every game, side by side in threads."""
        if len(games) == 1:
            return [games[0].step(actions[0])]
        with ThreadPoolExecutor(len(games)) as pool:
            return list(pool.map(ClusterGame.step, games, actions))

    def _rewards(self, game: ClusterGame, out: Outcome) -> NDArray[np.float64]:
        """Each agent's reward, ``(1 − β)`` own revenue + ``β`` total, in units of what manual bids earn."""
        own = out.by_cluster("revenue", game.clusters.merchant, game.shape[0])[0].sum(axis=1)
        scale, beta = game.clusters.scale[:, 0], self._beta
        return ((1 - beta) * own + beta * own.sum()) / ((1 - beta) * scale + beta * scale.sum())

    @property
    def _beta(self) -> float:
        if isinstance(self.reward, str):
            return {"self": 0.0, "coord": 1.0}[self.reward]
        return float(self.reward)

    def _keep_clusters(self, clusters: Clusters) -> None:
        self.merchant_cluster_, self.consumer_cluster_ = clusters.merchant, clusters.consumer
        self.history_features_, self.scale_ = clusters.history, clusters.scale
        self.mean_pcvr_, self.consumers_ = clusters.mean_pcvr, clusters.consumer_names

    def clusters(self) -> Clusters:
        """The fitted clusters."""
        check_is_fitted(self)
        return Clusters(
            self.merchant_cluster_, self.consumer_cluster_, self.history_features_, self.scale_,
            self.mean_pcvr_, self.consumers_,
        )  # fmt: skip

    def _game(self, market: AuctionMarket) -> ClusterGame:
        return ClusterGame(market, self.clusters(), float(self.bid_range), self.bratio_mode)

    def actions(self, game: ClusterGame) -> NDArray[np.float64]:
        """a_ij for the game's next interval, shape (N, L); computed without torch."""
        from workbench.bidding._forward import forward

        x = np.broadcast_to(
            game.actor_states(), (game.shape[0], game.shape[1], game.n_general + game.shape[1] + 2)
        )
        action = np.tanh(forward(self.actor_, x)[..., 0])
        if self.coordinated_agents is not None:
            action[self.coordinated_agents :] = 0.0
        return action

    def simulate(self, X: Any, seed: int = 0, **options: Any) -> Outcome:
        """Bid in a market and give back all sums; `play` gives the actions taken, too."""
        return self.play(X, seed)[0]

    def play(self, X: Any, seed: int = 0) -> tuple[Outcome, NDArray[np.float64]]:
        """All sums, and the actions taken, shape (n_intervals, N, L)."""
        check_is_fitted(self)
        market = self._as_market(X)
        assert isinstance(market, AuctionMarket)  # noqa: S101  (a replay was refused)
        policy = self._policy(market)
        out = market.run(policy, seed=seed, groups=policy.groups, count=True)
        return out, np.array(policy.taken)

    def evaluate(self, X: Any, seed: int = 0) -> pd.DataFrame:
        """Bid in a market and give the figures back, one row a merchant cluster and the total last."""
        out = self.simulate(X, seed=seed)
        return out.table(self.merchant_cluster_, int(self.n_merchant_clusters))

    def _policy(self, market: AuctionMarket) -> _GamePolicy:
        return _GamePolicy(self, self._game(market))


class _GamePolicy:
    """Plays the clusters' game in a market; `taken` are its actions so far."""

    def __init__(self, bidder: ClusterLearner, game: ClusterGame) -> None:
        self._bidder, self._game, self.groups = bidder, game, game.groups
        self.taken: list[NDArray[np.float64]] = []

    def bids(self, interval: Interval) -> NDArray[np.float64]:
        self.taken.append(self._bidder.actions(self._game))
        return self._game.bids(self.taken[-1], interval)

    def observe(self, result: Outcome) -> None:
        self._game.book(result)
