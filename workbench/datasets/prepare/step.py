"""What a step of a preparation is, and the SQL that several steps share.

Values stand in the SQL as literals, because the SQL is shown and exported: only :func:`number` and
:func:`~workbench.datasets.names.literal` write them, and names of columns only
:func:`~workbench.datasets.names.identifier`.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import duckdb

from workbench.datasets.files import Column
from workbench.datasets.names import identifier, literal
from workbench.datasets.roles import Roles, is_time
from workbench.errors import DatasetError, UsageError

__all__ = [
    "CodeStep",
    "SQLStep",
    "Step",
    "Table",
    "constant",
    "duration",
    "number",
    "one_of",
    "parse_span",
    "whole",
]

_UNITS = {
    "us": 1, "ms": 1_000, "s": 1_000_000, "sec": 1_000_000, "second": 1_000_000, "min": 60_000_000,
    "minute": 60_000_000, "h": 3_600_000_000, "hour": 3_600_000_000, "d": 86_400_000_000,
    "day": 86_400_000_000, "w": 604_800_000_000, "week": 604_800_000_000,
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """What a step starts from.

    Attributes
    ----------
    name : str
        Of the table in SQL, quoted where it has to be.
    columns : sequence of Column
    roles : dict of str to list of str
    """

    name: str
    columns: Sequence[Column]
    roles: Roles

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    def type_of(self, column: str) -> str:
        """The DuckDB type of a column."""
        return next(known.type for known in self.columns if known.name == column)

    def role(self, role: str, step: Step) -> str:
        """The one column of a role; a sentence where there is none."""
        found = self.roles.get(role)
        if not found:
            raise DatasetError(
                f"{step.kind} needs a column with the role {role!r}: give one that role first."
            )
        return found[0]

    def optional(self, role: str) -> str | None:
        """The column of a role, or None."""
        found = self.roles.get(role)
        return found[0] if found else None

    def column(self, name: str, step: Step) -> str:
        """`name`, if there is such a column."""
        if name not in self.names:
            raise DatasetError(
                f"{step.kind}: there is no column {name!r}; there are {', '.join(self.names[:20])}."
            )
        return name

    def partition(self) -> str:
        """``PARTITION BY`` the series or the user; nothing where the table is one recording."""
        owner = self.optional("series_id") or self.optional("user")
        return f"PARTITION BY {identifier(owner)}" if owner else ""

    def tick(self, step: Step) -> str:
        """The time as a number: microseconds for dates and timestamps, else as it is."""
        time = self.role("time", step)
        if self.type_of(time) == "TIME":
            raise DatasetError(
                f"{step.kind}: {time!r} is a time of day, which is not enough to tell the order."
            )
        if is_time(self.type_of(time)):
            return f"epoch_us({identifier(time)}::TIMESTAMP)"
        return identifier(time)

    def from_tick(self, tick: str, step: Step) -> str:
        """The inverse of :meth:`tick`, in the column's own type."""
        type_ = self.type_of(self.role("time", step))
        if is_time(type_):
            return f"make_timestamp(({tick})::BIGINT)" + ("::TIMESTAMP" if type_ == "DATE" else f"::{type_}")
        return tick

    def span(self, value: str | float, step: Step) -> float | int:
        """A duration in ticks: ``"5 min"`` where the time is a timestamp, a number where it is a number."""
        stamped = is_time(self.type_of(self.role("time", step)))
        if isinstance(value, str) and not stamped:
            raise DatasetError(
                f"{step.kind}: the time is a number here, so a duration is a number, not {value!r}."
            )
        if not isinstance(value, str) and stamped:
            raise DatasetError(f"{step.kind}: give the duration with its unit, e.g. '5 min', not {value!r}.")
        return parse_span(value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Step:
    """One declared step; its fields are its parameters, and JSON.

    A step is SQL over the table before it (:class:`SQLStep`), or, where SQL cannot do it, code
    (:class:`CodeStep`).
    """

    kind: ClassVar[str]

    def check(self, before: Sequence[Step]) -> None:
        """Refuse parameters that cannot be, and an order of steps that would leak."""


class SQLStep(Step, ABC):
    """A step that is one SELECT."""

    @abstractmethod
    def sql(self, table: Table) -> tuple[str, Roles]:
        """A SELECT over ``table.name``, and the roles of what it returns."""


class CodeStep(Step, ABC):
    """A step that SQL cannot do."""

    @abstractmethod
    def run(self, connection: duckdb.DuckDBPyConnection, table: Table, target: str) -> tuple[Step, Roles]:
        """Make the table `target`; returns the step with what it learned, and the roles."""


_LONGEST = 10_000 * 366 * 86_400 * 1e6  # microseconds


def parse_span(text: str) -> int:
    """A duration with its unit, as microseconds.

    Raises
    ------
    UsageError
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*", text.lower())
    unit = None if found is None else _UNITS.get(found[2], _UNITS.get(found[2] + "s"))
    if found is None or unit is None:
        raise UsageError(
            f"{text!r} is not a duration: write e.g. '500 ms', '30 s', '5 min', '1 h' or '2 days'."
        )
    exact = float(found[1]) * unit
    if exact > _LONGEST:
        raise UsageError(f"{text[:40]!r} is too long a duration: it is more than 10,000 years.")
    span = round(exact)
    if span < 1:
        raise UsageError(f"{text!r} is not a duration: it is shorter than a microsecond.")
    return span


def number(value: Any) -> str:
    """A finite number as SQL."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not -1.8e308 < value < 1.8e308:  # a whole number may have any number of digits
        raise UsageError(f"{value!r} is not a finite number.")
    return repr(value)


def constant(value: Any) -> str:
    """A parameter as SQL: a number, a truth value or text."""
    if isinstance(value, bool):
        return str(value).lower()
    return literal(value) if isinstance(value, str) else number(value)


def one_of(step: Step, name: str, value: Any, allowed: Sequence[str]) -> None:
    """Refuse a value that is not one of those there are."""
    if value not in allowed:
        raise UsageError(f"{step.kind}: {name} must be one of {', '.join(allowed)}, not {value!r}.")


def whole(step: Step, name: str, low: int, high: int | None = None) -> None:
    """Refuse a parameter that is not a whole number from `low` to `high`."""
    value = getattr(step, name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < low
        or (high is not None and value > high)
    ):
        bound = f"of at least {low}" if high is None else f"from {low:,} to {high:,}"
        raise UsageError(f"{step.kind}: {name} must be a whole number {bound}, not {value!r}.")


def duration(step: Step, name: str) -> None:
    """Refuse a parameter that is neither ``"5 min"`` nor a positive number."""
    value = getattr(step, name)
    if isinstance(value, str):
        parse_span(value)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{step.kind}: {name} must be positive, not {value!r}.")
