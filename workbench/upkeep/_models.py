"""Models: their rows against their folders."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from workbench.store import StoreDir
from workbench.upkeep._common import SET_ASIDE, Fault, Faults, inner, is_name, set_aside

__all__ = ["folders", "rows"]


def rows(dir: StoreDir) -> Faults:
    for row in dir.connection.execute("SELECT name, version, n_bytes FROM models").fetchall():
        folder = dir.inside("models", row["name"], str(row["version"]))
        ref = f"{row['name']}@{row['version']}"
        problem = ""
        if not folder.is_dir():
            problem = f"Its folder {inner(dir, folder)} is missing."
        elif _head_of(folder) is None:
            problem = "Its estimator.json is missing or damaged."
        elif (size := _size(folder)) != row["n_bytes"]:
            problem = f"Its files have {size} bytes, not the {row['n_bytes']} they were made with."
        if problem:
            yield Fault(
                f"model {ref}",
                problem,
                f"Take it out of the list and set what is left aside in {SET_ASIDE}/; its run may have it.",
                partial(_forget_model, dir, row, folder),
            )


def _forget_model(dir: StoreDir, row: sqlite3.Row, folder: Path) -> None:
    if folder.exists():
        set_aside(dir, folder)
    with dir.write() as db:
        db.execute("DELETE FROM aliases WHERE name = ? AND version = ?", (row["name"], row["version"]))
        db.execute("DELETE FROM models WHERE name = ? AND version = ?", (row["name"], row["version"]))


def folders(dir: StoreDir) -> Faults:
    for folder in sorted(path for path in dir.models.glob("*/*") if path.is_dir()):
        name, version = folder.parent.name, folder.name
        known = (
            version.isdigit()
            and dir.connection.execute(
                "SELECT 1 FROM models WHERE name = ? AND version = ?", (name, int(version))
            ).fetchone()
        )
        if known or dir.is_noted(folder) or not folder.exists():
            continue
        head = _head_of(folder)
        if head is not None and version.isdigit() and is_name(name):
            yield Fault(
                f"model {name}@{version}",
                "Its folder is there, but the database does not know it.",
                "Enter it again.",
                partial(_enter_model, dir, folder, head),
            )
        else:
            yield Fault(
                f"file {inner(dir, folder)}",
                "It is no saved model.",
                f"Set it aside in {SET_ASIDE}/.",
                partial(set_aside, dir, folder),
            )


def _enter_model(dir: StoreDir, folder: Path, head: dict[str, Any]) -> None:
    card = head.get("card") or {}
    with dir.write() as db:
        db.execute(
            "INSERT INTO models (name, version, run, estimator, dataset, card, n_bytes, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                folder.parent.name,
                int(folder.name),
                card.get("run"),
                str(head["class"]),
                str(card.get("dataset", "")),
                json.dumps({"scores": card.get("scores", {})}),
                _size(folder),
                folder.stat().st_mtime,
            ),
        )


def _head_of(folder: Path) -> dict[str, Any] | None:
    try:
        head = json.loads((folder / "estimator.json").read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return head if isinstance(head, dict) and "class" in head else None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
