"""Implicit Q-learning of a bid multiplier from logged trajectories, AuctionNet's offline setting."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from workbench.bidding._forward import forward
from workbench.bidding.auctionnet import AuctionNetMarket, AuctionNetOutcome
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
        joined = [
            np.concatenate([part[i].reshape(-1, *part[i].shape[2:]) for part in parts]) for i in range(5)
        ]
        return cls(*joined)


class IQLBidder(BaseEstimator):
    """Implicit Q-learning: a value by expectile regression, a policy by advantage-weighted regression.

    No action that the log does not hold is ever asked for. The policy gives alpha: bid over prediction.

    Parameters
    ----------
    expectile : float, default=0.7
    temperature : float, default=3.0
        Inverse temperature: weights are ``exp(temperature · advantage)``, at most 100.
    gamma : float, default=0.99
    tau : float, default=0.01
        Soft update of the target critics.
    lr : float, default=1e-3
    n_steps : int, default=2000
        Gradient steps.
    batch_size : int, default=100
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    actor_ : list of ndarray
        Weights and biases in turn.
    center_, scale_ : ndarray of shape (16,)
        Standardisation of states.
    action_scale_, reward_scale_ : float

    References
    ----------
    Kostrikov, Nair, Levine, "Offline reinforcement learning with implicit Q-learning", ICLR 2022,
    arXiv 2110.06169.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "expectile": [Interval(Real, 0, 1, closed="neither")],
        "temperature": [_POSITIVE],
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "tau": [Interval(Real, 0, 1, closed="right")],
        "lr": [_POSITIVE],
        "n_steps": [_COUNT],
        "batch_size": [_COUNT],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        expectile: float = 0.7,
        temperature: float = 3.0,
        gamma: float = 0.99,
        tau: float = 0.01,
        lr: float = 1e-3,
        n_steps: int = 2000,
        batch_size: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.expectile = expectile
        self.temperature = temperature
        self.gamma = gamma
        self.tau = tau
        self.lr = lr
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: Trajectories, y: Any = None) -> IQLBidder:
        """Learn from logged trajectories."""
        import torch

        from workbench.bidding._iql_training import train

        self._validate_params()
        self.center_, self.scale_ = X.state.mean(axis=0), X.state.std(axis=0) + 1e-8
        self.action_scale_ = float(X.action.mean()) or 1.0
        self.reward_scale_ = float(X.reward.std()) or 1.0
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))

        def tensor(values: NDArray[Any]) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values, dtype=np.float32))

        self.actor_ = train(
            tensor(self._standard(X.state)),
            tensor(X.action / self.action_scale_),
            tensor(X.reward / self.reward_scale_),
            tensor(self._standard(X.next_state)),
            tensor(X.done),
            self,
            seed,
        )
        return self

    def alpha(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bid over prediction in the given states, shape (n,); never negative."""
        check_is_fitted(self)
        raw = forward(self.actor_, self._standard(state)[None])[0, :, 0]
        return np.maximum(raw, 0.0) * self.action_scale_

    def bid(self, state: NDArray[np.float64], prediction: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bids for impressions of one tick: alpha of the state, shape (16,), times the predictions."""
        return float(self.alpha(state[None])[0]) * prediction

    def __call__(self, t: int, out: AuctionNetOutcome, remaining: NDArray[np.float64]) -> NDArray[np.float64]:
        """A strategy for `AuctionNetMarket.run`: every bidder follows the policy."""
        return self.alpha(out._state(t))

    def evaluate(self, X: AuctionNetMarket, seed: int = 0) -> NDArray[np.float64]:
        """Scores of 48 bidders that all follow the policy."""
        return X.run(self, seed=seed).scores()

    def _standard(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        return (state - self.center_) / self.scale_
