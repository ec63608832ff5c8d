"""Bid formulas, as pure functions of arrays, each with its source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "action_factor",
    "linear",
    "mirror_step",
    "mpid",
    "ocpc_bounds",
    "ortb1",
    "ortb2",
    "pacing_step",
    "pid_signal",
    "return_on_spend",
    "uscb",
]

Array = NDArray[np.float64]


def linear(pctr: ArrayLike, base_bid: float, mean_pctr: float) -> Array:
    """``b0 · pctr / mean pctr`` (Perlich et al., KDD 2012)."""
    return np.asarray(pctr, dtype=np.float64) * base_bid / mean_pctr


def ortb1(value: ArrayLike, c: float, lam: ArrayLike) -> Array:
    """Optimal bid for the win curve ``b / (c + b)`` (Zhang, Yuan, Wang, KDD 2014, eq. 11)."""
    theta, dual = np.asarray(value, dtype=np.float64), np.asarray(lam, dtype=np.float64)
    return np.sqrt(c * theta / dual + c**2) - c


def ortb2(value: ArrayLike, c: float, lam: ArrayLike) -> Array:
    """Optimal bid for the win curve ``b² / (c² + b²)`` (Zhang, Yuan, Wang, KDD 2014, eq. 14)."""
    theta, lam = np.asarray(value, dtype=np.float64), np.asarray(lam, dtype=np.float64)
    # Scaled by the first bid's magnitude: at theta = 0 both terms are 1 and the bid is 0.
    ratio = (theta + np.sqrt((c * lam) ** 2 + theta**2)) / (c * lam)
    return c * (np.cbrt(ratio) - np.cbrt(1.0 / ratio))


def pid_signal(
    error: ArrayLike,
    total: ArrayLike,
    change: ArrayLike,
    p: float,
    i: float,
    d: float,
    low: ArrayLike,
    high: ArrayLike,
) -> Array:
    """Control signal ``clip(p·e + i·Σe + d·Δe)``; the bid is multiplied by its exponential.

    Zhang, Rong, Wang, Zhu, Wang, "Feedback control of real-time display advertising", WSDM 2016, eq. 7.
    """
    signal = p * np.asarray(error) + i * np.asarray(total) + d * np.asarray(change)
    return np.clip(signal, np.asarray(low), np.asarray(high))


def pacing_step(mu: ArrayLike, step: float, rate: ArrayLike, paid: ArrayLike, top: float) -> Array:
    """Adaptive pacing's dual step ``clip(mu − step·(rate − paid), 0, top)``; bid ``value / (1 + mu)``.

    Balseiro, Gur, "Learning in repeated auctions with budgets", Management Science 2019, algorithm 1.
    """
    return np.clip(np.asarray(mu) - step * (np.asarray(rate) - np.asarray(paid)), 0.0, top)


def mirror_step(mu: ArrayLike, step: float, rate: ArrayLike, paid: ArrayLike) -> Array:
    """Dual mirror descent with negative entropy: ``mu · exp(−step·(rate − paid))``; bid ``value / mu``.

    Balseiro, Lu, Mirrokni, "Dual mirror descent for online allocation problems", ICML 2020.
    """
    return np.asarray(mu) * np.exp(-step * (np.asarray(rate) - np.asarray(paid)))


def return_on_spend(value: ArrayLike, mu: ArrayLike, lam: ArrayLike) -> Array:
    """Bid under a budget and a return target: ``(1 + lam) / (mu + lam) · value``.

    Feng, Padmanabhan, Wang, "Online bidding algorithms for return-on-spend constrained advertisers", 2022.
    """
    mu, lam = np.asarray(mu, dtype=np.float64), np.asarray(lam, dtype=np.float64)
    return (1.0 + lam) / (mu + lam) * np.asarray(value, dtype=np.float64)


def mpid(ctr: ArrayLike, cvr: ArrayLike, p: float, q: float, cpc: float) -> Array:
    """Optimal bid under a budget and a limit on the cost of a click (Yang et al., KDD 2019, eq. 6).

    ``ctr · (cvr / (p + q) + q · cpc / (p + q))`` with the duals `p` of the budget and `q` of the limit.
    """
    ctr, cvr = np.asarray(ctr, dtype=np.float64), np.asarray(cvr, dtype=np.float64)
    return ctr * (cvr / (p + q) + q * cpc / (p + q))


def uscb(
    value: ArrayLike,
    weight: ArrayLike,
    constraints: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike, float, bool]] = (),
) -> Array:
    """Unified bid ``w0·v − Σ_j w_j·(q_j·(1 − 1[cost_j]) − k_j·p_j)`` (He et al., KDD 2021, eq. 5).

    Parameters
    ----------
    value : array-like
    weight : array-like
        w0.
    constraints : sequence of (w, q, p, k, cost_related)

    Returns
    -------
    ndarray
        The bids, of the shape that the arguments broadcast to.
    """
    bid = np.asarray(weight, dtype=np.float64) * np.asarray(value, dtype=np.float64)
    for w, q, p, k, cost_related in constraints:
        bid = bid - np.asarray(w) * (np.asarray(q) * (0.0 if cost_related else 1.0) - k * np.asarray(p))
    return bid


def ocpc_bounds(bid: ArrayLike, ratio: ArrayLike, threshold: float = 0.4) -> tuple[Array, Array]:
    """Range of bids that does not lower the return of a click (Zhu et al., KDD 2017, eq. 3).

    `ratio` is pcvr over its expectation. Below 1 the bid may fall to ``b·(1 − threshold)``, from 1 on it
    may rise to ``b·min(1 + threshold, ratio)``.
    """
    bid, ratio = np.asarray(bid, dtype=np.float64), np.asarray(ratio, dtype=np.float64)
    low = np.where(ratio < 1, bid * (1 - threshold), bid)
    high = np.where(ratio < 1, bid, bid * np.minimum(1 + threshold, ratio))
    return low, high


def action_factor(action: ArrayLike, ratio: ArrayLike, bid_range: float, mode: str = "paper") -> Array:
    """DCMAB's factor on a bid, ``1 + clip(a · bratio)`` (arXiv 1802.09756, eqs. 4 and 5).

    `mode` ``"multiplier"`` is ours: ``1 + clip((1 + a) · bratio − 1)``, under which a request that
    converts better never gets a lower bid; ``"none"`` leaves bratio out.
    """
    a, ratio = np.asarray(action, dtype=np.float64), np.asarray(ratio, dtype=np.float64)
    alpha = {"paper": a * ratio, "multiplier": (1 + a) * ratio - 1, "none": a + 0 * ratio}[mode]
    return 1.0 + np.clip(alpha, -bid_range, bid_range)
