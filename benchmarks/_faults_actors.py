"""The processes that the fault benchmark kills, each with something to lose.

The web server is the real one, as of ``python -m workbench web``; a run is a process of the worker's. An
actor writes ``begin N`` into its diary before it does its N-th piece of work, and ``done N`` when it was told
that this is done. After a kill it looks into the store for what is missing, as a user would.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

import workbench as wb
from workbench.facade import Store

SLOTS = ("cpu",)
LEASE = 1.5  # seconds
MINUTE = 3.0  # seconds that a minute of the schedule takes
NOON = 1767268800.0  # when it begins: 2026-01-01 12:00 UTC
ROWS = 20_000
LEDGER, LINE = "ledger", "line"  # the data set and the model that are published again and again


def clock(began: float) -> float:
    """The schedule's time."""
    return NOON + 60 / MINUTE * (time.time() - began)


def table(n: int, rows: int = ROWS) -> pd.DataFrame:
    """The content of the n-th piece of work."""
    numbers = np.arange(rows)
    return pd.DataFrame({"n": np.full(rows, n), "row": numbers, "x": (numbers * 7919 + n) % 104_729 / 8})


def work(root: str) -> None:
    """A worker with a short lease. A run may die as often as it happens to."""
    from workbench.runs import worker as module

    module.PIPELINES = 1  # more starts of Python at once would only wait for each other
    store = wb.open(root)
    store.datasets.sweep()
    worker = module.Worker(store.dir, SLOTS, lease=LEASE, max_deaths=10_000)
    # By its clock the schedule is months behind: it would make up for thousands of times.
    worker._clerk.tick = lambda: None  # type: ignore[method-assign]
    worker.run_forever()


def keep_schedules(root: str, began: float) -> None:
    """A worker that starts no run and whose clock is fast, so that nothing but its clerk is at work."""
    from workbench.runs import worker as module
    from workbench.runs.clerk import Clerk

    module.PIPELINES = 0
    worker = module.Worker(wb.open(root).dir, [], lease=LEASE, max_deaths=10_000)
    worker._clerk = Clerk(worker.dir, lambda: clock(began))
    worker._clerk.tick = worker._clerk.work  # type: ignore[method-assign]
    worker.run_forever()


def import_files(root: str, diary: Path, last: int | None) -> None:
    """Import one file after the other, each as a data set of its own."""
    store = wb.open(root)
    n = 0
    while last is None or n < last:
        n += 1
        name = f"import-{n:04}"
        if name not in store.datasets:
            path = diary.with_name(f"{name}.csv")
            table(n).to_csv(path, index=False)
            _write(diary, "begin", n)
            store.datasets.import_files(path, name)
            _write(diary, "done", n)
            path.unlink()


def publish(root: str, diary: Path, last: int | None) -> None:
    """Publish one version after the other of a data set, and of a model whose files lie beside the diary."""
    store = wb.open(root)
    n = 0
    while last is None or n < last:
        n += 1
        if n not in published(store):
            _write(diary, "begin", n)
            store.datasets.publish_frame(table(n, 2000), LEDGER, source=f"payload {n}")
            _write(diary, "done", n)
        if n not in added(store):
            store.models.add(diary.with_name("model"), LINE, card={"payload": n})


def published(store: Store) -> list[int]:
    """The pieces of work that are versions of the data set; twice if they are twice there."""
    found = store.datasets.versions(LEDGER) if LEDGER in store.datasets else []
    return [int(version.source.removeprefix("payload ")) for version in found]


def added(store: Store) -> list[int]:
    """The pieces of work that are versions of the model."""
    return [model.card["payload"] for model in store.models.list()]


def _write(diary: Path, word: str, n: int) -> None:
    with diary.open("a") as file:
        print(word, n, file=file)


def be(kind: str, log: Path, environment: Mapping[str, str], root: str, *words: str) -> None:
    """Be the process that is named, writing what it says into `log`.

    Its words are ``web PORT``, ``worker``, ``scheduler BEGAN``, ``import DIARY [LAST]`` or ``publish DIARY
    [LAST]``.
    """
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
    if kind == "web":
        from workbench.cli import main

        sys.exit(main(["web", "--port", words[0], "--store", root]))
    elif kind == "worker":
        work(root)
    elif kind == "scheduler":
        keep_schedules(root, float(words[0]))
    else:
        last = int(words[1]) if len(words) > 1 else None
        {"import": import_files, "publish": publish}[kind](root, Path(words[0]), last)
