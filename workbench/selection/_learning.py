"""Learning gates inside the training loop of a CTR network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.ctr._batch import Batch
from workbench.ctr._training import Gated, Rows
from workbench.selection._relaxed import RelaxedGates
from workbench.training.callbacks import Callback

if TYPE_CHECKING:
    from workbench.selection.gates import FieldGates
    from workbench.training.loop import Loop

__all__ = ["GateLearner"]

#: Moments at which the gates are recorded at most.
_POINTS = 200


class GateLearner(Callback):
    """Steps the gates after each batch, records them, and takes part in the loop's checkpoints.

    Parameters
    ----------
    gates : FieldGates or RelaxedGates
    names : list of str
        The fields.
    held_out : Rows, optional
        Rows from which the gates learn in place of the network's own batches.
    seed : int
    """

    def __init__(
        self,
        gates: FieldGates | RelaxedGates,
        names: list[str],
        *,
        held_out: Rows | None = None,
        seed: int = 0,
    ) -> None:
        self.gates, self.names, self.held_out = gates, names, held_out
        self.generator = torch.Generator().manual_seed(seed)
        self._period = gates.period if isinstance(gates, RelaxedGates) else 1
        self._every = max(1, gates.n_steps // _POINTS)
        self.every_told = self._every * 4  #: steps between two reports to a live page
        self._steps: list[int] = []
        self._epsilons: list[float] = []
        self._values: list[Tensor] = []
        self._record()

    def gated(self) -> Gated:
        """What the training of the network is given."""
        return Gated(
            self._for_network,
            callbacks=(self,),
            extras={"gates": self},
            generators={"gates": self.generator} if self.held_out is not None else {},
        )

    def _for_network(self, batch: Batch) -> Tensor:
        gate = self._drawn(batch)
        return gate if self.held_out is None else gate.detach()

    def _drawn(self, batch: Batch) -> Tensor:
        """The gates of a batch: with noise, or of its own values, where the method says so."""
        return self.gates.draw(batch) if isinstance(self.gates, RelaxedGates) else self.gates.gate()

    def on_batch_end(self, loop: Loop) -> None:
        gradient = None
        if self.held_out is not None and (self.gates.step_number + 1) % self._period == 0:
            gradient = self._held_out_gradient(loop)
        self.gates.step(gradient)
        if self.gates.step_number % self._every == 0:
            self._record()

    def on_train_end(self, loop: Loop) -> None:
        if self._steps[-1] != self.gates.step_number:
            self._record()

    def _held_out_gradient(self, loop: Loop) -> Tensor:
        rows = self.held_out
        assert rows is not None  # noqa: S101
        size = min(loop.batch_size, len(rows))
        indices = torch.randint(len(rows), (size,), generator=self.generator).to(rows.y.device)
        loop.model.eval()  # running means of layers are the network's to learn
        (gradient,) = torch.autograd.grad(rows.loss(loop.model, indices, self._drawn), self.gates.x)
        loop.model.train()
        return gradient

    @torch.no_grad()
    def _record(self) -> None:
        self._steps.append(self.gates.step_number)
        self._epsilons.append(self.gates.epsilon)
        self._values.append(self.gates.gate().cpu().clone())

    def last(self) -> tuple[int, dict[str, float]]:
        """The last record: its step, and each field's gate."""
        return self._steps[-1], dict(zip(self.names, self._values[-1].tolist(), strict=True))

    def path(self) -> dict[str, NDArray[np.float64]]:
        """Recorded ``step`` (T,), ``epsilon`` (T,) and ``gates`` (T, n_fields)."""
        return {
            "step": np.array(self._steps, dtype=np.int64),
            "epsilon": np.array(self._epsilons),
            "gates": torch.stack(self._values).double().numpy(),
        }

    def state_dict(self) -> dict[str, Tensor]:
        return {
            **{f"gates.{name}": value.detach() for name, value in self.gates.state_dict().items()},
            "steps": torch.tensor(self._steps),
            "epsilons": torch.tensor(self._epsilons, dtype=torch.float64),
            "values": torch.stack(self._values),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        own = {name: value for name, value in state.items() if name.startswith("gates.")}
        self.gates.load_state_dict({name.removeprefix("gates."): value for name, value in own.items()})
        self._steps = [int(step) for step in state["steps"]]
        self._epsilons = [float(value) for value in state["epsilons"]]
        self._values = list(state["values"].cpu().unbind())
