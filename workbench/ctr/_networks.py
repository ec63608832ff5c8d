"""The CTR networks: a head of each model's own on the shared tables."""

from __future__ import annotations

from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor, nn

from workbench.ctr._batch import Batch
from workbench.ctr._layers import MLP, TargetAttention, cross, factorization, linear, mapped_factorization
from workbench.ctr._network import Network

__all__ = ["NETWORKS"]


class LR(Network):
    """Logistic regression on all values."""

    has_vectors = False

    def head(self, vectors: Any, parts: Any, batch: Batch, gates: Tensor | None) -> Tensor:
        return parts.sum(1) + self.bias


class FM(Network):
    """Factorization machine."""

    def head(self, vectors: Any, parts: Any, batch: Batch, gates: Tensor | None) -> Tensor:
        return parts.sum(1) + factorization(vectors) + self.bias


class _Deep(Network):
    """Networks with a multilayer perceptron over all vectors."""

    def _mlp(self, wide: int, activation: str = "relu") -> MLP:
        options = self.options
        return MLP(
            [wide, *options["hidden"]],
            activation=activation,
            dropout=options["dropout"],
            batch_norm=options["batch_norm"],
        )

    def _chosen(self, keep: Tensor) -> dict[str, dict[int, Tensor]]:
        return {"mlp.0.weight": {1: self._flat_places(keep)}}


class DeepFM(_Deep):
    """A factorization machine and a perceptron on the same vectors."""

    def _build(self) -> None:
        self.mlp = self._mlp(self.n_vectors * self.dim)
        self.last = linear(self.options["hidden"][-1], 1)

    def forward(self, batch: Batch, gates: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """Logits, (B,), without laying out a number's vector, the number times a row of the table.

        What a linear map makes of that vector is the number times what it makes of the row, which is one for
        all rows of the batch: the numbers cost a product of two small matrices.
        """
        if not self.layout.count("numeric") or torch.compiler.is_exporting():
            return super().forward(batch, gates, dtype)
        gates = self._gates(gates, dtype)
        rest, rest_gates = batch.without_numbers(), self._gates_without_numbers(gates)
        used, ids = self._rows_of_numbers(batch)
        of_table, of_weight = self._looked_up(rest, dtype, ids)
        vectors = self._gated_vectors(of_table, rest, rest_gates)
        parts = self._gated_parts(of_weight, rest, rest_gates)
        numbers = self._numbers(batch, vectors.dtype, gates)
        rows, weights = (_placed(found.rows, used, numbers) for found in (of_table, of_weight))
        first, pairs = self._first(vectors, numbers, rows)
        linear = parts.sum(1) + (numbers @ weights).squeeze(1)
        return self.last(self.mlp.after_first(first)).squeeze(1) + linear + pairs + self.bias

    def _first(self, vectors: Tensor, numbers: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The perceptron's first layer (B, hidden) and the second-order term (B,) of all fields."""
        first, k = cast(nn.Linear, self.mlp[0]), numbers.shape[1] // 2
        n_before, n_own = self.layout.count("categorical") * self.dim, k * self.dim
        n_after = vectors.shape[1] * self.dim - n_before
        before, own, after = first.weight.split([n_before, n_own, n_after], dim=1)
        of_numbers = torch.einsum("hkd,jkd->jkh", own.unflatten(1, (k, -1)), rows.unflatten(0, (2, k)))
        # Contiguous, so that the gradient is a product of a wide matrix and not of a narrow one.
        start = torch.addmm(first.bias, numbers, of_numbers.flatten(0, 1).contiguous())
        weight = torch.cat([before, after], dim=1)
        mapped, pairs = mapped_factorization(vectors, numbers @ rows, start, weight)
        return mapped, pairs - 0.5 * (numbers.square() @ rows.square().sum(1))

    def _rows_of_numbers(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which of the numbers and of their missing cells are in the batch, and their rows of the table."""
        starts = self.number_starts
        there = batch.ids[:, self.layout.count("categorical") :] != starts
        used = torch.cat([there.any(0), ~there.all(0)]).nonzero().squeeze(1)
        return used, torch.cat([starts + 1, starts])[used]

    def head(self, vectors: Any, parts: Any, batch: Batch, gates: Tensor | None) -> Tensor:
        deep = self.last(self.mlp(vectors.flatten(1))).squeeze(1)
        return deep + parts.sum(1) + factorization(vectors) + self.bias


def _placed(rows: Tensor, used: Tensor, numbers: Tensor) -> Tensor:
    """Rows at the places `used`, and zeros at the other columns of `numbers`, (2K, D)."""
    return numbers.new_zeros((numbers.shape[1], rows.shape[1])).index_copy(0, used, rows.to(numbers.dtype))


class DCNv2(_Deep):
    """Cross layers beside a perceptron, on the vectors and the numbers as they are."""

    has_linear = False
    embeds_numbers = False

    def _build(self) -> None:
        wide = self.n_vectors * self.dim + 2 * self.layout.count("numeric")
        self.cross = nn.ModuleList(linear(wide, wide) for _ in range(self.options["n_cross"]))
        self.mlp = self._mlp(wide)
        self.last = linear(wide + self.options["hidden"][-1], 1)

    def head(self, vectors: Any, parts: Any, batch: Batch, gates: Tensor | None) -> Tensor:
        start = torch.cat([vectors.flatten(1), self._numbers(batch, vectors.dtype, gates)], dim=1)
        crossed = cross(start, cast(list[nn.Linear], list(self.cross)))
        return self.last(torch.cat([crossed, self.mlp(start)], dim=1)).squeeze(1) + self.bias

    def _chosen(self, keep: Tensor) -> dict[str, dict[int, Tensor]]:
        wide = self.n_vectors * self.dim
        numbers = wide + self._of_numbers(keep).repeat(2).nonzero().squeeze(1)
        places = torch.cat([self._flat_places(keep), numbers])
        wide += 2 * self.layout.count("numeric")
        chosen = {"mlp.0.weight": {1: places}}
        for i in range(len(self.cross)):
            chosen[f"cross.{i}.weight"] = {0: places, 1: places}
            chosen[f"cross.{i}.bias"] = {0: places}
        deep = torch.arange(wide, wide + self.options["hidden"][-1])
        return {**chosen, "last.weight": {1: torch.cat([places, deep])}}


class DLRM(_Deep):
    """Numbers through a perceptron of their own, dot products of all pairs, a perceptron on top."""

    pairs: Tensor
    has_linear = False
    embeds_numbers = False

    def _build(self) -> None:
        self.n_numbers = self.layout.count("numeric")
        # A network that had numbers keeps its lower part when all of them are pruned.
        self.has_bottom = self.options.setdefault("has_bottom", self.n_numbers > 0)
        if self.has_bottom:
            self.bottom = MLP([2 * self.n_numbers, *self.options["bottom"], self.dim])
        n = self.n_vectors + self.has_bottom
        pairs = torch.tensor(list(combinations(range(n), 2)), dtype=torch.int64).reshape(-1, 2)
        self.register_buffer("pairs", pairs[:, 0] * n + pairs[:, 1], persistent=False)
        self.mlp = self._mlp(self.has_bottom * self.dim + len(pairs))
        self.last = linear(self.options["hidden"][-1], 1)

    def _initial(self, n_rows: int) -> Tensor:
        table = torch.empty(n_rows, self.dim)
        for start, rows in self.layout.tables.values():
            table[start : start + rows].uniform_(-(rows**-0.5), rows**-0.5)
        return table

    def head(self, vectors: Any, parts: Any, batch: Batch, gates: Tensor | None) -> Tensor:
        together = [self.bottom(self._numbers(batch, vectors.dtype, gates))] if self.has_bottom else []
        stacked = torch.cat([*(one.unsqueeze(1) for one in together), vectors], dim=1)
        dots = torch.bmm(stacked, stacked.transpose(1, 2)).flatten(1)
        # Not `[:, pairs]`: its backward pass would add element by element.
        crossed = dots.index_select(1, self.pairs)
        return self.last(self.mlp(torch.cat([*together, crossed], dim=1))).squeeze(1) + self.bias

    def _chosen(self, keep: Tensor) -> dict[str, dict[int, Tensor]]:
        numbers = self._of_numbers(keep)
        vectors = self._kept_vectors(keep)
        n = self.n_vectors + self.has_bottom
        there = torch.cat([torch.ones(int(self.has_bottom), dtype=torch.bool), vectors])
        left, right = self.pairs // n, self.pairs % n
        dense = torch.arange(self.has_bottom * self.dim)
        crossed = (there[left] & there[right]).nonzero().squeeze(1) + len(dense)
        chosen = {"mlp.0.weight": {1: torch.cat([dense, crossed])}}
        if self.has_bottom:
            chosen["bottom.0.weight"] = {1: numbers.repeat(2).nonzero().squeeze(1)}
        return chosen


class DIN(_Deep):
    """Histories weighed by the candidate they share a vocabulary with, then a perceptron."""

    has_linear = False

    def _build(self) -> None:
        names = self.layout.names
        lists = [field for field in self.layout.fields if field.is_list]
        candidates = {field.name for field in self.layout.fields if field.kind == "categorical"}
        # A candidate that is pruned later is asked as a vector of zeros, as its gate made it.
        asked = self.options.setdefault(
            "asked", [f.name for f in lists if f.kind == "sequence" and f.table in candidates]
        )
        self.targets = [
            None if field.name not in asked else names.index(field.table) if field.table in names else -1
            for field in lists
        ]
        activation, hidden = self.options["activation"], self.options["attention_hidden"]
        self._keys = [f"of_{asked.index(f.name)}" if f.name in asked else "" for f in lists]
        self.attention = nn.ModuleDict(
            {key: TargetAttention(self.dim, hidden, activation) for key in self._keys if key}
        )
        self.mlp = self._mlp(self.n_vectors * self.dim, activation)
        self.last = linear(self.options["hidden"][-1], 1)

    def _pool(self, i: int, e: Tensor, ids: Tensor, flat: Tensor, gates: Tensor | None) -> Tensor:
        target = self.targets[i]
        if target is None:
            return super()._pool(i, e, ids, flat, gates)
        query = torch.zeros_like(e[:, 0]) if target < 0 else flat[:, target]
        if gates is not None and target >= 0:
            query = query * gates[..., target, None]
        pooled: Tensor = self.attention[self._keys[i]](query, e, ids != self._padding[i])
        return pooled

    def head(self, vectors: Any, parts: Any, batch: Batch, gates: Tensor | None) -> Tensor:
        return self.last(self.mlp(vectors.flatten(1))).squeeze(1) + self.bias


NETWORKS: dict[str, type[Network]] = {
    "lr": LR,
    "fm": FM,
    "deepfm": DeepFM,
    "dcnv2": DCNv2,
    "dlrm": DLRM,
    "din": DIN,
}
