"""Encoded rows as tensors, their indices counted in the networks' one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.ctr.encoded import Encoded, Field, Layout

__all__ = ["Batch", "make_batch"]


@dataclass(frozen=True)
class Batch:
    """Rows on the device, indices counted from the start of the one table.

    Attributes
    ----------
    ids : Tensor of int32, shape (B, n_categorical + n_numeric)
        Of a field with two tables, the rows in the remainder table.
    values : Tensor of float32, shape (B, n_numeric)
        What the rows of the numbers are multiplied by: the number, or 1 on the row of a missing one.
    lists : tuple of Tensor of int32, each of shape (B, length)
    quotients : Tensor of int32, shape (B, n_split)
        Rows in the quotient tables of the categorical fields that have two.
    list_quotients : tuple of Tensor of int32, each of shape (B, length) or (B, 0)
    """

    ids: Tensor
    values: Tensor
    lists: tuple[Tensor, ...]
    quotients: Tensor
    list_quotients: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Tensor) -> Batch:
        """Some of the rows, by their numbers."""
        return self._mapped(lambda part: part.index_select(0, rows))

    def without_numbers(self) -> Batch:
        """The same rows with the categorical and the list fields only."""
        n = self.values.shape[1]
        return replace(self, ids=self.ids[:, : self.ids.shape[1] - n], values=self.values[:, :0])

    def to(self, device: torch.device) -> Batch:
        return self._mapped(lambda part: part.to(device))

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            function(self.ids),
            function(self.values),
            tuple(function(part) for part in self.lists),
            function(self.quotients),
            tuple(function(part) for part in self.list_quotients),
        )


def make_batch(encoded: Encoded, layout: Layout) -> Batch:
    """Encoded rows as tensors."""
    n, tables = len(encoded), layout.tables
    starts = np.array([tables[field.table][0] for field in layout.fields], dtype=np.int32)
    categorical, numeric = layout.count("categorical"), layout.count("numeric")
    ids = np.empty((n, categorical + numeric), dtype=np.int32)
    np.add(encoded.ids, starts[:categorical], out=ids[:, :categorical])
    quotients = np.empty((n, len(layout.split_places)), dtype=np.int32)
    for i, place in enumerate(layout.split_places):
        ids[:, place], quotients[:, i] = _placed(layout.fields[place], encoded.ids[:, place], starts[place])
    missing = np.isnan(encoded.numbers)
    np.add(~missing, starts[categorical : categorical + numeric], out=ids[:, categorical:], casting="unsafe")
    values = np.where(missing, np.float32(1), encoded.numbers)
    lists = [
        _placed(*one)
        for one in zip(
            layout.fields[categorical + numeric :],
            encoded.lists,
            starts[categorical + numeric :],
            strict=True,
        )
    ]
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(values),
        tuple(torch.from_numpy(rows) for rows, _ in lists),
        torch.from_numpy(quotients),
        tuple(torch.from_numpy(rows) for _, rows in lists),
    )


def _placed(
    field: Field, ids: NDArray[np.int32], start: np.int32
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows of a field's values in the one table; the second is empty where it has a single table."""
    if not field.modulus:
        return ids + start, np.empty((len(ids), 0), dtype=np.int32)
    remainders, quotients = field.split(ids)
    return remainders + start, quotients + start
