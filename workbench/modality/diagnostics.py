"""Numbers about a joint training: who learned what, and what combining could still gain.

Pure functions of scores and losses; every symbol is explained where it stands.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Bootstrap",
    "Loss",
    "blending_weights",
    "conditional_utilisation",
    "ensemble_weights",
    "judge_encoders",
    "overfitting_to_generalisation",
    "permutation_p_value",
    "retention",
]

Floats = NDArray[np.float64]

#: A modality has lost when its encoder is worse by more than this, and by more than two standard errors.
LEAST_LOSS = 0.02


class Loss(NamedTuple):
    """What became of each modality's encoder in joint training.

    Attributes
    ----------
    delta : ndarray of shape (n,)
        Score of the probe of the encoder trained alone, minus that of the jointly trained one.
    threshold : ndarray of shape (n,)
        From where on `delta` counts as a loss.
    lost : ndarray of bool, shape (n,)
    winner : int or None
        The modality that lost least, where another one lost.
    """

    delta: Floats
    threshold: Floats
    lost: NDArray[np.bool_]
    winner: int | None


def retention(
    joint_probe: ArrayLike, alone_probe: ArrayLike, chance: float, error: ArrayLike = 0.0
) -> Floats:
    """Share of an encoder's knowledge that joint training kept, ``(joint - chance) / (alone - chance)``.

    NaN where the encoder trained alone knows nothing: where its probe is not above chance by more than two
    standard errors, `error` being those of `alone_probe`.
    """
    joint, alone = np.asarray(joint_probe, float) - chance, np.asarray(alone_probe, float) - chance
    knows = alone > np.maximum(2 * np.asarray(error, float), 1e-12)
    return np.divide(joint, alone, out=np.full(np.broadcast(joint, alone).shape, np.nan), where=knows)


def judge_encoders(
    alone_probe: ArrayLike, joint_probe: ArrayLike, error: ArrayLike, knows: ArrayLike = True
) -> Loss:
    """Winner and losers of a joint training.

    Parameters
    ----------
    alone_probe, joint_probe : array-like of shape (n,)
        Probe scores of the encoders trained alone and jointly.
    error : array-like of shape (n,)
        Standard errors of their differences.
    knows : array-like of bool, shape (n,)
        Whether the encoder trained alone knows anything: what knows nothing loses nothing.

    Returns
    -------
    Loss
    """
    delta = np.asarray(alone_probe, float) - np.asarray(joint_probe, float)
    threshold = np.maximum(LEAST_LOSS, 2 * np.asarray(error, float))
    lost = (delta > threshold) & np.asarray(knows, dtype=bool)
    # If everyone lost alike nobody won: joint training as a whole is worse.
    winner = int(np.argmin(delta)) if lost.any() and not lost.all() else None
    return Loss(delta, threshold, lost, winner)


def conditional_utilisation(v: ArrayLike) -> Floats:
    """How much each modality is used given the others, ``u(r | s) = (A(rs) - A(s)) / A(rs)``.

    Wu et al., ICML 2022 (arXiv 2202.05306), for late fusion: the absent modality is muted.

    Parameters
    ----------
    v : array-like of shape (2**n,)
        Scores by bit mask of the modalities present.

    Returns
    -------
    ndarray of shape (n, n)
        Entry (r, s) is u(r | s); the diagonal is u(r | all others).
    """
    values = np.asarray(v, dtype=np.float64)
    n = len(values).bit_length() - 1
    used = np.full((n, n), np.nan)
    for r in range(n):
        for s in range(n):
            both = len(values) - 1 if r == s else 1 << r | 1 << s
            if values[both] > 0:
                used[r, s] = (values[both] - values[both & ~(1 << r)]) / values[both]
    return used


def permutation_p_value(observed: float, permuted: ArrayLike) -> float:
    """Chance that a modality that carries nothing looks as useful: ``(1 + #{permuted >= observed}) / (1 +
    B)``.
    """
    null = np.asarray(permuted, dtype=np.float64)
    return float((1 + np.count_nonzero(null >= observed - 1e-12)) / (1 + null.size))


def overfitting_to_generalisation(train: ArrayLike, validation: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Generalisation, overfitting and their ratio since the first epoch.

    Wang, Tran and Feiszli, CVPR 2020 (arXiv 1905.12681): with the validation loss L* and the train loss L,
    ``G = L*_0 - L*_t``, ``O_t = L*_t - L_t`` and ``OGR = |(O_t - O_0) / G|``.

    Parameters
    ----------
    train, validation : array-like of shape (n_epochs,)
        Mean losses.

    Returns
    -------
    generalisation, overfitting, ratio : ndarray of shape (n_epochs,)
        `overfitting` is the increase of O. The ratio is NaN where nothing was generalised.
    """
    loss, true = np.asarray(train, float), np.asarray(validation, float)
    gained = true[0] - true
    overfitted = (true - loss) - (true[0] - loss[0])
    ratio = np.full(len(loss), np.nan)
    np.divide(np.abs(overfitted), np.abs(gained), out=ratio, where=np.abs(gained) > 1e-12)
    return gained, overfitted, ratio


def blending_weights(generalisation: ArrayLike, overfitting: ArrayLike) -> Floats:
    """Gradient-Blending's loss weights, ``w_k ∝ G_k / (ΔO_k)²`` with a sum of 1 (arXiv 1905.12681).

    Both are clipped (G at 1e-6, ΔO² at 1e-4), or one modality could take all the weight by accident.
    """
    gained = np.maximum(np.asarray(generalisation, float), 1e-6)
    weights = gained / np.maximum(np.asarray(overfitting, float) ** 2, 1e-4)
    return weights / weights.sum()


def ensemble_weights(losses: ArrayLike, sharpness: float = 3.0) -> Floats:
    """Weights of an ensemble, ``∝ exp(-sharpness · validation loss)``, with a sum of 1."""
    scaled = -sharpness * np.asarray(losses, dtype=np.float64)
    weights = np.exp(scaled - scaled.max())
    return weights / weights.sum()


class Bootstrap:
    """Standard errors of means over seeds, by resampling what the seeds' test rows were drawn from.

    Test parts drawn anew for every seed overlap, and one that the data set gives is the same each time. So
    the table's rows are resampled, and each seed is scored on what that leaves of its own test part: a row
    that stands in two of them counts twice in both.

    Parameters
    ----------
    test_rows : sequence of ndarray of int
        Row numbers of each seed's test part.
    groups : array-like of shape (n,), optional
        Of all rows; whole groups are resampled instead of rows.
    n_samples : int
    random_state : int
    """

    def __init__(
        self,
        test_rows: Sequence[NDArray[np.intp]],
        groups: ArrayLike | None = None,
        *,
        n_samples: int = 100,
        random_state: int = 0,
    ) -> None:
        rng = np.random.default_rng(random_state)
        units = [rows if groups is None else np.asarray(groups)[rows] for rows in test_rows]
        known, codes = np.unique(np.concatenate(units), return_inverse=True)
        n = len(known)
        drawn = np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(n_samples)])
        ends = np.cumsum([len(rows) for rows in test_rows])[:-1]
        #: How often each test row of each seed is drawn, (n_samples, n_test).
        self.counts = [drawn[:, part] for part in np.split(codes.ravel(), ends)]

    def error(self, score: Callable[[int, NDArray[np.intp]], float]) -> float:
        """Standard error of the mean over seeds of ``score(seed, rows)``, rows being places in its test part.

        The larger of what resampled rows and what the seeds themselves show.
        """
        whole = [score(seed, np.arange(counts.shape[1])) for seed, counts in enumerate(self.counts)]
        found = []
        for drawn in zip(*self.counts, strict=True):
            rows = [np.repeat(np.arange(len(count)), count) for count in drawn]
            found.append(np.mean([score(seed, part) for seed, part in enumerate(rows) if len(part)]))
        return _larger_error(whole, found)

    def error_of_mean(self, values: Sequence[Floats]) -> float:
        """The same of the mean of one value a test row; rows whose value is NaN are left out."""
        whole, found = [], []
        for counts, value in zip(self.counts, values, strict=True):
            used = ~np.isnan(value)
            if used.any():
                total = counts[:, used].sum(1)
                sums = counts[:, used] @ value[used]
                whole.append(float(value[used].mean()))
                found.append(np.divide(sums, total, out=np.full(len(sums), np.nan), where=total > 0))
        if not whole:
            return np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a resample that no seed has a row of
            return _larger_error(whole, np.nanmean(found, axis=0))


def _larger_error(by_seed: ArrayLike, resampled: ArrayLike) -> float:
    values, drawn = np.asarray(by_seed, float), np.asarray(resampled, float)
    between = float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return max(float(np.nanstd(drawn, ddof=1)), between)
