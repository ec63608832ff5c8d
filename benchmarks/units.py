"""Benchmarks of the tasks on series: each through its own recipe, beside the untrained control and peers.

    python benchmarks/units.py run --data DIR [--only TEXT] [--seed S] [--minutes M]
    python benchmarks/units.py show

``run`` fills, cell by cell, ``benchmarks/results/units.json``: classification (also by number of labels) and
clustering on UEA sets, forecasts of the last 4 of the first 20 months of ETTh1, anomalies on NAB, and
imputation of ETTh1. A cell that has been computed stays; ``--only`` computes those anew whose name contains
TEXT. What has not been run is printed as ``not run``.

The usual split of ETTh1 leaves 4 of the 20 months to validation. Here nothing is chosen by validation: they
are trained on too, and errors are in deviations of all 16 months before the test part, from 400 origins. So
the figures are near published ones, and not the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import torch
from _common import command, commit, load, machine, table

from workbench.arrays import SeriesData, Split
from workbench.report import NullReporter, Report
from workbench.timeseries import (
    UniTSAnomalyDetector,
    UniTSClassifier,
    UniTSClusterer,
    UniTSForecaster,
    UniTSImputer,
)
from workbench.timeseries.tasks import classify, cluster, detect, forecast, impute

RESULTS = Path(__file__).with_name("results") / "units.json"
SEEDS = (0, 1, 2)
UEA = ("BasicMotions", "Epilepsy", "NATOPS", "RacketSports", "UWaveGestureLibrary", "ERing")
ENCODERS = ("CSL", "TLoss", "TNC", "TS2Vec", "TST", "TSTCC", "CSL+TS2Vec")
NAB = (
    "nyc_taxi",
    "ambient_temperature_system_failure",
    "machine_temperature_system_failure",
    "ec2_request_latency_system_failure",
)
HORIZONS = (24, 48, 168, 336)
#: Months of 30 days, in hours: 16 to train, 4 to test.
_TRAIN, _TEST = (months * 30 * 24 for months in (16, 4))


@dataclass(frozen=True)
class Cell:
    """One experiment of one seed: what is run, and by what metric it is printed."""

    name: str
    metric: str
    work: Callable[[int, Path | None], Report]


class Memory:
    """Series held in memory, for recipes that ask for series."""

    def __init__(self, ref: str, X: Any, **more: Any) -> None:
        names = tuple(f"v{i}" for i in range(X.shape[2]))
        given = {"y": None, "split": None} | more
        self.ref, self.series = ref, SeriesData(X, ids=np.arange(len(X)).astype(str), channels=names, **given)

    def to_series(self) -> SeriesData:
        return self.series


def uea(name: str, data: Path | None) -> Memory:
    """A set of the archive with its own split."""
    one = load(name, data)
    steps = max(one.X_train.shape[1], one.X_test.shape[1])
    padded = [
        np.pad(X, ((0, 0), (0, steps - X.shape[1]), (0, 0)), constant_values=np.nan)
        for X in (one.X_train, one.X_test)
    ]
    split = np.repeat(["train", "test"], [len(one.X_train), len(one.X_test)])
    y = np.concatenate([one.y_train, one.y_test])
    return Memory(name, np.concatenate(padded), y=y, split=split)


def etth1(data: Path | None) -> Memory:
    """The first 20 months."""
    frame = pd.read_csv(_needed(data) / "forecasting" / "ETTh1.csv").iloc[: _TRAIN + _TEST]
    return Memory("ETTh1", frame.drop(columns="date").to_numpy(float)[None])


def nab(name: str, data: Path | None) -> Memory:
    """A recording of NAB's known causes, with the windows that people labelled."""
    folder = _needed(data) / "anomaly" / "nab"
    frame = pd.read_csv(folder / f"{name}.csv")
    moment = pd.to_datetime(frame["timestamp"])
    windows = json.loads((folder / "combined_windows.json").read_text())[f"realKnownCause/{name}.csv"]
    marked = np.zeros(len(frame), dtype=bool)
    for begin, end in windows:
        marked |= (moment >= begin).to_numpy() & (moment <= end).to_numpy()
    return Memory(name, frame["value"].to_numpy(float)[None, :, None], anomaly=marked[None])


def _needed(data: Path | None) -> Path:
    if data is None:
        raise SystemExit("This data set is not shipped with any package: name its folder with --data.")
    return data


def _classify(name: str, encoders: str, mode: str, seed: int, data: Path | None) -> Report:
    return classify(UniTSClassifier(encoders, mode=mode), uea(name, data), Split(), seed, NullReporter())


def _cluster(name: str, seed: int, data: Path | None) -> Report:
    problem = uea(name, data)
    groups = len(np.unique(problem.series.y))
    return cluster(UniTSClusterer(groups, "CSL+TS2Vec"), problem, Split(), seed, NullReporter())


def _forecast(horizon: int, seed: int, data: Path | None) -> Report:
    split = Split(test_size=_TEST / (_TRAIN + _TEST))
    return forecast(UniTSForecaster(horizon), etth1(data), split, seed, NullReporter())


def _detect(name: str, seed: int, data: Path | None) -> Report:
    return detect(UniTSAnomalyDetector(), nab(name, data), Split(test_size=0.7), seed, NullReporter())


def _impute(mask: str, seed: int, data: Path | None) -> Report:
    return impute(UniTSImputer(mask=mask), etth1(data), Split(), seed, NullReporter())


def cells() -> list[Cell]:
    """Every experiment, in the order in which they are run."""
    found = [Cell(f"anomalies/{name}", "vus_pr", partial(_detect, name)) for name in NAB]
    found += [Cell(f"forecast/ETTh1/{h}", "mse", partial(_forecast, h)) for h in HORIZONS]
    found += [Cell(f"impute/ETTh1/{mask}", "mse", partial(_impute, mask)) for mask in ("geometric", "block")]
    found += [Cell(f"cluster/{name}", "nmi", partial(_cluster, name)) for name in UEA]
    found += [
        Cell(f"classify/{name}/{encoders}/{mode}", "test_accuracy", partial(_classify, name, encoders, mode))
        for name in UEA
        for encoders in ENCODERS
        for mode in ("freeze", "fine_tune")
    ]
    return found


def run(only: str | None, seeds: tuple[int, ...], data: Path | None, minutes: float) -> None:
    """Compute the cells that are missing, or those whose name contains `only` anew."""
    deadline = time.monotonic() + minutes * 60
    for seed in seeds:
        for cell in cells():
            key = f"{cell.name}/{seed}"
            if (only is None and key in results()) or (only is not None and only not in cell.name):
                continue
            if time.monotonic() > deadline:
                return
            report = cell.work(seed, data)
            scores = report.tables["scores"].query("metric == @cell.metric").dropna().set_index("model")
            entry: dict[str, Any] = {
                "metric": cell.metric,
                "models": {str(m): float(v) for m, v in scores["value"].items()},
                "seconds": round(report.scores["seconds"], 1),
                "threads": torch.get_num_threads(),
                "commit": commit(),
                "command": f"python benchmarks/units.py run --data DIR --only {cell.name} --seed {seed}",
            }
            if "label_curve" in report.tables:
                entry["label_curve"] = report.tables["label_curve"].to_dict("records")
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(dict(sorted((results() | {key: entry}).items())), indent=1) + "\n")
            print(key, report.headline, flush=True)


def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def show() -> None:
    """One row an experiment: mean and deviation over the seeds that have been run."""
    found = results()
    rows = []
    for cell in cells():
        runs = [found[key] for seed in SEEDS if (key := f"{cell.name}/{seed}") in found]
        if not runs:
            rows.append([cell.name, cell.metric, "0", "not run", "not run", "not run"])
            continue
        values: dict[str, list[float]] = {}
        for one in runs:
            for model, value in one["models"].items():
                values.setdefault(model, []).append(value)
        peers = [f"{m} {_spread(v)}" for m, v in values.items() if m not in ("trained", "untrained")]
        own = [_spread(values[m]) for m in ("trained", "untrained")]
        rows.append([cell.name, cell.metric, str(len(runs)), *own, ", ".join(peers)])
    print(table(["experiment", "metric", "seeds", "trained", "untrained", "peers"], rows))


def _spread(values: list[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


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
    runs.add_argument("--threads", type=int, default=2)
    commands.add_parser("show", help="print the table and run nothing")
    options = parser.parse_args()
    if options.what == "run":
        torch.set_num_threads(options.threads)
        print(f"{machine(options.threads)}\ncommit {commit()}, command: {command()}\n")
        seeds = SEEDS if options.seed is None else (options.seed,)
        run(options.only, seeds, options.data, options.minutes)
    show()


if __name__ == "__main__":
    main()
