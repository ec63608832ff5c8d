"""Gates of the peers: drawn at random, or one a value, and learned by Adam. Formulas on tensors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from workbench.ctr._batch import Batch
from workbench.ctr._vocabulary import MISSING
from workbench.ctr.encoded import Layout

__all__ = [
    "AutoFieldGates",
    "OptFSGates",
    "RelaxedGates",
    "StochasticGates",
    "autofield_gate",
    "optfs_mask",
    "stochastic_gate",
    "stochastic_penalty",
]


def autofield_gate(logits: Tensor, gumbel: Tensor, temperature: float) -> Tensor:
    """Share of "keep" in the Gumbel-softmax of a field's two logits (keep, drop), (F, 2) to (F,)."""
    return torch.softmax((logits + gumbel) / temperature, dim=-1)[..., 0]


def stochastic_gate(mean: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """clamp(mean + 0.5 + sigma·noise, 0, 1)."""
    return (mean + 0.5 + sigma * noise).clamp(0.0, 1.0)


def stochastic_penalty(mean: Tensor, sigma: float) -> Tensor:
    """Mean chance that a gate is above 0: that of a normal variable below (mean + 0.5) / sigma."""
    return torch.special.ndtr((mean + 0.5) / sigma).mean()


def optfs_mask(weight: Tensor, temperature: float, start: float = 0.5) -> Tensor:
    """sigmoid(temperature·weight) / sigmoid(start): 1 at the start, where the temperature is 1."""
    return torch.sigmoid(temperature * weight) / (1.0 / (1.0 + math.exp(-start)))


class RelaxedGates(nn.Module, ABC):
    """Parameters of gates, their schedule, and Adam on them.

    Parameters
    ----------
    start : Tensor
        Where the parameters begin.
    n_steps : int
        Steps of the whole training.
    learning_rate : float
    period : int
        Steps between two moves of the gates.

    Attributes
    ----------
    x : Parameter
    """

    step_count: Tensor
    moves: Tensor
    first: Tensor
    second: Tensor

    def __init__(self, start: Tensor, *, n_steps: int, learning_rate: float, period: int = 1) -> None:
        super().__init__()
        self.n_steps, self.learning_rate, self.period = n_steps, learning_rate, period
        self.x = nn.Parameter(start)
        for name in ("step_count", "moves"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))
        for name in ("first", "second"):
            self.register_buffer(name, torch.zeros_like(start))

    @property
    def step_number(self) -> int:
        return int(self.step_count)

    @property
    @abstractmethod
    def epsilon(self) -> float:
        """What the schedule moves: temperature or noise, now."""

    @abstractmethod
    def draw(self, batch: Batch) -> Tensor:
        """Gates to train with, (F,) or (B, F)."""

    @abstractmethod
    def gate(self) -> Tensor:
        """The gates without noise, (F,)."""

    def penalty(self) -> Tensor | None:
        """What is added to the loss."""
        return None

    def step(self, gradient: Tensor | None = None) -> None:
        """Move the gates by Adam and advance the schedule; without a gradient only the latter."""
        gradient = self.x.grad if gradient is None else gradient
        term = self.penalty()
        if gradient is not None:
            if term is not None:
                gradient = gradient + torch.autograd.grad(term, self.x)[0]
            self._adam(gradient)
        self.x.grad = None
        self.step_count += 1

    @torch.no_grad()
    def _adam(self, gradient: Tensor, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.moves += 1
        self.first.lerp_(gradient, 1 - betas[0])
        self.second.lerp_(gradient * gradient, 1 - betas[1])
        t = int(self.moves)
        spread = (self.second / (1 - betas[1] ** t)).sqrt() + 1e-8
        self.x.sub_(self.learning_rate * (self.first / (1 - betas[0] ** t)) / spread)


class AutoFieldGates(RelaxedGates):
    """Two logits a field, seen through Gumbel noise and a falling temperature.

    Parameters
    ----------
    temperature : (float, float)
        At the start and the least.
    fall : float
        How much lower in each step.
    """

    def __init__(
        self,
        n_fields: int,
        *,
        temperature: tuple[float, float] = (1.0, 0.01),
        fall: float = 5e-5,
        n_steps: int,
        learning_rate: float,
        period: int = 10,
    ) -> None:
        start = torch.full((n_fields, 2), 0.5)
        super().__init__(start, n_steps=n_steps, learning_rate=learning_rate, period=period)
        self.temperature, self.fall = temperature, fall

    @property
    def epsilon(self) -> float:
        return max(self.temperature[1], self.temperature[0] - self.fall * self.step_number)

    def draw(self, batch: Batch) -> Tensor:
        # Away from 0 and 1, whose logarithms are infinite.
        uniform = torch.rand_like(self.x).clamp(1e-6, 1 - 1e-6)
        return autofield_gate(self.x, -torch.log(-torch.log(uniform)), self.epsilon)

    def gate(self) -> Tensor:
        return torch.softmax(self.x, dim=-1)[:, 0]


class StochasticGates(RelaxedGates):
    """Gates that are a clipped normal variable; its mean is learned."""

    def __init__(
        self,
        start: Tensor,
        *,
        n_steps: int,
        learning_rate: float,
        sigma: float = 0.5,
        strength: float = 0.1,
    ) -> None:
        super().__init__(start, n_steps=n_steps, learning_rate=learning_rate)
        self.sigma, self.strength = sigma, strength

    @property
    def epsilon(self) -> float:
        return self.sigma

    def draw(self, batch: Batch) -> Tensor:
        return stochastic_gate(self.x, torch.randn_like(self.x), self.sigma)

    def gate(self) -> Tensor:
        return stochastic_gate(self.x, torch.zeros_like(self.x), self.sigma)

    def penalty(self) -> Tensor:
        return self.strength * stochastic_penalty(self.x, self.sigma)


class OptFSGates(RelaxedGates):
    """A gate a value of a field, steeper from step to step.

    Parameters
    ----------
    layout : Layout
    rows : Batch
        The training rows, from which the use of each value is counted.
    growth : float
        Temperature at the end; it is 1 at the start.
    strength : float
        Of the penalty on the sum of all gates.
    """

    def __init__(
        self,
        layout: Layout,
        rows: Batch,
        *,
        n_steps: int,
        learning_rate: float,
        growth: float = 2000.0,
        strength: float = 1e-8,
        start: float = 0.5,
    ) -> None:
        super().__init__(torch.full((layout.n_rows,), start), n_steps=n_steps, learning_rate=learning_rate)
        self.growth, self.strength, self.start = growth, strength, start
        tables = layout.tables
        self._padding = [tables[field.table][0] + MISSING for field in layout.fields if field.is_list]
        self._uses = [_uses(column) for column in rows.ids.unbind(1)]
        for part, padding in zip(rows.lists, self._padding, strict=True):
            self._uses.append(_uses(part[part != padding]))

    @property
    def epsilon(self) -> float:
        return float(self.growth ** (self.step_number / self.n_steps))

    def mask(self) -> Tensor:
        """The gate of every value, (n_rows,)."""
        return optfs_mask(self.x, self.epsilon, self.start)

    def draw(self, batch: Batch) -> Tensor:
        mask = self.mask()
        gates = [mask[batch.ids]]
        for part, padding in zip(batch.lists, self._padding, strict=True):
            there = (part != padding).to(mask.dtype)
            gates.append(((mask[part] * there).sum(1) / there.sum(1).clamp_min(1)).unsqueeze(1))
        return torch.cat(gates, dim=1)

    def gate(self) -> Tensor:
        return self._of_fields(self.mask())

    def open_share(self) -> Tensor:
        """Share of each field's cells whose value is kept: its parameter is above 0."""
        return self._of_fields((self.x > 0).to(self.x.dtype))

    def _of_fields(self, of_values: Tensor) -> Tensor:
        """Mean over a field's cells in the training rows, (F,)."""
        return torch.stack(
            [(of_values[rows.to(of_values.device)] * share.to(of_values)).sum() for rows, share in self._uses]
        )

    def penalty(self) -> Tensor:
        return self.strength * self.mask().sum()


def _uses(cells: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of the table that cells name, and the share of the cells that name each."""
    rows, counts = torch.unique(cells, return_counts=True)
    return rows.long(), counts / max(int(counts.sum()), 1)
