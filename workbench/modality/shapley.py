"""Shapley contributions of modalities and the interactions between them.

A game over ``n`` players is an array of values indexed by bit mask along its first axis: entry ``0b101``
is the value of the coalition of players 0 and 2. Further axes (samples, seeds) are carried along, so one
call gives the contribution of every modality to every sample.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MAX_EXACT", "game", "interactions", "sampled_shapley_values", "shapley_values", "weighted_sums"]

#: Up to so many players every coalition is evaluated; 2^8 of them.
MAX_EXACT = 8

Floats = NDArray[np.float64]


def game(value: Callable[[int], ArrayLike], n: int) -> Floats:
    """Evaluate all ``2**n`` coalitions; returns an array of shape (2**n, ...)."""
    return np.stack([np.asarray(value(mask), dtype=np.float64) for mask in range(2**n)])


def weighted_sums(outputs: ArrayLike, n: int) -> Floats:
    """For each player the Shapley-weighted sum of its marginal contributions.

    Parameters
    ----------
    outputs : array-like of shape (2**n, ...)
        A game: `outputs[mask]` is the value of the coalition `mask`.
    n : int
        Number of players.

    Returns
    -------
    ndarray of shape (n, ...)
        ``sum_S |S|! (n-|S|-1)!/n! (v(S + r) - v(S))`` over the coalitions S without r.
    """
    v = np.asarray(outputs, dtype=np.float64)
    if len(v) != 2**n:
        raise ValueError(f"A game of {n} players has {2**n} values, not {len(v)}.")
    weights = [factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)]
    phi = np.zeros((n, *v.shape[1:]))
    for mask in range(2**n):
        for r in range(n):
            if not mask >> r & 1:
                phi[r] += weights[mask.bit_count()] * (v[mask | 1 << r] - v[mask])
    return phi


def shapley_values(values: ArrayLike) -> Floats:
    """Exact Shapley values of a game (Shapley 1953).

    Parameters
    ----------
    values : array-like of shape (2**n, ...)

    Returns
    -------
    ndarray of shape (n, ...)
        Sums over the players to ``values[-1] - values[0]``.
    """
    v = np.asarray(values, dtype=np.float64)
    return weighted_sums(v, _players(v))


def interactions(values: ArrayLike) -> Floats:
    """Pairwise Shapley interaction indices (Grabisch and Roubens 1999).

    Parameters
    ----------
    values : array-like of shape (2**n, ...)

    Returns
    -------
    ndarray of shape (n, n, ...)
        Symmetric with a zero diagonal; positive where two modalities are worth more together than apart
        (synergy), negative where they tell the same (redundancy).
    """
    v = np.asarray(values, dtype=np.float64)
    n = _players(v)
    index = np.zeros((n, n, *v.shape[1:]))
    for mask in range(2**n):
        size = mask.bit_count()
        for r in range(n):
            for s in range(r + 1, n):
                if mask & (1 << r | 1 << s):
                    continue
                weight = factorial(size) * factorial(n - size - 2) / factorial(n - 1)
                joint = v[mask | 1 << r | 1 << s] - v[mask | 1 << r] - v[mask | 1 << s] + v[mask]
                index[r, s] += weight * joint
                index[s, r] = index[r, s]
    return index


def sampled_shapley_values(
    value: Callable[[int], float],
    n: int,
    *,
    n_permutations: int = 2000,
    max_evaluations: int = 5000,
    random_state: int | np.random.Generator | None = None,
) -> Floats:
    """Shapley values from random orders of the players, for many players.

    Every order is used forwards and backwards (antithetic), and a coalition that comes up twice is evaluated
    once. The values still sum to ``v(all) - v(none)`` exactly.

    Parameters
    ----------
    value : callable
        ``value(mask) -> float``.
    n : int
        Number of players.
    n_permutations : int
        Random orders at most, each used in both directions.
    max_evaluations : int
        No further order is begun after so many coalitions.
    random_state : int, numpy Generator or None

    Returns
    -------
    ndarray of shape (n,)
    """
    rng = np.random.default_rng(random_state)
    known: dict[int, float] = {}

    def cached(mask: int) -> float:
        if mask not in known:
            known[mask] = float(value(mask))
        return known[mask]

    phi, used = np.zeros(n), 0
    while used == 0 or (used < n_permutations and len(known) < max_evaluations):
        order = rng.permutation(n).tolist()
        used += 1
        for direction in (order, order[::-1]):
            mask, before = 0, cached(0)
            for player in direction:
                mask |= 1 << player
                after = cached(mask)
                phi[player] += after - before
                before = after
    return phi / (2 * used)


def _players(v: Floats) -> int:
    n = max(len(v), 1).bit_length() - 1
    if len(v) != 2**n or n == 0:
        raise ValueError(f"A game has 2, 4, 8, … values, one for each coalition, not {len(v)}.")
    return n
