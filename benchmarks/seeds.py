"""Seeds of estimators on data sets of a store, as runs: beside each other on one machine or on a cluster.

    python benchmarks/seeds.py --store data/store --data BasicMotions --estimator timeseries.CSLClassifier \
        --seeds 0-4 --launcher ray

A worker does the runs (`python -m workbench worker`). What is there already, done with the same parameters
by the same version, is not run again, so that a table that was interrupted is taken up where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

import _common
import numpy as np

import workbench as wb
from workbench.runs import Run
from workbench.runs.launchers import NAMES
from workbench.search import over_seeds


def seeds_of(text: str) -> list[int]:
    """``0-4`` or ``0,3,7``."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(part) for part in text.split(",")]


def runs_of(store: wb.Store, estimator: str, ref: str, seeds: list[int], options: dict) -> list[Run]:
    """A run for each seed: the one that is done or under way, else a new one."""
    found: dict[int, Run] = {}
    for run in store.runs(dataset=ref, limit=None):
        if run.spec.get("split") != asdict(wb.Split()):
            continue  # a trial of a search sees a part of the train rows only
        same = (run.spec["estimator"], run.spec["versions"].get("workbench")) == (estimator, wb.__version__)
        given = {k: v for k, v in run.spec["params"].items() if k != "random_state"}
        if same and given == options["params"] and run.state in ("done", "running", "queued"):
            found.setdefault(run.spec["seed"], run)
    missing = [seed for seed in seeds if seed not in found]
    made = over_seeds(store, estimator, ref, missing, **options)
    found.update(zip(missing, made, strict=True))
    return [found[seed] for seed in seeds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=None)
    parser.add_argument("--data", action="append", required=True, metavar="NAME[@VERSION]")
    parser.add_argument("--estimator", action="append", required=True, metavar="NAME")
    parser.add_argument("--params", type=json.loads, default={}, help='JSON, e.g. {"n_epochs": 20}')
    parser.add_argument("--seeds", type=seeds_of, default=[0, 1, 2], help="0-4 or 0,3,7")
    parser.add_argument("--score", help="default: the first score of the recipe")
    parser.add_argument("--launcher", default="local", choices=NAMES)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    given = parser.parse_args()
    store = wb.open(given.store)
    options = {"params": given.params, "launcher": given.launcher, "device": given.device}
    cells = {
        (estimator, ref): runs_of(store, estimator, ref, given.seeds, options)
        for ref in (store.dataset(name).ref for name in given.data)
        for estimator in given.estimator
    }
    print(f"`{_common.command()}`\ncommit {_common.commit()}, launcher {given.launcher}\n")
    began = time.monotonic()
    rows = []
    for (estimator, ref), runs in cells.items():
        ended = [run.wait() for run in runs]
        done = [run for run in ended if run.state == "done"]
        name = given.score or next(iter(done[0].scores), "") if done else given.score or ""
        values = [run.scores[name] for run in done if run.scores.get(name) is not None]
        figure = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else str(values)
        failed = "" if len(done) == len(ended) else f"{len(ended) - len(done)} failed"
        seconds = f"{np.mean([run.seconds for run in done]):.0f}" if done else ""
        rows.append([ref, estimator, name, figure, str(len(values)), seconds, failed])
    print(_common.table(["data", "estimator", "score", "mean ± sd", "seeds", "s a run", ""], rows))
    print(f"\n{time.monotonic() - began:.0f} s in all, {sum(map(len, cells.values()))} runs")


if __name__ == "__main__":
    main()
