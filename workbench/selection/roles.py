"""Kinds of fields as a data set's roles and column types suggest them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

__all__ = ["ROLE_KINDS", "guessed_kinds"]

#: Kinds that follow from the role of a column.
ROLE_KINDS = {"user": "categorical", "item": "categorical", "history": "sequence"}

_NOT_FIELDS = ("label", "split", "weight")
_NUMBERS = ("INT", "FLOAT", "DOUBLE", "DECIMAL", "DATE", "TIME")


class _Column(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def type(self) -> str: ...


def guessed_kinds(roles: Mapping[str, Sequence[str]], columns: Iterable[_Column]) -> dict[str, str]:
    """Kind of every field: by its role, else by its DuckDB type.

    The same that `workbench.ctr.FieldEncoder` finds by itself from the values.
    """
    left_out = {name for role in _NOT_FIELDS for name in roles.get(role, ())}
    by_role = {name: kind for role, kind in ROLE_KINDS.items() for name in roles.get(role, ())}
    return {
        column.name: by_role.get(column.name) or _kind(column.type)
        for column in columns
        if column.name not in left_out
    }


def _kind(type_: str) -> str:
    if type_.endswith("[]"):
        return "multi"
    return "numeric" if any(word in type_ for word in _NUMBERS) else "categorical"
