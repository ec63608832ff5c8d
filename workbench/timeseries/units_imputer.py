"""Filling in missing values of series by encoders of windows, fused, with a linear head."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from workbench.timeseries._base import Series
from workbench.timeseries._ridge import ridge
from workbench.timeseries._task import TASK, Encoders
from workbench.timeseries._windows import WindowTask, cut, spread, starts
from workbench.timeseries.fusion import Fusion
from workbench.timeseries.preprocessing import channel_scales, series_lengths

__all__ = ["UniTSImputer", "gap_distance", "gap_length", "interpolate"]

#: Distances to the nearest observed value beyond which the next weight holds.
_DISTANCES = np.array([1, 2, 4, 8, 16])


class UniTSImputer(TransformerMixin, WindowTask):
    """Fill in missing values from the encoded window around them.

    Values are hidden from windows of the training; the head learns to give the whole window back from the
    encoders' fused features of what is left [1]_. That reconstruction and a straight line over the gap are
    then mixed, by weights for the distance to the nearest observed value that are learnt on other windows:
    next to an observed value a line is hard to beat, far from one it knows nothing. A gap that is longer than
    any hidden in training gets the line alone; ``mask="block"`` with a larger share trains for longer ones.

    Parameters
    ----------
    window : int or None, default=None
        Steps of a window; None takes 96, or the longest series.
    encoders : str or list, default="TS2Vec"
        Names joined by "+", such as "CSL+TS2Vec", or a list of names and estimators. An estimator that is
        fitted is taken as it is (wrapped in `sklearn.frozen.FrozenEstimator` it also survives `clone`);
        others are fitted on all series given, labelled or not.
    fusion : {"concat", "projection", "weighted_sum"} or estimator, default="concat"
        How several encoders' features become one, see `workbench.timeseries.fusion`.
    pretrain_epochs : int or None, default=None
        Epochs of encoders given by name; None leaves each its own default, 0 takes random networks.
    mode : {"freeze", "fine_tune"}, default="freeze"
        Leave encoders and fusion as they are and solve for the linear head; or from there on train all
        of them together.
    n_epochs : int, default=10
        Times the fine tuning goes through the series.
    batch_size : int, default=64
        Series in a step of it.
    learning_rate : float, default=0.001
        Size of an optimizer step of it.
    optimizer : {"adam", "adamw", "sgd"}, default="adam"
        The optimization method of it.
    mask : {"geometric", "block"}, default="geometric"
        What is hidden in training: runs of random lengths in each variable, or one run of all variables.
    mask_ratio : float, default=0.25
        Share of the values that is hidden, at most three quarters.
    mask_length : float, default=3.0
        Mean length of a geometric run.
    max_windows : int, default=2000
        Windows to train on at most, evenly spread over time and series.
    device : str, default="auto"
        Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or another torch name.
    precision : {"fp32", "bf16", "fp16"}, default="fp32"
        Number format; the 16-bit ones are faster on recent GPUs and a little less exact.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.
    verbose : int, default=0
        Show a progress bar when above 0; notebooks always show one.

    Attributes
    ----------
    window_ : int
        Steps of a window.
    blend_ : ndarray, shape (6,)
        Weight of the reconstruction at distances of 1, 2, to 4, to 8, to 16 and more steps.
    longest_ : int
        Steps of the longest gap that is reconstructed.
    mean_, scale_ : ndarray, shape (d,)
        Mean and deviation of the variables.
    encoders_ : list
        The fitted encoders.
    fusion_ : Fusion
        The fitted fusion.
    head_weight_, head_bias_ : ndarray
        The linear head.
    history_ : list of dict of str to float
        Mean loss of each epoch of fine tuning; empty with ``mode="freeze"``.
    n_channels_, n_features_in_ : int
        Variables; columns of `X` in `fit` where it was a table, else variables.

    References
    ----------
    .. [1] Z. Liang, C. Liang, Z. Liang, H. Wang. UniTS: A Universal Time Series Analysis Framework with
       Self-supervised Representation Learning. 2023. arXiv:2303.13804.
    """

    _recipe = "timeseries.impute"

    _parameter_constraints: dict[str, list[Any]] = {
        **TASK,
        "window": [Interval(Integral, 1, None, closed="left"), None],
        "mask": [StrOptions({"geometric", "block"})],
        "mask_ratio": [Interval(Real, 0, 0.75, closed="right")],
        "mask_length": [Interval(Real, 1, None, closed="left")],
        "max_windows": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        window: int | None = None,
        encoders: Encoders = "TS2Vec",
        fusion: str | Fusion = "concat",
        pretrain_epochs: int | None = None,
        mode: str = "freeze",
        n_epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        mask: str = "geometric",
        mask_ratio: float = 0.25,
        mask_length: float = 3.0,
        max_windows: int = 2000,
        device: str = "auto",
        precision: str = "fp32",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.window = window
        self.encoders = encoders
        self.fusion = fusion
        self.pretrain_epochs = pretrain_epochs
        self.mode = mode
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.mask = mask
        self.mask_ratio = mask_ratio
        self.mask_length = mask_length
        self.max_windows = max_windows
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn from values that are hidden on purpose; those that are missing teach nothing.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Series, NaN-padded at the end where lengths differ; one long series is (1, T, d).
        y : None
            Ignored.

        Returns
        -------
        self
        """
        from workbench.timeseries._masks import check_ratio

        self._validate_params()
        if self.mask == "geometric":
            check_ratio(self.mask_ratio, self.mask_length)
        series, lengths = self._checked_fit(X)
        longest = int(lengths.max())
        self.window_ = self._window_for(series, longest, 96)
        self.mean_, self.scale_ = channel_scales(series)
        scaled = (series.astype(np.float64) - self.mean_) / self.scale_
        most = max(1, self.max_windows // len(series))
        parts = [
            cut(one, starts(int(length), self.window_, most), self.window_)
            for one, length in zip(scaled, lengths, strict=True)
        ]
        true = np.concatenate(parts)
        random = check_random_state(self.random_state)
        hidden = self._hide(true.shape, int(random.randint(2**31 - 1))) & ~np.isnan(true)
        shown, distance = interpolate(np.where(hidden, np.nan, true)), gap_distance(hidden | np.isnan(true))
        wanted, known = interpolate(true), ~np.isnan(true)
        self.longest_ = int(gap_length(hidden).max())
        source = self._fit_encoders(shown)
        features = self._fit_fusion(shown)
        flat = wanted.reshape(len(true), -1)
        judges = np.arange(len(true)) % 4 == 3
        if judges.any() and not judges.all():
            weight, bias, _ = ridge(features[~judges], flat[~judges])
            guess = (features[judges] @ weight.T + bias).reshape(true[judges].shape)
            self.blend_ = _blend(guess, shown[judges], wanted[judges], distance[judges], hidden[judges])
        else:
            self.blend_ = np.zeros(len(_DISTANCES) + 1)
        self.head_weight_, self.head_bias_, _ = ridge(features, flat)
        self.history_ = []
        if self.mode == "fine_tune":
            counted = (hidden & known).reshape(len(true), -1)
            seed = int(source.randint(2**31 - 1))
            trains = ~judges
            self._tune(shown[trains], None, self._squared(flat[trains], counted[trains]), seed, counted)
            if judges.any():
                guess = self._linear(self._features(shown[judges])).reshape(true[judges].shape)
                self.blend_ = _blend(guess, shown[judges], wanted[judges], distance[judges], hidden[judges])
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """Series whose missing values are filled in; observed values and the padding stay as they are.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)

        Returns
        -------
        ndarray of float64, of the shape of `X`
        """
        check_is_fitted(self)
        series = self._check_series(X, reset=False)
        filled = series.astype(np.float64)
        scaled = (filled - self.mean_) / self.scale_
        for i, length in enumerate(series_lengths(series)):
            gaps = np.isnan(scaled[i, :length])
            if gaps.any():
                values = self._fill(scaled[i, :length]) * self.scale_ + self.mean_
                filled[i, :length][gaps] = values[gaps]
        return filled[:, :, 0] if np.asarray(X).ndim == 2 else filled

    def held_out_error(self, X: ArrayLike, random_state: int = 0) -> dict[str, float]:
        """Errors on observed values, in units of the variables' deviation; each window's are hidden as in
        training.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
        random_state : int
            Of the mask.

        Returns
        -------
        dict
            ``mse`` and ``mae``; ``linear_mse`` and ``linear_mae`` of straight lines over the same gaps.
        """
        check_is_fitted(self)
        series = self._check_series(X, reset=False).astype(np.float64)
        n, steps, d = series.shape
        stretches = -(-steps // self.window_)
        drawn = self._hide((n * stretches, self.window_, d), random_state)
        hidden = drawn.reshape(n, stretches * self.window_, d)[:, :steps] & ~np.isnan(series)
        # A series keeps its last step, or it would become shorter.
        for row, length in enumerate(series_lengths(series)):
            hidden[row, length - 1] = False
        if not hidden.any():
            raise ValueError("The mask hides no observed value of these series; give longer ones.")
        given = np.where(hidden, np.nan, series)
        found, lines = (
            self.transform(given if np.asarray(X).ndim != 2 else given[:, :, 0]),
            interpolate(given),
        )
        result: dict[str, float] = {}
        for name, values in (("", found.reshape(series.shape)), ("linear_", lines)):
            error = ((values - series) / self.scale_)[hidden]
            result |= {f"{name}mse": float((error**2).mean()), f"{name}mae": float(np.abs(error).mean())}
        return result

    def _hide(self, shape: tuple[int, int, int], seed: int) -> NDArray[np.bool_]:
        from workbench.timeseries._masks import hidden_cells

        return hidden_cells(shape, self.mask, self.mask_ratio, self.mask_length, seed)

    def _fill(self, one: NDArray[np.float64]) -> NDArray[np.float64]:
        """A scaled series (T, d) with its gaps filled in; windows overlap by half."""
        length = len(one)
        missing = np.isnan(one)
        lines = interpolate(one[None])[0]
        padded = lines
        if length < self.window_:
            padded = np.concatenate([lines, np.repeat(lines[-1:], self.window_ - length, axis=0)])
        first = np.arange(0, len(padded) - self.window_ + 1, max(1, self.window_ // 2))
        first = np.unique(np.append(first, len(padded) - self.window_))
        # Only windows with something to fill in.
        first = np.array([s for s in first if missing[s : s + self.window_].any()])
        parts = cut(padded, first, self.window_)
        found = spread(self._linear(self._features(parts)).reshape(parts.shape), first, len(padded))[:length]
        weight = self.blend_[np.searchsorted(_DISTANCES, gap_distance(missing[None])[0])]
        learnt = missing & (gap_length(missing[None])[0] <= self.longest_)
        return lines + np.where(learnt, weight, 0.0) * (found - lines)


def interpolate(X: Series) -> NDArray[np.float64]:
    """Series (n, T, d) whose gaps are bridged by straight lines and whose ends are prolonged.

    A variable that is never observed in a series becomes 0.
    """
    filled = X.astype(np.float64)
    missing = np.isnan(X)
    for i, d in np.argwhere(missing.any(axis=1)):
        gaps, seen = np.flatnonzero(missing[i, :, d]), np.flatnonzero(~missing[i, :, d])
        filled[i, gaps, d] = np.interp(gaps, seen, X[i, seen, d]) if len(seen) else 0.0
    return filled


def gap_length(missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Steps of the gap that each missing value is in, 0 where it is observed.

    Parameters
    ----------
    missing : ndarray of bool, shape (n, T, d)

    Returns
    -------
    ndarray of int
        Of the shape of the mask.
    """
    steps = missing.shape[1]
    index = np.arange(steps)[None, :, None]
    before = np.maximum.accumulate(np.where(missing, -1, index), axis=1)
    after = np.minimum.accumulate(np.where(missing, steps, index)[:, ::-1], axis=1)[:, ::-1]
    lengths: NDArray[np.int64] = np.where(missing, after - before - 1, 0)
    return lengths


def gap_distance(missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Steps from each missing value to the nearest observed one of its variable, 0 where it is observed.

    Parameters
    ----------
    missing : ndarray of bool, shape (n, T, d)

    Returns
    -------
    ndarray of int
        Of the shape of the mask.
    """
    steps = missing.shape[1]
    index = np.arange(steps)[None, :, None]
    before = np.maximum.accumulate(np.where(missing, -steps, index), axis=1)
    after = np.minimum.accumulate(np.where(missing, 2 * steps, index)[:, ::-1], axis=1)[:, ::-1]
    nearest: NDArray[np.int64] = np.minimum(index - before, after - index)
    return nearest


def _blend(
    guess: Series,
    lines: Series,
    true: Series,
    distance: NDArray[np.int64],
    hidden: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """For each class of distances the weight, from 0 to 1, with the least squared error on hidden values."""
    kind = np.searchsorted(_DISTANCES, distance)
    weights = np.zeros(len(_DISTANCES) + 1)
    for one in range(len(weights)):
        chosen = hidden & (kind == one)
        step, error = (guess - lines)[chosen], (true - lines)[chosen]
        size = float((step**2).sum())
        if size > 0:
            weights[one] = np.clip(float((step * error).sum()) / size, 0, 1)
        elif one:
            weights[one] = weights[one - 1]
    return weights
