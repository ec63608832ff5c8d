"""Rank-and-cut clusters of merchants and of consumers (arXiv 1802.09756, section 4.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rank_and_cut"]


def rank_and_cut(revenue: NDArray[np.float64], presence: NDArray[Any], n_clusters: int) -> NDArray[np.int32]:
    """Sort by revenue and cut into groups of about equal total presence.

    Merchants are cut by how often they are candidates, consumers by their requests, so that every agent
    acts about equally often. Cluster 0 holds the lowest revenues; who earns nothing belongs to it
    too, and stands first.

    Parameters
    ----------
    revenue, presence : ndarray, shape (n,)
    n_clusters : int

    Returns
    -------
    ndarray of int32, shape (n,)
    """
    order = np.argsort(revenue, kind="stable")
    share = presence[order].astype(np.float64)
    total = share.sum()
    if total <= 0:
        return np.zeros(len(revenue), dtype=np.int32)
    middle = (np.cumsum(share) - share / 2) / total
    found = np.empty(len(revenue), dtype=np.int32)
    found[order] = np.minimum(n_clusters - 1, np.floor(n_clusters * middle)).astype(np.int32)
    found[revenue <= 0] = 0
    return found
