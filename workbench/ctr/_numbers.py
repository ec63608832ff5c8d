"""Scales of numeric columns, learned over batches: moments of both scales, quantiles, bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NumbersBuilder", "scaled"]

#: Values from which quantiles are taken: at least so many of a longer column, and less than twice as many.
_SAMPLE = 1 << 17


class NumbersBuilder:
    """What is seen of a numeric column: moments of both scales, and a sample for quantiles."""

    def __init__(self) -> None:
        self.n = 0
        self.sums = np.zeros((2, 2))
        self.sample: list[NDArray[np.float64]] = []
        self.step = 1  # every `step`-th value is in the sample
        self.shift: float | None = None

    def add(self, values: NDArray[np.float64]) -> None:
        """Take in the values of a batch, NaN where missing."""
        values = values[~np.isnan(values)]
        if len(values) == 0:
            return
        if self.shift is None:
            self.shift = float(values[0])  # keeps the sum of squares of large numbers exact
        # Evenly over all batches, so that the sample is that of the column as one batch.
        self.sample.append(values[-self.n % self.step :: self.step].copy())
        self.n += len(values)
        while sum(map(len, self.sample)) >= 2 * _SAMPLE:
            self.sample, self.step = [np.concatenate(self.sample)[::2].copy()], 2 * self.step
        logs = np.sign(values) * np.log1p(np.abs(values))
        for i, part in enumerate((values - self.shift, logs)):
            self.sums[i] += part.sum(), (part**2).sum()

    def learn(self, numeric: str, n_bins: int) -> dict[str, Any]:
        """What `scaled` needs to know."""
        sample = np.sort(np.concatenate(self.sample)) if self.sample else np.zeros(1)
        if numeric == "bins":
            edges = np.unique(np.quantile(sample, np.linspace(0, 1, n_bins + 1)[1:-1]))
            return {"edges": edges}
        if numeric == "quantile":
            quantiles = np.quantile(sample, np.linspace(0, 1, min(len(sample), 1001)))
            placed = ranks(sample, quantiles.astype(np.float64))
            return {
                "quantiles": quantiles,
                "mean": float(placed.mean()),
                "scale": _scale(float(placed.std())),
            }
        total, squares = self.sums[0 if numeric == "standard" else 1]
        n = max(self.n, 1)
        mean = total / n
        spread = np.sqrt(max(squares / n - mean**2, 0.0))
        if numeric == "standard":
            mean += self.shift or 0.0
        return {"mean": float(mean), "scale": _scale(float(spread))}


def ranks(values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the quantiles below each value, ties at their middle; NaN stays."""
    low, high = (np.searchsorted(quantiles, values, side=side) for side in ("left", "right"))
    found: NDArray[np.float64] = (low + high) / (2.0 * len(quantiles))
    found[np.isnan(values)] = np.nan
    return found


def _scale(spread: float) -> float:
    return spread if spread > 1e-9 else 1.0


def scaled(values: NDArray[np.float64], numeric: str, learned: dict[str, Any]) -> NDArray[np.float64]:
    """Numbers on the scale that was learned; NaN stays."""
    if numeric == "quantile":
        values = ranks(values, learned["quantiles"])
    elif numeric == "log":
        values = np.sign(values) * np.log1p(np.abs(values))
    centred: NDArray[np.float64] = (values - learned["mean"]) / learned["scale"]
    return centred
