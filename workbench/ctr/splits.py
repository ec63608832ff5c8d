"""Ways to divide a log into parts: by time, by user, at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from workbench.ctr._columns import FieldsError

__all__ = ["split_at_random", "split_by_period", "split_by_time", "split_by_user"]

Rows = NDArray[np.intp]


def split_by_time(time: ArrayLike, shares: Sequence[float] = (0.8, 0.1, 0.1)) -> list[Rows]:
    """Rows in the order of time, the oldest in the first part; rows of one moment stay together.

    Parameters
    ----------
    time : array-like, shape (n,)
        Numbers or timestamps, none missing.
    shares : sequence of float
        Share of each part; they sum to 1.

    Returns
    -------
    list of ndarray
        Row numbers of each part, each in the order of time.
    """
    values = pd.Series(np.asarray(time))
    if values.isna().any():
        raise FieldsError(f"The time of row {int(values.isna().argmax())} is missing.")
    order = np.argsort(values.to_numpy(), kind="stable")
    sorted_ = values.to_numpy()[order]
    cuts = [int(np.searchsorted(sorted_, sorted_[at], side="left")) for at in _cuts(len(order), shares)]
    return _parts(order, cuts, "moments")


def split_by_period(time: ArrayLike, freq: str = "D") -> list[Rows]:
    """Rows of each calendar period that has any, the oldest period first: the days of a log.

    Parameters
    ----------
    time : array-like, shape (n,)
        Timestamps or ISO 8601 texts, none missing; or whole numbers, which count the periods.
    freq : str, default="D"
        Length of a period in pandas' words: "h", "D", "W", "M".

    Returns
    -------
    list of ndarray
        Row numbers of each period, ascending.
    """
    values = pd.Series(np.asarray(time))
    if values.isna().any():
        raise FieldsError(f"The time of row {int(values.isna().argmax())} is missing.")
    if not pd.api.types.is_integer_dtype(values):
        try:
            values = pd.to_datetime(values, format="ISO8601").dt.to_period(freq)
        except (ValueError, TypeError) as error:
            raise FieldsError(f"The times cannot be put into periods of {freq!r}: {error}.") from error
    codes, _ = pd.factorize(values, sort=True)
    return [np.flatnonzero(codes == i) for i in range(int(codes.max()) + 1)]


def split_by_user(
    user: ArrayLike, shares: Sequence[float] = (0.8, 0.1, 0.1), *, random_state: int = 0
) -> list[Rows]:
    """Whole users in one part each, drawn at random; shares are of users. Row numbers ascend."""
    codes, users = pd.factorize(np.asarray(user))
    if (codes < 0).any():
        raise FieldsError(f"The user of row {int((codes < 0).argmax())} is missing.")
    drawn = np.random.default_rng(random_state).permutation(len(users))
    parts = _parts(drawn, _cuts(len(users), shares), "users")
    owner = np.empty(len(users), dtype=np.intp)
    for i, part in enumerate(parts):
        owner[part] = i
    return [np.flatnonzero(owner[codes] == i) for i in range(len(parts))]


def split_at_random(
    n: int, shares: Sequence[float] = (0.8, 0.1, 0.1), *, random_state: int = 0
) -> list[Rows]:
    """Rows drawn at random without replacement. Row numbers ascend."""
    drawn = np.random.default_rng(random_state).permutation(n)
    return [np.sort(part) for part in _parts(drawn, _cuts(n, shares), "rows")]


def _cuts(n: int, shares: Sequence[float]) -> list[int]:
    if n == 0:
        raise FieldsError("There is no row to divide.")
    if any(share <= 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise FieldsError(f"Shares must be above 0 and sum to 1, not {tuple(shares)}.")
    return [min(round(n * share), n - 1) for share in np.cumsum(shares)[:-1]]


def _parts(order: Rows, cuts: list[int], what: str) -> list[Rows]:
    parts = np.split(order, cuts)
    if any(len(part) == 0 for part in parts):
        raise FieldsError(f"There are too few {what} for {len(parts)} parts: a part would be empty.")
    return parts
