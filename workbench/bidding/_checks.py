"""One sentence for each kind of bad column, naming the first row at fault."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.errors import DatasetError

__all__ = ["column", "is_number", "no_steps_back"]


def is_number(value: Any) -> bool:
    """Whether the value is one real number, of Python or of NumPy."""
    return isinstance(value, Real)


def column(
    values: ArrayLike,
    name: str,
    *,
    high: float | None = None,
    first_row: int = 1,
    allow_missing: bool = False,
) -> NDArray[np.float64]:
    """`values` as floats that are at least 0 (and at most `high`).

    Raises
    ------
    DatasetError
        Naming the first row (counted from `first_row`) whose value is not a number, missing, infinite or
        out of range.
    """
    try:
        numbers = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array(
            [_number(value, name, i + first_row) for i, value in enumerate(np.asarray(values))]
        )
    if numbers.ndim != 1:
        raise DatasetError(f"The column {name!r} must have one number a row, not shape {numbers.shape}.")
    bad = np.isinf(numbers) if allow_missing else ~np.isfinite(numbers)
    if bad.any():
        row = int(bad.argmax())
        what = "missing" if np.isnan(numbers[row]) else "infinite"
        raise DatasetError(f"Row {row + first_row}: {name} is {what}; it must be a number.")
    bad = numbers < 0
    if bad.any():
        row = int(bad.argmax())
        raise DatasetError(
            f"Row {row + first_row}: {name} is negative ({numbers[row]:g}); it must be at least 0."
        )
    if high is not None and (numbers > high).any():
        row = int((numbers > high).argmax())
        raise DatasetError(
            f"Row {row + first_row}: {name} is {numbers[row]:g}, outside [0, {high:g}]; give a probability."
        )
    return numbers


def no_steps_back(hours: NDArray[np.float64], rows: NDArray[np.intp], what: str = "hour") -> None:
    """Refuse a clock that goes backwards; ``rows[i]`` is the row that entry i of `hours` stands in."""
    back = np.diff(hours) < 0
    if back.any():
        i = int(back.argmax()) + 1
        raise DatasetError(
            f"Row {rows[i]}: the clock goes backwards ({what} {hours[i]:g} after {hours[i - 1]:g}); "
            "sort the log by time."
        )


def _number(value: Any, name: str, row: int) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DatasetError(f"Row {row}: {name} is {value!r}; it must be a number.") from None
