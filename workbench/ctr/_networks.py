"""The CTR networks: embeddings of all fields in one table, and a head of each model's own.

Every network takes one gate a field. A gate multiplies all that its field contributes, the linear part
included, so a field whose gate is 0 has no say at all; `prune` then leaves those fields out and the
outputs stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.ctr._layers import MLP, TargetAttention, factorization, linear, lookup
from workbench.ctr._vocabulary import MISSING
from workbench.ctr.encoded import Encoded, Layout

__all__ = ["NETWORKS", "Batch", "Network", "make_batch"]


@dataclass(frozen=True)
class Batch:
    """Rows on the device, indices counted from the start of the one table.

    Attributes
    ----------
    ids : Tensor of int32, shape (B, n_categorical + n_numeric)
    values : Tensor of float32, shape (B, n_numeric)
        What the rows of the numbers are multiplied by: the number, or 1 on the row of a missing one.
    lists : tuple of Tensor of int32, each of shape (B, length)
    """

    ids: Tensor
    values: Tensor
    lists: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Any) -> Batch:
        return Batch(self.ids[rows], self.values[rows], tuple(part[rows] for part in self.lists))

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.ids.to(device), self.values.to(device), tuple(part.to(device) for part in self.lists)
        )


def make_batch(encoded: Encoded, layout: Layout) -> Batch:
    """Encoded rows as tensors."""
    n, tables = len(encoded), layout.tables
    starts = np.array([tables[field.table][0] for field in layout.fields], dtype=np.int32)
    categorical, numeric = layout.count("categorical"), layout.count("numeric")
    ids = np.empty((n, categorical + numeric), dtype=np.int32)
    np.add(encoded.ids, starts[:categorical], out=ids[:, :categorical])
    missing = np.isnan(encoded.numbers)
    np.add(~missing, starts[categorical : categorical + numeric], out=ids[:, categorical:], casting="unsafe")
    values = np.where(missing, np.float32(1), encoded.numbers)
    lists = [part + start for part, start in zip(encoded.lists, starts[categorical + numeric :], strict=True)]
    return Batch(
        torch.from_numpy(ids), torch.from_numpy(values), tuple(torch.from_numpy(part) for part in lists)
    )


class Network(nn.Module):
    """Base of the networks.

    Parameters
    ----------
    layout : Layout
    dim : int
        Length of a field's vector.
    options : mapping
        The model's own settings.
    """

    scale: Tensor
    has_linear = True  #: a weight a value, summed
    has_vectors = True  #: a vector a value
    embeds_numbers = True  #: whether numbers are turned into vectors

    def __init__(self, layout: Layout, dim: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.layout, self.dim, self.options = layout, dim, dict(options)
        self.bias = nn.Parameter(torch.zeros(1))
        if self.has_linear:
            self.weight = nn.Parameter(torch.zeros(layout.n_rows, 1))
        if self.has_vectors:
            self.table = nn.Parameter(self._initial(layout.n_rows))
        # What gates are left as after pruning; in double precision, so that nothing is lost by pruning twice.
        self.register_buffer("scale", torch.ones(len(layout.fields), dtype=torch.float64))
        self._register_starts()
        self._build()

    def _initial(self, n_rows: int) -> Tensor:
        table = torch.randn(n_rows, self.dim) * 0.01
        for start, rows in self.layout.tables.values():
            # Unseen and missing values say nothing until they are trained.
            table[start : start + min(2, rows - 1)] = 0.0
        return table

    def _register_starts(self) -> None:
        tables = self.layout.tables
        lists = [tables[field.table][0] + MISSING for field in self.layout.fields if field.is_list]
        self._padding = lists

    def _build(self) -> None:
        """Make the layers of the head."""

    @property
    def n_vectors(self) -> int:
        """Fields that have a vector."""
        return len(self.layout.fields) - (0 if self.embeds_numbers else self.layout.count("numeric"))

    def tables(self) -> list[nn.Parameter]:
        """The parameters with a row a value."""
        return [getattr(self, name) for name in ("table", "weight") if hasattr(self, name)]

    def forward(self, batch: Batch, gates: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """Logits, (B,).

        Parameters
        ----------
        batch : Batch
        gates : Tensor, shape (F,), optional
        dtype : torch.dtype, optional
            In which everything after the tables is computed; that of the tables by default.
        """
        gates = self._gates(gates, dtype)
        return self.head(*self.embed(batch, gates, dtype), batch, gates)

    def _gates(self, gates: Tensor | None, dtype: torch.dtype | None) -> Tensor | None:
        if gates is None and not self.options.get("scaled"):
            return None
        scale = self.scale.to(dtype or self.bias.dtype)
        return scale if gates is None else scale * gates

    def embed(
        self, batch: Batch, gates: Tensor | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Gated vectors (B, F, D) and gated linear parts (B, F)."""
        vectors = self._vectors(batch, gates, dtype) if self.has_vectors else None
        parts = self._parts(batch, dtype) if self.has_linear else None
        if gates is not None and parts is not None:
            parts = parts * gates
        return vectors, parts

    def _vectors(self, batch: Batch, gates: Tensor | None, dtype: torch.dtype | None) -> Tensor:
        ids, values = batch.ids, batch.values
        if not self.embeds_numbers:
            ids, values = ids[:, : ids.shape[1] - values.shape[1]], values[:, :0]
        flat = lookup(self.table, ids, values)
        flat = flat if dtype is None else flat.to(dtype)
        gate = self._vector_gates(gates)
        pooled = []
        for i, part in enumerate(batch.lists):
            e = lookup(self.table, part, values[:, :0])
            pooled.append(self._pool(i, e if dtype is None else e.to(dtype), part, flat, gate))
        found = torch.cat([flat, torch.stack(pooled, dim=1)], dim=1) if pooled else flat
        return found if gate is None else found * gate.unsqueeze(-1)

    def _vector_gates(self, gates: Tensor | None) -> Tensor | None:
        return None if gates is None else self._kept_vectors(gates)

    def _kept_vectors(self, by_field: Tensor) -> Tensor:
        """Of a value a field, those of the fields that have a vector."""
        if self.embeds_numbers:
            return by_field
        first, numbers = self.layout.count("categorical"), self.layout.count("numeric")
        return torch.cat([by_field[:first], by_field[first + numbers :]])

    def _pool(self, i: int, e: Tensor, ids: Tensor, flat: Tensor, gates: Tensor | None) -> Tensor:
        """The vector of a list field: the mean over the values there are."""
        mask = (ids != self._padding[i]).to(e.dtype)
        return torch.einsum("bld,bl->bd", e, mask) / mask.sum(1, keepdim=True).clamp_min(1)

    def _parts(self, batch: Batch, dtype: torch.dtype | None) -> Tensor:
        flat = lookup(self.weight, batch.ids, batch.values).squeeze(-1)
        lists = []
        for i, part in enumerate(batch.lists):
            e = lookup(self.weight, part, batch.values[:, :0]).squeeze(-1)
            mask = (part != self._padding[i]).to(e.dtype)
            lists.append((e * mask).sum(1) / mask.sum(1).clamp_min(1))
        found = torch.cat([flat, torch.stack(lists, dim=1)], dim=1) if lists else flat
        return found if dtype is None else found.to(dtype)

    def head(
        self, vectors: Tensor | None, parts: Tensor | None, batch: Batch, gates: Tensor | None
    ) -> Tensor:
        """Logits of already gated vectors and linear parts."""
        raise NotImplementedError

    def to_double(self) -> Self:
        """Compute in double precision after the tables, which stay as they are."""
        tables = self.tables()
        for parameter in self.parameters():
            if not any(parameter is table for table in tables):
                parameter.data = parameter.data.double()
        for buffer in self.buffers():
            if buffer.is_floating_point():
                buffer.data = buffer.data.double()
        return self

    # -- pruning -------------------------------------------------------------------------------

    def prune(self, keep: NDArray[np.bool_], gates: Tensor | None = None) -> Network:
        """The same network without some fields; the gates of the others become part of it.

        Outputs are those of this network with the gates of the left-out fields at 0.
        """
        layout = self.layout.keep(keep)
        options = {**self.options, "scaled": gates is not None or self.options.get("scaled", False)}
        pruned = type(self)(layout, self.dim, options).to(self.bias.dtype)
        pruned.scale = pruned.scale.double()
        own, other = self.state_dict(), pruned.state_dict()
        kept = torch.from_numpy(np.flatnonzero(keep))
        rows = self._kept_rows(layout)
        chosen = self._chosen(torch.from_numpy(np.asarray(keep)))
        for name, target in other.items():
            source = own[name]
            if name in ("table", "weight"):
                source = source[rows]
            elif name == "scale":
                source = (source if gates is None else source * gates)[kept]
            elif name in chosen:
                for dimension, places in chosen[name].items():
                    source = source.index_select(dimension, places)
            target.copy_(source)
        pruned.train(self.training)
        return pruned

    def _kept_rows(self, layout: Layout) -> Tensor:
        tables = self.layout.tables
        return torch.cat(
            [torch.arange(tables[name][0], sum(tables[name])) for name in layout.tables]
            or [torch.empty(0, dtype=torch.int64)]
        )

    def _chosen(self, keep: Tensor) -> dict[str, dict[int, Tensor]]:
        """Which places along which dimension each weight keeps."""
        return {}

    def _flat_places(self, keep: Tensor) -> Tensor:
        """Places of the kept fields in their vectors laid end to end."""
        return self._kept_vectors(keep).repeat_interleave(self.dim).nonzero().squeeze(1)


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
            both = both * gates[first : first + self.n_numbers]
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
            query = query * gates[target]
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
