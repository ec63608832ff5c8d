"""Kernels of the row-wise optimizers: sum the gradients of each touched row, then step those rows only.

Rows are divided between the parts by their number, so the parts write to different rows, the sums run in
the order of the batch, and the result does not depend on which thread is first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["step_adagrad", "step_adam", "step_lion", "step_sgd", "sum_more", "sum_rows"]

_jit = njit(cache=True, nogil=True, error_model="numpy")
Array = NDArray[Any]


@_jit
def sum_rows(index: Array, values: Array, slot: Array, rows: Array, sums: Array, mask: int, part: int) -> int:
    """Sum `values` by row into ``sums[:n]`` and name the rows in ``rows[:n]``; returns n.

    `slot` holds for every row of the table where it was last put; it is never cleared, since an entry
    counts only where ``rows`` confirms it.
    """
    n = 0
    width = values.shape[1]
    for k in range(index.shape[0]):
        row = index[k]
        if (row & mask) != part:
            continue
        s = slot[row]
        if s < n and rows[s] == row:
            for j in range(width):
                sums[s, j] += values[k, j]
        else:
            rows[n] = row
            slot[row] = n
            for j in range(width):
                sums[n, j] = values[k, j]
            n += 1
    return n


@_jit
def sum_more(index: Array, values: Array, slot: Array, sums: Array, n: int, mask: int, part: int) -> None:
    """Sum further `values` of the same rows into ``sums[:n]``, right after `sum_rows` has filled `slot`."""
    width = values.shape[1]
    sums[:n] = 0
    for k in range(index.shape[0]):
        row = index[k]
        if (row & mask) == part:
            s = slot[row]
            for j in range(width):
                sums[s, j] += values[k, j]


@_jit
def step_adam(
    table: Array,
    first: Array,
    second: Array,
    rows: Array,
    sums: Array,
    n: int,
    decay: Array,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    root2: float,
) -> None:
    """Adam on the rows named; `rate` is the learning rate over 1 - beta1^t, `root2` sqrt(1 - beta2^t)."""
    width = table.shape[1]
    one = decay.shape[0] == 1
    for s in range(n):
        row = rows[s]
        pull = decay[0] if one else decay[row]
        for j in range(width):
            g = sums[s, j] + pull * table[row, j]
            m = first[row, j] + (g - first[row, j]) * np.float32(1.0 - beta1)
            v = second[row, j] * np.float32(beta2) + g * g * np.float32(1.0 - beta2)
            first[row, j] = m
            second[row, j] = v
            table[row, j] -= np.float32(rate) * m / (np.sqrt(v) / np.float32(root2) + np.float32(eps))


@_jit
def step_adagrad(
    table: Array, total: Array, rows: Array, sums: Array, n: int, decay: Array, rate: float, eps: float
) -> None:
    """Adagrad on the rows named."""
    width = table.shape[1]
    one = decay.shape[0] == 1
    for s in range(n):
        row = rows[s]
        pull = decay[0] if one else decay[row]
        for j in range(width):
            g = sums[s, j] + pull * table[row, j]
            total[row, j] += g * g
            table[row, j] -= np.float32(rate) * g / (np.sqrt(total[row, j]) + np.float32(eps))


@_jit
def step_sgd(table: Array, rows: Array, sums: Array, n: int, decay: Array, rate: float) -> None:
    """Gradient descent on the rows named."""
    width = table.shape[1]
    one = decay.shape[0] == 1
    for s in range(n):
        row = rows[s]
        pull = decay[0] if one else decay[row]
        for j in range(width):
            table[row, j] -= np.float32(rate) * (sums[s, j] + pull * table[row, j])


@_jit
def step_lion(
    table: Array,
    momentum: Array,
    rows: Array,
    sums: Array,
    n: int,
    decay: Array,
    rate: float,
    beta1: float,
    beta2: float,
) -> None:
    """Lion on the rows named; the decay is decoupled."""
    width = table.shape[1]
    one = decay.shape[0] == 1
    for s in range(n):
        row = rows[s]
        pull = decay[0] if one else decay[row]
        for j in range(width):
            g, m = sums[s, j], momentum[row, j]
            direction = np.sign(np.float32(beta1) * m + np.float32(1.0 - beta1) * g)
            table[row, j] -= np.float32(rate) * (direction + pull * table[row, j])
            momentum[row, j] = np.float32(beta2) * m + np.float32(1.0 - beta2) * g
