"""The steps of pipelines in SQLite: what each is doing, and which finished one stands for a new one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.store import StoreDir

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENDED", "STATES", "declare", "finished", "frame", "output_of", "to_json", "update"]

STATES = ("waiting", "running", "done", "failed", "cancelled", "skipped")
ENDED = ("done", "failed", "cancelled", "skipped")

_COLUMNS = ("state", "key", "attempt", "child", "reused", "output", "error", "started", "finished")


def declare(
    dir: StoreDir, run: str, name: str, position: int, kind: str, needs: Sequence[str]
) -> sqlite3.Row:
    """Enter a step that the pipeline has asked for, and return what is known of it from before.

    What was done or was running when the pipeline's process ended stays so; what had failed may be tried
    again.
    """
    with dir.write() as db:
        db.execute(
            "INSERT INTO steps (run, name, position, kind, needs, state)"
            " VALUES (:run, :name, :position, :kind, :needs, 'waiting')"
            " ON CONFLICT (run, name) DO UPDATE SET position = :position, needs = :needs,"
            " key = CASE WHEN kind = :kind THEN key ELSE '' END, kind = :kind,"
            " attempt = CASE WHEN state IN ('failed', 'cancelled', 'skipped') THEN 0 ELSE attempt END,"
            " error = CASE WHEN state IN ('failed', 'cancelled', 'skipped') THEN '' ELSE error END,"
            " state = CASE WHEN state IN ('failed', 'cancelled', 'skipped') THEN 'waiting' ELSE state END",
            {"run": run, "name": name, "position": position, "kind": kind, "needs": json.dumps([*needs])},
        )
        row: sqlite3.Row = db.execute(
            "SELECT * FROM steps WHERE run = ? AND name = ?", (run, name)
        ).fetchone()
    return row


def update(dir: StoreDir, run: str, name: str, **changes: Any) -> None:
    """Write down what became of a step."""
    unknown = changes.keys() - set(_COLUMNS)
    if unknown:
        raise ValueError(f"no such columns: {unknown}")
    sets = ", ".join(f"{column} = :{column}" for column in changes)
    with dir.write() as db:
        db.execute(
            f"UPDATE steps SET {sets} WHERE run = :run AND name = :name",  # noqa: S608  names checked above
            {"run": run, "name": name, **changes},
        )


def finished(dir: StoreDir, key: str) -> sqlite3.Row | None:
    """The latest finished step with the same inputs, if what it made is still there."""
    row: sqlite3.Row | None = dir.connection.execute(
        "SELECT * FROM steps WHERE key = ? AND state = 'done' AND (kind = 'python'"
        " OR EXISTS (SELECT 1 FROM runs WHERE runs.id = steps.child AND runs.state = 'done'))"
        " ORDER BY finished DESC LIMIT 1",
        (key,),
    ).fetchone()
    return row


def to_json(value: Any) -> str:
    """An output as it is kept."""
    return json.dumps(value)


def output_of(row: sqlite3.Row) -> Any:
    """The output that a row keeps."""
    return None if row["output"] is None else json.loads(row["output"])


def frame(dir: StoreDir, run: str) -> pd.DataFrame:
    """The steps of a pipeline run, in order.

    Columns ``name, kind, state, needs, attempt, child, reused, seconds, progress, error, output, started,
    finished``; `progress` is that of the child run.
    """
    import time

    import pandas as pd

    rows = dir.connection.execute(
        "SELECT steps.*, runs.progress AS progress, runs.started AS run_started FROM steps"
        " LEFT JOIN runs ON runs.id = steps.child WHERE run = ? ORDER BY position",
        (run,),
    )
    records = []
    for row in rows:
        end = row["finished"] or (time.time() if row["state"] == "running" else None)
        took = None if row["started"] is None or end is None else max(0.0, end - row["started"])
        records.append(
            {
                **{name: row[name] for name in ("name", "kind", "state", "attempt", "child", "reused")},
                "needs": json.loads(row["needs"]),
                "seconds": took,
                "progress": 1.0 if row["state"] == "done" else (row["progress"] or 0.0),
                "error": row["error"],
                "output": row["output"] or "",
                "started": row["started"],
                "finished": row["finished"],
            }
        )
    columns = [
        "name", "kind", "state", "needs", "attempt", "child", "reused", "seconds", "progress", "error",
        "output", "started", "finished",
    ]  # fmt: skip
    return pd.DataFrame(records, columns=columns)
