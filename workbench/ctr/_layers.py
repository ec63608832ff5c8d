"""Building blocks of the CTR networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from workbench.training import distributed

__all__ = ["MLP", "Dice", "TargetAttention", "combine", "factorization", "linear", "lookup"]


class _Lookup(torch.autograd.Function):
    """Rows of a table; its gradient is sparse, not yet summed, and one for all lookups.

    To add up the sparse gradients of several lookups would take torch longer than all the rest of a step.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, values: Tensor, *ids: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(values, *ids)
        ctx.shape = table.shape
        found = tuple(nn.functional.embedding(part, table) for part in ids)
        if values.shape[1]:
            found[0][:, -values.shape[1] :].mul_(values.unsqueeze(-1))
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        values, *ids = ctx.saved_tensors
        parts = list(grads)
        if values.shape[1]:
            first, numbers = parts[0], values.shape[1]
            scaled = first[:, -numbers:] * values.unsqueeze(-1)
            parts[0] = torch.cat([first[:, :-numbers], scaled], dim=1)
        index = torch.cat([part.reshape(-1).long() for part in ids])
        looked = [part.reshape(-1, ctx.shape[1]) for part in parts]
        there = [part for part in looked if len(part)]
        rows = there[0] if len(there) == 1 else torch.cat(looked)
        table = torch.sparse_coo_tensor(index[None], rows, ctx.shape, check_invariants=False)
        return table, None, *(None for _ in ids)


def lookup(table: Tensor, values: Tensor, *ids: Tensor) -> tuple[Tensor, ...]:
    """Rows of `table`; the last ``values.shape[1]`` of each line of the first are multiplied by `values`.

    Parameters
    ----------
    table : Tensor, shape (R, D)
    values : Tensor, shape (B, K), K <= S
    *ids : Tensor of int
        The first of shape (B, S), the others of any; not all of them empty.

    Returns
    -------
    tuple of Tensor, of the shapes of `ids` with a dimension of D more
    """
    if torch.compiler.is_exporting():
        return _looked_up(table, values, *ids)
    found: tuple[Tensor, ...] = _Lookup.apply(table, values, *ids)
    return found


def _looked_up(table: Tensor, values: Tensor, *ids: Tensor) -> tuple[Tensor, ...]:
    """The same by operators that can be exported."""
    first, *others = (nn.functional.embedding(part, table) for part in ids)
    k = values.shape[1]
    if k:
        first = torch.cat([first[:, : first.shape[1] - k], first[:, -k:] * values.unsqueeze(-1)], dim=1)
    return first, *others


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
    def forward(ctx: Any, e: Tensor, rest: Tensor | None) -> Tensor:
        total = e.sum(1) if rest is None else e.sum(1) + rest
        ctx.save_for_backward(e, total)
        return 0.5 * ((total * total).sum(1) - torch.linalg.vector_norm(e, dim=(1, 2)).square())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        e, total = ctx.saved_tensors
        # In place: the batch's vectors are megabytes, and each pass over them counts.
        rest = total * grads[0][:, None] if ctx.needs_input_grad[1] else None
        return (total.unsqueeze(1) - e).mul_(grads[0][:, None, None]), rest


def factorization(e: Tensor, rest: Tensor | None = None) -> Tensor:
    """Sum of the dot products of all pairs of field vectors [1]_; (B, F, D) to (B,).

    Parameters
    ----------
    e : Tensor, shape (B, F, D)
    rest : Tensor, shape (B, D), optional
        Sum of further vectors; half their squared norms are left for the caller to take off.

    References
    ----------
    .. [1] Rendle, "Factorization Machines", ICDM 2010, eq. (5).
    """
    if torch.compiler.is_exporting():
        return 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
    found: Tensor = _Factorization.apply(e, rest)
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

    def after_first(self, hidden: Tensor) -> Tensor:
        """What the layers after the first linear one make of its output."""
        for layer in islice(self, 1, None):
            hidden = layer(hidden)
        return hidden


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
