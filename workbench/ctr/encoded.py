"""What an encoder makes of a table, and how its fields lie in the models' one embedding table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.ctr._vocabulary import RESERVED

__all__ = ["Encoded", "Field", "Layout"]


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes
    ----------
    name : str
    kind : {"categorical", "numeric", "multi", "sequence"}
    table : str
        The field whose embeddings it uses; itself, unless it shares those of another one.
    rows : int
        Rows of that table; for a number two: one for a missing cell, one that the number multiplies.
    length : int
        Values of a cell; 1 unless it is a list.
    modulus : int
        Rows of the remainder table, where a quotient and a remainder table stand in place of one; else 0.
    combine : {"product", "sum"}
        How the rows of the two become a vector.
    """

    name: str
    kind: str
    table: str
    rows: int
    length: int = 1
    modulus: int = 0
    combine: str = "product"

    @property
    def is_list(self) -> bool:
        """Whether a cell holds several values."""
        return self.kind in ("multi", "sequence")

    @property
    def stored_rows(self) -> int:
        """Rows that its embeddings take: the table's, or those of the quotient and remainder tables."""
        if not self.modulus:
            return self.rows
        return RESERVED + self.modulus + -(-(self.rows - RESERVED) // self.modulus)

    def split(self, ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Rows of indices in the remainder and in the quotient table, both counted in `stored_rows`.

        A value's place in the vocabulary divided by `modulus` gives both; unseen and missing values keep
        rows of their own, the same in either.
        """
        own = ids - RESERVED
        whole = own < 0
        return (
            np.where(whole, ids, RESERVED + own % self.modulus).astype(ids.dtype),
            np.where(whole, ids, RESERVED + self.modulus + own // self.modulus).astype(ids.dtype),
        )

    def stored_counts(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each stored row is used, from how often each value occurs."""
        if not self.modulus:
            return counts
        remainders, quotients = self.split(np.arange(len(counts)))
        other = remainders != quotients
        found = np.bincount(remainders, counts, self.stored_rows)
        found += np.bincount(quotients[other], counts[other], self.stored_rows)
        return found.astype(np.int64)


@dataclass(frozen=True)
class Layout:
    """The fields in the order of a model: categories, numbers, lists. All tables lie in one, end to end."""

    fields: tuple[Field, ...]

    @property
    def names(self) -> list[str]:
        """Names of the fields, in order."""
        return [field.name for field in self.fields]

    @cached_property
    def tables(self) -> dict[str, tuple[int, int]]:
        """First row and number of rows of each table."""
        found: dict[str, tuple[int, int]] = {}
        start = 0
        for field in self.fields:
            if field.table not in found:
                found[field.table] = start, field.stored_rows
                start += field.stored_rows
        return found

    @property
    def n_rows(self) -> int:
        """Rows of all embedding tables together."""
        return sum(rows for _, rows in self.tables.values())

    @cached_property
    def split_places(self) -> list[int]:
        """The categorical fields that have a quotient and a remainder table."""
        return [i for i, f in enumerate(self.fields) if f.kind == "categorical" and f.modulus]

    @property
    def combine(self) -> str:
        """How rows of quotient and remainder tables become vectors; one way for all fields."""
        return next((field.combine for field in self.fields if field.modulus), "product")

    def count(self, *kinds: str) -> int:
        """Fields of those kinds."""
        return sum(field.kind in kinds for field in self.fields)

    def keep(self, mask: NDArray[np.bool_]) -> Layout:
        """Only the fields where `mask` is true."""
        return Layout(tuple(field for field, kept in zip(self.fields, mask, strict=True) if kept))

    def to_list(self) -> list[dict[str, Any]]:
        """As plain values, from which :meth:`from_list` makes it again."""
        return [vars(field) | {} for field in self.fields]

    @classmethod
    def from_list(cls, fields: list[dict[str, Any]]) -> Layout:
        """The layout that was written as a list."""
        return cls(tuple(Field(**field) for field in fields))


@dataclass(frozen=True)
class Encoded:
    """Encoded rows.

    Attributes
    ----------
    ids : ndarray of int32, shape (n, n_categorical)
        Index of each cell inside its own field.
    numbers : ndarray of float32, shape (n, n_numeric)
        NaN where missing.
    lists : tuple of ndarray of int32, each of shape (n, length)
        Padded at the end with the index of a missing cell.
    """

    ids: NDArray[np.int32]
    numbers: NDArray[np.float32]
    lists: tuple[NDArray[np.int32], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Any) -> Encoded:
        return Encoded(self.ids[rows], self.numbers[rows], tuple(part[rows] for part in self.lists))

    def keep(self, layout: Layout, mask: NDArray[np.bool_]) -> Encoded:
        """Only the fields where `mask` is true."""
        kinds = np.array([field.kind for field in layout.fields])
        lists = np.isin(kinds, ("multi", "sequence"))
        return Encoded(
            self.ids[:, mask[kinds == "categorical"]],
            self.numbers[:, mask[kinds == "numeric"]],
            tuple(part for part, kept in zip(self.lists, mask[lists], strict=True) if kept),
        )

    def shuffled(self, layout: Layout, name: str, order: NDArray[np.intp]) -> Encoded:
        """The same rows, with the cells of one field in another order."""
        ids, numbers, lists = self.ids, self.numbers, list(self.lists)
        field = layout.names.index(name)
        place = field
        if layout.fields[field].kind == "categorical":
            ids = ids.copy()
            ids[:, place] = ids[order, place]
        elif layout.fields[field].kind == "numeric":
            place -= layout.count("categorical")
            numbers = numbers.copy()
            numbers[:, place] = numbers[order, place]
        else:
            place -= layout.count("categorical", "numeric")
            lists[place] = lists[place][order]
        return Encoded(ids, numbers, tuple(lists))
