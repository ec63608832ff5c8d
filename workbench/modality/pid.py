"""Partial information decomposition of two modalities about a target, without a convex solver.

Liang et al., *Quantifying & Modeling Multimodal Interactions* (NeurIPS 2023, arXiv 2302.12247), after
Bertschinger et al. 2014: among all joint distributions that keep both marginals p(x1, y) and p(x2, y), the
one of highest conditional entropy H(Y | X1, X2) holds no synergy; what the true distribution adds is synergy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PID", "cluster_codes", "contingency", "decompose", "estimate", "mutual_information"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PID:
    """Information about the target, in bits.

    Attributes
    ----------
    redundancy : float
        What either modality tells.
    unique_1, unique_2 : float
        What only that one tells.
    synergy : float
        What only both together tell.
    """

    redundancy: float
    unique_1: float
    unique_2: float
    synergy: float

    @property
    def total(self) -> float:
        """I(X1, X2; Y)."""
        return self.redundancy + self.unique_1 + self.unique_2 + self.synergy


def mutual_information(table: ArrayLike) -> float:
    """Mutual information in bits of a joint distribution of shape (a, b)."""
    p = np.asarray(table, dtype=np.float64)
    product = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    seen = p > 0
    return float((p[seen] * np.log2(p[seen] / product[seen])).sum())


def decompose(p: ArrayLike, *, tol: float = 1e-7, max_iter: int = 500) -> PID:
    """Decompose the information that a discrete joint distribution p(x1, x2, y) holds about y.

    The maximum-entropy member of the family with p's marginals is found by mirror ascent: a multiplicative
    step along the gradient -log q(y | x1, x2), lengthened while it helps, then Sinkhorn scaling back to the
    marginals.

    Parameters
    ----------
    p : array-like of shape (k1, k2, K)
        Non-negative; normalised here.
    tol : float
        Bits. Ends when the entropy rises by less, three steps running.
    max_iter : int

    Returns
    -------
    PID
    """
    joint = np.asarray(p, dtype=np.float64)
    joint = joint / joint.sum()
    rows, columns, labels = joint.sum(1), joint.sum(0), joint.sum((0, 1))  # p(x1, y), p(x2, y), p(y)
    q = rows[:, None, :] * columns[None, :, :] / np.where(labels > 0, labels, 1)
    entropy, step, small = _conditional_entropy(q), 1.0, 0
    for _ in range(max_iter):
        proposal = _sinkhorn(q * _ascent(q, step), rows, columns)
        gain = _conditional_entropy(proposal) - entropy
        if gain < 0 and step > 1:
            step = max(step / 4, 1.0)
            continue
        q, entropy = proposal, entropy + gain
        small = small + 1 if abs(gain) < tol else 0
        if small == 3:
            break
        # Near the border of the family the gradient flattens; longer steps keep the pace.
        step = min(step * 1.5, 1e4)
    i1, i2 = mutual_information(rows), mutual_information(columns)
    both_p = mutual_information(joint.reshape(-1, joint.shape[2]))
    # q* tells at least what the better modality tells, and at most what p does; the rest is rounding.
    both_q = min(max(mutual_information(q.reshape(-1, q.shape[2])), i1, i2), both_p)
    return PID(max(i1 + i2 - both_q, 0.0), both_q - i2, both_q - i1, both_p - both_q)


def estimate(
    codes_1: ArrayLike,
    codes_2: ArrayLike,
    labels: ArrayLike,
    *,
    n_permutations: int = 5,
    random_state: int | np.random.Generator | None = None,
) -> tuple[PID, PID]:
    """The decomposition of a sample of codes, and what chance alone would show.

    A finite sample inflates information. The second result is the mean decomposition under permuted labels;
    subtract it.

    Parameters
    ----------
    codes_1, codes_2 : array-like of int, shape (n,)
        Cluster of each row in each modality, from 0; see `cluster_codes`.
    labels : array-like of int, shape (n,)
    n_permutations : int
    random_state : int, numpy Generator or None

    Returns
    -------
    observed, by_chance : PID
    """
    rng = np.random.default_rng(random_state)
    y = np.asarray(labels)
    found = decompose(contingency(codes_1, codes_2, y))
    chance = [decompose(contingency(codes_1, codes_2, rng.permutation(y))) for _ in range(n_permutations)]
    if not chance:
        return found, PID(0.0, 0.0, 0.0, 0.0)
    means = {name: float(np.mean([getattr(c, name) for c in chance])) for name in PID.__dataclass_fields__}
    return found, PID(**means)


def contingency(codes_1: ArrayLike, codes_2: ArrayLike, labels: ArrayLike) -> Floats:
    """Counts of shape (k1, k2, K) of three vectors of codes from 0."""
    a, b, y = (np.asarray(v, dtype=np.intp) for v in (codes_1, codes_2, labels))
    table = np.zeros((a.max() + 1, b.max() + 1, y.max() + 1))
    np.add.at(table, (a, b, y), 1.0)
    return table


def cluster_codes(X: Floats, *, max_clusters: int = 20, random_state: int = 0) -> NDArray[np.intp]:
    """Cluster the rows of one modality, as few clusters as the sample can bear: ``sqrt(n / 50)``.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Standardised, without NaN.
    max_clusters : int
    random_state : int

    Returns
    -------
    ndarray of int, shape (n,)
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    distinct = np.unique(X, axis=0)
    k = int(min(max(2, np.sqrt(len(X) / 50)), max_clusters, len(distinct)))
    if len(distinct) <= k:
        return np.unique(X, axis=0, return_inverse=True)[1].ravel()
    if X.shape[1] > 10:
        X = PCA(min(10, *X.shape), random_state=random_state).fit_transform(X)
    return KMeans(k, n_init=4, random_state=random_state).fit_predict(X).astype(np.intp)


def _inverse_conditional(q: Floats) -> Floats:
    total = q.sum(2, keepdims=True)
    return np.divide(total, q, out=np.ones_like(q), where=q > 0)


def _ascent(q: Floats, step: float) -> Floats:
    """The multiplicative step; only ratios within one y count, so the largest factor is 1."""
    gradient = np.log(_inverse_conditional(q))
    return np.exp(np.maximum(step * (gradient - gradient.max((0, 1))), -30.0))


def _conditional_entropy(q: Floats) -> float:
    seen = q > 0
    return float((q[seen] * np.log2(_inverse_conditional(q)[seen])).sum())


def _sinkhorn(q: Floats, rows: Floats, columns: Floats, sweeps: int = 60) -> Floats:
    """Scale q(x1, x2 | y) to the marginals p(x1, y) and p(x2, y)."""
    for _ in range(sweeps):
        total = q.sum(1)
        q = q * np.divide(rows, total, out=np.zeros_like(total), where=total > 0)[:, None, :]
        total = q.sum(0)
        q = q * np.divide(columns, total, out=np.zeros_like(total), where=total > 0)[None, :, :]
        if np.abs(q.sum(1) - rows).max() < 1e-10:
            break
    return q
