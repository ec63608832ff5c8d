"""Steps for logs of users' events: sessions, negatives, and labels from what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from workbench.datasets.names import identifier
from workbench.datasets.prepare.splitting import share
from workbench.datasets.prepare.step import SQLStep, Step, Table, constant, duration, number, whole
from workbench.datasets.roles import Roles
from workbench.errors import DatasetError

__all__ = ["LabelWindow", "NegativeSampling", "Sessions"]


def _copy(roles: Roles) -> Roles:
    return {role: list(names) for role, names in roles.items()}


def _new(step: Step, table: Table, name: str) -> None:
    if name in table.names:
        raise DatasetError(f"{step.kind}: there is a column {name!r} already; rename it first.")


@dataclass(frozen=True)
class Sessions(SQLStep):
    """Number each user's sessions: a new one begins after a pause longer than `gap`.

    The column ``session`` is ``user#number``.

    Parameters
    ----------
    gap : str or number
    """

    kind: ClassVar[str] = "sessions"
    gap: str | float = "30 min"

    def check(self, before: Sequence[Step]) -> None:
        duration(self, "gap")

    def sql(self, table: Table) -> tuple[str, Roles]:
        _new(self, table, "session")
        user, gap = identifier(table.role("user", self)), number(table.span(self.gap, self))
        starts = (
            f"SELECT *, coalesce(tick - lag(tick) OVER (PARTITION BY {user} ORDER BY tick) > {gap}, true) "
            f"AS starts FROM (SELECT *, {table.tick(self)} AS tick FROM {table.name})"
        )
        number_ = (
            f"count(*) FILTER (starts) OVER (PARTITION BY {user} ORDER BY tick ROWS UNBOUNDED PRECEDING)"
        )
        keep = ", ".join(map(identifier, table.names))
        return f"SELECT {keep}, {user}::VARCHAR || '#' || {number_} AS session FROM ({starts})", table.roles


@dataclass(frozen=True)
class NegativeSampling(SQLStep):
    """Add items that a user had nothing to do with, as negatives, beside every positive event.

    A positive is a row whose label is 1, or every row where there is no label. Negatives copy the event
    with another item, drawn evenly from all items of the table that the user never had; where nearly all
    items were had, there are fewer.

    Parameters
    ----------
    ratio : int
        Negatives a positive.
    seed : int
    """

    kind: ClassVar[str] = "negative_sampling"
    ratio: int = 1
    seed: int = 0

    def check(self, before: Sequence[Step]) -> None:
        whole(self, "ratio", 1, 1000)
        whole(self, "seed", 0)

    def sql(self, table: Table) -> tuple[str, Roles]:
        user, item = (identifier(table.role(role, self)) for role in ("user", "item"))
        label = table.optional("label")
        if label is None:
            _new(self, table, "label")
        roles = _copy(table.roles) | {"label": [label or "label"]}
        target = identifier(label or "label")
        order = ", ".join(map(identifier, table.names))
        keep = ", ".join(identifier(name) for name in table.names if name not in (label, roles["item"][0]))
        positive = f"{target} = 1" if label else "true"
        rows = f"SELECT *, row_number() OVER (ORDER BY {order}) AS n FROM {table.name}"
        place = f"row_number() OVER (ORDER BY {item}) - 1"
        items = f"SELECT {item} AS other, {place} AS place FROM rows GROUP BY {item}"
        tries = 4 * self.ratio + 8
        drawn = (
            f"SELECT n, try, ({share(self.seed, 'n', 'try')} % (SELECT count(*) FROM items))::BIGINT "
            "AS place "
            f"FROM (SELECT n, unnest(range({tries})) AS try FROM rows WHERE {positive})"
        )
        fresh = (
            "SELECT d.n, i.other, min(d.try) AS try FROM drawn d JOIN items i USING (place) "
            "JOIN rows r USING (n) "
            f"WHERE NOT EXISTS (SELECT 1 FROM had h WHERE h.{user} = r.{user} AND h.{item} = i.other) "
            "GROUP BY d.n, i.other "
            f"QUALIFY row_number() OVER (PARTITION BY d.n ORDER BY min(d.try)) <= {self.ratio}"
        )
        same = f"{target}" if label else f"1 AS {target}"
        type_ = f"::{table.type_of(label)}" if label else ""
        return (
            f"WITH rows AS MATERIALIZED ({rows}), items AS MATERIALIZED ({items}), "
            f"had AS (SELECT DISTINCT {user}, {item} FROM rows), drawn AS ({drawn}), fresh AS ({fresh}) "
            f"SELECT {keep}, {item}, {same} FROM rows UNION ALL BY NAME "
            f"SELECT {keep}, f.other AS {item}, 0{type_} AS {target} FROM rows JOIN fresh f USING (n)"
        ), roles


@dataclass(frozen=True)
class LabelWindow(SQLStep):
    """Label each event by what its user does next: 1 if `event` equals `value` within `horizon`, else 0.

    Events whose horizon reaches beyond the end of the log have no label (nobody knows), unless the event has
    been seen already.

    Parameters
    ----------
    event : str
        A column, e.g. ``"action"``.
    value : str, number or bool
        E.g. ``"buy"``.
    horizon : str or number
        ``"7 days"``, or a number where the time is a number; the event itself does not count.
    name : str
        Of the new column, which gets the role ``label``.
    """

    kind: ClassVar[str] = "label_window"
    event: str = "action"
    value: str | float | bool = 1
    horizon: str | float = "1 day"
    name: str = "label"

    def check(self, before: Sequence[Step]) -> None:
        duration(self, "horizon")
        constant(self.value)

    def sql(self, table: Table) -> tuple[str, Roles]:
        _new(self, table, self.name)
        user = identifier(table.role("user", self))
        happens = f"{identifier(table.column(self.event, self))} = {constant(self.value)}"
        horizon = number(table.span(self.horizon, self))
        keep = ", ".join(map(identifier, table.names))
        # "Later" is a later time: what carries the same time stamp is not known to follow.
        by_user = f"PARTITION BY {user} ORDER BY tick RANGE BETWEEN CURRENT ROW"
        follows = (
            f"count(*) FILTER ({happens}) OVER ({by_user} AND {horizon} FOLLOWING) "
            f"- count(*) FILTER ({happens}) OVER ({by_user} AND CURRENT ROW)"
        )
        ticks = f"SELECT *, {table.tick(self)} AS tick FROM {table.name}"
        seen = f"SELECT *, {follows} AS follows, max(tick) OVER () AS last FROM ({ticks})"
        return (
            f"SELECT {keep}, CASE WHEN follows > 0 THEN 1 WHEN tick + {horizon} <= last THEN 0 END AS "
            f"{identifier(self.name)} FROM ({seen})"
        ), _copy(table.roles) | {"label": [self.name]}
