"""What a store is doing, in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable

import workbench
from workbench.runs import STATES, queue
from workbench.store import StoreDir

__all__ = ["MEDIA_TYPE", "text"]

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Sample = tuple[dict[str, str], float]


def text(dir: StoreDir) -> str:
    """Every figure of the store, one family a block."""
    db = dir.connection
    states: dict[str, int] = dict.fromkeys(STATES, 0)
    states.update(dict(tuple(row) for row in db.execute("SELECT state, count(*) FROM runs GROUP BY state")))
    oldest = db.execute("SELECT min(created) FROM runs WHERE state = 'queued'").fetchone()[0]
    finished = db.execute(
        "SELECT state, max(finished) FROM runs WHERE finished IS NOT NULL GROUP BY state"
    ).fetchall()
    names, versions, size = db.execute(
        "SELECT count(DISTINCT name), count(*), coalesce(sum(n_bytes), 0) FROM dataset_versions"
    ).fetchone()
    models = db.execute("SELECT count(*) FROM models").fetchone()[0]
    workers, slots = db.execute(
        "SELECT count(*), coalesce(sum(json_array_length(slots)), 0) FROM workers"
        " WHERE boot = ? AND beat > ?",
        (queue.boot_id(), queue.boot_clock() - 15),
    ).fetchone()
    disk = shutil.disk_usage(dir.root)
    families: list[tuple[str, str, Iterable[_Sample]]] = [
        ("info", "The version that serves this store.", [({"version": workbench.__version__}, 1)]),
        ("runs", "Runs in the store by state.", [({"state": name}, n) for name, n in states.items()]),
        (
            "queue_oldest_seconds",
            "How long the oldest queued run has waited; 0 for an empty queue.",
            [({}, 0.0 if oldest is None else max(0.0, time.time() - oldest))],
        ),
        (
            "last_finished_timestamp_seconds",
            "When a run last ended in that state.",
            [({"state": row[0]}, row[1]) for row in finished],
        ),
        ("workers", "Workers that are alive.", [({}, workers)]),
        ("worker_slots", "Runs that the living workers can carry out at once.", [({}, slots)]),
        ("datasets", "Data sets.", [({}, names)]),
        ("dataset_versions", "Versions of data sets.", [({}, versions)]),
        ("dataset_bytes", "Bytes of all versions.", [({}, size)]),
        ("models", "Versions of saved models.", [({}, models)]),
        ("disk_free_bytes", "Bytes free on the store's disk.", [({}, disk.free)]),
    ]
    return "".join(_family(f"workbench_{name}", help, samples) for name, help, samples in families)


def _family(name: str, help: str, samples: Iterable[_Sample]) -> str:
    lines = [f"# HELP {name} {help}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        lines.append(f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
