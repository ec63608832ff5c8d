"""Implicit Q-learning of a bid multiplier from logged trajectories, AuctionNet's offline setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from workbench.bidding._forward import forward
from workbench.bidding.auctionnet import AuctionNetMarket, AuctionNetOutcome
from workbench.bidding.market import AuctionMarket
from workbench.bidding.replay import ReplayMarket
from workbench.bidding.steps import StepBidder, Trace, play
from workbench.errors import DatasetError

__all__ = ["IQLBidder", "Trajectories"]

_COUNT = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Logged decisions, one row a bidder and tick.

    Attributes
    ----------
    state, next_state : ndarray, shape (n, 16)
    action : ndarray, shape (n,)
        Bid over prediction (alpha).
    reward : ndarray, shape (n,)
    done : ndarray of bool, shape (n,)
    """

    state: NDArray[np.float64]
    action: NDArray[np.float64]
    reward: NDArray[np.float64]
    next_state: NDArray[np.float64]
    done: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name in ("state", "action", "reward", "next_state"):
            bad = ~np.isfinite(getattr(self, name)).reshape(len(self.state), -1).all(axis=1)
            if bad.any():
                raise DatasetError(f"Row {int(bad.argmax()) + 1}: {name} is not a number.")
        if (self.action < 0).any():
            raise DatasetError(f"Row {int((self.action < 0).argmax()) + 1}: action is negative.")

    @classmethod
    def of(cls, outcomes: list[AuctionNetOutcome]) -> Trajectories:
        """The trajectories of all bidders on some days; the reward is the prediction of what was won."""
        parts = []
        for out in outcomes:
            states = out.states()
            following = np.concatenate([states[1:], np.zeros_like(states[:1])])
            done = np.zeros(out.alpha.shape, dtype=bool)
            done[-1] = True
            parts.append((states, out.alpha, out.value, following, done))
        return cls._join(parts)

    @classmethod
    def of_traces(cls, traces: list[Trace]) -> Trajectories:
        """The trajectories of campaigns; actions are in units of the multiplier that a day begins with."""
        parts = []
        for trace in traces:
            states = np.stack([trace.long_state(t) for t in range(trace.n_steps)])
            following = np.concatenate([states[1:], np.zeros_like(states[:1])])
            done = np.zeros((trace.n_steps, trace.n), dtype=bool)
            done[-1] = True
            reward = trace.reward / trace.units.reward
            parts.append((states, trace.alpha / trace.units.alpha, reward, following, done))
        return cls._join(parts)

    @classmethod
    def _join(cls, parts: Sequence[tuple[NDArray[Any], ...]]) -> Trajectories:
        return cls(
            *(np.concatenate([part[i].reshape(-1, *part[i].shape[2:]) for part in parts]) for i in range(5))
        )


class IQLBidder(StepBidder):
    """Implicit Q-learning: a value by expectile regression, a policy by advantage-weighted regression.

    It learns from logged trajectories and asks for no action that the log does not hold. Given a market or a
    replay instead, it logs days of campaigns that follow their budgets with random multipliers. The
    policy gives alpha: bid over predicted value.

    Parameters
    ----------
    expectile : float, default=0.7
    temperature : float, default=3.0
        Inverse temperature: weights are ``exp(temperature · advantage)``, at most 100.
    gamma : float, default=0.99
    tau : float, default=0.01
        Soft update of the target critics.
    lr : float, default=1e-3
    n_updates : int, default=2000
        Gradient steps.
    batch_size : int, default=100
    n_steps : int, default=48
        Decisions of a day in a market or a replay.
    n_days : int, default=10
        Days that are logged in a market or a replay.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    actor_ : list of ndarray
        Weights and biases in turn.
    center_, scale_ : ndarray of shape (16,)
        Standardisation of states.
    action_center_, action_scale_ : float
        Mean and deviation of the logarithms of the log's actions, which is what the networks see: bids are
        raised and cut by shares, so that the multipliers of a day spread evenly only on that scale.
    action_range_ : ndarray of shape (2,)
        Least and largest action of the log; the policy asks for none beyond them.
    reward_scale_ : float
        Deviation of rewards in the log.

    References
    ----------
    Kostrikov, Nair, Levine, "Offline reinforcement learning with implicit Q-learning", ICLR 2022,
    arXiv 2110.06169; states as in AuctionNet (arXiv 2412.10798).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "expectile": [Interval(Real, 0, 1, closed="neither")],
        "temperature": [_POSITIVE],
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "tau": [Interval(Real, 0, 1, closed="right")],
        "lr": [_POSITIVE],
        "n_updates": [_COUNT],
        "batch_size": [_COUNT],
        "n_steps": [_COUNT],
        "n_days": [_COUNT],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        expectile: float = 0.7,
        temperature: float = 3.0,
        gamma: float = 0.99,
        tau: float = 0.01,
        lr: float = 1e-3,
        n_updates: int = 2000,
        batch_size: int = 100,
        n_steps: int = 48,
        n_days: int = 10,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.expectile = expectile
        self.temperature = temperature
        self.gamma = gamma
        self.tau = tau
        self.lr = lr
        self.n_updates = n_updates
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.n_days = n_days
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> IQLBidder:
        """Learn from `Trajectories`, or log some in a market (also an `AuctionNetMarket`) or a replay."""
        if isinstance(X, AuctionNetMarket):
            rng = np.random.default_rng(self._seed())
            X = Trajectories.of([X.run(_wandering(X.targets, rng), seed=s) for s in range(self.n_days)])
        if not isinstance(X, Trajectories):
            super().fit(X, y)
            return self
        self._validate_params()
        self.n_merchants_in_ = 1
        self._learn_from(X)
        return self

    def _learn(self, market: AuctionMarket | ReplayMarket) -> None:
        rng = np.random.default_rng(self._seed())
        days = [play(market, self.n_steps, self.units, _pacing(rng), seed=day) for day in range(self.n_days)]
        self._learn_from(Trajectories.of_traces(days))

    def _learn_from(self, log: Trajectories) -> None:
        import torch

        from workbench.bidding._iql_training import train

        self.center_, self.scale_ = log.state.mean(axis=0), log.state.std(axis=0) + 1e-8
        # An action of nothing has no logarithm; it stands for a thousandth of the mean one.
        least = max(1e-3 * float(log.action.mean()), 1e-12)
        action = np.log(np.maximum(log.action, least))
        self.action_center_, self.action_scale_ = float(action.mean()), float(action.std()) or 1.0
        self.action_range_ = np.array([log.action.min(), log.action.max()])
        self.reward_scale_ = float(log.reward.std()) or 1.0

        def tensor(values: NDArray[Any]) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values, dtype=np.float32))

        self.actor_ = train(
            tensor(self._standard(log.state)),
            tensor((action - self.action_center_) / self.action_scale_),
            tensor(log.reward / self.reward_scale_),
            tensor(self._standard(log.next_state)),
            tensor(log.done),
            self,
            self._seed(),
        )

    def alpha(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """The policy's action in the given states, shape (n,); within those of the log."""
        check_is_fitted(self)
        raw = forward(self.actor_, self._standard(state)[None])[0, :, 0]
        return np.clip(np.exp(self.action_center_ + self.action_scale_ * raw), *self.action_range_)

    def _choose(self, trace: Trace, t: int) -> NDArray[np.float64]:
        return (trace.units.alpha * self.alpha(trace.long_state(t)))[:, None]

    def __call__(self, t: int, out: AuctionNetOutcome, remaining: NDArray[np.float64]) -> NDArray[np.float64]:
        """A strategy for `AuctionNetMarket.run`: every bidder follows the policy."""
        return self.alpha(out.state(t))

    def evaluate(self, X: Any, seed: int = 0) -> pd.DataFrame:
        """Bid in a market or a replay; in an `AuctionNetMarket` one row each of its 48 bidders."""
        if isinstance(X, AuctionNetMarket):
            return X.run(self, seed=seed).table()
        return super().evaluate(X, seed)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _standard(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        return (state - self.center_) / self.scale_


def _pacing(rng: np.random.Generator) -> Any:
    """Days that begin off the mark and follow the budget by AuctionNet's thresholds, with noise."""

    def choose(trace: Trace, t: int) -> NDArray[np.float64]:
        noise = np.exp(rng.normal(0.0, 0.1, trace.n))
        if t == 0:
            return (trace.units.alpha * noise * np.exp(rng.normal(0.0, 0.5, trace.n)))[:, None]
        left, before = trace.budget_left(t), trace.budget_left(t - 1)
        pace = (before - left) * (trace.n_steps - t) / np.maximum(left, 1e-9)
        factor = np.where(pace < 0.7, 1.2, np.where(pace > 1.1, 0.7, 1.0)) * noise
        return np.clip(trace.alpha[t - 1] * factor, 0.02 * trace.units.alpha, 5 * trace.units.alpha)[:, None]

    return choose


def _wandering(targets: NDArray[np.float64], rng: np.random.Generator) -> Any:
    """AuctionNet's bidders around their cost targets."""
    return lambda t, out, remaining: targets * rng.uniform(0.3, 1.5, len(targets))
