"""The worker's clerk: starts what schedules want and has notices sent; any number may be at it."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from typing import TYPE_CHECKING

from workbench.errors import StoreError, WorkbenchError
from workbench.runs import notices
from workbench.runs.schedules import GRACE, Schedule, Schedules, choose, due_times, events, utc
from workbench.store import StoreDir

if TYPE_CHECKING:
    from workbench.pipelines.library import Draft

__all__ = ["Clerk"]

logger = logging.getLogger(__name__)

EVERY = 1.0  # seconds between two looks
LISTED = 100  # missed times that are listed one by one


class Clerk:
    """Keeps the schedules of a store.

    Parameters
    ----------
    dir : StoreDir
    clock : callable
        Unix seconds; another one for tests.
    """

    def __init__(self, dir: StoreDir, clock: Callable[[], float] = time.time) -> None:
        self._dir, self._clock = dir, clock
        self._next, self._latest = 0.0, math.inf
        self._sender: threading.Thread | None = None
        self._ways = notices.channels()
        self._told: set[str] = set()  # schedules whose trouble has been logged

    def tick(self) -> None:
        """Look whether anything is due, at most once a second."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self.work()

    def work(self) -> None:
        """Decide everything that is due."""
        now = self._clock()
        if now < self._latest:  # also when it starts: the clock may have been set meanwhile
            self._take_back(now)
        self._latest = now
        rows = self._dir.connection.execute(
            "SELECT name FROM schedules WHERE paused = 0 AND (next_due IS NULL OR next_due <= ?)", (now,)
        ).fetchall()
        for (name,) in rows:
            try:
                self._keep(Schedules(self._dir).get(name), now)
                self._told.discard(name)
            except (StoreError, sqlite3.OperationalError):
                raise  # the worker waits and looks again
            except WorkbenchError as error:
                if name not in self._told:
                    logger.warning("schedule %s: %s", name, error)
                    self._told.add(name)
        self._send()

    # -- what is due --------------------------------------------------------------------------------

    def _take_back(self, now: float) -> None:
        """Let come again what a clock that ran ahead has decided.

        Its schedules stand at times far ahead and would start nothing until then. What was started stays as
        it is, so that no time starts a run twice.
        """
        rows = self._dir.connection.execute(
            "SELECT name FROM schedules AS s WHERE trigger = 'cron' AND paused = 0 AND (created > :now OR"
            " EXISTS (SELECT 1 FROM ticks WHERE schedule = s.name AND decided > :now))",
            {"now": now},
        ).fetchall()
        for (name,) in rows:
            schedule = Schedules(self._dir).get(name)
            begin = schedule.created if schedule.created <= now else 0.0
            first = next(schedule.cron.after(max(begin, now - GRACE)))
            if schedule.next_due is not None and schedule.next_due > first:
                logger.warning("schedule %s: the clock was set back, its next time is %s", name, utc(first))
                with self._dir.write() as db:
                    if _move(db, name, schedule.next_due, first):
                        db.execute(
                            "DELETE FROM ticks WHERE schedule = ? AND due >= ? AND run IS NULL",
                            (name, utc(first)),
                        )

    def _keep(self, schedule: Schedule, now: float) -> None:
        if schedule.trigger == "cron":
            self._keep_times(schedule, now)
            return
        seen = {
            row[0]
            for row in self._dir.connection.execute(
                "SELECT due FROM ticks WHERE schedule = ?", (schedule.name,)
            )
        }
        new = [event for event in events(self._dir, schedule.trigger, schedule.what) if event[0] not in seen]
        starts = choose([since for _, _, since in new], now, schedule.catch_up)
        for (key, given, since), start in zip(new, starts, strict=True):
            if start:
                self._start(schedule, key, since, now, [], fill=given)
            else:
                with self._dir.write() as db:
                    if _enter(db, schedule.name, key, now, "missed", "No worker was there."):
                        _tell_missed(db, schedule, key, 1)

    def _keep_times(self, schedule: Schedule, now: float) -> None:
        if schedule.next_due is None or schedule.next_due > now:
            return
        dues, following, left_out = due_times(schedule, now)
        missed: list[float] = []
        pairs = list(zip(dues, choose(dues, now, schedule.catch_up), strict=True))
        expected = schedule.next_due
        for i, (due, start) in enumerate(pairs):
            if not start:
                missed.append(due)
                continue
            after = pairs[i + 1][0] if i + 1 < len(pairs) else following
            move = (expected, after)
            if not self._start(schedule, utc(due), due, now, missed, move=move, left_out=left_out):
                return  # another worker was faster: what is left is its business
            expected, missed, left_out = after, [], 0
        if missed:
            with self._dir.write() as db:
                if _move(db, schedule.name, expected, following):
                    _enter_missed(db, schedule, missed, now, left_out)

    def _start(
        self,
        schedule: Schedule,
        key: str,
        due: float,
        now: float,
        missed: Sequence[float],
        *,
        move: tuple[float, float] | None = None,
        fill: str = "",
        left_out: int = 0,
    ) -> bool:
        """Decide one due time or event; False if somebody else did."""
        local = schedule.cron.local(due) if schedule.trigger == "cron" else _zoned(schedule, due)
        draft, problem = None, ""
        late = due < now - GRACE
        with ExitStack() as stack:
            try:
                draft = stack.enter_context(self._draft(schedule, local, fill, late))
            except WorkbenchError as error:
                problem = str(error)
            with self._dir.write() as db:
                if move is not None and not _move(db, schedule.name, *move):
                    return False
                _enter_missed(db, schedule, missed, now, left_out)
                outcome, note, run = "started", "Made up for." if late else "", None
                busy = None if late and schedule.catch_up == "all" else _unfinished(db, schedule)
                if problem or draft is None:
                    outcome, note = "failed", problem
                elif busy is not None and schedule.overlap == "skip":
                    outcome, note = "skipped", f"Run {busy} of it had not ended."
                else:
                    run = draft.spec["id"]
                if not _enter(db, schedule.name, key, now, outcome, note, run):
                    return False
                if run is not None and draft is not None:
                    draft.enter(db, self._dir, schedule=schedule.name)
                if outcome == "failed":
                    title = f"The schedule {schedule.name} could not start {schedule.pipeline}"
                    notices.give(
                        db,
                        f"failure:{schedule.name}:{key}",
                        "failure",
                        title,
                        problem,
                        schedule=schedule.name,
                    )
        return True

    def _draft(
        self, schedule: Schedule, local: datetime, fill: str, late: bool
    ) -> AbstractContextManager[Draft]:
        from workbench.pipelines import Pipelines

        params = schedule.params | ({schedule.fills: fill} if schedule.fills and fill else {})
        # What is made up all at once would else leave itself out, or run side by side.
        waits = schedule.overlap == "queue" or (
            late and schedule.catch_up == "all" and schedule.overlap == "skip"
        )
        return Pipelines(self._dir).draft(
            schedule.pipeline, params, date=local.date(), due=local, owner=schedule.owner,
            lane=f"schedule:{schedule.name}" if waits else None,
        )  # fmt: skip

    # -- notices ------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send from a thread of its own: a slow mail server must not cost the worker its leases."""
        if not self._ways or (self._sender is not None and self._sender.is_alive()):
            return
        if notices.waiting(self._dir):
            self._sender = threading.Thread(target=self._deliver, daemon=True)
            self._sender.start()

    def _deliver(self) -> None:
        try:
            notices.deliver(self._dir, self._ways)
        except (StoreError, sqlite3.Error) as error:
            logger.warning("notices: %s", error)
        finally:
            self._dir.close()  # this thread's connection


def _zoned(schedule: Schedule, moment: float) -> datetime:
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(moment, ZoneInfo(schedule.zone))


def _move(db: sqlite3.Connection, name: str, before: float, after: float) -> bool:
    """Move a schedule on, if it still stands where we saw it."""
    return bool(
        db.execute(
            "UPDATE schedules SET next_due = ? WHERE name = ? AND next_due = ? AND paused = 0",
            (after, name, before),
        ).rowcount
    )


def _enter(
    db: sqlite3.Connection,
    name: str,
    key: str,
    now: float,
    outcome: str,
    note: str = "",
    run: str | None = None,
) -> bool:
    """Write a tick down; False if it has been decided already, or the schedule is gone or paused."""
    return bool(
        db.execute(
            "INSERT OR IGNORE INTO ticks (schedule, due, decided, outcome, run, note)"
            " SELECT name, ?, ?, ?, ?, ? FROM schedules WHERE name = ? AND paused = 0",
            (key, now, outcome, run, note, name),
        ).rowcount
    )


def _enter_missed(
    db: sqlite3.Connection, schedule: Schedule, missed: Sequence[float], now: float, left_out: int
) -> None:
    if not missed:
        return
    unlisted = left_out + max(0, len(missed) - LISTED)
    for i, due in enumerate(missed[-LISTED:]):
        note = f"And {unlisted} before it." if i == 0 and unlisted else ""
        _enter(db, schedule.name, utc(due), now, "missed", note)
    _tell_missed(db, schedule, utc(missed[-1]), left_out + len(missed))


def _tell_missed(db: sqlite3.Connection, schedule: Schedule, key: str, n: int) -> None:
    times = "once" if n == 1 else f"{n} times"
    notices.give(
        db,
        f"missed:{schedule.name}:{key}",
        "missed",
        f"The schedule {schedule.name} was missed {times}",
        f"{schedule.pipeline} was not started, because no worker was running; the latest was {key}.",
        schedule=schedule.name,
    )


def _unfinished(db: sqlite3.Connection, schedule: Schedule) -> str | None:
    row = db.execute(
        "SELECT id FROM runs WHERE schedule = ? AND state IN ('queued', 'running') LIMIT 1", (schedule.name,)
    ).fetchone()
    return None if row is None else row["id"]
