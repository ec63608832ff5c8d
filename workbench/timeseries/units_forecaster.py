"""Forecasts by encoders of windows, fused, with a linear head; quantiles by conformal residuals."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_array, check_is_fitted

from workbench.timeseries._base import Series
from workbench.timeseries._ridge import ridge
from workbench.timeseries._task import TASK, Encoders
from workbench.timeseries._windows import WindowTask, cut, starts
from workbench.timeseries.fusion import Fusion
from workbench.timeseries.preprocessing import fill_gaps, series_lengths

__all__ = ["UniTSForecaster"]

#: Columns of the window itself that the head may see: the latest steps that fit.
_MOST_LAGS = 512


class UniTSForecaster(WindowTask):
    """Foretell the steps after a series from the encoded window before them.

    Each window is taken relative to its last value and in units of its own deviation; the head, a ridge
    regression, sees the encoders' fused features [1]_ and, with `lags`, the window itself. What the features
    do not explain is shrunk towards "as on average after such a value". The last part of each series' windows
    is kept from the training: its errors calibrate the quantiles.

    Parameters
    ----------
    horizon : int, default=24
        Steps to foretell.
    window : int or None, default=None
        Steps that are seen; None takes twice the horizon and at least 48, or half of what there is.
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
    n_epochs : int, default=100
        Times the fine tuning goes through the series.
    batch_size : int, default=64
        Series in a step of it.
    learning_rate : float, default=0.001
        Size of an optimizer step of it.
    optimizer : {"adam", "adamw", "sgd"}, default="adam"
        The optimization method of it.
    lags : bool, default=True
        Show the head the window itself beside its features.
    calibration : float, default=0.2
        Share of the windows, the last in time, that only calibrate the quantiles; 0 leaves quantiles out.
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
        Steps that are seen.
    residuals_ : ndarray of float32, shape (m, horizon, d)
        Errors on the m windows of the calibration, in units of each window's deviation.
    encoders_ : list
        The fitted encoders.
    fusion_ : Fusion
        The fitted fusion.
    head_weight_, head_bias_ : ndarray
        The linear head.
    history_ : list of dict of str to float
        Mean loss of each epoch of fine tuning; empty with ``mode="freeze"``.
    n_channels_, n_exog_, n_features_in_ : int
        Variables; exogenous columns; columns of `X` in `fit` where it was a table, else variables.

    References
    ----------
    .. [1] Z. Liang, C. Liang, Z. Liang, H. Wang. UniTS: A Universal Time Series Analysis Framework with
       Self-supervised Representation Learning. 2023. arXiv:2303.13804.
    """

    _recipe = "timeseries.forecast"

    _parameter_constraints: dict[str, list[Any]] = {
        **TASK,
        "horizon": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left"), None],
        "lags": ["boolean"],
        "calibration": [Interval(Real, 0, 1, closed="left")],
        "max_windows": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        horizon: int = 24,
        window: int | None = None,
        encoders: Encoders = "TS2Vec",
        fusion: str | Fusion = "concat",
        pretrain_epochs: int | None = None,
        mode: str = "freeze",
        n_epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        lags: bool = True,
        calibration: float = 0.2,
        max_windows: int = 2000,
        device: str = "auto",
        precision: str = "fp32",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.horizon = horizon
        self.window = window
        self.encoders = encoders
        self.fusion = fusion
        self.pretrain_epochs = pretrain_epochs
        self.mode = mode
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.lags = lags
        self.calibration = calibration
        self.max_windows = max_windows
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None, exog: ArrayLike | None = None) -> Self:
        """Learn from every window of the series and the `horizon` steps after it.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Histories, NaN-padded at the end where lengths differ; one long series is (1, T, d).
        y : None
            Ignored.
        exog : array-like of shape (n, T, e), optional
            Columns that are known ahead (a calendar, a price list), at the steps of `X`; none may be missing
            before a series' end.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If no series is longer than the horizon.
        """
        self._validate_params()
        series, lengths = self._checked_fit(X)
        room = int(lengths.max()) - self.horizon
        if room < 1:
            table = f" (n_features={self.n_features_in_})" if self.n_dims_in_ == 2 else ""
            raise ValueError(
                f"horizon={self.horizon} leaves nothing to see of series of {lengths.max()} steps{table}; "
                "foretell fewer steps, or give longer series."
            )
        columns = self._checked_exog(exog, len(series), np.asarray(X).shape[1], lengths)
        self.n_exog_ = 0 if columns is None else columns.shape[2]
        self.window_ = self._window_for(series, room, min(max(2 * self.horizon, 48), max(room // 2, 1)))
        past, future, known, held = self._training_windows(fill_gaps(series), lengths, columns)
        shown, last, scale = _relative(past)
        wanted = ((future - last) / scale).reshape(len(future), -1)
        random = self._fit_encoders(shown[~held])
        features = self._fit_fusion(shown[~held])
        beside = self._beside(shown, known, scale)
        self.head_weight_, self.head_bias_, _ = ridge(np.hstack([features, beside[~held]]), wanted[~held])
        self.history_ = []
        if self.mode == "fine_tune":
            seed = int(random.randint(2**31 - 1))
            self._tune(
                shown[~held], beside[~held], self._squared(wanted[~held]), seed, beside[~held], wanted[~held]
            )
        errors = np.empty((0, wanted.shape[1]))
        if held.any():
            inputs = np.hstack([self._features(shown[held]), beside[held]])
            errors = wanted[held] - self._linear(inputs)
        self.residuals_ = errors.reshape(-1, self.horizon, self.n_channels_).astype(np.float32)
        return self

    def predict(self, X: ArrayLike, exog: ArrayLike | None = None) -> NDArray[np.float64]:
        """The `horizon` steps after the end of each series.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            At least ``window_`` steps each.
        exog : array-like of shape (n, horizon, e)
            The exogenous columns at the steps to come, where `fit` was given some.

        Returns
        -------
        ndarray of float64, shape (n, horizon, d), or (n, horizon) where `X` has two dimensions
        """
        found, _ = self._predict(X, exog)
        return found[:, :, 0] if np.asarray(X).ndim == 2 else found

    def predict_quantiles(
        self,
        X: ArrayLike,
        quantiles: float | Sequence[float] = (0.1, 0.5, 0.9),
        exog: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Quantiles of the steps to come, by the errors on the windows of the calibration.

        With m of those, a value lies below the quantile q ≥ ½ with probability at least q, as long as the
        errors to come are exchangeable with them and q ≤ m/(m + 1).

        Parameters
        ----------
        X, exog
            As of `predict`.
        quantiles : float or sequence of float

        Returns
        -------
        ndarray of float64, shape (n, horizon, d, len(quantiles))
        """
        found, scale = self._predict(X, exog)
        count = len(self.residuals_)
        if not count:
            raise ValueError(
                "No window was kept to calibrate quantiles; fit with calibration above 0 and longer series."
            )
        ordered = np.sort(self.residuals_, axis=0)
        levels = np.atleast_1d(np.asarray(quantiles, dtype=float))
        result = np.empty((*found.shape, len(levels)))
        for i, q in enumerate(levels):
            if not 0 < q < 1:
                raise ValueError(f"A quantile lies between 0 and 1, not at {q}.")
            rank = np.ceil((count + 1) * q) if q >= 0.5 else np.floor((count + 1) * q)
            result[..., i] = found + scale * ordered[int(np.clip(rank, 1, count)) - 1]
        return result

    def _predict(self, X: ArrayLike, exog: ArrayLike | None) -> tuple[NDArray[np.float64], Series]:
        check_is_fitted(self)
        series = self._check_series(X, reset=False)
        lengths = series_lengths(series)
        if lengths.min() < self.window_:
            short = int(lengths.argmin())
            raise ValueError(
                f"Series {short} has {lengths[short]} steps, but {self.window_} are seen; give it more."
            )
        columns = self._checked_exog(exog, len(series), self.horizon)
        if (0 if columns is None else columns.shape[2]) != self.n_exog_:
            raise ValueError(
                f"exog must have the {self.n_exog_} columns that it had in fit."
                if self.n_exog_
                else "exog was not given in fit: leave it out, or fit with it."
            )
        filled = fill_gaps(series)
        past = np.stack([one[n - self.window_ : n] for one, n in zip(filled, lengths, strict=True)])
        shown, last, scale = _relative(np.nan_to_num(past))
        beside = self._beside(shown, columns, scale)
        outputs = self._linear(np.hstack([self._features(shown), beside]))
        return outputs.reshape(len(shown), self.horizon, -1) * scale + last, scale

    def _checked_exog(
        self, exog: ArrayLike | None, n: int, steps: int, lengths: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64] | None:
        """`exog` as (n, steps, e); it may be missing beyond the series' `lengths` alone."""
        if exog is None:
            return None
        columns = check_array(
            exog,
            allow_nd=True,
            dtype=float,
            ensure_all_finite="allow-nan",
            estimator=self,
            input_name="exog",
        )
        if columns.ndim != 3 or columns.shape[:2] != (n, steps):
            raise ValueError(f"exog must have shape ({n}, {steps}, e), not {columns.shape}.")
        within = np.arange(steps) < (np.full(n, steps) if lengths is None else lengths)[:, None]
        missing = np.isnan(columns) & within[:, :, None]
        if missing.any():
            row, step, _ = np.argwhere(missing)[0]
            raise ValueError(
                f"exog is missing at step {step} of series {row}: what is known ahead has no gaps."
            )
        return np.nan_to_num(columns)

    def _training_windows(
        self, X: NDArray[np.float64], lengths: NDArray[np.int64], exog: NDArray[np.float64] | None
    ) -> tuple[Series, Series, Series | None, NDArray[np.bool_]]:
        """Windows, what came after them, what was known of that, and which only calibrate."""
        past, future, known, held = [], [], [], []
        most = max(1, self.max_windows // len(X))
        for i, (one, length) in enumerate(zip(np.nan_to_num(X), lengths, strict=True)):
            first = starts(int(length) - self.horizon, self.window_, most)
            keeps = int(np.ceil(len(first) * self.calibration)) if len(first) > 1 else 0
            calibrates = np.arange(len(first)) >= len(first) - keeps
            if keeps:
                # No step that calibrates is seen in training as something to foretell.
                fits = first + self.horizon <= first[len(first) - keeps]
                if not fits.any():
                    fits, calibrates = np.ones(len(first), dtype=bool), np.zeros(len(first), dtype=bool)
                chosen = fits | calibrates
                first, calibrates = first[chosen], calibrates[chosen]
            past.append(cut(one, first, self.window_))
            future.append(cut(one, first + self.window_, self.horizon))
            if exog is not None:
                known.append(cut(exog[i], first + self.window_, self.horizon))
            held.append(calibrates)
        joined = np.concatenate(known) if known else None
        return np.concatenate(past), np.concatenate(future), joined, np.concatenate(held)

    def _beside(self, shown: Series, known: Series | None, scale: Series) -> NDArray[np.float64]:
        """What the head sees beside the features."""
        kept = min(self.window_, max(1, _MOST_LAGS // shown.shape[2])) if self.lags else 0
        columns = [shown[:, self.window_ - kept :].reshape(len(shown), -1)]
        if known is not None:
            # As they are, for what acts in proportion, and in the window's units, for what adds up.
            added = known / scale.mean(axis=2, keepdims=True)
            columns += [known.reshape(len(shown), -1), added.reshape(len(shown), -1)]
        return np.hstack(columns)


def _relative(past: Series) -> tuple[Series, Series, Series]:
    """Windows less their last values, in units of their deviations; those values and deviations."""
    last = past[:, -1:]
    scale = past.std(axis=1, keepdims=True)
    scale = np.where(scale > 1e-8 * (1 + np.abs(past).max(axis=1, keepdims=True)), scale, 1.0)
    return (past - last) / scale, last, scale
