"""The auction in numba: one pass over requests in order, with budgets exact to the auction.

All kernels release the interpreter's lock, so scenarios and seeds run side by side in threads. They
read and write plain arrays only and hold no state; randomness is a hash of (seed, request, slot), so a
result does not depend on threads, on chunks, or on what other auctions drew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "FIRST",
    "GSP",
    "MECHANISMS",
    "VCG",
    "apply_factors",
    "cluster_bids",
    "price_to_win",
    "run_auctions",
    "uniform",
]

GSP, VCG, FIRST = 0, 1, 2
MECHANISMS = {"gsp": GSP, "second": GSP, "vcg": VCG, "first": FIRST}

_jit = njit(cache=True, nogil=True, fastmath=False, error_model="numpy")


@_jit
def uniform(seed: int, a: int, b: int) -> float:
    """A number in [0, 1) that is a fixed function of three integers (splitmix64's finaliser)."""
    x = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(a)
    x = x * np.uint64(0xD1B54A32D192ED03) + np.uint64(b) + np.uint64(0x632BE59BD9B4E019)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.float64(x >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@_jit
def _best(
    scores: NDArray[np.float64], n: int, first: int, top: NDArray[np.float64], at: NDArray[np.uint64]
) -> None:
    """The ``len(top)`` highest of ``scores[:n]`` by insertion, and where they stand into `at`."""
    last = len(top) - 1
    top[:] = 0.0
    for i in range(n):
        s = scores[i]
        if s > top[last]:
            k = last
            while k > 0 and top[k - 1] < s:
                top[k] = top[k - 1]
                at[k] = at[k - 1]
                k -= 1
            top[k] = s
            at[k] = np.uint64(first + i)


@_jit
def best_four(
    scores: NDArray[np.float64],
    bits: NDArray[np.int64],
    keys: NDArray[np.int64],
    n: int,
    first: int,
    top: NDArray[np.float64],
    at: NDArray[np.uint64],
) -> None:
    """The four highest of ``scores[:n]`` into `top`, and where they stand, counted from `first`, into `at`.

    Positive numbers rank as their bits do. So a score's last bits, as many as it takes, are replaced by
    where it stands, and four maxima of whole numbers, which processors take side by side and without a
    branch, give scores and places at once. Where that leaves neighbours among the four equal, `_best`
    decides. (The fourth sets a price only; with a fifth next to it, it may be off by the bits replaced: by
    1e-14 of itself among 60 candidates.)

    Parameters
    ----------
    scores : ndarray
        At least 0; zeros stand for nobody. Of equal scores the one that stands first is the higher.
    bits : ndarray
        ``scores.view(np.int64)``.
    keys : ndarray
        Room for `n` numbers rounded up to a multiple of 16.
    """
    mask = np.int64(15)
    while mask < n:
        mask = 2 * mask + 1
    k0 = k1 = k2 = k3 = np.int64(0)
    if n <= 16:
        # Too few to fill a processor's lanes: one pass in which each number sinks to its place.
        for i in range(n):
            x = ((bits[i] & ~mask) | (mask - i)) if bits[i] > 0 else np.int64(0)
            k0, x = max(k0, x), min(k0, x)
            k1, x = max(k1, x), min(k1, x)
            k2, x = max(k2, x), min(k2, x)
            k3 = max(k3, x)
    else:
        for i in range(n):
            x = bits[i]
            keys[i] = ((x & ~mask) | (mask - i)) if x > 0 else 0
        padded = (n + 15) & ~15
        for i in range(n, padded):
            keys[i] = 0
        for i in range(padded):
            k0 = max(k0, keys[i])
        for i in range(padded):
            x = keys[i]
            k1 = max(k1, x if x < k0 else np.int64(0))
        for i in range(padded):
            x = keys[i]
            k2 = max(k2, x if x < k1 else np.int64(0))
        for i in range(padded):
            x = keys[i]
            k3 = max(k3, x if x < k2 else np.int64(0))
    close = (k0 | mask) == (k1 | mask) or (k1 | mask) == (k2 | mask) or (k2 | mask) == (k3 | mask)
    if close and k1 > 0:
        _best(scores, n, first, top, at)
        return
    i0, i1, i2, i3 = mask - (k0 & mask), mask - (k1 & mask), mask - (k2 & mask), mask - (k3 & mask)
    top[0] = scores[i0] if k0 > 0 else 0.0
    top[1] = scores[i1] if k1 > 0 else 0.0
    top[2] = scores[i2] if k2 > 0 else 0.0
    top[3] = scores[i3] if k3 > 0 else 0.0
    at[0], at[1], at[2], at[3] = first + i0, first + i1, first + i2, first + i3


@_jit
def run_auctions(
    start: int,
    stop: int,
    indptr: NDArray[np.int64],
    merchant: NDArray[np.int32],
    group: NDArray[np.int32],
    bids: NDArray[np.float64],
    pctr: NDArray[np.float64],
    pcvr: NDArray[np.float64],
    ppb: NDArray[np.float64],
    budget: NDArray[np.float64],
    spent: NDArray[np.float64],
    exposure: NDArray[np.float64],
    mechanism: int,
    reserve: float,
    reserve_per_click: bool,
    sampled: bool,
    seed: int,
    count: bool,
    cost: NDArray[np.float64],
    revenue: NDArray[np.float64],
    clicks: NDArray[np.float64],
    wins: NDArray[np.int64],
    entered: NDArray[np.int64],
    welfare: NDArray[np.float64],
) -> None:
    """Run the auctions ``start … stop - 1`` and add what happened to the output arrays.

    Candidates whose merchant still has budget are ranked by pctr × bid; ties go to the one that stands
    first. Slot k is seen (clickable) with probability ``exposure[k]``. A payment may exceed what is left
    of the budget by less than one price; from the next auction on the merchant takes no part.

    Parameters
    ----------
    start, stop : int
        Requests.
    indptr, merchant, group
        The log's layout, the merchant of each candidate, and the consumer group of each request.
    bids, pctr, pcvr, ppb : ndarray, shape (n_candidates,)
        `bids` are per click.
    budget, spent : ndarray, shape (n_merchants,)
        `spent` is updated.
    exposure : ndarray, shape (slots,)
    mechanism : int
        `GSP`, `VCG` or `FIRST`.
    reserve : float
        Lowest price of a click if `reserve_per_click`, else lowest score (money per seen impression).
        Bidders below it are left out before the auction.
    reserve_per_click : bool
    sampled : bool
        Draw clicks and conversions, charge a click only; else book expectations.
    seed : int
    count : bool
        Whether to count every bid made into `entered`.
    cost, revenue, clicks, wins, entered : ndarray, shape (n_merchants, n_groups)
        Outputs, added to.
    welfare : ndarray, shape (2,)
        Added to: expected value of the shown ads to their merchants, and sold slots.
    """
    slots = len(exposure)
    per_click = reserve if reserve_per_click else 0.0
    per_score = 0.0 if reserve_per_click else reserve
    top = np.zeros(max(slots, 3) + 1)
    at = np.zeros(max(slots, 3) + 1, dtype=np.uint64)
    widest = np.max(indptr[start + 1 : stop + 1] - indptr[start:stop]) if stop > start else 0
    scores = np.empty(widest)
    bits, keys = scores.view(np.int64), np.empty(widest + 15, dtype=np.int64)
    shown, sold = 0.0, 0
    live = np.empty(len(budget))
    for b in range(len(budget)):
        live[b] = 1.0 if spent[b] < budget[b] else 0.0
    for r in range(start, stop):
        # Unsigned positions spare numba the test for negative ones.
        first = np.uint64(indptr[r])
        n = indptr[r + 1] - indptr[r]
        g = group[r]
        for i in range(n):
            c = first + np.uint64(i)
            scores[i] = pctr[c] * bids[c] * live[np.uint64(merchant[c])]
        if reserve > 0.0:
            for i in range(n):
                if bids[first + np.uint64(i)] < per_click or scores[i] < per_score:
                    scores[i] = 0.0
        if count:
            for j in range(n):
                c = first + np.uint64(j)
                m = np.uint64(merchant[c])
                if bids[c] > 0.0 and live[m] > 0.0:
                    entered[m, g] += 1
        if slots <= 3:
            best_four(scores, bits, keys, n, indptr[r], top, at)
        else:
            _best(scores, n, indptr[r], top, at)
        for k in range(slots):
            if top[k] <= 0.0:
                break
            c = at[k]
            m = np.uint64(merchant[c])
            seen = exposure[k]
            floor = reserve * pctr[c] if reserve_per_click else reserve
            # Expected payment for the slot, in money per impression.
            if mechanism == GSP:
                price = seen * max(top[k + 1], floor)
            elif mechanism == FIRST:
                price = seen * top[k]
            else:
                price = 0.0
                for t in range(k, slots):
                    step = exposure[t] - (exposure[t + 1] if t + 1 < slots else 0.0)
                    price += step * max(top[t + 1], floor)
            value = seen * pctr[c] * pcvr[c] * ppb[c]
            shown += value
            sold += 1
            wins[m, g] += 1
            if sampled:
                if uniform(seed, r, 2 * k) >= seen * pctr[c]:
                    continue
                price /= seen * pctr[c]
                clicks[m, g] += 1.0
                revenue[m, g] += ppb[c] if uniform(seed, r, 2 * k + 1) < pcvr[c] else 0.0
            else:
                clicks[m, g] += seen * pctr[c]
                revenue[m, g] += value
            cost[m, g] += price
            spent[m] += price
            live[m] = 1.0 if spent[m] < budget[m] else 0.0
    welfare[0] += shown
    welfare[1] += sold


@_jit
def apply_factors(
    start: int,
    stop: int,
    merchant: NDArray[np.int32],
    base: NDArray[np.float64],
    factor: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """``out[c] = base[c] * factor[merchant[c]]`` for the candidates start … stop − 1."""
    for c in range(start, stop):
        out[c] = base[c] * factor[merchant[c]]


@_jit
def cluster_bids(
    start: int,
    stop: int,
    indptr: NDArray[np.int64],
    merchant: NDArray[np.int32],
    group: NDArray[np.int32],
    cluster: NDArray[np.int32],
    base: NDArray[np.float64],
    ratio: NDArray[np.float64],
    action: NDArray[np.float64],
    bid_range: float,
    mode: int,
    out: NDArray[np.float64],
) -> None:
    """Bids of DCMAB for the requests start … stop − 1 (arXiv 1802.09756, section 4.2).

    ``alpha = clip(a_ij · bratio, ±range)`` and ``bid · (1 + alpha)``, where i is the merchant's cluster
    and j the consumer's; `mode` 0 is the paper's formula, 1 clips ``(1 + a_ij) · bratio − 1`` instead,
    2 leaves bratio out.
    """
    for r in range(start, stop):
        j = group[r]
        for c in range(indptr[r], indptr[r + 1]):
            a = action[cluster[merchant[c]], j]
            if mode == 0:
                alpha = a * ratio[c]
            elif mode == 1:
                alpha = (1.0 + a) * ratio[c] - 1.0
            else:
                alpha = a
            out[c] = base[c] * (1.0 + min(max(alpha, -bid_range), bid_range))


def warm_up() -> None:
    """Compile (or load from numba's cache) every kernel, so that the first user does not wait."""
    one = np.ones(1)
    where = np.array([0, 1], dtype=np.int64)
    zero = np.zeros(1, dtype=np.int32)
    sums: list[Any] = [np.zeros((1, 1)) for _ in range(3)]
    counts = [np.zeros((1, 1), dtype=np.int64) for _ in range(2)]
    run_auctions(
        0, 1, where, zero, zero, one, one, one, one, one, one.copy(), one, GSP, 0.0, True, False, 0, False,
        *sums, *counts, np.zeros(2),
    )  # fmt: skip
    apply_factors(0, 1, zero, one, one, one.copy())
    cluster_bids(0, 1, where, zero, zero, zero, one, one, np.zeros((1, 1)), 0.9, 0, one.copy())


@_jit
def price_to_win(
    request: NDArray[np.int32],
    candidate: NDArray[np.int64],
    indptr: NDArray[np.int64],
    bids: NDArray[np.float64],
    pctr: NDArray[np.float64],
    slots: int,
) -> NDArray[np.float64]:
    """The `slots`-th highest score among the others, for each of the given candidates (0 if fewer)."""
    out = np.empty(len(request))
    top = np.zeros(slots)
    for q in range(len(request)):
        top[:] = 0.0
        for c in range(indptr[request[q]], indptr[request[q] + 1]):
            if c == candidate[q]:
                continue
            s = pctr[c] * bids[c]
            k = slots - 1
            if s > top[k]:
                while k > 0 and top[k - 1] < s:
                    top[k] = top[k - 1]
                    k -= 1
                top[k] = s
        out[q] = top[slots - 1]
    return out
