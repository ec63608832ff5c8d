"""Small networks, one for each agent, computed side by side; and the replay of transitions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["Best", "Memory", "StackedMLP", "one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: networks this small lose more by waiting for one another than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class StackedMLP(nn.Module):
    """`n` separate multilayer perceptrons with ReLU, as batched matrix products.

    Parameters
    ----------
    n : int
    sizes : tuple of int
        Input, hidden and output sizes.
    late : int
        Size of a second input that enters at the first hidden layer (actions into DDPG's critic).
    final : float
        Bound of the last layer's uniform start; small, so that the first outputs are near 0.
    """

    def __init__(
        self, n: int, sizes: tuple[int, ...], generator: torch.Generator, late: int = 0, final: float = 3e-3
    ) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for k, (a, b) in enumerate(pairwise(sizes)):
            a += late if k == 1 else 0
            bound = final if k == len(sizes) - 2 else 1.0 / math.sqrt(a)
            for store, shape in ((self.weights, (n, a, b)), (self.biases, (n, 1, b))):
                store.append(nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) * bound))

    def forward(self, x: Tensor, late: Tensor | None = None) -> Tensor:
        """Outputs of shape (n, batch, out) from inputs of shape (n, batch, in)."""
        last = len(self.weights) - 1
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            if k == 1 and late is not None:
                x = torch.cat([x, late], dim=-1)
            x = torch.baddbmm(b, x, w)
            if k < last:
                x = torch.relu(x)
        return x

    def arrays(self) -> list[NDArray[np.float32]]:
        """Weights and biases in turn, each with the agent first."""
        pairs = zip(self.weights, self.biases, strict=True)
        return [p.detach().numpy().copy() for pair in pairs for p in pair]


class Best:
    """The network that reached the highest score so far, as `StackedMLP.arrays` gives it."""

    def __init__(self, network: StackedMLP) -> None:
        self.score, self.arrays = -math.inf, network.arrays()

    def offer(self, score: float, network: StackedMLP) -> None:
        """Keep the network as it is now if no score before was as high."""
        if score > self.score:
            self.score, self.arrays = score, network.arrays()

    def state_dict(self) -> dict[str, Tensor]:
        weights = {str(k): torch.from_numpy(a) for k, a in enumerate(self.arrays)}
        return {"score": torch.tensor(self.score, dtype=torch.float64), **weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.score = float(state["score"])
        self.arrays = [state[str(k)].numpy().copy() for k in range(len(self.arrays))]


class Memory:
    """A ring of transitions, each a row of fixed fields."""

    def __init__(self, size: int, fields: dict[str, tuple[int, ...]]) -> None:
        self.data = {name: torch.zeros((size, *shape)) for name, shape in fields.items()}
        self.size, self.count = size, 0

    def add(self, **row: NDArray[np.float64] | float) -> None:
        """Keep one transition in the place of the oldest."""
        for name, value in row.items():
            self.data[name][self.count % self.size] = torch.as_tensor(np.asarray(value), dtype=torch.float32)
        self.count += 1

    def extend(self, **rows: NDArray[Any]) -> None:
        """Keep many transitions, the first axis running over them."""
        n = len(next(iter(rows.values())))
        at = torch.from_numpy((self.count + np.arange(n)) % self.size)
        for name, values in rows.items():
            self.data[name][at] = torch.as_tensor(values).to(self.data[name].dtype)
        self.count += n

    def sample(self, n: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`n` rows drawn with replacement."""
        rows = torch.from_numpy(rng.integers(0, min(self.count, self.size), n))
        return {name: values[rows] for name, values in self.data.items()}

    def state_dict(self) -> dict[str, Tensor]:
        return {**self.data, "count": torch.tensor(self.count)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.count = int(state["count"])
        for name in self.data:
            self.data[name].copy_(state[name])
