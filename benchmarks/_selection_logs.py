"""A click log with known effects: 26 categorical fields of three sizes, 13 numbers, and no two alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workbench.ctr import FieldEncoder

__all__ = ["CATEGORIES", "NUMBERS", "SIZES", "Log", "encoder", "log", "strengths", "table", "write"]

#: Values of each categorical field.
SIZES = (*[100_000] * 6, *[10_000] * 10, *[500] * 10)
CATEGORIES = tuple(f"C{i + 1}" for i in range(len(SIZES)))
NUMBERS = tuple(f"N{i + 1}" for i in range(13))


@dataclass(frozen=True)
class Log:
    """Rows as arrays: codes (n, 26), numbers (n, 13), clicks (n,)."""

    codes: NDArray[np.int32]
    numbers: NDArray[np.float32]
    click: NDArray[np.int8]


def strengths() -> dict[str, float]:
    """Standard deviation of each field's part of the log odds, from 0.5 down to 0.002."""
    n = len(CATEGORIES) + len(NUMBERS)
    order = np.random.default_rng(7).permutation(n)
    values = 0.5 * 0.865 ** np.arange(n)
    return dict(zip((*CATEGORIES, *NUMBERS), values[order].tolist(), strict=True))


def log(n: int, seed: int) -> Log:
    """Draw rows; the effects are the same for every seed.

    Values are skewed: the first tenth of a field's values holds half of its rows. Each field adds its own
    effect, and the two strongest categories have a joint one.
    """
    rng, effects = np.random.default_rng(seed), np.random.default_rng(11)
    strength = strengths()
    codes = np.empty((n, len(SIZES)), dtype=np.int32)
    numbers = rng.standard_normal((n, len(NUMBERS)), dtype=np.float32)
    odds = np.full(n, -1.2)
    for i, size in enumerate(SIZES):
        codes[:, i] = size * rng.random(n) ** 3.3
        odds += strength[CATEGORIES[i]] * effects.standard_normal(size)[codes[:, i]]
    for i, name in enumerate(NUMBERS):
        odds += strength[name] * numbers[:, i]
    first, second = sorted(range(len(SIZES)), key=lambda i: -strength[CATEGORIES[i]])[:2]
    odds += 0.4 * np.where((codes[:, first] + codes[:, second]) % 2, 1.0, -1.0)
    click = rng.random(n) < 1 / (1 + np.exp(-odds))
    return Log(codes, numbers, click.astype(np.int8))


def table(rows: Log) -> pa.Table:
    """The rows as a table, with the label `click`."""
    columns = {name: rows.codes[:, i].astype(np.int64) for i, name in enumerate(CATEGORIES)}
    columns |= {name: rows.numbers[:, i] for i, name in enumerate(NUMBERS)}
    return pa.table({**columns, "click": rows.click})


def encoder() -> FieldEncoder:
    """Reads the integers as categories."""
    return FieldEncoder(kinds=dict.fromkeys(CATEGORIES, "categorical"), numeric="standard")


def write(folder: Path, megabytes: float, n: int = 250_000) -> int:
    """Write Parquet files, as plain as Parquet can be, until they take so many megabytes; how many rows."""
    size = count = 0
    while size < megabytes * 1e6:
        path = folder / f"{count:05d}.parquet"
        pq.write_table(table(log(n, seed=count)), path, compression="none", use_dictionary=False)
        size, count = size + path.stat().st_size, count + 1
    return n * count
