"""Train and test: by time, by group or at random, and never one thing on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from workbench.datasets.names import identifier, literal
from workbench.datasets.prepare.recordings import Windows
from workbench.datasets.prepare.step import SQLStep, Step, Table, duration, number, one_of, whole
from workbench.datasets.roles import Roles
from workbench.errors import DatasetError, UsageError

__all__ = ["SplitRows", "share"]


def share(seed: int, *columns: str) -> str:
    """SQL for a number drawn once for each value of `columns`, the same in every version of DuckDB."""
    parts = ", ".join([literal(str(seed)), *(f"{column}::VARCHAR" for column in columns)])
    return f"md5_number_lower(concat_ws(':', {parts}))"


@dataclass(frozen=True)
class SplitRows(SQLStep):
    """Give every series (or row, where there are none) the side ``train`` or ``test``.

    Parameters
    ----------
    by : {"time", "group", "random"}
        ``"time"``: the last ones are the test part, and series that lie on both sides of the cut are dropped.
        ``"group"``: all of one value of `group` are on one side. ``"random"``: series, or rows, are drawn;
        refused after overlapping windows, of which both sides would share rows.
    test_size : float
        Share of the test part: of the time stamps, groups, or series (rows).
    group : str, optional
        A column; ``source``, the recording a window was cut from, if not given.
    unit : {"series", "row"}
        What is on one side as a whole; ``"row"`` to cut one long recording by time before it is windowed.
    gap : str or number
        With ``by="time"``: how long before the cut nothing is trained on (``"1 h"``, or a number).
    seed : int
    """

    kind: ClassVar[str] = "split"
    by: Literal["time", "group", "random"] = "time"
    test_size: float = 0.3
    group: str | None = None
    unit: Literal["series", "row"] = "series"
    gap: str | float | None = None
    seed: int = 0

    def check(self, before: Sequence[Step]) -> None:
        one_of(self, "by", self.by, ["time", "group", "random"])
        one_of(self, "unit", self.unit, ["series", "row"])
        whole(self, "seed", 0)
        if self.gap is not None:
            duration(self, "gap")
        if not isinstance(self.test_size, float) or not 0 < self.test_size < 1:
            raise UsageError(f"{self.kind}: test_size must lie between 0 and 1, not {self.test_size!r}.")
        if self.gap is not None and self.by != "time":
            raise UsageError(f"{self.kind}: a gap belongs to a split by time.")
        cut = [step for step in before if isinstance(step, Windows)]
        if self.by == "random" and any(step.overlaps for step in cut):
            raise DatasetError(
                "The windows overlap, so a random split would put the same rows into train and test: split "
                "by time, or by the group 'source'."
            )
        if self.by == "random" and cut and self.unit == "row":
            raise DatasetError(
                "A random split of rows would put parts of one window into train and test: split by series."
            )

    def sql(self, table: Table) -> tuple[str, Roles]:
        roles = {role: list(names) for role, names in table.roles.items()} | {"split": ["split"]}
        old = table.optional("split")
        if old is None and "split" in table.names:
            raise DatasetError(
                f"{self.kind}: there is a column 'split' already: give it that role, or rename it."
            )
        keep = ", ".join(identifier(name) for name in table.names if name != old)
        series = table.optional("series_id") if self.unit == "series" else None
        if self.by == "time":
            return self._by_time(table, series, keep), roles
        if self.by == "group":
            name = self.group or ("source" if "source" in table.names else None)
            if name is None:
                raise DatasetError(f"{self.kind}: name the column whose groups stay together.")
            unit = identifier(table.column(name, self))
        else:
            unit = identifier(series) if series else "n"
        drawn = share(self.seed, unit)
        # Whole units in the order of their draw: the share is exact, and small sets have both sides.
        ranked = (
            f"SELECT unit, row_number() OVER (ORDER BY drawn, unit) <= greatest(1, least("
            f"count(*) OVER () - 1, round(count(*) OVER () * {number(self.test_size)}))) AS test FROM "
            f"(SELECT DISTINCT {unit} AS unit, {drawn} AS drawn FROM rows)"
        )
        return (
            f"WITH rows AS MATERIALIZED (SELECT *, row_number() OVER () AS n FROM {table.name}) "
            f"SELECT {keep}, CASE WHEN test THEN 'test' ELSE 'train' END AS split FROM rows "
            f"JOIN ({ranked}) ON unit IS NOT DISTINCT FROM {unit}"
        ), roles

    def _by_time(self, table: Table, series: str | None, keep: str) -> str:
        tick = table.tick(self)
        gap = number(0 if self.gap is None else table.span(self.gap, self))
        over = f"OVER (PARTITION BY {identifier(series)})" if series else ""
        first, last = (f"min(tick) {over}", f"max(tick) {over}") if series else ("tick", "tick")
        # The cut is a time of the data: the first one of the test part.
        share = number(1 - self.test_size)
        cut = f"SELECT quantile_disc(tick, {share}) AS cut FROM (SELECT DISTINCT tick FROM rows)"
        return (
            f"WITH rows AS MATERIALIZED (SELECT *, {tick} AS tick FROM {table.name}) SELECT {keep}, "
            f"CASE WHEN first >= cut THEN 'test' ELSE 'train' END AS split FROM "
            f"(SELECT *, {first} AS first, {last} AS last FROM rows), ({cut}) "
            f"WHERE first >= cut OR last < cut - {gap}"
        )
