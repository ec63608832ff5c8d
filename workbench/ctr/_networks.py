"""The CTR networks: a head of each model's own on the shared tables."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from workbench.ctr._batch import Batch
from workbench.ctr._layers import MLP, TargetAttention, factorization, linear
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

    def head(self, vectors: Any, parts: Any, batch: Batch, gates: Tensor | None) -> Tensor:
        deep = self.last(self.mlp(vectors.flatten(1))).squeeze(1)
        return deep + parts.sum(1) + factorization(vectors) + self.bias


class DCNv2(_Deep):
    """Cross layers beside a perceptron."""

    has_linear = False

    def _build(self) -> None:
        wide = self.n_vectors * self.dim
        self.cross = nn.ModuleList(linear(wide, wide) for _ in range(self.options["n_cross"]))
        self.mlp = self._mlp(wide)
        self.last = linear(wide + self.options["hidden"][-1], 1)

    def head(self, vectors: Any, parts: Any, batch: Batch, gates: Tensor | None) -> Tensor:
        start = crossed = vectors.flatten(1)
        for layer in self.cross:
            crossed = torch.addcmul(crossed, start, layer(crossed))
        return self.last(torch.cat([crossed, self.mlp(start)], dim=1)).squeeze(1) + self.bias

    def _chosen(self, keep: Tensor) -> dict[str, dict[int, Tensor]]:
        places = self._flat_places(keep)
        wide = self.n_vectors * self.dim
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
        together = [self._numbers(batch, vectors.dtype, gates)] if self.has_bottom else []
        stacked = torch.cat([*(one.unsqueeze(1) for one in together), vectors], dim=1)
        dots = torch.bmm(stacked, stacked.transpose(1, 2)).flatten(1)
        # Not `[:, pairs]`: its backward pass would add element by element.
        crossed = dots.index_select(1, self.pairs)
        return self.last(self.mlp(torch.cat([*together, crossed], dim=1))).squeeze(1) + self.bias

    def _numbers(self, batch: Batch, dtype: torch.dtype, gates: Tensor | None) -> Tensor:
        first = self.layout.count("categorical")
        starts = torch.tensor(
            [self.layout.tables[f.table][0] for f in self.layout.fields if f.kind == "numeric"],
            device=batch.ids.device,
            dtype=torch.int64,
        )
        there = (batch.ids[:, first:] != starts).to(dtype)
        both = torch.stack([batch.values.to(dtype) * there, 1 - there], dim=1)
        if gates is not None:
            both = both * gates[..., first : first + self.n_numbers].unsqueeze(-2)
        return self.bottom(both.flatten(1))

    def _chosen(self, keep: Tensor) -> dict[str, dict[int, Tensor]]:
        first = self.layout.count("categorical")
        numbers = keep[first : first + self.n_numbers]
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
