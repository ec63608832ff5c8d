"""DRLB: a double deep Q-network moves the budget's multiplier step by step."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from workbench.bidding._forward import forward
from workbench.bidding.market import AuctionMarket
from workbench.bidding.replay import ReplayMarket
from workbench.bidding.steps import StepBidder, Trace

__all__ = ["MOVES", "DRLBBidder", "epsilon", "is_unimodal"]

#: Relative changes of λ that an action stands for (Wu et al., CIKM 2018, section 4.1).
MOVES = np.array([-0.50, -0.15, -0.08, -0.03, -0.01, 0.0, 0.01, 0.03, 0.08, 0.15, 0.50])
#: λ is kept within these multiples of its start, or a day of the same action would leave all numbers.
BOUND = 50.0

_COUNT = Interval(Integral, 1, None, closed="left")


def epsilon(step: int, decay: float) -> float:
    """Chance of a random action after `step` decisions: ``max(0.95 − decay·step, 0.05)``."""
    return max(0.95 - decay * step, 0.05)


def is_unimodal(q: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each row of values rises up to one action and falls after it, shape (n,)."""
    rises = np.diff(q, axis=1) > 0
    # Once it has fallen it must not rise again.
    return np.logical_not((rises[:, 1:] & ~rises[:, :-1]).any(axis=1))


class DRLBBidder(StepBidder):
    """Deep reinforcement learning to bid: ``value / λ``, where a Q-network moves λ in each step.

    All campaigns (merchants of a market, episodes of a replay) share one policy. An action changes λ by −50,
    −15, −8, −3, −1, 0, 1, 3, 8, 15 or 50 %. The reward of a state and action is learned too (RewardNet): the
    most that any day passing through them has brought in all, so that cheap early wins are not preferred.

    Parameters
    ----------
    n_steps : int, default=96
        Decisions of a day (one in 15 minutes).
    reward_source : {"rewardnet", "direct"}, default="rewardnet"
        Whether an action's reward is the learned one, or what its step brought.
    n_episodes : int, default=40
        Times that the training log is lived through.
    updates_per_episode : int, default=150
        Gradient steps after each.
    batch_size : int, default=32
    memory_size : int, default=100000
        Transitions kept.
    gamma : float, default=1.0
    lr : float, default=1e-3
    target_every : int, default=100
        Gradient steps after which the target network is a fresh copy.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    network_ : list of ndarray
        Weights and biases of the Q-network in turn.
    alpha_, value_, reward_ : ndarray of shape (n_merchants,) or (1,)
        1 / λ that a day begins with, and the units of states and rewards.
    history_ : list of dict
        What was won (GMV of a market, clicks of a replay) and losses of every episode.

    References
    ----------
    Wu, Chen, Yang, Wang, Tan, Zhang, Xu, Gai, "Budget constrained bidding by model-free reinforcement
    learning in display advertising", CIKM 2018, arXiv 1802.08365. Of its state's 46 numbers seven are
    described; the state is those.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_steps": [_COUNT],
        "reward_source": [StrOptions({"rewardnet", "direct"})],
        "n_episodes": [_COUNT],
        "updates_per_episode": [_COUNT],
        "batch_size": [_COUNT],
        "memory_size": [_COUNT],
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "target_every": [_COUNT],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_steps: int = 96,
        reward_source: Literal["rewardnet", "direct"] = "rewardnet",
        n_episodes: int = 40,
        updates_per_episode: int = 150,
        batch_size: int = 32,
        memory_size: int = 100_000,
        gamma: float = 1.0,
        lr: float = 1e-3,
        target_every: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_steps = n_steps
        self.reward_source = reward_source
        self.n_episodes = n_episodes
        self.updates_per_episode = updates_per_episode
        self.batch_size = batch_size
        self.memory_size = memory_size
        self.gamma = gamma
        self.lr = lr
        self.target_every = target_every
        self.random_state = random_state

    def _learn(self, market: AuctionMarket | ReplayMarket) -> None:
        from workbench.bidding._drlb_training import train

        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.network_, self.history_ = train(self, market, seed)

    def _choose(self, trace: Trace, t: int) -> NDArray[np.float64]:
        q = forward(self.network_, trace.short_state(t)[None])[0]
        return move(trace, t, q.argmax(axis=1))


def move(trace: Trace, t: int, action: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """1 / λ after the actions, ``λ_t = λ_{t−1}·(1 + MOVES[action])``, shape (n, 1)."""
    start = np.broadcast_to(trace.units.alpha, trace.n)
    before = trace.alpha[t - 1] if t > 0 else start
    return np.clip(before / (1.0 + MOVES[action]), start / BOUND, start * BOUND)[:, None]
