"""What the tasks share: encoders fitted or taken as they are, their fusion, a linear head, fine tuning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from workbench.timeseries._base import Series, SeriesEncoder, SeriesEstimator
from workbench.timeseries.csl import CSL
from workbench.timeseries.fusion import FUSIONS, Fusion
from workbench.timeseries.tloss import TLoss
from workbench.timeseries.tnc import TNC
from workbench.timeseries.ts2vec import TS2Vec
from workbench.timeseries.tst import TST
from workbench.timeseries.tstcc import TSTCC
from workbench.training.fingerprint import fingerprint
from workbench.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    import torch

__all__ = ["ENCODERS", "TASK", "Encoders", "SeriesTask"]

Encoders = str | Sequence[str | SeriesEncoder]

#: Encoders by the name that a task's ``encoders`` parameter may give.
ENCODERS: dict[str, type[SeriesEncoder]] = {
    cls.__name__: cls for cls in (CSL, TLoss, TNC, TS2Vec, TST, TSTCC)
}


class Joined(StrOptions):
    """Some of several words, joined by a sign; forms offer the words to choose from."""

    joined_by = "+"

    def is_satisfied_by(self, val: Any) -> bool:
        words = [word.strip() for word in val.split(self.joined_by)] if isinstance(val, str) else []
        return bool(words) and set(words) <= set(self.options)

    def __str__(self) -> str:
        return f"names among {', '.join(sorted(self.options))}, joined by {self.joined_by!r}"


#: Constraints of the parameters that every task has.
TASK: dict[str, list[Any]] = {
    "encoders": [Joined(set(ENCODERS)), list, tuple],
    "fusion": [StrOptions(set(FUSIONS)), Fusion],
    "pretrain_epochs": [Interval(Integral, 0, None, closed="left"), None],
    "mode": [StrOptions({"freeze", "fine_tune"})],
    "n_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "optimizer": [StrOptions(set(OPTIMIZERS))],
    "device": [str],
    "precision": [StrOptions({"fp32", "bf16", "fp16"})],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


class SeriesTask(SeriesEstimator):
    """Base of the tasks: series → encoders → fusion → linear head."""

    encoders: Encoders
    encoders_: list[Any]
    fusion_: Fusion
    head_weight_: NDArray[np.float64]
    head_bias_: NDArray[np.float64]
    history_: list[dict[str, float]]

    def _fit_encoders(self, X: Series) -> Any:
        """Fit what is not fitted yet on unlabelled series; returns the source of further randomness."""
        random = check_random_state(self.random_state)
        asked = self.encoders.split("+") if isinstance(self.encoders, str) else list(self.encoders)
        if not asked:
            raise ValueError(f"{type(self).__name__} needs at least one encoder.")
        self.encoders_ = [self._fitted(one, X, int(random.randint(2**31 - 1))) for one in asked]
        return random

    def _fitted(self, one: Any, X: Series, seed: int) -> Any:
        if isinstance(one, FrozenEstimator):
            one = one.estimator
        if isinstance(one, str):
            if one.strip() not in ENCODERS:
                raise ValueError(f"There is no encoder {one!r}; take {', '.join(ENCODERS)}, joined by '+'.")
            made: Any = ENCODERS[one.strip()](device=self.device, precision=self.precision)
            if self.pretrain_epochs is not None:
                made.set_params(n_epochs=self.pretrain_epochs)
            one = made.set_params(verbose=self.verbose)
        if isinstance(one, type):
            raise ValueError(f"{one.__name__} is a class: give an encoder, {one.__name__}().")
        if not isinstance(one, SeriesEncoder) or not hasattr(one, "transform"):
            raise ValueError(
                f"{type(one).__name__} is not an encoder of series; take {', '.join(ENCODERS)}, by name or "
                "as an estimator."
            )
        if not hasattr(one, "state_"):
            one = clone(one)
            if one.random_state is None:
                one.set_params(random_state=seed)
            return one.fit(X)
        if one.n_channels_ != X.shape[2]:
            raise ValueError(
                f"The series have {X.shape[2]} variables, but the encoder {type(one).__name__} was fitted on "
                f"{one.n_channels_}; fit it again, or choose the same variables."
            )
        return copy.deepcopy(one)

    def _fit_fusion(self, X: Series) -> NDArray[np.float32]:
        """Fit the fusion on the encoders' features of `X`; returns the fused ones."""
        fusion = FUSIONS[self.fusion]() if isinstance(self.fusion, str) else clone(self.fusion)
        Z = [encoder.transform(X) for encoder in self.encoders_]
        self.fusion_ = fusion.fit(Z)
        return self.fusion_.transform(Z)

    def _features(self, X: Series) -> NDArray[np.float32]:
        """Fused features, (n, p), of checked series."""
        return self.fusion_.transform([encoder.transform(X) for encoder in self.encoders_])

    def _linear(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """What the head gives for features, (n, outputs)."""
        found: NDArray[np.float64] = features @ self.head_weight_.T + self.head_bias_
        return found

    def _tune(
        self,
        X: Series,
        beside: NDArray[Any] | None,
        loss: Callable[[torch.device], Callable[[Any, Any], Any]],
        seed: int,
        *facts: NDArray[Any],
    ) -> None:
        """Train encoders, fusion and head on `X`, from where they are.

        Parameters
        ----------
        beside : ndarray of shape (n, k), optional
            Columns that the head sees beside the features.
        loss : callable
            Makes, for a device, the function that judges outputs for some rows.
        *facts : ndarray
            What else decides the result, for the fingerprint.
        """
        import torch
        from torch import nn

        from workbench.timeseries._fusion import Joint, tune
        from workbench.timeseries._training import Schedule, seeded, to_arrays
        from workbench.training.device import resolve_device

        device = resolve_device(self.device)
        modules = [encoder._build_encoder() for encoder in self.encoders_]
        fusion = self.fusion_._module()
        with seeded(seed):
            head = nn.Linear(self.head_weight_.shape[1], self.head_weight_.shape[0])
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(self.head_weight_))
            head.bias.copy_(torch.from_numpy(self.head_bias_))
        states = [value for encoder in self.encoders_ for value in encoder.state_.values()]
        schedule = Schedule(
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            precision=self.precision,
            device=device,
            seeds=(seed, seed ^ 1),
            fingerprint=fingerprint(
                _Plain(self), X, *facts, *states, task=type(self).__name__, device=device.type
            ),
            verbose=self.verbose,
            description="fine tuning",
        )
        inputs = [encoder._inputs(encoder._lengths(X)[0], device) for encoder in self.encoders_]
        columns = None if beside is None else torch.from_numpy(beside.astype(np.float32)).to(device)
        self.history_ = tune(Joint(modules, fusion, head), inputs, columns, loss(device), schedule)
        for encoder, module in zip(self.encoders_, modules, strict=True):
            encoder.state_ = to_arrays(module)
        self.fusion_.state_ = to_arrays(fusion)
        self.head_weight_ = to_arrays(head)["weight"].astype(float)
        self.head_bias_ = to_arrays(head)["bias"].astype(float)


class _Plain:
    """A task as its fingerprint sees it: encoders and fusion count by what they have learnt."""

    def __init__(self, task: SeriesTask) -> None:
        self._params = {
            name: value
            for name, value in task.get_params(deep=False).items()
            if name not in ("encoders", "fusion")
        }

    def get_params(self) -> dict[str, Any]:
        return self._params
