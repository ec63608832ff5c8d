"""Schedules: what starts a pipeline by itself, at cron times, for new versions of a data set, or for new
files.

Each due time, version or file is decided once, in one transaction that moves the schedule on, writes down
what was decided (a *tick*), and enters the run. So it does not matter how many workers look, or when they
are killed.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench.errors import PipelineError, UsageError
from workbench.naming import check_name
from workbench.runs.cron import Cron
from workbench.store import StoreDir

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CATCH_UP", "GRACE", "OVERLAP", "Schedule", "Schedules", "choose"]

Trigger = Literal["cron", "dataset", "folder"]
OVERLAP = ("skip", "queue", "allow")
CATCH_UP = ("none", "last", "all")

#: What is looked at so many seconds after it was due has been missed: no worker was there.
GRACE = 60.0

#: Of more missed times than this the earliest are not made up.
MOST = 1000


@dataclass(frozen=True)
class Schedule:
    """What starts a pipeline by itself.

    Attributes
    ----------
    name, pipeline : str
    params : dict
    trigger : {"cron", "dataset", "folder"}
    what : str
        Cron text, a data set's name, or a folder.
    zone : str
        Time zone of the cron text, and of the logical date.
    fills : str
        The pipeline's parameter that is given the new version (``name@version``) or file; "" for none.
    overlap : {"skip", "queue", "allow"}
        Where an earlier run of it has not ended: leave this one out, let it wait, or run both.
    catch_up : {"none", "last", "all"}
        What of the missed is made up when a worker is there again.
    paused : bool
    owner : str
    created : float
        Unix seconds.
    next_due : float or None
        Unix seconds; of cron only.
    """

    name: str
    pipeline: str
    params: dict[str, Any]
    trigger: Trigger
    what: str
    zone: str
    fills: str
    overlap: str
    catch_up: str
    paused: bool
    owner: str
    created: float
    next_due: float | None

    @property
    def cron(self) -> Cron:
        """When it is due."""
        return Cron(self.what, self.zone)

    @property
    def words(self) -> str:
        """What starts it, in words."""
        if self.trigger == "cron":
            return self.cron.words
        return (
            f"When {self.what} has a new version"
            if self.trigger == "dataset"
            else f"When a file is put into {self.what}"
        )

    def upcoming(self, n: int = 5, now: float | None = None) -> list[datetime]:
        """The next `n` times; none where it is paused or does not go by time."""
        if self.trigger != "cron" or self.paused:
            return []
        return self.cron.upcoming(time.time() if now is None else now, n)


class Schedules:
    """The schedules of a store.

    Parameters
    ----------
    dir : StoreDir
    """

    def __init__(self, dir: StoreDir) -> None:
        self._dir = dir

    def add(
        self,
        name: str,
        pipeline: str,
        params: Mapping[str, Any] | None = None,
        *,
        cron: str | None = None,
        dataset: str | None = None,
        folder: str | None = None,
        zone: str = "UTC",
        fills: str = "",
        overlap: str = "skip",
        catch_up: str | None = None,
        owner: str = "",
        now: float | None = None,
    ) -> Schedule:
        """Start `pipeline` at times (`cron`), for new versions of a `dataset`, or for new files in a
        `folder`.

        Parameters
        ----------
        name : str
            Not yet used by another schedule.
        pipeline : str
        params : mapping, optional
            The pipeline's parameters.
        cron, dataset, folder : str, optional
            One of them.
        zone, fills, overlap, catch_up : str
            See `Schedule`; `catch_up` is ``"last"`` for cron and ``"all"`` for the others if not given.
        owner : str
            Who its runs are listed under.
        now : float, optional
            Unix seconds; what was due before is not made up for.

        Returns
        -------
        Schedule

        Raises
        ------
        PipelineError, UsageError
        """
        check_name(name)
        given = {"cron": cron, "dataset": dataset, "folder": folder}
        chosen = {trigger: what for trigger, what in given.items() if what}
        if len(chosen) != 1:
            raise UsageError("Say what starts the schedule: one of a cron time, a data set, a folder.")
        ((trigger, what),) = chosen.items()
        catch_up = catch_up or ("last" if trigger == "cron" else "all")
        for label, value, known in (("overlap", overlap, OVERLAP), ("catch-up", catch_up, CATCH_UP)):
            if value not in known:
                raise UsageError(f"The {label} rule {value!r} is not one of {', '.join(known)}.")
        moment = time.time() if now is None else now
        times = Cron(what if trigger == "cron" else "@daily", zone)
        if trigger == "dataset":
            what = self._dataset(what)
        elif trigger == "folder":
            what = _folder(what)
        row = {
            "name": name, "pipeline": pipeline,
            "params": json.dumps(self._checked(pipeline, params or {}, fills)),
            "trigger": trigger, "what": what, "zone": zone, "fills": fills, "overlap": overlap,
            "catch_up": catch_up, "owner": owner, "created": moment,
            "next_due": next(times.after(moment)) if trigger == "cron" else None,
        }  # fmt: skip
        with self._dir.write() as db:
            if db.execute("SELECT 1 FROM schedules WHERE name = ?", (name,)).fetchone():
                raise UsageError(
                    f"There is a schedule {name!r} already: delete it first, or take another name."
                )
            db.execute(
                f"INSERT INTO schedules ({', '.join(row)}) VALUES ({', '.join(f':{c}' for c in row)})",  # noqa: S608
                row,
            )
            self._know(db, name, trigger, what, moment)
        return self.get(name)

    def list(self) -> Sequence[Schedule]:
        """All schedules, by name."""
        return [_schedule(r) for r in self._dir.connection.execute("SELECT * FROM schedules ORDER BY name")]

    def get(self, name: str) -> Schedule:
        """The schedule called `name`.

        Raises
        ------
        PipelineError
        """
        row = self._dir.connection.execute("SELECT * FROM schedules WHERE name = ?", (name,)).fetchone()
        if row is None:
            known = ", ".join(each.name for each in self.list()) or "none yet"
            raise PipelineError(f"There is no schedule {name!r}. There are: {known}.")
        return _schedule(row)

    def pause(self, name: str) -> None:
        """Start nothing more until it is resumed."""
        self.get(name)
        with self._dir.write() as db:
            db.execute("UPDATE schedules SET paused = 1 WHERE name = ?", (name,))

    def resume(self, name: str, now: float | None = None) -> None:
        """Go on from now; what came during the pause is not made up."""
        schedule, moment = self.get(name), time.time() if now is None else now
        if not schedule.paused:
            return
        due = next(schedule.cron.after(moment)) if schedule.trigger == "cron" else None
        with self._dir.write() as db:
            db.execute("UPDATE schedules SET paused = 0, next_due = ? WHERE name = ?", (due, name))
            self._know(db, name, schedule.trigger, schedule.what, moment)

    def delete(self, name: str) -> None:
        """Forget a schedule and its ticks; its runs stay."""
        self.get(name)
        with self._dir.write() as db:
            db.execute("DELETE FROM schedules WHERE name = ?", (name,))

    def ticks(self, name: str | None = None, limit: int = 100) -> pd.DataFrame:
        """What was decided, the newest first: ``schedule, due, decided, outcome, run, note``."""
        import pandas as pd

        rows = self._dir.connection.execute(
            "SELECT schedule, due, decided, outcome, run, note FROM ticks WHERE (?1 IS NULL OR schedule = ?1)"
            " AND outcome <> 'known' ORDER BY decided DESC, due DESC LIMIT ?2",
            (name, limit),
        ).fetchall()
        columns = ["schedule", "due", "decided", "outcome", "run", "note"]
        return pd.DataFrame([tuple(row) for row in rows], columns=columns)

    # -- checking -----------------------------------------------------------------------------------

    def _checked(self, pipeline: str, params: Mapping[str, Any], fills: str) -> dict[str, Any]:
        from workbench.pipelines.declare import find

        declared = find(pipeline)
        if fills:
            known = {parameter.name: parameter for parameter in declared.parameters}
            if fills not in known:
                raise UsageError(f"The pipeline {pipeline} has no parameter {fills!r} to be filled.")
            params = {**params, fills: params.get(fills, "filled when it starts")}
        checked = declared.check(params)
        checked.pop(fills, None)
        return checked

    def _dataset(self, what: str) -> str:
        from workbench.datasets import Datasets

        return Datasets(self._dir).get(what).name

    def _know(self, db: sqlite3.Connection, name: str, trigger: str, what: str, now: float) -> None:
        """What is there already starts nothing."""
        db.executemany(
            "INSERT OR IGNORE INTO ticks (schedule, due, decided, outcome) VALUES (?, ?, ?, 'known')",
            [(name, key, now) for key, *_ in events(self._dir, trigger, what)],
        )


def choose(dues: Sequence[float], now: float, rule: str) -> list[bool]:
    """Which of the times `dues`, all past and in order, are to be started.

    What is due for no longer than :data:`GRACE` is in time and always started. Of what is later, and so was
    missed, ``"none"`` starts none, ``"last"`` the latest if nothing is in time, and ``"all"`` all of the
    latest :data:`MOST`.
    """
    in_time = [due >= now - GRACE for due in dues]
    if rule == "all":
        return [late or i >= len(dues) - MOST for i, late in enumerate(in_time)]
    if rule == "last" and not any(in_time):
        return [i == len(dues) - 1 for i in range(len(dues))]
    return in_time


def due_times(schedule: Schedule, now: float) -> tuple[list[float], float, int]:
    """The due times up to `now`, at most the latest thousands; the one after; how many were left out."""
    times = schedule.cron.after((schedule.next_due or now) - 1)
    kept: deque[float] = deque(maxlen=3 * MOST)
    n = 0
    for due in takewhile(lambda due: due <= now, times):
        kept.append(due)
        n += 1
    return list(kept), next(schedule.cron.after(now)), n - len(kept)


def events(dir: StoreDir, trigger: str, what: str) -> list[tuple[str, str, float]]:
    """The versions or files there are: what names each for good, what a pipeline is given, since when."""
    if trigger == "dataset":
        rows = dir.connection.execute(
            "SELECT version, created FROM dataset_versions WHERE name = ? ORDER BY version", (what,)
        )
        return [(f"{what}@{row['version']}", f"{what}@{row['version']}", row["created"]) for row in rows]
    if trigger == "folder":
        return _files(Path(what))
    return []


_UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart", "~")
SETTLED = 2.0  # seconds that a file must not have changed for


def _files(folder: Path) -> list[tuple[str, str, float]]:
    found = []
    try:
        for path in folder.iterdir():
            if path.name.startswith(".") or path.name.endswith(_UNFINISHED) or not path.is_file():
                continue
            stat = path.stat()
            since = max(stat.st_ctime, stat.st_mtime)
            # A time ahead is one of a clock that has been set back since; nobody writes in the future.
            if abs(time.time() - since) >= SETTLED:
                found.append((f"{path.name}|{stat.st_size}|{stat.st_mtime_ns}", str(path), since))
    except OSError:  # not mounted just now, or a file that went away: it is looked at again
        return []
    return sorted(found, key=lambda file: (file[2], file[0]))


def utc(moment: float) -> str:
    """Unix seconds as text that sorts by time: what names a due time for good."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _folder(text: str) -> str:
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise UsageError(f"There is no folder {path}.")
    return str(path)


def _schedule(row: sqlite3.Row) -> Schedule:
    return Schedule(**{**dict(row), "params": json.loads(row["params"]), "paused": bool(row["paused"])})
