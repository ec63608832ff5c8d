"""The run table as a queue: each change of a run's state is one function here, and one transaction.

::

    submit ──> queued ──claim──> running ──finish──> done | failed | cancelled
                 ^                  │                        │
                 └──────release─────┘<────────retry──────────┘

A running run belongs to the worker that holds its lease. Leases count seconds of the host's boot
clock under the boot's id, so that neither a jump of the wall clock nor a reboot can prolong one. What
people do to runs (cancel, retry, delete) is in :mod:`workbench.runs.orders`.
"""

from __future__ import annotations

import getpass
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.runs import notices, requests
from workbench.runs.requests import Request
from workbench.store import StoreDir

__all__ = [
    "FINISHED",
    "MAX_DEATHS",
    "boot_clock",
    "boot_id",
    "cancel_one",
    "claim",
    "claim_expired",
    "enter",
    "finish",
    "held",
    "ingest",
    "record",
    "release",
    "renew",
    "retake",
    "set_job",
    "submit",
]

FINISHED = ("done", "failed", "cancelled")

#: A run that dies so many times in a row without a newer checkpoint is given up.
MAX_DEATHS = 3


def boot_clock() -> float:
    """Seconds since the host started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def user() -> str:
    """Who owns a run for which nobody is named: the user of this process; "" where that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number alone, as in containers
        return ""


@cache
def boot_id() -> str:
    """The kernel's random name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def submit(
    dir: StoreDir, spec: dict[str, Any], draft: Path, *, request: Request | None = None, **columns: Any
) -> str:
    """Enter a run and move its finished folder `draft` into place, both or neither; returns its id.

    Where `request` has been carried out before, nothing is entered, and the id is the earlier run's.
    """
    with dir.write() as db:
        if request is not None and not requests.enter(db, request, spec["id"]):
            return str(requests.find(dir, request))
        enter(db, dir, spec, draft, **columns)
    return str(spec["id"])


def enter(db: sqlite3.Connection, dir: StoreDir, spec: dict[str, Any], draft: Path, **columns: Any) -> None:
    """The same within a transaction that does more."""
    row = {
        "lane": None,
        "id": spec["id"],
        "name": spec["name"],
        "state": "queued",
        "estimator": spec["estimator"],
        "recipe": spec["recipe"],
        "dataset": spec["dataset"]["ref"],
        "spec": json.dumps(spec),
        "created": spec["created"],
        **columns,
    }
    row["owner"] = row["owner"] or user()
    if row["parent"] is not None:
        parent = db.execute("SELECT state, cancel FROM runs WHERE id = ?", (row["parent"],)).fetchone()
        if parent is None or parent["state"] in FINISHED or parent["cancel"]:
            raise RunError(f"Run {row['parent']} has ended, so that no run is started for it.")
    db.execute(
        "INSERT INTO runs (id, name, state, estimator, recipe, dataset, spec, created, priority, device,"
        " launcher, parent, schedule, owner, lane) VALUES (:id, :name, :state, :estimator, :recipe, :dataset,"
        " :spec, :created, :priority, :device, :launcher, :parent, :schedule, :owner, :lane)",
        row,
    )
    dir.place(draft, dir.runs / spec["id"])


def record(
    dir: StoreDir, spec: dict[str, Any], draft: Path, holder: str, *, lease: float, owner: str = ""
) -> None:
    """Enter a run that is running already, held by whoever does it, and move its folder into place."""
    row = {
        "id": spec["id"],
        "name": spec["name"],
        "recipe": spec["recipe"],
        "dataset": spec["dataset"]["ref"],
        "spec": json.dumps(spec),
        "created": spec["created"],
        "owner": owner or user(),
        "holder": holder,
        "boot": boot_id(),
        "until": boot_clock() + lease,
    }
    with dir.write() as db:
        db.execute(
            "INSERT INTO runs (id, name, state, estimator, recipe, dataset, spec, created, started, owner,"
            " attempt, worker, lease_boot, lease_until) VALUES (:id, :name, 'running', :recipe, :recipe,"
            " :dataset, :spec, :created, :created, :owner, 1, :holder, :boot, :until)",
            row,
        )
        dir.place(draft, dir.runs / spec["id"])


def retake(dir: StoreDir, run: str, holder: str) -> None:
    """Give a recorded run back to the script that does it, which was thought dead."""
    with dir.write() as db:
        db.execute(
            "UPDATE runs SET state = 'running', worker = ?, finished = NULL"
            " WHERE id = ? AND recipe = 'script'",
            (holder, run),
        )


def claim(
    dir: StoreDir,
    worker: str,
    slot: str,
    devices: Sequence[str],
    *,
    lease: float,
    launchers: Sequence[str] = ("local",),
) -> sqlite3.Row | None:
    """Take the next queued run that asks for one of `devices`: highest priority first, then oldest.

    A slot of a GPU is given to one running run only, whichever worker holds it; and of the runs in one lane
    only one runs at a time.
    """
    query = {
        "worker": worker,
        "slot": slot,
        "shared": not slot.startswith("cuda"),
        "devices": json.dumps(list(devices)),
        "launchers": json.dumps(list(launchers)),
        "boot": boot_id(),
        "until": boot_clock() + lease,
        "now": time.time(),
    }
    waiting = (
        "FROM runs WHERE state = 'queued' AND device IN (SELECT value FROM json_each(:devices))"
        " AND launcher IN (SELECT value FROM json_each(:launchers))"
        " AND (:shared OR NOT EXISTS (SELECT 1 FROM runs WHERE state = 'running' AND slot = :slot))"
        " AND (lane IS NULL OR NOT EXISTS (SELECT 1 FROM runs AS r"
        " WHERE r.state = 'running' AND r.lane = runs.lane))"
    )
    # Look before locking: an idle worker must not be a writer.
    if dir.connection.execute(f"SELECT 1 {waiting} LIMIT 1", query).fetchone() is None:
        return None
    with dir.write() as db:
        row: sqlite3.Row | None = db.execute(
            "UPDATE runs SET state = 'running', worker = :worker, slot = :slot, lease_boot = :boot,"  # noqa: S608
            " lease_until = :until, attempt = attempt + 1, started = :now, finished = NULL, job = '',"
            f" error = '' WHERE id = (SELECT id {waiting} ORDER BY priority DESC, created, rowid LIMIT 1)"
            " RETURNING *",
            query,
        ).fetchone()
    return row


def claim_expired(
    dir: StoreDir, worker: str, *, lease: float, launchers: Sequence[str] = ("local",)
) -> sqlite3.Row | None:
    """Take over one running run whose lease has run out (its old processes may still be alive)."""
    query = {
        "worker": worker,
        "boot": boot_id(),
        "now": boot_clock(),
        "until": boot_clock() + lease,
        "launchers": json.dumps(list(launchers)),
    }
    expired = (
        "FROM runs WHERE state = 'running' AND (lease_boot <> :boot OR lease_until < :now)"
        " AND launcher IN (SELECT value FROM json_each(:launchers))"
    )
    if dir.connection.execute(f"SELECT 1 {expired} LIMIT 1", query).fetchone() is None:
        return None
    with dir.write() as db:
        row: sqlite3.Row | None = db.execute(
            "UPDATE runs SET worker = :worker, lease_boot = :boot, lease_until = :until"  # noqa: S608
            f" WHERE id = (SELECT id {expired} AND worker <> :worker LIMIT 1) RETURNING *",
            query,
        ).fetchone()
    return row


def renew(dir: StoreDir, worker: str, *, lease: float) -> None:
    """Prolong every lease of `worker`, and show that it is alive."""
    with dir.write() as db:
        db.execute(
            "UPDATE runs SET lease_boot = ?, lease_until = ? WHERE worker = ? AND state = 'running'",
            (boot_id(), boot_clock() + lease, worker),
        )
        db.execute("UPDATE workers SET beat = ? WHERE id = ?", (boot_clock(), worker))


def held(dir: StoreDir, worker: str) -> dict[str, bool]:
    """The runs whose lease `worker` holds, and whether each is to be cancelled."""
    rows = dir.connection.execute(
        "SELECT id, cancel FROM runs WHERE worker = ? AND state = 'running'", (worker,)
    )
    return {row["id"]: bool(row["cancel"]) for row in rows}


def set_job(dir: StoreDir, run: str, worker: str, job: str) -> None:
    """Remember what the launcher calls the run."""
    with dir.write() as db:
        db.execute("UPDATE runs SET job = ? WHERE id = ? AND worker = ?", (job, run, worker))


def ingest(
    dir: StoreDir,
    run: str,
    worker: str,
    *,
    start: int,
    end: int,
    metrics: Iterable[tuple[str, int, float | None, float]],
    state: dict[str, Any],
) -> bool:
    """Enter what bytes `start` to `end` of the run's events say; False if the run is no longer ours.

    The offset moves in the transaction that enters the metrics, so nothing is entered twice or left out.
    """
    with dir.write() as db:
        moved = db.execute(
            "UPDATE runs SET events_offset = :end, stage = coalesce(:stage, stage),"
            " progress = coalesce(:progress, progress), remaining = :remaining"
            " WHERE id = :run AND worker = :worker AND state = 'running' AND events_offset = :start",
            {
                "run": run,
                "worker": worker,
                "start": start,
                "end": end,
                "stage": state.get("stage"),
                "progress": state.get("progress"),
                "remaining": state.get("remaining"),
            },
        ).rowcount
        if moved:
            db.executemany(
                "INSERT OR REPLACE INTO metrics (run, name, step, value, time) VALUES (?, ?, ?, ?, ?)",
                [(run, *metric) for metric in metrics],
            )
    return bool(moved)


def finish(
    dir: StoreDir,
    run: str,
    worker: str,
    state: str,
    *,
    error: str = "",
    headline: str = "",
    scores: dict[str, float | None] | None = None,
) -> bool:
    """End a run that `worker` holds; False if it no longer does."""
    with dir.write() as db:
        changed = db.execute(
            "UPDATE runs SET state = :state, error = :error, headline = :headline, scores = :scores,"
            " progress = CASE :state WHEN 'done' THEN 1 ELSE progress END, remaining = NULL, finished = :now,"
            " worker = NULL, lease_boot = NULL, lease_until = NULL, slot = NULL, job = '', cancel = 0"
            " WHERE id = :run AND worker = :worker AND state = 'running'",
            {
                "run": run,
                "worker": worker,
                "state": state,
                "error": error,
                "headline": headline,
                "scores": json.dumps(scores or {}),
                "now": time.time(),
            },
        ).rowcount
        if changed:
            _cancel_rest(db, run)
            if state == "failed":
                _give_notice(db, run)
    return bool(changed)


def _cancel_rest(db: sqlite3.Connection, parent: str) -> None:
    """Whatever a run has started, and every step that has not ended, ends with it."""
    db.execute(
        "UPDATE steps SET state = 'cancelled' WHERE run = ? AND state IN ('waiting', 'running')", (parent,)
    )
    for (child,) in db.execute(
        "SELECT id FROM runs WHERE parent = ? AND state IN ('queued', 'running')", (parent,)
    ).fetchall():
        cancel_one(db, child)


def cancel_one(db: sqlite3.Connection, run: str) -> None:
    """Cancel a run that has not ended, and whatever it has started, within the transaction `db`."""
    db.execute(
        "UPDATE runs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'",
        (time.time(), run),
    )
    db.execute("UPDATE runs SET cancel = 1 WHERE id = ? AND state = 'running'", (run,))
    for (child,) in db.execute(
        "SELECT id FROM runs WHERE parent = ? AND state IN ('queued', 'running')", (run,)
    ).fetchall():
        cancel_one(db, child)


def _give_notice(db: sqlite3.Connection, run: str) -> None:
    """Have somebody told of a pipeline that failed; other runs fail before somebody's eyes."""
    row = db.execute("SELECT * FROM runs WHERE id = ? AND recipe = 'pipeline'", (run,)).fetchone()
    if row is not None:
        notices.give(
            db,
            f"failure:{run}:{row['attempt']}",
            "failure",
            f"{row['name']} failed",
            row["error"],
            run=run,
            schedule=row["schedule"],
        )


def release(
    dir: StoreDir,
    run: str,
    worker: str,
    *,
    died: bool = False,
    checkpoint: str = "",
    max_deaths: int = MAX_DEATHS,
) -> bool:
    """Put a run back into the queue; False if it died once too often and must be finished instead.

    `checkpoint` marks the newest checkpoint: a death after a newer one than at the last death starts the
    count again, because the run does get on.
    """
    with dir.write() as db:
        row = db.execute(
            "SELECT failures, checkpoint FROM runs WHERE id = ? AND worker = ? AND state = 'running'",
            (run, worker),
        ).fetchone()
        if row is None:
            return True
        failures = row["failures"]
        if died:
            failures = 0 if checkpoint != row["checkpoint"] else failures + 1
            if failures >= max_deaths:
                return False
        db.execute(
            "UPDATE runs SET state = 'queued', failures = ?, checkpoint = ?, worker = NULL,"
            " lease_boot = NULL, lease_until = NULL, slot = NULL, job = '', remaining = NULL WHERE id = ?",
            (failures, checkpoint if died else row["checkpoint"], run),
        )
    return True
