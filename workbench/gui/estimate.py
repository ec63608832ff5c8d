"""How long a run will take, judged by the store's own earlier runs, or by a rehearsal on a few rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.runs.rehearsal import Rehearsal

__all__ = ["Estimate", "Past", "estimate", "from_rehearsal"]


@dataclass(frozen=True)
class Past:
    """A finished run: its seconds, and the work it did (epochs times rows of the data set)."""

    seconds: float
    work: float
    dataset: str


@dataclass(frozen=True)
class Estimate:
    """Expected seconds, a range that the earlier runs support, and where it comes from."""

    seconds: float
    low: float
    high: float
    basis: str


def estimate(past: Iterable[Past], *, work: float, dataset: str) -> Estimate | None:
    """Expected time of a run that does `work`, or None where nothing comparable has run.

    Runs on the same data set count alone if there are any: cost does not grow alike with length and number
    of series. Seconds are fitted as ``a + b * work`` with both at least 0 where two different amounts of work
    were seen, else in proportion. The range widens with the distance from what was measured.
    """
    usable = [p for p in past if p.seconds > 0 and p.work > 0]
    same = [p for p in usable if p.dataset == dataset]
    chosen = same or usable
    if not chosen or work <= 0:
        return None
    x, y = np.array([p.work for p in chosen]), np.array([p.seconds for p in chosen])
    expected = float(_line(x, y, work))
    far = max(work / x.max(), x.min() / work, 1.0)
    factor = (1.3 if same else 2.0) * far**0.25
    what = f"{len(chosen)} earlier run{'s' * (len(chosen) != 1)}"
    basis = (
        f"{what} on this data set" if same else f"{what} on other data sets, by number of values and epochs"
    )
    return Estimate(expected, expected / factor, expected * factor, basis)


def from_rehearsal(rehearsal: Rehearsal, n_epochs: int) -> Estimate:
    """Expected time of a run of `n_epochs` by what a few rows have cost."""
    seconds = rehearsal.seconds(n_epochs)
    return Estimate(seconds, seconds / 2, seconds * 2, f"a rehearsal on {rehearsal.n_sample} rows or series")


def _line(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], at: float) -> float:
    if np.ptp(x) > 0:
        from scipy.optimize import nnls

        (offset, slope), _ = nnls(np.column_stack([np.ones_like(x), x / x.max()]), y)
        return offset + slope * at / x.max()
    return float(np.median(y)) * at / float(x[0])
