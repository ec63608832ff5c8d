"""Runs: their rows against their folders."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs import spec as specs
from workbench.runs.events import read_events, read_result
from workbench.store import StoreDir
from workbench.upkeep._common import SET_ASIDE, Fault, Faults, inner, set_aside

__all__ = ["folders", "rows"]


def rows(dir: StoreDir) -> Faults:
    for row in dir.connection.execute("SELECT id, state, spec FROM runs ORDER BY created").fetchall():
        run, folder = row["id"], dir.inside("runs", row["id"])
        if dir.connection.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is None:
            continue
        if _spec_of(folder) is None:
            yield Fault(
                f"run {run}",
                f"Its {inner(dir, folder / 'spec.json')} is missing or damaged.",
                "Write it again from the database.",
                partial(_write_spec, dir, row),
            )
        source = json.loads(row["spec"]).get("source")
        lost = None
        if row["state"] == "done" and (problem := _report_problem(folder)):
            lost = f"Its report is not whole: {problem}."
        elif row["state"] in ("queued", "running") and source and not (folder / source).is_file():
            lost = f"The source of its estimator, {source}, is missing."
        if lost is not None:
            yield Fault(
                f"run {run}",
                lost,
                "Mark it as failed; it can be retried from the start or submitted again.",
                (partial(_fail, dir, run, lost)),
            )


def _report_problem(folder: Path) -> str:
    report = folder / "artifacts" / "report"
    try:
        tables = json.loads((report / "report.json").read_text())["tables"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "report.json is missing or damaged"
    for name in tables:
        path = report / f"{name}.parquet"
        if not path.is_file() or not _ends_with(path, b"PAR1"):
            return f"{name}.parquet is missing or cut off"
    return ""


def _ends_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() < len(mark):
            return False
        file.seek(-len(mark), os.SEEK_END)
        return file.read() == mark


def _spec_of(folder: Path) -> dict[str, Any] | None:
    try:
        return specs.load(folder)
    except WorkbenchError:
        return None


def _write_spec(dir: StoreDir, row: sqlite3.Row) -> None:
    folder = dir.inside("runs", row["id"])
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "spec.json.part"
    part.write_text(json.dumps(json.loads(row["spec"]), indent=1), encoding="utf-8")
    part.replace(folder / "spec.json")


def _fail(dir: StoreDir, run: str, why: str) -> None:
    with dir.write() as db:
        db.execute(
            "UPDATE runs SET state = 'failed', error = ?, finished = coalesce(finished, ?)"
            " WHERE id = ? AND state IN ('done', 'queued')",
            (why, time.time(), run),
        )


def folders(dir: StoreDir) -> Faults:
    for folder in sorted(path for path in dir.runs.iterdir() if path.is_dir()):
        known = dir.connection.execute("SELECT 1 FROM runs WHERE id = ?", (folder.name,)).fetchone()
        if known is not None or dir.is_noted(folder) or not folder.exists():
            continue
        spec = _spec_of(folder)
        if spec is not None and spec["id"] == folder.name:
            yield Fault(
                f"run {folder.name}",
                "Its folder is there, but the database does not know it.",
                "Enter it again, with its result and its curves.",
                partial(_enter_run, dir, folder, spec),
            )
        else:
            yield Fault(
                f"file {inner(dir, folder)}",
                "It is no run's folder.",
                f"Set it aside in {SET_ASIDE}/.",
                partial(set_aside, dir, folder),
            )


def _enter_run(dir: StoreDir, folder: Path, spec: dict[str, Any]) -> None:
    """Make a run's row from its folder; without a result it is cancelled, lest it start by itself."""
    result = read_result(folder) or {"state": "cancelled", "error": "", "headline": "", "scores": {}}
    try:
        events = (folder / "events.jsonl").read_bytes()
    except FileNotFoundError:
        events = b""
    events = events[: events.rfind(b"\n") + 1]
    metrics, state = read_events(events)
    created = float(spec.get("created") or folder.stat().st_mtime)
    row = {
        "id": spec["id"],
        "name": spec.get("name") or spec["id"],
        "estimator": spec["estimator"],
        "recipe": spec["recipe"],
        "dataset": spec["dataset"]["ref"],
        "spec": json.dumps(spec),
        "device": spec.get("device", "auto"),
        "created": created,
        "finished": max([created, *(time_ for *_, time_ in metrics)]),
        **result,
        "scores": json.dumps(result["scores"]),
        "progress": 1.0 if result["state"] == "done" else float(state.get("progress") or 0.0),
        "offset": len(events),
    }
    with dir.write() as db:
        db.execute(
            "INSERT INTO runs (id, name, state, estimator, recipe, dataset, spec, device, attempt, created,"
            " started, finished, progress, scores, headline, error, events_offset) VALUES (:id, :name,"
            " :state, :estimator, :recipe, :dataset, :spec, :device, 1, :created, :created, :finished,"
            " :progress, :scores, :headline, :error, :offset)",
            row,
        )
        db.executemany(
            "INSERT OR REPLACE INTO metrics (run, name, step, value, time) VALUES (?, ?, ?, ?, ?)",
            [(spec["id"], *metric) for metric in metrics],
        )
