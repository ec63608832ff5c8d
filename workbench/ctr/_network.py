"""What the CTR networks share: embeddings of all fields in one table, gates, and pruning.

Every network takes one gate a field. A gate multiplies all that its field contributes, the linear part
included, so a field whose gate is 0 has no say at all; `prune` then leaves those fields out and the
outputs stay as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.ctr._batch import Batch
from workbench.ctr._layers import combine, lookup
from workbench.ctr._vocabulary import MISSING, RESERVED
from workbench.ctr.encoded import Layout

__all__ = ["Network"]


class _Found(NamedTuple):
    """What a table has for a batch.

    Attributes
    ----------
    flat : Tensor, shape (B, S, D)
        Of the fields of one value.
    lists : list of Tensor, each of shape (B, L, D)
    rows : Tensor, shape (R, D)
        Rows asked for by their number.
    """

    flat: Tensor
    lists: list[Tensor]
    rows: Tensor


class Network(nn.Module, ABC):
    """Base of the networks: the tables, the gates, and pruning; `head` is each model's own.

    Parameters
    ----------
    layout : Layout
    dim : int
        Length of a field's vector.
    options : mapping
        The model's own settings.
    blank : bool
        Leave the tables as memory gives them, for weights that are loaded next.
    """

    scale: Tensor
    number_starts: Tensor
    has_linear = True  #: a weight a value, summed
    has_vectors = True  #: a vector a value
    embeds_numbers = True  #: whether numbers are turned into vectors

    def __init__(self, layout: Layout, dim: int, options: Mapping[str, Any], *, blank: bool = False) -> None:
        super().__init__()
        self.layout, self.dim, self.options = layout, dim, dict(options)
        self.bias = nn.Parameter(torch.zeros(1))
        if self.has_linear:
            weight = torch.empty if blank else torch.zeros
            self.weight = nn.Parameter(self._around_one(weight(layout.n_rows, 1)))
        if self.has_vectors:
            table = torch.empty(layout.n_rows, dim) if blank else self._initial(layout.n_rows)
            self.table = nn.Parameter(self._around_one(table))
        # What gates are left as after pruning; in double precision, so that nothing is lost by pruning twice.
        self.register_buffer("scale", torch.ones(len(layout.fields), dtype=torch.float64))
        tables = layout.tables
        # The row of each number for its missing cells; the next one is what the number multiplies.
        starts = [tables[field.table][0] for field in layout.fields if field.kind == "numeric"]
        self.register_buffer("number_starts", torch.tensor(starts, dtype=torch.int32), persistent=False)
        self._padding = [tables[field.table][0] + MISSING for field in layout.fields if field.is_list]
        self._build()

    def _initial(self, n_rows: int) -> Tensor:
        table = torch.empty(n_rows, self.dim).normal_(std=0.01)
        for start, rows in self.layout.tables.values():
            # Unseen and missing values say nothing until they are trained.
            table[start : start + min(RESERVED, rows - 1)] = 0.0
        return table

    def _around_one(self, table: Tensor) -> Tensor:
        """Quotient rows that multiply begin near 1, so that a value begins as its remainder."""
        for field in {field.table: field for field in self.layout.fields}.values():
            if field.modulus and field.combine == "product":
                start, rows = self.layout.tables[field.table]
                table[start + RESERVED + field.modulus : start + rows] += 1.0
        return table

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
        gates : Tensor, shape (F,) or (B, F), optional
            One a field, or one a field and row.
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
        if not self.embeds_numbers:
            batch, gates = batch.without_numbers(), self._gates_without_numbers(gates)
        found = self._looked_up(batch, dtype)
        vectors = self._gated_vectors(found[0], batch, gates) if self.has_vectors else None
        return vectors, self._gated_parts(found[-1], batch, gates) if self.has_linear else None

    def _looked_up(self, batch: Batch, dtype: torch.dtype | None, rows: Tensor | None = None) -> list[_Found]:
        """What each of the `tables` has for a batch, and for `rows` besides."""
        more = batch.ids.new_empty(0) if rows is None else rows
        ids = [batch.ids, batch.quotients, *batch.lists, *batch.list_quotients, more]
        found = lookup(self.tables(), batch.values, *ids)
        return [self._composed(batch, *(part.to(dtype or part.dtype) for part in one)) for one in found]

    def _composed(self, batch: Batch, flat: Tensor, quotients: Tensor, *found: Tensor) -> _Found:
        """Rows of the remainder table and of the quotient table made one."""
        lists, others = list(found[: len(batch.lists)]), found[len(batch.lists) : -1]
        if quotients.shape[1]:
            places = torch.tensor(self.layout.split_places, device=flat.device)
            whole = batch.ids[:, places] == batch.quotients
            composed = combine(flat[:, places], quotients, whole, self.layout.combine)
            flat = flat.index_copy(1, places, composed)
        for i, other in enumerate(others):
            if other.shape[1]:
                whole = batch.lists[i] == batch.list_quotients[i]
                lists[i] = combine(lists[i], other, whole, self.layout.combine)
        return _Found(flat, lists, found[-1])

    def _gated_vectors(self, found: _Found, batch: Batch, gates: Tensor | None) -> Tensor:
        """Vectors of the fields of the batch, (B, F, D); one gate for each of these."""
        flat = found.flat
        pooled = [self._pool(i, e, batch.lists[i], flat, gates) for i, e in enumerate(found.lists)]
        vectors = torch.cat([flat, torch.stack(pooled, dim=1)], dim=1) if pooled else flat
        return vectors if gates is None else vectors * gates.unsqueeze(-1)

    def _gated_parts(self, found: _Found, batch: Batch, gates: Tensor | None) -> Tensor:
        """Linear parts of the fields of the batch, (B, F)."""
        parts = found.flat.squeeze(-1)
        if found.lists:
            means = [
                Network._pool(self, i, e, batch.lists[i], parts, None) for i, e in enumerate(found.lists)
            ]
            parts = torch.cat([parts, *means], dim=1)
        return parts if gates is None else parts * gates

    def _gates_without_numbers(self, gates: Tensor | None) -> Tensor | None:
        return None if gates is None else self._without_numbers(gates)

    def _without_numbers(self, by_field: Tensor) -> Tensor:
        """Of a value a field (the last dimension), those of the categorical and the list fields."""
        first, numbers = self.layout.count("categorical"), self.layout.count("numeric")
        return torch.cat([by_field[..., :first], by_field[..., first + numbers :]], dim=-1)

    def _of_numbers(self, by_field: Tensor) -> Tensor:
        """Of a value a field, those of the numbers."""
        first, numbers = self.layout.count("categorical"), self.layout.count("numeric")
        return by_field[..., first : first + numbers]

    def _kept_vectors(self, by_field: Tensor) -> Tensor:
        """Of a value a field, those of the fields that have a vector."""
        return by_field if self.embeds_numbers else self._without_numbers(by_field)

    def _numbers(self, batch: Batch, dtype: torch.dtype, gates: Tensor | None) -> Tensor:
        """Gated numbers, 0 where missing, then flags of the missing ones, (B, 2K)."""
        first = self.layout.count("categorical")
        there = (batch.ids[:, first:] != self.number_starts).to(dtype)
        both = torch.stack([batch.values.to(dtype) * there, 1 - there], dim=1)
        if gates is not None:
            both = both * self._of_numbers(gates).unsqueeze(-2)
        return both.flatten(1)

    def _pool(self, i: int, e: Tensor, ids: Tensor, flat: Tensor, gates: Tensor | None) -> Tensor:
        """The vector of a list field: the mean over the values there are."""
        mask = (ids != self._padding[i]).to(e.dtype)
        return torch.einsum("bld,bl->bd", e, mask) / mask.sum(1, keepdim=True).clamp_min(1)

    @abstractmethod
    def head(
        self, vectors: Tensor | None, parts: Tensor | None, batch: Batch, gates: Tensor | None
    ) -> Tensor:
        """Logits of already gated vectors and linear parts, (B,)."""

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
        pruned = type(self)(layout, self.dim, options, blank=True).to(self.bias.dtype)
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
