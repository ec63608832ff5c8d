"""Steps for long recordings: duplicates, resampling, gaps and windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from workbench.datasets.names import identifier
from workbench.datasets.prepare.step import SQLStep, Step, Table, constant, duration, number, one_of, whole
from workbench.datasets.roles import Roles
from workbench.errors import UsageError

__all__ = ["AggregateDuplicates", "FillGaps", "Resample", "Windows"]

How = Literal["mean", "median", "min", "max", "sum", "first", "last"]
_HOW = {
    "mean": "avg({0})",
    "median": "median({0})",
    "min": "min({0})",
    "max": "max({0})",
    "sum": "sum({0})",
    "first": "arg_min({0}, {1})",
    "last": "arg_max({0}, {1})",
}


def _aggregated(step: Step, table: Table, how: str, bucket: str) -> str:
    """SELECT with one row a series, channel and `bucket` of the time.

    Channels are aggregated by `how`; of every other column the largest value stands (a step is anomalous if
    any of its readings is).
    """
    time = table.role("time", step)
    keys = [name for role in ("series_id", "channel") for name in table.roles.get(role, [])]
    parts = [identifier(name) for name in keys]
    groups = [*parts, "bucket"]
    values = set(table.roles.get("value", []))
    for name in table.names:
        column = identifier(name)
        if name == time:
            parts.append(f"{table.from_tick('bucket', step)} AS {column}")
        elif name in values:
            # NaN is a missing reading: it must not make the mean of all others NaN.
            call, type_ = _HOW[how].format(column, "tick"), table.type_of(name)
            if type_ in ("FLOAT", "DOUBLE"):
                call = f"({call} FILTER (NOT isnan({column})))::{type_}"
            parts.append(f"{call} AS {column}")
        elif name not in keys:
            parts.append(f"max({column}) AS {column}")
    source = f"(SELECT *, {table.tick(step)} AS tick, {bucket} AS bucket FROM {table.name})"
    return f"SELECT {', '.join(parts)} FROM {source} GROUP BY {', '.join(groups)}"


@dataclass(frozen=True)
class AggregateDuplicates(SQLStep):
    """One row a time stamp: readings of a series at the same time are aggregated.

    Parameters
    ----------
    how : {"mean", "median", "min", "max", "sum", "first", "last"}
    """

    kind: ClassVar[str] = "aggregate_duplicates"
    how: How = "mean"

    def check(self, before: Sequence[Step]) -> None:
        one_of(self, "how", self.how, list(_HOW))

    def sql(self, table: Table) -> tuple[str, Roles]:
        return _aggregated(self, table, self.how, table.tick(self)), table.roles


@dataclass(frozen=True)
class Resample(SQLStep):
    """One row every so often: readings in ``[t, t + every)`` become one at ``t``; no row where none was.

    Parameters
    ----------
    every : str or number
        ``"5 min"``, or a number where the time is a number.
    how : {"mean", "median", "min", "max", "sum", "first", "last"}
    """

    kind: ClassVar[str] = "resample"
    every: str | float = "1 min"
    how: How = "mean"

    def check(self, before: Sequence[Step]) -> None:
        one_of(self, "how", self.how, list(_HOW))
        duration(self, "every")

    def sql(self, table: Table) -> tuple[str, Roles]:
        every = number(table.span(self.every, self))
        bucket = f"floor({table.tick(self)} / {every}) * {every}"
        return _aggregated(self, table, self.how, bucket), table.roles


@dataclass(frozen=True)
class FillGaps(SQLStep):
    """A row at every step between a series' first and last, and values where they are missing.

    Parameters
    ----------
    every : str or number
        The step; times must lie on it, so resample before.
    method : {"keep", "previous", "linear", "value"}
        ``"keep"`` adds the rows and leaves their channels missing.
    limit : int, optional
        Gaps of more missing steps in a row than this stay missing.
    value : float
        For ``method="value"``.
    """

    kind: ClassVar[str] = "fill_gaps"
    every: str | float = "1 min"
    method: Literal["keep", "previous", "linear", "value"] = "linear"
    limit: int | None = None
    value: float = 0.0

    def check(self, before: Sequence[Step]) -> None:
        one_of(self, "method", self.method, ["keep", "previous", "linear", "value"])
        number(self.value)
        if self.limit is not None:
            whole(self, "limit", 1)
        duration(self, "every")

    def sql(self, table: Table) -> tuple[str, Roles]:
        every = number(table.span(self.every, self))
        time = table.role("time", self)
        keys = [identifier(name) for role in ("series_id", "channel") for name in table.roles.get(role, [])]
        over = f"PARTITION BY {', '.join(keys)}" if keys else ""
        listed = "".join(f"{key}, " for key in keys)
        same = "".join(f"g.{key} IS NOT DISTINCT FROM r.{key} AND " for key in keys)
        stepped = (
            f"SELECT *, round((tick - low) / {every})::BIGINT AS k FROM (SELECT *, "
            f"{table.tick(self)} AS tick, min({table.tick(self)}) OVER ({over}) AS low FROM {table.name})"
        )
        once = (
            f"SELECT *, CASE WHEN count(*) OVER (PARTITION BY {listed}k) > 1 THEN error('{self.kind}: "
            "several rows of a series lie within one step: resample first.') ELSE k END AS step "
            f"FROM ({stepped})"
        )
        group = f" GROUP BY {', '.join(keys)}" if keys else ""
        grid = (
            f"SELECT {listed}low, unnest(range(last + 1)) AS step FROM "
            f"(SELECT {listed}min(low) AS low, max(step) AS last FROM rows{group})"
        )
        values, parts = set(table.roles.get("value", [])), []
        carried = {name for role in ("label", "split") for name in table.roles.get(role, [])}
        for name in table.names:
            column = identifier(name)
            if column in keys:
                parts.append(f"g.{column}")
            elif name == time:
                parts.append(f"{table.from_tick(f'g.low + g.step * {every}', self)} AS {column}")
            elif name in values:
                missing = f"CASE WHEN NOT isnan(r.{column}) THEN r.{column} END"
                real = missing if table.type_of(name) in ("FLOAT", "DOUBLE") else f"r.{column}"
                parts.append(f"{real} AS {column}")
            else:
                parts.append(f"r.{column}")
        joined = (
            f"SELECT {', '.join(parts)}, g.step AS step FROM ({grid}) g "
            f"LEFT JOIN rows r ON {same}g.step = r.step"
        )
        filled = [
            self._filled(name, table.type_of(name))
            if name in values
            else f"last_value({identifier(name)} IGNORE NULLS) OVER before AS {identifier(name)}"
            if name in carried
            else identifier(name)
            for name in table.names
        ]
        windows = (
            f"before AS ({over} ORDER BY step ROWS UNBOUNDED PRECEDING), "
            f"after AS ({over} ORDER BY step ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)"
        )
        return (
            f"WITH rows AS MATERIALIZED ({once}) SELECT {', '.join(filled)} FROM ({joined}) WINDOW {windows}",
            table.roles,
        )

    def _filled(self, name: str, type_: str) -> str:
        column = identifier(name)
        if self.method == "keep":
            return column
        known = f"CASE WHEN {column} IS NOT NULL THEN step END"
        low = f"last_value({known} IGNORE NULLS) OVER before"
        high = f"first_value({known} IGNORE NULLS) OVER after"
        previous = f"last_value({column} IGNORE NULLS) OVER before"
        if self.method == "linear":
            following = f"first_value({column} IGNORE NULLS) OVER after"
            fill = f"{previous} + ({following} - {previous})::DOUBLE * (step - {low}) / ({high} - {low})"
        else:
            fill = previous if self.method == "previous" else number(self.value)
        if self.limit is not None:
            # At a series' ends one side is unknown: no gap there is known to be short enough.
            fill = f"CASE WHEN {high} - {low} - 1 <= {self.limit} THEN {fill} END"
        cast = f"::{type_}" if type_ in ("FLOAT", "DOUBLE") else ""
        return f"coalesce({column}, ({fill}){cast}) AS {column}"


@dataclass(frozen=True)
class Windows(SQLStep):
    """Cut series into windows, each a series of its own.

    The windows' names stand in the column ``window``, that of the recording in ``source``. A window that
    lies on both sides of a split is dropped; so is one that is not whole.

    Parameters
    ----------
    length : int
        Steps a window.
    stride : int, optional
        Steps from one window's start to the next one's; `length` (no overlap) if not given.
    event : str, optional
        A column: a window then begins `before` steps ahead of every row at which it equals `value`.
    value : str, number or bool
    before : int
    label : {"max", "last", "majority", "none"}
        What becomes of labels that vary within a window.
    """

    kind: ClassVar[str] = "windows"
    length: int = 100
    stride: int | None = None
    event: str | None = None
    value: str | float | bool = 1
    before: int = 0
    label: Literal["max", "last", "majority", "none"] = "max"

    @property
    def overlaps(self) -> bool:
        """Whether a row can stand in more than one window."""
        return self.event is not None or (self.stride is not None and self.stride < self.length)

    def check(self, before: Sequence[Step]) -> None:
        one_of(self, "label", self.label, ["max", "last", "majority", "none"])
        whole(self, "length", 1)
        whole(self, "before", 0)
        if self.stride is not None:
            whole(self, "stride", 1)

    def sql(self, table: Table) -> tuple[str, Roles]:
        time = identifier(table.role("time", self))
        over, sid = table.partition(), table.optional("series_id")
        for name in ("window", "source"):
            if name in table.names and not (name == "source" and sid == "source"):
                raise UsageError(f"{self.kind}: there is a column {name!r} already; rename it first.")
        source = identifier(sid) if sid else "'all'"
        rows = (
            f"SELECT *, row_number() OVER ({over} ORDER BY {time}) - 1 AS n, count(*) OVER ({over}) AS total "
            f"FROM {table.name}"
        )
        if self.event is None:
            stride = self.stride or self.length
            cut = (
                f"SELECT *, w * {stride} AS start FROM (SELECT *, unnest(range(greatest(0, "
                f"(n - {self.length} + {stride}) // {stride}), n // {stride} + 1)) AS w FROM rows)"
            )
        else:
            event = identifier(table.column(self.event, self))
            owner = f"r.{source} IS NOT DISTINCT FROM e.{source} AND " if sid else ""
            cut = (
                f"SELECT r.*, e.n - {self.before} AS start, e.n AS w FROM rows r "
                f"JOIN (SELECT * FROM rows WHERE {event} = {constant(self.value)}) e "
                f"ON {owner}r.n >= e.n - {self.before} AND "
                f"r.n < e.n - {self.before} + {self.length}"
            )
        whole = f"start >= 0 AND start + {self.length} <= total"
        split, label = table.optional("split"), table.optional("label")
        each = f"PARTITION BY {source}, w"
        if split:
            side = identifier(split)
            one = f"min({side}) OVER (each) IS NOT DISTINCT FROM max({side}) OVER (each)"
        qualify = f" QUALIFY {one}" if split else ""
        kept = []
        for name in table.names:
            column = identifier(name)
            if name == sid:
                continue
            if name == label and self.label != "none":
                how = {
                    "max": f"max({column}) OVER (each)",
                    "last": f"arg_max({column}, n) OVER (each)",
                    "majority": f"mode({column}) OVER (each)",
                }[self.label]
                column = f"{how} AS {column}"
            kept.append(column)
        sql = (
            f"WITH rows AS ({rows}) SELECT {source}::VARCHAR || '#' || format('{{:06d}}', w) AS window, "
            f"{source} AS source, "
            f"{', '.join(kept)} FROM ({cut}) WHERE {whole} WINDOW each AS ({each}){qualify}"
        )
        roles = {role: list(names) for role, names in table.roles.items()}
        roles["series_id"] = ["window"]
        if self.label == "none":
            roles.pop("label", None)
        return sql, roles
