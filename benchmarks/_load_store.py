"""A large store for the load benchmark: 500 data sets, 5,000 runs, 10 M metric rows, a table of 50 M rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import workbench as wb
from workbench.datasets.importers import Imported
from workbench.runs import new_id

BIG = "Impressions"
_BIG_SQL = """
CREATE TABLE data AS
SELECT i AS id, TIMESTAMP '2026-01-01' + to_seconds(i // 10) AS time, hash(i) % 200000 AS "user",
    hash(i + 1) % 5000 AS item, (hash(i + 2) % 100000) / 1000.0 AS price, hash(i + 3) % 2 AS click
FROM range($rows) t(i)
"""


@dataclass(frozen=True)
class Size:
    """How large the store is."""

    datasets: int = 500
    runs: int = 5_000
    metrics: int = 10_000_000
    rows: int = 50_000_000


def build(folder: Path, size: Size) -> str:
    """Fill the store in `folder`; the id of the real run that the others are copies of.

    Data sets are published one by one, as a user's are. One run is trained by a worker in the usual way; the
    others are its row in the catalogue under other ids, with its files (linked, not copied) in their folders:
    five thousand trainings would take days, and the pages read nothing else.
    """
    store = wb.open(folder)
    _large_table(store, size.rows)
    real = _real_run(store)
    _data_sets(store, size.datasets)
    _copies(store, real, size)
    return real


def _large_table(store: wb.Store, rows: int) -> None:
    if BIG in store.datasets:
        return
    from workbench.datasets.files import Build

    def fill(build: Build) -> Imported:
        build.run(_BIG_SQL, {"rows": rows})
        return Imported()

    store.datasets.publish_build(BIG, fill, importer="sql", source="range")


def _real_run(store: wb.Store) -> str:
    from workbench.datasets import samples
    from workbench.timeseries import CSL

    if "BasicMotions" not in store.datasets:
        samples.register(store.datasets)
    done = [run for run in store.runs(limit=100_000) if run.state == "done"]
    if done:
        return done[-1].id
    run = store.submit(CSL(n_epochs=5, random_state=0), "BasicMotions")
    words = [sys.executable, "-m", "workbench", "worker", "--store", str(store.root)]
    with subprocess.Popen(words) as worker:
        run.wait()
        worker.terminate()
    return run.id


def _data_sets(store: wb.Store, wanted: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(len(store.datasets.list()), wanted):
        n = int(rng.integers(200, 2000))
        frame = pd.DataFrame({f"measure_{j}": rng.normal(size=n) for j in range(int(rng.integers(3, 12)))})
        frame["group"] = rng.choice(["north", "south", "east", "west"], n)
        frame["label"] = rng.integers(0, 2, n)
        store.datasets.publish_frame(frame, f"table_{i:03d}")


def _copies(store: wb.Store, real: str, size: Size) -> None:
    root = store.root
    row = dict(store.dir.connection.execute("SELECT * FROM runs WHERE id = ?", (real,)).fetchone())
    (there,) = store.dir.connection.execute("SELECT count(*) FROM runs").fetchone()
    source = root / "runs" / real
    steps, curves = size.metrics // size.runs // 4, ("loss", "alignment", "contrast", "learning_rate")
    rng = np.random.default_rng(1)
    names = [dataset.ref for dataset in store.datasets.list()]
    now = time.time()
    for start in range(there, size.runs, 100):
        with store.dir.write() as db:
            for i in range(start, min(start + 100, size.runs)):
                copy = new_id()
                spec = json.loads(row["spec"]) | {"id": copy, "name": f"{row['name']} {i}"}
                created = now - (size.runs - i) * 60
                values = row | {
                    "id": copy,
                    "name": spec["name"],
                    "spec": json.dumps(spec),
                    "dataset": names[i % len(names)],
                    "created": created,
                    "started": created + 1,
                    "finished": created + 30,
                    "state": ("done", "done", "done", "failed", "cancelled")[i % 5],
                }
                columns = ", ".join(values)
                db.execute(
                    f"INSERT INTO runs ({columns}) VALUES ({', '.join(':' + c for c in values)})",  # noqa: S608
                    values,
                )
                noise = rng.normal(size=(len(curves), steps)).cumsum(axis=1)
                db.executemany(
                    "INSERT INTO metrics (run, name, step, value, time) VALUES (?, ?, ?, ?, ?)",
                    (
                        (copy, curve, step, float(noise[c, step]), created + step * 0.05)
                        for c, curve in enumerate(curves)
                        for step in range(steps)
                    ),
                )
                _link(source, root / "runs" / copy, spec)


def _link(source: Path, target: Path, spec: dict[str, object]) -> None:
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "spec.json":
            copy.write_text(json.dumps(spec))
        else:
            os.link(path, copy)
