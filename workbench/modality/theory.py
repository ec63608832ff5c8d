"""Modality competition where the truth is known: the theory's data, its network, and its prediction.

Huang et al., *Modality Competition* (ICML 2022, arXiv 2203.12221): two modalities, each with one feature
direction a class; a sample's modality is *sufficient* (its class's feature is strong) or, with probability
``mu``, not. Joint training of a network with a smoothed ReLU learns each class from one modality alone, the
one that was ahead at the start, although each network trained alone learns its modality.

The theory is asymptotic in the number of classes K. At K = 10 a network trained alone errs a little less than
``mu``: where no other class's feature is active either, which happens with probability ``(1 - 2/K)^(K-1)``, a
faint one or the noise decides, and may be right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Experiment", "Sparse", "experiment", "sample", "smoothed_relu"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sparse:
    """A sample of the theory's distribution.

    Attributes
    ----------
    X : tuple of two ndarrays of shape (n, d)
    y : ndarray of int, shape (n,)
    z : ndarray of shape (2, n, K)
        Strength of every class's feature in each modality.
    sufficient : ndarray of bool, shape (2, n)
    """

    X: tuple[Floats, Floats]
    y: NDArray[np.intp]
    z: NDArray[np.float64]
    sufficient: NDArray[np.bool_]


@dataclass(frozen=True)
class Experiment:
    """What the theory speaks of, measured.

    Attributes
    ----------
    alone_error : ndarray of shape (2,)
        Test error of the networks trained on one modality.
    insufficient : ndarray of shape (2,)
        Share of the test rows in which each modality is insufficient: `test_mu`, as it was drawn.
    joint_error, joint_train_accuracy : float
    ensemble_error : float
        Of the sum of the two networks trained alone.
    won : ndarray of int, shape (K,)
        The modality from which the joint network learned each class.
    predicted : ndarray of int, shape (K,)
        The modality that was ahead at the start.
    mixture : float
        ``sum_r p_(3-r) mu_r``, the error that the theory predicts.
    kept : float
        Median over classes of the loser's alignment with its feature over the winner's.
    """

    alone_error: NDArray[np.float64]
    insufficient: NDArray[np.float64]
    joint_error: float
    joint_train_accuracy: float
    ensemble_error: float
    won: NDArray[np.intp]
    predicted: NDArray[np.intp]
    mixture: float
    kept: float


def smoothed_relu(x: Floats, q: int, beta: float) -> tuple[Floats, Floats]:
    """The activation and its slope: ``x^q / (q β^(q-1))`` up to β, then ``x - (1 - 1/q) β``."""
    positive = np.maximum(x, 0)
    curved = np.minimum(positive, beta)
    slope = (curved / beta) ** (q - 1)
    return curved * slope / q + positive - curved, slope


def sample(
    n: int,
    features: tuple[Floats, Floats],
    mu: tuple[float, float],
    rng: np.random.Generator,
) -> Sparse:
    """Draw rows of the sparse-coding model; both modalities are never insufficient at once."""
    n_classes = features[0].shape[1]
    y = rng.integers(n_classes, size=n)
    draw = rng.random(n)
    insufficient = np.stack([draw < mu[0], (draw >= mu[0]) & (draw < mu[0] + mu[1])])
    z = rng.uniform(0, 0.4, (2, n, n_classes)) * (rng.random((2, n, n_classes)) < 2 / n_classes)
    own = np.where(insufficient, rng.uniform(0, 0.05, (2, n)), rng.uniform(1, 1.5, (2, n)))
    z[:, np.arange(n), y] = own
    X = tuple(
        (z[r] @ M.T + rng.normal(0, M.shape[0] ** -0.5, (n, M.shape[0]))).astype(np.float32)
        for r, M in enumerate(features)
    )
    return Sparse((X[0], X[1]), y, z, ~insufficient)


def experiment(
    seed: int,
    *,
    n_classes: int = 10,
    dimension: int = 1000,
    n_train: int = 1000,
    n_test: int = 5000,
    train_mu: tuple[float, float] = (0.01, 0.01),
    test_mu: tuple[float, float] = (0.10, 0.30),
    width: int = 5,
    q: int = 3,
    beta: float = 0.3,
    init_scale: float = 3e-4,
    learning_rate: float = 20.0,
    n_steps: int = 800,
) -> Experiment:
    """Train the two uni-modal networks and the joint one by gradient descent, and compare with the theory.

    Parameters
    ----------
    seed : int
    n_classes, dimension, n_train, n_test : int
    train_mu, test_mu : tuple of float
        Probability of an insufficient sample in each modality; the theory is about rare ones in training.
    width : int
        Neurons a class and modality.
    q : int
        Power of the smoothed ReLU; the larger, the sharper the competition.
    beta : float
        Where it turns straight.
    init_scale : float
        Standard deviation of the first weights. A large one (0.01) lets both modalities be learned.
    learning_rate : float
    n_steps : int

    Returns
    -------
    Experiment
    """
    rng = np.random.default_rng(seed)
    features = tuple(
        np.linalg.qr(rng.normal(size=(dimension, n_classes)))[0].astype(np.float32) for _ in range(2)
    )
    pair = (features[0], features[1])
    train, test = sample(n_train, pair, train_mu, rng), sample(n_test, pair, test_mu, rng)
    start = [
        (init_scale * rng.normal(size=(n_classes * width, dimension))).astype(np.float32) for _ in range(2)
    ]
    settings = (q, beta, learning_rate, n_steps)
    alone = [_descend([train.X[r]], train.y, [start[r]], n_classes, *settings)[0] for r in range(2)]
    joint = _descend(list(train.X), train.y, start, n_classes, *settings)

    def logits(weights: list[Floats], rows: Sparse, modalities: tuple[int, ...]) -> Floats:
        parts = [_logits(rows.X[r], weights[r], n_classes, q, beta)[0] for r in modalities]
        return np.sum(parts, axis=0)

    def error(scores: Floats, rows: Sparse) -> float:
        return float((scores.argmax(1) != rows.y).mean())

    strength = _alignment(joint, pair, n_classes)
    both = train.sufficient.all(0)
    marginal = np.stack(
        [
            [np.mean((train.y[both] == j) * train.z[r][both, j] ** q) for j in range(n_classes)]
            for r in range(2)
        ]
    )
    ahead = _alignment(start, pair, n_classes) * marginal ** (1 / (q - 2))
    won = strength.argmax(0)
    lose = np.array([(won == 1).mean(), (won == 0).mean()])  # how often each modality loses
    return Experiment(
        np.array([error(logits(alone, test, (r,)), test) for r in range(2)]),
        1 - test.sufficient.mean(1),
        error(logits(joint, test, (0, 1)), test),
        1 - error(logits(joint, train, (0, 1)), train),
        error(logits(alone, test, (0, 1)), test),
        won,
        ahead.argmax(0),
        float((lose[::-1] * np.array(test_mu)).sum()),
        float(np.median(strength.min(0) / strength.max(0))),
    )


def _logits(X: Floats, weights: Floats, n_classes: int, q: int, beta: float) -> tuple[Floats, Floats]:
    value, slope = smoothed_relu(X @ weights.T, q, beta)
    return value.reshape(len(X), n_classes, -1).sum(2), slope


def _descend(
    X: list[Floats],
    y: NDArray[np.intp],
    start: list[Floats],
    n_classes: int,
    q: int,
    beta: float,
    learning_rate: float,
    n_steps: int,
) -> list[Floats]:
    """Full-batch gradient descent on the cross-entropy."""
    weights = [w.copy() for w in start]
    width = len(start[0]) // n_classes
    truth = np.eye(n_classes, dtype=np.float32)[y]
    for _ in range(n_steps):
        parts = [_logits(x, w, n_classes, q, beta) for x, w in zip(X, weights, strict=True)]
        f = np.sum([logits for logits, _ in parts], axis=0)
        p = np.exp(f - f.max(1, keepdims=True))
        residual = np.repeat((p / p.sum(1, keepdims=True) - truth) / len(y), width, axis=1)
        for x, w, (_, slope) in zip(X, weights, parts, strict=True):
            w -= learning_rate * (residual * slope).T @ x
    return weights


def _alignment(weights: list[Floats], features: tuple[Floats, Floats], n_classes: int) -> NDArray[np.float64]:
    """``Γ_(j,r) = max_l [<w_(j,l,r), M^r_j>]_+``, shape (2, K)."""
    found = []
    for w, M in zip(weights, features, strict=True):
        dots = (w @ M).reshape(n_classes, -1, n_classes)
        found.append(np.maximum([dots[j, :, j].max() for j in range(n_classes)], 0))
    return np.asarray(found, dtype=np.float64)
