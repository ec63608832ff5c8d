"""Numbers in text files, strictly: Python takes ``1_000`` for a number, no other program does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["real", "reals", "whole"]


def real(text: str) -> float:
    """A number; ValueError where it is none."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def reals(words: Sequence[str]) -> NDArray[np.float64]:
    """The same for many at once."""
    if "_" in "".join(words):
        raise ValueError
    found: NDArray[Any] = np.array(words, dtype=np.float64)
    return found


def whole(text: str) -> int:
    """A whole number that a column can hold; ValueError where it is none."""
    if "_" in text or not -(2**63) <= (value := int(text)) < 2**63:
        raise ValueError(text)
    return value
