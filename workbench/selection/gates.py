"""Gates on the fields of any torch model, learned until they are exactly zero or near one.

In a training loop of one's own::

    gates = FieldGates(n_fields, n_steps=len(loader) * n_epochs)
    for x, y in loader:
        loss = criterion(model(gates(embed(x))), y)   # (B, F, D), each field times its gate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gates.step()                                  # gradient and proximal step, then the schedule
    keep = gates.keep()
    first = prune_linear(model.first, keep, gates.gate())

"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.errors import UsageError
from workbench.selection._formulas import (
    epsilon_at,
    lpfs_gate,
    lpfs_plus_gate,
    soft_threshold,
    travel_rate,
)

__all__ = ["FieldGates", "prune_linear"]


class FieldGates(nn.Module):
    """One gate a field, with its schedule and its own optimizer.

    Keep its parameter out of the network's optimizer: :meth:`step` moves it, by gradient descent without
    momentum followed by the proximal step, which together are the proximal gradient method.

    Parameters
    ----------
    n_fields : int
    n_steps : int
        Steps of the whole training; the schedule ends with them.
    method : {"lpfs++", "lpfs"}
    penalty : float
        Strength of the pull to zero: a field is dropped when its use is below it.
    learning_rate : float, optional
        Of the gates; by default such that ``penalty * learning_rate * n_steps`` is `travel`.
    travel : float
    epsilon_start, epsilon_end : float
        Smoothness of the gates at the start and at the end of the schedule.
    epsilon_fraction : float
        Share of the steps over which it falls.
    alpha, tau : float
        Of LPFS++.
    start : float
        Where the parameters begin; the gates are scaled to be exactly 1 there, so that inserting them into
        a trained network changes nothing.
    settle : float
        Share of the steps, at the end, in which the gates rest and only the network learns: kept gates may
        stand where they are steep, and would tremble to the last.
    anneal : bool
        Scale by the gate of a parameter that has stayed at `start`, at every moment, so that gates end near
        0 or 1; otherwise by that at the beginning only.

    Attributes
    ----------
    x : Parameter, shape (n_fields,)
    step_number : int
    """

    step_count: Tensor

    def __init__(
        self,
        n_fields: int,
        *,
        n_steps: int,
        method: str = "lpfs++",
        penalty: float = 0.01,
        learning_rate: float | None = None,
        travel: float = 8.0,
        epsilon_start: float = 0.1,
        epsilon_end: float = 1e-3,
        epsilon_fraction: float = 0.6,
        alpha: float = 10.0,
        tau: float = 2.0,
        start: float = 1.0,
        anneal: bool = False,
        settle: float = 0.0,
    ) -> None:
        super().__init__()
        if method not in ("lpfs", "lpfs++"):
            raise UsageError(f"There is no gate {method!r}; take 'lpfs' or 'lpfs++'.")
        if start == 0 or penalty <= 0 or n_steps < 1:
            raise UsageError("Gates need a start other than 0, a penalty above 0 and at least one step.")
        self.method, self.penalty, self.n_steps = method, penalty, n_steps
        self.n_moving = max(1, round(n_steps * (1 - settle)))
        rule = travel_rate(penalty, travel, self.n_moving)
        self.learning_rate = rule if learning_rate is None else learning_rate
        self.epsilon_start, self.epsilon_end = epsilon_start, epsilon_end
        self.epsilon_fraction = epsilon_fraction
        self.alpha, self.tau, self.start, self.anneal = alpha, tau, start, anneal
        self.x = nn.Parameter(torch.full((n_fields,), float(start)))
        self.register_buffer("step_count", torch.zeros((), dtype=torch.int64))

    @property
    def step_number(self) -> int:
        """Steps that the gates have taken."""
        return int(self.step_count)

    @property
    def epsilon(self) -> float:
        """Smoothness now."""
        share = self.step_number / self.n_steps
        return epsilon_at(share, self.epsilon_start, self.epsilon_end, self.epsilon_fraction)

    def gate(self) -> Tensor:
        """The gates, (n_fields,); exactly 0 where the parameter is."""
        epsilon = self.epsilon
        scale = self._raw(self.x.new_full((), self.start), epsilon if self.anneal else self.epsilon_start)
        return self._raw(self.x, epsilon) / scale

    def _raw(self, x: Tensor, epsilon: float) -> Tensor:
        if self.method == "lpfs":
            return lpfs_gate(x, epsilon)
        return lpfs_plus_gate(x, epsilon, alpha=self.alpha, tau=self.tau)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Each field times its gate.

        Parameters
        ----------
        embeddings : Tensor, shape (B, F, D) or (B, F)

        Returns
        -------
        Tensor
            The embeddings times their gates.
        """
        gate = self.gate()
        return embeddings * (gate.unsqueeze(-1) if embeddings.ndim == 3 else gate)

    @torch.no_grad()
    def step(self, gradient: Tensor | None = None) -> None:
        """Move the gates by their gradient and the proximal step, and advance the schedule.

        Parameters
        ----------
        gradient : Tensor, optional
            Of the loss by the parameters, where it was computed elsewhere (on held-out rows, say).
        """
        gradient = self.x.grad if gradient is None else gradient
        if self.step_number < self.n_moving:
            if gradient is not None:
                self.x.sub_(gradient, alpha=self.learning_rate)
            self.x.copy_(soft_threshold(self.x, self.penalty * self.learning_rate))
        self.x.grad = None
        self.step_count += 1

    def keep(self) -> NDArray[np.bool_]:
        """Which fields are left: those whose parameter is not exactly 0."""
        kept: NDArray[np.bool_] = (self.x.detach() != 0).cpu().numpy()
        return kept


def prune_linear(layer: nn.Linear, keep: NDArray[np.bool_], gates: Tensor | None = None) -> nn.Linear:
    """The layer that reads the kept fields only, with their gates in its weights.

    Parameters
    ----------
    layer : Linear
        Reads the vectors of all fields laid end to end.
    keep : ndarray of bool, shape (n_fields,)
    gates : Tensor, shape (n_fields,), optional
        Multiplied into the weights, so that the pruned network needs no gates.

    Returns
    -------
    torch.nn.Linear
    """
    if layer.in_features % len(keep):
        raise UsageError(
            f"The layer reads {layer.in_features} numbers, which is no multiple of {len(keep)} fields."
        )
    width = layer.in_features // len(keep)
    weight = layer.weight.detach()
    if gates is not None:
        weight = weight * gates.detach().repeat_interleave(width)
    places = torch.from_numpy(np.repeat(keep, width).nonzero()[0])
    pruned = nn.utils.skip_init(nn.Linear, len(places), layer.out_features, bias=layer.bias is not None)
    pruned.to(weight)
    with torch.no_grad():
        pruned.weight.copy_(weight[:, places])
        if layer.bias is not None:
            pruned.bias.copy_(layer.bias)
    return pruned
