"""DCMAB and the learners it was compared with."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from workbench.bidding.game import ClusterGame
from workbench.bidding.learning import ClusterLearner

if TYPE_CHECKING:
    from workbench.bidding._actor_critic import Deterministic, Gaussian, Sizes

__all__ = ["A2CBidder", "BanditBidder", "DCMABBidder", "DDPGBidder"]

_COUNT = Interval(Integral, 1, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="both")


class DCMABBidder(ClusterLearner):
    """Distributed coordinated multi-agent bidding.

    Merchants are cut into clusters, one agent each; consumers into clusters too. Once an interval every actor
    sets a_ij for each consumer cluster j; within the interval each bid is multiplied by ``1 + clip(a_ij ·
    bratio)``, where bratio compares the request's conversion rate with the merchant's own average. Each
    agent's critic sees all agents' actions. Sums are kept by cluster, so one transition is one interval.

    Parameters
    ----------
    n_merchant_clusters : int, default=3
        Number of agents.
    n_consumer_clusters : int, default=3
    reward : {"self", "coord"} or float, default="coord"
        Own revenue, total revenue, or β between: ``(1 − β)`` own + ``β`` total.
    coordinated_agents : int, optional
        Only so many agents, from the lowest revenues up, learn; the others keep manual bids.
    bid_range : float, default=0.9
        Largest change of a bid, up or down.
    bratio_mode : {"paper", "multiplier", "none"}, default="paper"
        As published, where a negative a_ij makes a request that converts better get a lower bid; or
        ``(1 + a) · bratio − 1``, which never does (ours); or without bratio.
    n_episodes : int, default=250
        Times that the training log is played.
    n_workers : int, default=4
        Games played side by side in each episode, with noise of their own; their transitions are pooled.
    updates_per_interval : int, default=10
        Gradient steps for each interval played.
    batch_size : int, default=64
    memory_size : int, default=10000
        Transitions kept.
    gamma : float, default=1.0
        Discount from one interval to the next.
    tau : float, default=0.01
        Soft update of the target networks.
    actor_lr, critic_lr : float
        Learning rates of Adam.
    noise, final_noise : float
        Standard deviation of the exploration noise at the first episode and, after a geometric fall, at
        the last. Where the best actors are kept, late noise costs nothing: they are judged without it.
    noise_kind : {"gaussian", "ou"}, default="gaussian"
        Independent noise, or an Ornstein–Uhlenbeck process over the intervals of an episode.
    late_actions : bool, default=True
        Whether actions enter the critic at its first hidden layer (the paper's text) or with the state (its
        figure).
    max_grad_norm : float, default=1.0
        Each agent's gradient is cut to this norm.
    logit_penalty : float, default=0.01
        Weight of the squared logits in the actors' objective (ours): keeps tanh from saturating for good.
    keep : {"best", "last"}, default="best"
        After each episode the training day is played once more without noise; the actors that earned the
        most are kept, or the last ones.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    actor_ : list of ndarray
        Weights and biases of the actors in turn, agents first.
    merchant_cluster_ : ndarray of shape (n_merchants,)
    consumer_cluster_ : ndarray of shape (n_consumers,)
    history_ : list of dict
        Of every episode: revenue of the training day without noise (in all and by cluster), platform
        revenue, and losses.

    References
    ----------
    Jin, Song, Li, Gai, Wang, Zhang, "Real-time bidding with multi-agent reinforcement learning in display
    advertising", CIKM 2018, arXiv 1802.09756. Learning rates, discount, noise and replay are not
    stated there; the defaults are ours.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ClusterLearner._parameter_constraints,
        "updates_per_interval": [_COUNT],
        "batch_size": [_COUNT],
        "memory_size": [_COUNT],
        "gamma": [_SHARE],
        "tau": [Interval(Real, 0, 1, closed="right")],
        "final_noise": [Interval(Real, 0, None, closed="left")],
        "noise_kind": [StrOptions({"gaussian", "ou"})],
        "late_actions": ["boolean"],
    }
    _centralised = True

    def __init__(
        self,
        n_merchant_clusters: int = 3,
        n_consumer_clusters: int = 3,
        reward: Literal["self", "coord"] | float = "coord",
        coordinated_agents: int | None = None,
        bid_range: float = 0.9,
        bratio_mode: Literal["paper", "multiplier", "none"] = "paper",
        n_episodes: int = 250,
        n_workers: int = 4,
        updates_per_interval: int = 10,
        batch_size: int = 64,
        memory_size: int = 10_000,
        gamma: float = 1.0,
        tau: float = 0.01,
        actor_lr: float = 3e-4,
        critic_lr: float = 1e-3,
        noise: float = 0.4,
        final_noise: float = 0.1,
        noise_kind: Literal["gaussian", "ou"] = "gaussian",
        late_actions: bool = True,
        max_grad_norm: float = 1.0,
        logit_penalty: float = 0.01,
        keep: Literal["best", "last"] = "best",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_merchant_clusters = n_merchant_clusters
        self.n_consumer_clusters = n_consumer_clusters
        self.reward = reward
        self.coordinated_agents = coordinated_agents
        self.bid_range = bid_range
        self.bratio_mode = bratio_mode
        self.n_episodes = n_episodes
        self.n_workers = n_workers
        self.updates_per_interval = updates_per_interval
        self.batch_size = batch_size
        self.memory_size = memory_size
        self.gamma = gamma
        self.tau = tau
        self.actor_lr = actor_lr
        self.critic_lr = critic_lr
        self.noise = noise
        self.final_noise = final_noise
        self.noise_kind = noise_kind
        self.late_actions = late_actions
        self.max_grad_norm = max_grad_norm
        self.logit_penalty = logit_penalty
        self.keep = keep
        self.random_state = random_state

    def _discount(self) -> float:
        return float(self.gamma)

    def _agents(
        self, sizes: Sizes, features: NDArray[np.float64], generator: Any
    ) -> tuple[Deterministic, dict[str, Any]]:
        from workbench.bidding._actor_critic import Deterministic, memory_for

        agents = Deterministic(
            sizes, features, generator, centralised=self._centralised, late_actions=self.late_actions,
            actor_lr=self.actor_lr, critic_lr=self.critic_lr, gamma=self._discount(), tau=self.tau,
            max_grad_norm=self.max_grad_norm, penalty=self.logit_penalty,
        )  # fmt: skip
        return agents, {"memory": memory_for(sizes, self.memory_size)}

    def _episode(self, agents: Any, number: int, extras: dict[str, Any]) -> dict[str, float]:
        rng = np.random.default_rng([self._seed, number])
        games, memory = self._games, extras["memory"]
        for worker, game in enumerate(games):
            game.reset(seed=number * len(games) + worker)
        noise = [np.zeros(game.shape) for game in games]
        waiting: list[list[dict[str, Any]]] = []
        losses = []
        while not games[0].done:
            states = [game.general() for game in games]
            noise = [self._noise(before, number, rng) for before in noise]
            mask = agents.mask.numpy()[:, 0]
            actions = [
                np.clip(agents.act(s) + mask * e, -1.0, 1.0) for s, e in zip(states, noise, strict=True)
            ]
            outcomes = self._play(games, actions)
            rows = [
                {"general": s, "share": game.share, "action": a, "reward": self._rewards(game, out),
                 "next_general": game.general(), "done": float(game.done)}
                for s, game, a, out in zip(states, games, actions, outcomes, strict=True)
            ]  # fmt: skip
            waiting.append(rows)
            # d' is known one interval later, or never at the end.
            if len(waiting) == 2:
                _remember(memory, waiting.pop(0), [row["share"] for row in rows])
            if games[0].done:
                _remember(memory, waiting.pop(), [np.zeros(game.shape) for game in games])
            # Learning begins once a batch has been seen; before that there is only noise.
            for _ in range(self.updates_per_interval if memory.count >= self.batch_size else 0):
                losses.append(agents.update(memory.sample(self.batch_size, rng)))
        critic, actor = np.mean(losses, axis=0) if losses else (0.0, 0.0)
        return {"critic_loss": float(critic), "actor_loss": float(actor)}

    def _noise(
        self, before: NDArray[np.float64], number: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        progress = number / max(self.n_episodes - 1, 1)
        low = max(self.final_noise, 1e-9)
        size = self.noise * (low / self.noise) ** progress if self.noise > low else self.noise
        fresh = size * rng.standard_normal(before.shape)
        return 0.85 * before + fresh if self.noise_kind == "ou" else fresh


def _remember(memory: Any, rows: list[dict[str, Any]], following: list[NDArray[np.float64]]) -> None:
    for row, share in zip(rows, following, strict=True):
        memory.add(**row, next_share=share)


class DDPGBidder(DCMABBidder):
    """Independent deep deterministic policy gradients: as DCMAB, but a critic sees its own actions only.

    Parameters
    ----------
    n_merchant_clusters, n_consumer_clusters, reward, coordinated_agents, bid_range, bratio_mode, \
n_episodes, n_workers, updates_per_interval, batch_size, memory_size, gamma, tau, actor_lr, critic_lr, \
noise, final_noise, noise_kind, late_actions, max_grad_norm, logit_penalty, keep, random_state
        As of `DCMABBidder`.

    References
    ----------
    Lillicrap et al., "Continuous control with deep reinforcement learning", arXiv 1509.02971.
    """

    _centralised = False


class BanditBidder(DCMABBidder):
    """Contextual bandit: every interval on its own, with the other agents' actions in the context.

    A reward estimator and an actor, as DCMAB with no weight on what comes after (`gamma` is not used).

    Parameters
    ----------
    n_merchant_clusters, n_consumer_clusters, reward, coordinated_agents, bid_range, bratio_mode, \
n_episodes, n_workers, updates_per_interval, batch_size, memory_size, gamma, tau, actor_lr, critic_lr, \
noise, final_noise, noise_kind, late_actions, max_grad_norm, logit_penalty, keep, random_state
        As of `DCMABBidder`.

    References
    ----------
    Jin, Song, Li, Gai, Wang, Zhang, "Real-time bidding with multi-agent reinforcement learning in display
    advertising", CIKM 2018, arXiv 1802.09756, where it is one of the rivals.
    """

    def _discount(self) -> float:
        return 0.0


class A2CBidder(ClusterLearner):
    """Advantage actor-critic for each cluster: on policy, no replay, no sight of the other agents' actions.

    Parameters
    ----------
    n_merchant_clusters, n_consumer_clusters, reward, coordinated_agents, bid_range, bratio_mode, n_episodes
        As of `DCMABBidder`.
    n_workers : int, default=4
        Games played side by side; each update takes their episodes together.
    gamma : float, default=1.0
    actor_lr, critic_lr : float
    noise : float, default=0.3
        First standard deviation of the policy; it is learned.
    entropy : float, default=1e-3
        Weight of the policy's entropy.
    max_grad_norm : float, default=1.0
    logit_penalty, keep
        As of `DCMABBidder`.
    random_state : int, RandomState or None, default=None

    References
    ----------
    Mnih et al., "Asynchronous methods for deep reinforcement learning", arXiv 1602.01783.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ClusterLearner._parameter_constraints,
        "gamma": [_SHARE],
        "noise": [Interval(Real, 0, None, closed="neither")],
        "entropy": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_merchant_clusters: int = 3,
        n_consumer_clusters: int = 3,
        reward: Literal["self", "coord"] | float = "coord",
        coordinated_agents: int | None = None,
        bid_range: float = 0.9,
        bratio_mode: Literal["paper", "multiplier", "none"] = "paper",
        n_episodes: int = 250,
        n_workers: int = 4,
        gamma: float = 1.0,
        actor_lr: float = 3e-4,
        critic_lr: float = 1e-3,
        noise: float = 0.3,
        entropy: float = 1e-3,
        max_grad_norm: float = 1.0,
        logit_penalty: float = 0.01,
        keep: Literal["best", "last"] = "best",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_merchant_clusters = n_merchant_clusters
        self.n_consumer_clusters = n_consumer_clusters
        self.reward = reward
        self.coordinated_agents = coordinated_agents
        self.bid_range = bid_range
        self.bratio_mode = bratio_mode
        self.n_episodes = n_episodes
        self.n_workers = n_workers
        self.gamma = gamma
        self.actor_lr = actor_lr
        self.critic_lr = critic_lr
        self.noise = noise
        self.entropy = entropy
        self.max_grad_norm = max_grad_norm
        self.logit_penalty = logit_penalty
        self.keep = keep
        self.random_state = random_state

    def _agents(
        self, sizes: Sizes, features: NDArray[np.float64], generator: Any
    ) -> tuple[Gaussian, dict[str, Any]]:
        from workbench.bidding._actor_critic import Gaussian

        return Gaussian(
            sizes, features, generator, actor_lr=self.actor_lr, critic_lr=self.critic_lr,
            deviation=self.noise, entropy=self.entropy, max_grad_norm=self.max_grad_norm,
            penalty=self.logit_penalty,
        ), {}  # fmt: skip

    def _episode(self, agents: Any, number: int, extras: dict[str, Any]) -> dict[str, float]:
        import torch

        rng = np.random.default_rng([self._seed, number])
        games: list[ClusterGame] = self._games
        for worker, game in enumerate(games):
            game.reset(seed=number * len(games) + worker)
        states, actions, rewards = [], [], []
        while not games[0].done:
            states.append([game.general() for game in games])
            actions.append([agents.draw(s, rng) for s in states[-1]])
            outcomes = self._play(games, actions[-1])
            rewards.append([self._rewards(g, out) for g, out in zip(games, outcomes, strict=True)])
        returns, ahead = [], np.zeros_like(rewards[0])
        for reward in rewards[::-1]:
            ahead = np.asarray(reward) + self.gamma * ahead
            returns.append(ahead)

        def rows(values: Any) -> Any:
            array = np.asarray(values, dtype=np.float32)
            return torch.from_numpy(array.reshape(-1, *array.shape[2:]))

        critic, actor = agents.update(rows(states), rows(actions), rows(returns[::-1]))
        return {"critic_loss": float(critic), "actor_loss": float(actor)}
