"""What a data set is like in time, and the steps that would commonly be taken with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.datasets.names import identifier
from workbench.datasets.prepare.logs import LabelWindow, NegativeSampling, Sessions
from workbench.datasets.prepare.recordings import AggregateDuplicates, FillGaps, Resample, Windows
from workbench.datasets.prepare.splitting import SplitRows
from workbench.datasets.prepare.step import Step, Table, number
from workbench.datasets.prepare.text import Unpack, Vectorise
from workbench.datasets.reading import TABLE
from workbench.datasets.roles import is_number, is_time

if TYPE_CHECKING:
    from workbench.datasets.dataset import Dataset

__all__ = ["Rhythm", "applicable", "in_words", "rhythm", "suggest"]

_ROWS = 1_000_000  # looked at
_UNITS = (("day", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000))


@dataclass(frozen=True)
class Rhythm:
    """How the time stamps of a table follow each other, judged by its first rows.

    Attributes
    ----------
    n_series : int
        Series, users, or 1.
    step : str, number or None
        The commonest step: ``"5 min"``, or a number where the time is a number.
    duplicates, gaps, uneven : int
        Rows at the time of the row before; steps of more than one and a half times the commonest; steps that
        are no multiple of it.
    missing : float
        Share of missing readings in the channels.
    """

    n_series: int
    step: str | float | None
    duplicates: int
    gaps: int
    uneven: int
    missing: float


def rhythm(dataset: Dataset) -> Rhythm | None:
    """Look at the time stamps; None where the table has no time that counts."""
    table = Table(TABLE, dataset.columns, dataset.roles)
    time = table.optional("time")
    if time is None or table.type_of(time) == "TIME":
        return None
    asking = Resample()
    keys = [name for role in ("series_id", "user", "channel") for name in table.roles.get(role, [])]
    over = f"PARTITION BY {', '.join(map(identifier, keys))} " if keys else ""
    owner = next((table.roles[role][0] for role in ("series_id", "user") if role in table.roles), None)
    values = [identifier(name) for name in table.roles.get("value", [])[:50]]
    gone = [f"avg(({name} IS NULL OR isnan({name}::DOUBLE))::INT)" for name in values]
    steps = (
        f"SELECT {table.tick(asking)} - lag({table.tick(asking)}) OVER ({over}ORDER BY {table.tick(asking)}) "
        f"AS step FROM (SELECT * FROM {TABLE} LIMIT {_ROWS})"
    )
    rows = dataset._reader.rows
    found = rows(f"SELECT step, count(*) FROM ({steps}) WHERE step > 0 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1")
    common = found[0][0] if found else None
    duplicates, gaps, uneven = 0, 0, 0
    if common is not None:
        size = number(common)
        duplicates, gaps, uneven = rows(
            f"SELECT count(*) FILTER (step = 0), count(*) FILTER (step > 1.5 * {size}), "
            f"count(*) FILTER (step > 0 AND abs(step / {size} - round(step / {size})) > 1e-6) FROM ({steps})"
        )[0]
    n_series = rows(f"SELECT count(DISTINCT {identifier(owner)}) FROM {TABLE}")[0][0] if owner else 1
    missing = rows(f"SELECT {', '.join(gone)} FROM (SELECT * FROM {TABLE} LIMIT {_ROWS})")[0] if gone else ()
    shares = [share for share in missing if share is not None]
    return Rhythm(
        n_series=int(n_series),
        step=None if common is None else in_words(common) if is_time(table.type_of(time)) else common,
        duplicates=int(duplicates),
        gaps=int(gaps),
        uneven=int(uneven),
        missing=sum(shares) / len(shares) if shares else 0.0,
    )


def in_words(microseconds: float) -> str:
    """A duration with its unit, as steps take it: ``"90 min"``."""
    for unit, size in _UNITS:
        if microseconds >= size and microseconds % size == 0:
            n = int(microseconds // size)
            return f"{n} {unit}{'s' * (unit == 'day' and n > 1)}"
    return f"{int(microseconds)} us"


def applicable(dataset: Dataset) -> list[type[Step]]:
    """The steps that the data set's roles and types allow, the likeliest first; all others are left out."""
    roles, types = dataset.roles, {column.name: column.type for column in dataset.columns}
    recording = bool(roles.get("time") and roles.get("value"))
    log = bool(roles.get("time") and roles.get("user"))
    found: list[type[Step]] = []
    if recording:
        found += [AggregateDuplicates, Resample, FillGaps, Windows]
    if log:
        found += [Sessions, LabelWindow]
    if roles.get("user") and roles.get("item"):
        found.append(NegativeSampling)
    found.append(SplitRows)
    if "VARCHAR" in types.values():
        found.append(Vectorise)
    if any("[" in type_ for type_ in types.values()):
        found.append(Unpack)
    return found


def suggest(dataset: Dataset, found: Rhythm | None) -> dict[str, tuple[Step, ...]]:
    """Common preparations of such a data set, by what they are for; to be edited before they are used."""
    roles, recipes = dataset.roles, dict[str, tuple[Step, ...]]()
    if roles.get("time") and roles.get("value") and found is not None and found.step is not None:
        regular: list[Step] = []
        if found.duplicates:
            regular.append(AggregateDuplicates())
        if found.uneven:
            regular.append(Resample(every=found.step))
        if found.gaps or found.uneven or found.missing:
            regular.append(FillGaps(every=found.step))
        if regular:
            recipes["Make it regular"] = tuple(regular)
        length = max(2, min(100, dataset.n_rows // max(found.n_series, 1) // 10))
        split = () if "split" in roles else (SplitRows(by="time", unit="row"),)
        recipes["Regular windows, split by time" if regular else "Windows, split by time"] = (
            *regular,
            *split,
            Windows(length=length),
        )
    if roles.get("time") and roles.get("user"):
        log: list[Step] = [Sessions()]
        if roles.get("item") and "label" not in roles:
            log.append(NegativeSampling())
        if "split" not in roles:
            log.append(SplitRows(by="time", unit="row"))
        recipes["Sessions, split by time"] = tuple(log)
    for name in _texts(dataset)[:2]:
        recipes[f"Words of {name} as numbers"] = (Vectorise(column=name),)
    for column in dataset.columns:
        base, bracket, rest = column.type.partition("[")
        if bracket and is_number(base) and rest[:-1].isdigit():
            recipes[f"{column.name} as a modality"] = (Unpack(column=column.name),)
    return recipes


def _texts(dataset: Dataset) -> list[str]:
    """Columns whose values are sentences rather than names of things."""
    found = []
    for column in dataset.profile.get("columns", []):
        words = [str(value).count(" ") for value, _ in column.get("top", []) if column["kind"] == "text"]
        if words and sum(words) / len(words) >= 2 and (column.get("distinct") or 0) > 10:
            found.append(column["name"])
    return found
