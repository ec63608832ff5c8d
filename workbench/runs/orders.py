"""What people ask of runs that are there: cancel, retry, delete; each is one transaction."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence

from workbench.errors import RunError, RunNotFound
from workbench.runs import requests
from workbench.runs.queue import FINISHED, cancel_one
from workbench.runs.requests import Request
from workbench.store import StoreDir

__all__ = ["cancel", "delete", "drop_checkpoint", "retry"]


def cancel(dir: StoreDir, ids: Sequence[str], *, request: Request | None = None) -> None:
    """Cancel: a queued run at once, a running one by asking its worker; finished ones stay as they are.

    The runs that a pipeline has started are cancelled with it. Where `request` has been carried out before,
    nothing is done: the run may have been retried since.
    """
    with dir.write() as db:
        if request is not None and not requests.enter(db, request, ids[0]):
            return
        for row in _rows(db, ids):
            if row["state"] not in FINISHED:
                cancel_one(db, row["id"])


def retry(dir: StoreDir, ids: Sequence[str], *, fresh: bool = False) -> None:
    """Queue finished runs again: from their checkpoint, or from nothing when `fresh`."""
    with dir.write() as db:
        rows = _rows(db, ids)
        for row in rows:
            if row["recipe"] == "script":
                raise RunError(f"Run {row['id']} was recorded by a script: run the script again.")
            if row["state"] not in FINISHED:
                raise RunError(f"Run {row['id']} is {row['state']}: only a finished run can be tried again.")
            if row["state"] == "done" and not fresh:
                raise RunError(f"Run {row['id']} is done: to do it again from the start, retry it fresh.")
            if not (dir.runs / row["id"] / "spec.json").exists():
                raise RunError(f"The folder of run {row['id']} is gone: submit the run again.")
        for row in rows:
            folder = dir.runs / row["id"]
            (folder / "result.json").unlink(missing_ok=True)
            if fresh:
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)
                shutil.rmtree(folder / "artifacts", ignore_errors=True)
                (folder / "events.jsonl").unlink(missing_ok=True)
                shutil.rmtree(folder / "steps", ignore_errors=True)
                db.execute("DELETE FROM metrics WHERE run = ?", (row["id"],))
                db.execute("DELETE FROM steps WHERE run = ?", (row["id"],))
                db.execute(
                    "UPDATE runs SET events_offset = 0, progress = 0, stage = '', checkpoint = ''"
                    " WHERE id = ?",
                    (row["id"],),
                )
            db.execute(
                "UPDATE runs SET state = 'queued', failures = 0, cancel = 0, error = '', headline = '',"
                " scores = '{}', finished = NULL, remaining = NULL WHERE id = ?",
                (row["id"],),
            )


def delete(dir: StoreDir, ids: Sequence[str]) -> None:
    """Forget runs and remove their folders; none if one of them is running."""
    with dir.write() as db:
        rows = _rows(db, ids)
        for row in rows:
            if row["state"] == "running":
                raise RunError(f"Run {row['id']} is running: cancel it before deleting it.")
        for row in rows:
            db.execute("DELETE FROM runs WHERE id = ?", (row["id"],))
            dir.discard(dir.inside("runs", row["id"]))


def drop_checkpoint(dir: StoreDir, run: str) -> None:
    """Remove the checkpoint of a run that has ended."""
    with dir.write() as db:  # so that nobody queues it again meanwhile
        if _rows(db, [run])[0]["state"] in FINISHED:
            shutil.rmtree(dir.inside("runs", run, "checkpoint"), ignore_errors=True)


def _rows(db: sqlite3.Connection, ids: Sequence[str]) -> list[sqlite3.Row]:
    rows = []
    for run in dict.fromkeys(ids):
        row = db.execute("SELECT id, state, recipe FROM runs WHERE id = ?", (run,)).fetchone()
        if row is None:
            raise RunNotFound(f"There is no run {run!r}.")
        rows.append(row)
    return rows
