"""Building blocks of the CTR networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from workbench.training import distributed

__all__ = ["MLP", "Dice", "TargetAttention", "combine", "factorization", "linear", "lookup"]


class _Lookup(torch.autograd.Function):
    """Rows of a table, the last ones times a number; the table's gradient is sparse and not yet summed."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(ids, values)
        ctx.shape = table.shape
        found = nn.functional.embedding(ids, table)
        if values.shape[1]:
            found[:, -values.shape[1] :].mul_(values.unsqueeze(-1))
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        ids, values = ctx.saved_tensors
        grad = grads[0]
        if values.shape[1]:
            numbers = values.shape[1]
            scaled = grad[:, -numbers:] * values.unsqueeze(-1)
            grad = torch.cat([grad[:, :-numbers], scaled], dim=1)
        index = ids.reshape(1, -1).long()
        rows = grad.reshape(-1, ctx.shape[1])
        return torch.sparse_coo_tensor(index, rows, ctx.shape, check_invariants=False), None, None


def lookup(table: Tensor, ids: Tensor, values: Tensor) -> Tensor:
    """Rows `ids` of `table`, the last ``values.shape[1]`` of each line multiplied by `values`.

    Parameters
    ----------
    table : Tensor, shape (R, D)
    ids : Tensor of int, shape (B, S)
    values : Tensor, shape (B, K), K <= S

    Returns
    -------
    Tensor, shape (B, S, D)
    """
    if torch.compiler.is_exporting():
        return _looked_up(table, ids, values)
    found: Tensor = _Lookup.apply(table, ids, values)
    return found


def _looked_up(table: Tensor, ids: Tensor, values: Tensor) -> Tensor:
    """The same by operators that can be exported."""
    found = nn.functional.embedding(ids, table)
    k = values.shape[1]
    if k == 0:
        return found
    return torch.cat([found[:, : found.shape[1] - k], found[:, -k:] * values.unsqueeze(-1)], dim=1)


def combine(remainder: Tensor, quotient: Tensor, whole: Tensor, operation: str) -> Tensor:
    """Vectors of values from their rows in the remainder and in the quotient table [1]_.

    Parameters
    ----------
    remainder, quotient : Tensor, shape (B, S, D)
    whole : Tensor of bool, shape (B, S)
        Where the first is the whole vector: at unseen and missing values, which have rows of their own.
    operation : {"product", "sum"}

    References
    ----------
    .. [1] Shi et al., "Compositional Embeddings Using Complementary Partitions for Memory-Efficient
       Recommendation Systems", KDD 2020, arXiv 1909.02107.
    """
    both = remainder * quotient if operation == "product" else remainder + quotient
    return torch.where(whole.unsqueeze(-1), remainder, both)


class _Factorization(torch.autograd.Function):
    """The second-order term of a factorization machine in one pass each way."""

    @staticmethod
    def forward(ctx: Any, e: Tensor) -> Tensor:
        total = e.sum(1)
        ctx.save_for_backward(e, total)
        return 0.5 * ((total * total).sum(1) - torch.linalg.vector_norm(e, dim=(1, 2)).square())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        e, total = ctx.saved_tensors
        # In place: the batch's vectors are megabytes, and each pass over them counts.
        return (total.unsqueeze(1) - e).mul_(grads[0][:, None, None])


def factorization(e: Tensor) -> Tensor:
    """Sum of the dot products of all pairs of field vectors [1]_; (B, F, D) to (B,).

    References
    ----------
    .. [1] Rendle, "Factorization Machines", ICDM 2010, eq. (5).
    """
    if torch.compiler.is_exporting():
        return 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
    found: Tensor = _Factorization.apply(e)
    return found


class Dice(nn.Module):
    """f(s) = p(s)·s + (1 - p(s))·alpha·s with p the sigmoid of the standardised s [1]_.

    Mean and variance are those of the batch in training, of each neuron by itself; moving averages in
    evaluation. `alpha` is learned for each neuron and starts at 0.

    References
    ----------
    .. [1] Zhou et al., arXiv 1706.06978, eq. (3).
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, s: Tensor) -> Tensor:
        if self.training:
            if distributed.world()[1] == 1:
                variance, mean = torch.var_mean(s, dim=0, correction=0)
            else:
                _, mean, variance = distributed.moments(s)
            with torch.no_grad():
                self.mean.lerp_(mean.to(self.mean.dtype), 0.1)
                self.variance.lerp_(variance.to(self.variance.dtype), 0.1)
        else:
            mean, variance = self.mean, self.variance
        p = torch.sigmoid((s - mean) * torch.rsqrt(variance + 1e-8))
        return s * (self.alpha + p * (1 - self.alpha))


class MLP(nn.Sequential):
    """Linear layers, each followed by an activation.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the input and of every layer.
    activation : {"relu", "dice"}
    dropout : float
    batch_norm : bool
        Normalise before each activation.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(sizes):
            layers.append(linear(wide, narrow))
            if batch_norm:
                layers.append(distributed.BatchNorm(narrow))
            layers.append(Dice(narrow) if activation == "dice" else nn.ReLU())
            if dropout:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers)


def linear(wide: int, narrow: int) -> nn.Linear:
    """A linear layer with Glorot's weights and no bias at the start; its input may be empty."""
    layer = nn.utils.skip_init(nn.Linear, max(wide, 1), narrow)
    nn.init.xavier_uniform_(layer.weight)
    if wide == 0:
        layer.in_features, layer.weight = 0, nn.Parameter(torch.empty(narrow, 0))
    nn.init.zeros_(layer.bias)
    return layer


class TargetAttention(nn.Module):
    """Weighs the items of a history by a candidate and sums them, without a softmax [1]_.

    A small network on [q, k, q - k, q * k] gives each item its weight; weights need not sum to one, so the
    sum keeps the strength of the interest. Its first layer is computed as q(A + C) + k(B - C) + (q * k)D,
    once a row for the candidate's part, and at the items that are there only.

    References
    ----------
    .. [1] Zhou et al., arXiv 1706.06978, eq. (3) and figure 2.
    """

    def __init__(self, dim: int, hidden: int, activation: str = "dice") -> None:
        super().__init__()
        self.first = linear(4 * dim, hidden)
        self.activation = Dice(hidden) if activation == "dice" else nn.ReLU()
        self.last = linear(hidden, 1)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Pooled history.

        Parameters
        ----------
        query : Tensor, shape (B, D)
        keys : Tensor, shape (B, L, D)
        mask : Tensor of bool, shape (B, L)
            Where there is an item.

        Returns
        -------
        Tensor, shape (B, D)
        """
        if torch.compiler.is_exporting():
            return self._everywhere(query, keys, mask)
        a, b, c, d = self.first.weight.chunk(4, dim=1)
        row, place = mask.nonzero(as_tuple=True)
        there = keys[row, place]
        hidden = nn.functional.linear(there, b - c) + nn.functional.linear(query[row] * there, d)
        hidden = hidden + nn.functional.linear(query, a + c, self.first.bias)[row]
        weight = self.last(self.activation(hidden))
        return torch.zeros_like(query).index_add(0, row, weight * there)

    def _everywhere(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """The same at every place, the empty ones then left out: for export, which knows no ragged rows."""
        q = query.unsqueeze(1).expand_as(keys)
        hidden = self.activation(self.first(torch.cat([q, keys, q - keys, q * keys], dim=2)))
        return (self.last(hidden) * mask.unsqueeze(2).to(keys.dtype) * keys).sum(1)
