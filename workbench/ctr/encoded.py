"""What an encoder makes of a table, and how its fields lie in the models' one embedding table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """

    name: str
    kind: str
    table: str
    rows: int
    length: int = 1

    @property
    def is_list(self) -> bool:
        return self.kind in ("multi", "sequence")


@dataclass(frozen=True)
class Layout:
    """The fields in the order of a model: categories, numbers, lists. All tables lie in one, end to end."""

    fields: tuple[Field, ...]

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]

    @property
    def tables(self) -> dict[str, tuple[int, int]]:
        """First row and number of rows of each table."""
        found: dict[str, tuple[int, int]] = {}
        start = 0
        for field in self.fields:
            if field.table not in found:
                found[field.table] = start, field.rows
                start += field.rows
        return found

    @property
    def n_rows(self) -> int:
        return sum(rows for _, rows in self.tables.values())

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
