"""Benchmarks of the tasks on series, beside the untrained control and peers of the libraries.

    python benchmarks/units.py run --data DIR [--only TEXT] [--seed S] [--minutes M]
    python benchmarks/units.py show

``run`` fills, cell by cell, ``benchmarks/results/units.json``: classification on UEA sets (each encoder
frozen and fine-tuned, fusions, peers), clustering, accuracy by share of labels, a shift between machines and
between people, imputation of ETTh1, anomalies on NAB, SMD and ASD, and forecasts of ETTh1. A cell that has
been computed stays, so that an interrupted run goes on where it was; ``--only`` computes those anew whose
name is TEXT, or contains it where none is. What has not been run is printed as ``not run``.

Sizes are such that a cell of a short data set takes minutes on one core: encoders at their default epochs for
whole series; what is less for the tasks on windows stands below the table. Cells of every experiment come
first, so that a short run tells something of each. People's movements come with the package seglearn
(``pip install --no-deps seglearn==1.2.5``).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from _common import command, commit, machine, table
from _units_cells import ENCODERS, REDUCED, UEA, cells

RESULTS = Path(__file__).with_name("results") / "units.json"
SEEDS = (0, 1, 2)


def run(only: str | None, seeds: tuple[int, ...], data: Path | None, minutes: float) -> None:
    """Compute the cells that are missing, or anew those whose name is, or else contains, `only`."""
    deadline = time.monotonic() + minutes * 60
    asked = [cell for cell in cells() if only is None or only in cell.name]
    asked = [cell for cell in asked if cell.name == only] or asked
    if not asked:
        raise SystemExit(f"No experiment's name contains {only!r}.")
    for seed in seeds:
        for cell in asked:
            key = f"{cell.name}/{seed}"
            if only is None and key in results():
                continue
            if time.monotonic() > deadline:
                return
            began = time.process_time()
            try:
                found = cell.work(seed, data)
            except SystemExit as reason:  # its data are not there
                print(f"{key} is left out: {reason}", flush=True)
                continue
            entry: dict[str, Any] = {
                "metrics": {m: {name: round(v, 4) for name, v in one.items()} for m, one in found.items()},
                "cpu_seconds": round(time.process_time() - began, 1),
                "threads": torch.get_num_threads(),
                "commit": commit(),
                "command": f"python benchmarks/units.py run --data DIR --only '{cell.name}' --seed {seed}",
            }
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(dict(sorted((results() | {key: entry}).items())), indent=1) + "\n")
            print(key, entry["metrics"], f"{entry['cpu_seconds']} s of CPU", flush=True)


def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def show() -> None:
    """One row an experiment and metric: mean and deviation over the seeds that have been run."""
    found, rows = results(), []
    for cell in cells():
        runs = [found[key] for seed in SEEDS if (key := f"{cell.name}/{seed}") in found]
        if not runs:
            rows.append([cell.name, "", "0", "not run"])
        for metric in runs[0]["metrics"] if runs else ():
            values = values_of(runs, metric)
            told = ", ".join(f"{name} {spread(one)}" for name, one in values.items())
            rows.append([cell.name, metric, str(len(runs)), told])
    print(table(["experiment", "metric", "seeds", "mean ± deviation over seeds"], rows))
    print(f"\n{REDUCED}")
    print(*verdict(), sep="\n")


def values_of(runs: list[dict[str, Any]], metric: str) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for one in runs:
        for model, value in one["metrics"][metric].items():
            values.setdefault(model, []).append(value)
    return values


def spread(values: list[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def verdict() -> list[str]:
    """What fused and fine-tuned encoders reach beside MiniRocket, plainly."""
    found, lines = results(), [""]
    for encoders in (one for one in ENCODERS if "+" in one):
        pairs = {}
        for name in UEA:
            keys = [(f"classify/{name}/{encoders}/{s}", f"classify/{name}/peers/{s}") for s in SEEDS]
            both = [
                (found[a]["metrics"]["accuracy"]["fine-tuned"], peers["MiniRocket"])
                for a, b in keys
                if a in found and b in found and "MiniRocket" in (peers := found[b]["metrics"]["accuracy"])
            ]
            if both:
                pairs[name] = tuple(mean(one) for one in zip(*both, strict=True))
        if not pairs:
            lines.append(f"{encoders} fine-tuned against MiniRocket: not run.")
            continue
        ours, theirs = (mean(one) for one in zip(*pairs.values(), strict=True))
        below = [f"{name} ({a:.3f} against {b:.3f})" for name, (a, b) in pairs.items() if a < b]
        lines.append(
            f"{encoders} fine-tuned: mean {ours:.3f} over {len(pairs)} of {len(UEA)} sets, MiniRocket "
            f"{theirs:.3f}: "
            + ("BELOW MiniRocket's mean" if ours < theirs else "not below MiniRocket's mean")
            + (f"; below it on {', '.join(below)}." if below else "; below it on none.")
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    runs = commands.add_parser("run", help="compute what is missing")
    runs.add_argument("--data", type=Path, help="folder that holds uea/, forecasting/ and anomaly/")
    runs.add_argument("--only", metavar="TEXT", help="these cells only, anew")
    runs.add_argument("--seed", type=int, help="default: 0, 1 and 2")
    runs.add_argument("--minutes", type=float, default=float("inf"), help="start no further cell after this")
    runs.add_argument("--threads", type=int, default=1)
    commands.add_parser("show", help="print the table and run nothing")
    options = parser.parse_args()
    if options.what == "run":
        torch.set_num_threads(options.threads)
        # The first parallel loop of a peer that numba compiles would set torch's threads anew.
        os.environ["NUMBA_NUM_THREADS"] = str(options.threads)
        print(f"{machine(options.threads)}\ncommit {commit()}, command: {command()}\n", flush=True)
        seeds = SEEDS if options.seed is None else (options.seed,)
        run(options.only, seeds, options.data, options.minutes)
    show()


if __name__ == "__main__":
    main()
