"""USCB: one bid formula for any set of constraints, its weights moved by a learned policy."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from workbench.bidding import formulas
from workbench.bidding._forward import forward
from workbench.bidding.market import AuctionMarket
from workbench.bidding.replay import ReplayMarket
from workbench.bidding.steps import StepBidder, Trace

__all__ = ["USCBBidder", "penalised", "weights_after"]

Array = NDArray[np.float64]
#: Numbers in a state besides one for each weight.
STATE = 5
#: Weights are kept within these multiples of their start.
BOUND = 50.0

_COUNT = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")


def penalised(value: ArrayLike, cost: ArrayLike, got: ArrayLike, limit: float | None) -> Array:
    """A day's value, cut where a result cost more than the limit: ``value · min((limit·got/cost)², 1)``."""
    value, cost, got = (np.asarray(a, dtype=np.float64) for a in (value, cost, got))
    if limit is None:
        return value
    kept = np.divide(limit * got, cost, out=np.ones(np.broadcast(cost, got).shape), where=cost > 0)
    return value * np.minimum(kept**2, 1.0)


class USCBBidder(StepBidder):
    """Unified bidding under constraints: ``w0·v + w1·C·p``, with weights that a policy moves in each step.

    v is an impression's predicted value, and with a limit C on the cost of a result p its chance to
    bring one: a click in a replay, a conversion in a market. A step multiplies each weight by ``1 + a``. The
    critic is fitted to what the rest of a day brings when the weights are held where the action put them
    (seen by holding them, not by bootstrapping); the actor climbs it. All campaigns share one policy.

    Parameters
    ----------
    cpa : float, optional
        Limit C on the cost of a result; by default the budget is the only constraint.
    n_steps : int, default=96
    move : float, default=0.3
        Largest relative change of a weight in one step.
    noise : float, default=0.5
        Standard deviation of the action whose consequences are tried, as a share of `move`.
    n_episodes : int, default=60
        Times that the training log is lived through; one action of each campaign is tried in each.
    updates_per_episode : int, default=60
        Critic steps after each; one in `critic_steps` is followed by an actor step.
    critic_steps : int, default=5
    batch_size : int, default=64
    actor_lr, critic_lr : float
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    actor_ : list of ndarray
        Weights and biases in turn.
    start_ : ndarray of shape (n_merchants, k) or (1, k)
        The weights that a day begins with.
    history_ : list of dict

    References
    ----------
    He, Chen, Wu, Pan, Tan, Yu, Xu, Zhu, "A unified solution to constrained bidding in online display
    advertising", KDD 2021. Its learning settings are not known to us; the defaults are ours.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "cpa": [_POSITIVE, None],
        "n_steps": [_COUNT],
        "move": [Interval(Real, 0, 1, closed="neither")],
        "noise": [_POSITIVE],
        "n_episodes": [_COUNT],
        "updates_per_episode": [_COUNT],
        "critic_steps": [_COUNT],
        "batch_size": [_COUNT],
        "actor_lr": [_POSITIVE],
        "critic_lr": [_POSITIVE],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        cpa: float | None = None,
        n_steps: int = 96,
        move: float = 0.3,
        noise: float = 0.5,
        n_episodes: int = 60,
        updates_per_episode: int = 60,
        critic_steps: int = 5,
        batch_size: int = 64,
        actor_lr: float = 1e-3,
        critic_lr: float = 2e-3,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.cpa = cpa
        self.n_steps = n_steps
        self.move = move
        self.noise = noise
        self.n_episodes = n_episodes
        self.updates_per_episode = updates_per_episode
        self.critic_steps = critic_steps
        self.batch_size = batch_size
        self.actor_lr = actor_lr
        self.critic_lr = critic_lr
        self.random_state = random_state

    @property
    def n_weights(self) -> int:
        """1, and one more with a limit on the cost of a result."""
        return 1 if self.cpa is None else 2

    def _learn(self, market: AuctionMarket | ReplayMarket) -> None:
        from workbench.bidding._uscb_training import train

        # Half of the bid for the value, half for the result, where there is a limit.
        self.start_ = np.tile(self.alpha_[:, None], (1, self.n_weights)) / self.n_weights
        if self.cpa is not None:
            self.start_[:, 1] = 0.5
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.actor_, self.history_ = train(self, market, seed)

    def state(self, trace: Trace, t: int) -> Array:
        """What the policy sees before step `t`, shape (n, 5 + k).

        Time left, budget left, speed of spending in the last step, its price of an impression, cost of a
        result so far over the limit; and the logarithm of each weight over its start.
        """
        short = trace.short_state(t)
        cost, got = trace.cost[:t].sum(axis=0), trace.results[:t].sum(axis=0)
        status = np.zeros(trace.n)
        if self.cpa is not None:
            np.divide(cost, self.cpa * got, out=status, where=got > 0)
        columns = [1.0 - short[:, 0], short[:, 1], -short[:, 3], short[:, 4], np.clip(status, 0.0, 5.0)]
        held = np.log(self.weights(trace, t) / self.start_)
        return np.column_stack([*columns, held])

    def weights(self, trace: Trace, t: int) -> Array:
        """The weights of the step before, shape (n, k)."""
        start = np.broadcast_to(self.start_, (trace.n, self.n_weights))
        return trace.choice[t - 1, :, : self.n_weights] if t > 0 else start

    def _choose(self, trace: Trace, t: int) -> Array:
        action = self.move * np.tanh(forward(self.actor_, self.state(trace, t)[None])[0])
        return weights_after(self, trace, t, action)

    def _price(self, weights: Array, value: Array, chance: Array) -> Array:
        limits = () if self.cpa is None else ((weights[:, 1], 0.0, chance, float(self.cpa), True),)
        return formulas.uscb(value, weights[:, 0], limits)


def weights_after(bidder: USCBBidder, trace: Trace, t: int, action: Array) -> Array:
    """``w_t = w_{t−1}·(1 + a_t)``, noted in the trace; shape (n, k)."""
    moved = bidder.weights(trace, t) * (1.0 + action)
    trace.choice[t, :, : bidder.n_weights] = np.clip(moved, bidder.start_ / BOUND, bidder.start_ * BOUND)
    return trace.choice[t, :, : bidder.n_weights]
