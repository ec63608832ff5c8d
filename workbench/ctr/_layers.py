"""Building blocks of the CTR networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from workbench.ctr._dice import Dice
from workbench.training import distributed

__all__ = [
    "MLP",
    "TargetAttention",
    "combine",
    "cross",
    "factorization",
    "linear",
    "lookup",
    "mapped_factorization",
]


class _Lookup(torch.autograd.Function):
    """Rows of tables; their gradients are sparse, not yet summed, and one a table for all lookups.

    To add up the sparse gradients of several lookups would take torch longer than all the rest of a step.
    The gradients of tables that are looked up together share their indices.
    """

    @staticmethod
    def forward(ctx: Any, n: int, values: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        tables, ids = tensors[:n], tensors[n:]
        ctx.save_for_backward(values, *ids)
        ctx.shapes = [table.shape for table in tables]
        found = tuple(_rows(table, part) for table in tables for part in ids)
        if values.shape[1]:
            for first in found[:: len(ids)]:
                first[:, -values.shape[1] :].mul_(values.unsqueeze(-1))
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        values, *ids = ctx.saved_tensors
        index = torch.cat([part.reshape(-1).long() for part in ids])[None]
        tables = [
            _summands(shape, index, values, list(grads[i * len(ids) : (i + 1) * len(ids)]))
            for i, shape in enumerate(ctx.shapes)
        ]
        return None, None, *tables, *(None for _ in ids)


def _rows(table: Tensor, ids: Tensor) -> Tensor:
    """Rows of a table; torch looks up rows of a single number six times as fast in a flat one."""
    if table.shape[1] > 1:
        return nn.functional.embedding(ids, table)
    return table.view(-1).index_select(0, ids.reshape(-1)).view(*ids.shape, 1)


def _summands(shape: torch.Size, index: Tensor, values: Tensor, parts: list[Tensor]) -> Tensor:
    """The sparse gradient of a table of that shape from those of what was looked up in it."""
    if values.shape[1]:
        first, numbers = parts[0], values.shape[1]
        scaled = first[:, -numbers:] * values.unsqueeze(-1)
        parts[0] = torch.cat([first[:, :-numbers], scaled], dim=1)
    looked = [part.reshape(-1, shape[1]) for part in parts]
    there = [part for part in looked if len(part)]
    rows = there[0] if len(there) == 1 else torch.cat(looked)
    return torch.sparse_coo_tensor(index, rows, shape, check_invariants=False)


def lookup(tables: Sequence[Tensor], values: Tensor, *ids: Tensor) -> list[tuple[Tensor, ...]]:
    """Rows of tables; the last ``values.shape[1]`` of each line of the first are multiplied by `values`.

    Parameters
    ----------
    tables : sequence of Tensor, each of shape (R, D)
    values : Tensor, shape (B, K), K <= S
    *ids : Tensor of int
        The first of shape (B, S), the others of any; not all of them empty.

    Returns
    -------
    list of tuple of Tensor
        For each table, of the shapes of `ids` with a dimension of D more.
    """
    if torch.compiler.is_exporting():
        return [_looked_up(table, values, *ids) for table in tables]
    found: tuple[Tensor, ...] = _Lookup.apply(len(tables), values, *tables, *ids)
    return [found[i : i + len(ids)] for i in range(0, len(found), len(ids))]


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
    def forward(ctx: Any, e: Tensor) -> Tensor:
        total = e.sum(1)
        ctx.save_for_backward(e, total)
        return _pairs(e, total)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        e, total = ctx.saved_tensors
        # In place: the batch's vectors are megabytes, and each pass over them counts.
        return (total.unsqueeze(1) - e).mul_(grads[0][:, None, None])


def _pairs(e: Tensor, total: Tensor) -> Tensor:
    return 0.5 * ((total * total).sum(1) - torch.linalg.vector_norm(e, dim=(1, 2)).square())


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


class _MappedFactorization(torch.autograd.Function):
    """A linear map and the second-order term of the same vectors, whose gradients are added in place."""

    @staticmethod
    def forward(ctx: Any, e: Tensor, rest: Tensor, start: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        total = e.sum(1).add_(rest)
        ctx.save_for_backward(e, total, weight)
        ctx.mark_dirty(start)
        return start.addmm_(e.flatten(1), weight.T), _pairs(e, total)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        e, total, weight = ctx.saved_tensors
        mapped, pairs = grads
        of_total = total * pairs[:, None]
        of_e = torch.addcmul(of_total.unsqueeze(1), e, pairs[:, None, None], value=-1)
        of_e.flatten(1).addmm_(mapped, weight)  # into the same memory
        return of_e, of_total, mapped, mapped.T @ e.flatten(1)


def mapped_factorization(e: Tensor, rest: Tensor, start: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """A linear map of the vectors laid end to end, and the `factorization` of the vectors.

    Parameters
    ----------
    e : Tensor, shape (B, F, D)
    rest : Tensor, shape (B, D)
        Sum of further vectors; half their squared norms are left for the caller to take off.
    start : Tensor, shape (B, H)
        What the map is added to, overwritten.
    weight : Tensor, shape (H, F * D)

    Returns
    -------
    mapped : Tensor, shape (B, H)
    pairs : Tensor, shape (B,)
    """
    if torch.is_autocast_enabled(e.device.type):  # in two precisions nothing can be added in place
        whole = torch.cat([e, rest.unsqueeze(1)], dim=1)
        pairs = factorization(whole) + 0.5 * rest.square().sum(1)
        return torch.addmm(start, e.flatten(1), weight.T), pairs
    found: tuple[Tensor, Tensor] = _MappedFactorization.apply(e, rest, start, weight)
    return found


class _Cross(torch.autograd.Function):
    """Cross layers; the gradients that meet at their inputs are added in place."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, n: int, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[:n], parameters[n:]
        crossed, mapped = [start], []
        for weight, bias in zip(weights, biases, strict=True):
            mapped.append(torch.addmm(bias, crossed[-1], weight.T))
            crossed.append(torch.addcmul(crossed[-1], start, mapped[-1]))
        ctx.n = n
        ctx.save_for_backward(*crossed[:-1], *mapped, *weights)
        return crossed[-1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        n, saved = ctx.n, ctx.saved_tensors
        crossed, mapped, weights = saved[:n], saved[n : 2 * n], saved[2 * n :]
        start, grad = crossed[0], grads[0].clone()
        of_start, of_weights, of_biases = torch.zeros_like(start), [], []
        for before, output, weight in zip(crossed[::-1], mapped[::-1], weights[::-1], strict=True):
            of_output = grad * start
            of_start.addcmul_(grad, output)
            of_weights.append(of_output.T @ before)
            of_biases.append(of_output.sum(0))
            grad.addmm_(of_output, weight)
        return of_start.add_(grad), None, *of_weights[::-1], *of_biases[::-1]


def cross(start: Tensor, layers: Sequence[nn.Linear]) -> Tensor:
    """x becomes x0 * (W x + b) + x at each of the layers [1]_; (B, W) to (B, W).

    References
    ----------
    .. [1] Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021, arXiv 2008.13535, eq. (1).
    """
    if not layers or torch.compiler.is_exporting() or torch.is_autocast_enabled(start.device.type):
        crossed = start
        for layer in layers:
            crossed = torch.addcmul(crossed, start, layer(crossed))
        return crossed
    parameters = [*(layer.weight for layer in layers), *(layer.bias for layer in layers)]
    found: Tensor = _Cross.apply(start, len(layers), *parameters)
    return found


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
            # In place: neither of the layers before needs its output again.
            layers.append(Dice(narrow) if activation == "dice" else nn.ReLU(inplace=True))
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
        # Not `keys[mask]` and `query[row]`, whose backward passes would add element by element.
        place = mask.flatten().nonzero().squeeze(1)
        row = place // mask.shape[1]
        there = keys.flatten(0, 1).index_select(0, place)
        hidden = nn.functional.linear(query, a + c, self.first.bias).index_select(0, row)
        hidden = torch.addmm(hidden, there, (b - c).T)
        hidden = torch.addmm(hidden, query.index_select(0, row) * there, d.T)
        weight = self.last(self.activation(hidden))
        return torch.zeros_like(query).index_add(0, row, weight * there)

    def _everywhere(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """The same at every place, the empty ones then left out: for export, which knows no ragged rows."""
        q = query.unsqueeze(1).expand_as(keys)
        hidden = self.activation(self.first(torch.cat([q, keys, q - keys, q * keys], dim=2)))
        return (self.last(hidden) * mask.unsqueeze(2).to(keys.dtype) * keys).sum(1)
