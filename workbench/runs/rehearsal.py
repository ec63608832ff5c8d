"""How long a run will take, measured on a few rows of its data set: ``python -m workbench.runs.rehearsal``.

A process of its own, so that neither torch nor a training is in the web server. The recipe runs on a small
sample, on one twice as large, and on that for some epochs more: the differences are what rows and epochs
cost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.arrays import Data, SeriesData, Split, TableData
from workbench.report import NullReporter
from workbench.runs.launchers import patient

__all__ = ["Rehearsal", "rehearse"]

ROWS = (32, 64)
EPOCHS = (1, 4)
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Rehearsal:
    """Seconds to start, for one epoch over the whole data set, and for all the rest; samples looked at."""

    start: float
    epoch: float
    rest: float
    n_sample: int

    def seconds(self, n_epochs: int) -> float:
        """Expected time of a run over the whole data set."""
        return self.start + n_epochs * self.epoch + self.rest


def rehearse(
    estimator: str, ref: str, params: Mapping[str, Any], *, store: str, patience: float = PATIENCE
) -> Rehearsal | None:
    """Measure; None where it takes longer than `patience` seconds, or fails.

    A failure is not told from here: the run that it foretells says in its own words what is wrong.
    """
    request = {"estimator": estimator, "ref": ref, "params": dict(params), "store": store}
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "workbench.runs.rehearsal"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=patience,
            check=True,
            env=patient(os.environ),
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return None
    whole = time.perf_counter() - began
    found = json.loads(done.stdout.splitlines()[-1])
    return Rehearsal(whole - found["worked"], found["epoch"], found["rest"], found["n_sample"])


class _Sample:
    """A few rows of each side of a data set's split, spread over the file, which may be sorted by label."""

    def __init__(self, data: Data, n: int) -> None:
        self._data, self._n = data, n
        self.ref = data.ref
        self.taken = self.total = 0

    def to_series(self) -> SeriesData:
        whole = self._data.to_series()
        rows = self._rows(len(whole.X), whole.split)
        optional = ("y", "split", "domain", "anomaly", "exogenous")
        chosen: dict[str, Any] = {name: _at(getattr(whole, name), rows) for name in optional}
        return replace(whole, X=whole.X[rows], ids=whole.ids[rows], **chosen)

    def to_table(self) -> TableData:
        whole = self._data.to_table()
        rows = self._rows(len(whole.X), whole.split)
        optional: dict[str, Any] = {n: _at(getattr(whole, n), rows) for n in ("y", "split", "weight")}
        labels = None if whole.labels is None else whole.labels.iloc[rows]
        return replace(whole, X=whole.X.iloc[rows], labels=labels, **optional)

    def _rows(self, total: int, split: NDArray[Any] | None) -> NDArray[np.intp]:
        sides = [np.arange(total)] if split is None else [np.flatnonzero(split == s) for s in set(split)]
        share = min(self._n / total, 1)
        kept = [
            side[np.linspace(0, len(side) - 1, max(2, int(share * len(side))), dtype=int)] for side in sides
        ]
        rows = np.unique(np.concatenate(kept))
        self.taken, self.total = len(rows), total
        return rows


def _at(values: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if values is None else values[rows]


def _measure(request: Mapping[str, Any]) -> dict[str, float]:
    import workbench as wb
    from workbench import registry

    began = time.perf_counter()
    cls = registry.estimator(request["estimator"])
    recipe = registry.recipe(registry.recipe_of(cls))
    data = wb.open(request["store"]).dataset(request["ref"])
    takes_epochs = "n_epochs" in signature(cls).parameters

    def run(n: int, epochs: int) -> tuple[float, _Sample]:
        sample = _Sample(data, n)
        params = dict(request["params"]) | ({"n_epochs": epochs} if takes_epochs else {})
        start = time.perf_counter()
        recipe(cls(**params), sample, Split(), 0, NullReporter())
        return time.perf_counter() - start, sample

    (few, many), (short, long) = ROWS, EPOCHS
    run(few, short)  # what is imported and compiled at first use is no cost of rows
    small, a = run(few, short)
    large, b = run(many, short)
    epoch = 0.0
    if takes_epochs:
        longer, _ = run(many, long)
        epoch = max(longer - large, 0.0) / (long - short)  # of the larger sample
    per_row = max(large - small, 0.0) / max(b.taken - a.taken, 1)
    rest = large + per_row * (b.total - b.taken) - short * epoch * b.total / b.taken
    return {
        "epoch": epoch * b.total / b.taken,
        "rest": max(rest, large - short * epoch, 0.0),
        "n_sample": b.taken,
        "worked": time.perf_counter() - began,
    }


if __name__ == "__main__":
    print(json.dumps(_measure(json.load(sys.stdin))))
