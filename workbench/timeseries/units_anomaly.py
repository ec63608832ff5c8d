"""Anomalies in series: where encoders of windows, fused, with a linear head, fail to reconstruct."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from workbench.timeseries._base import Series
from workbench.timeseries._ridge import ridge
from workbench.timeseries._task import TASK, Encoders
from workbench.timeseries._windows import WindowTask, cut, starts
from workbench.timeseries.fusion import Fusion
from workbench.timeseries.preprocessing import channel_scales, series_lengths, standardize

__all__ = ["UniTSAnomalyDetector"]

#: Windows from which on a threshold is taken from scores by heads that have not seen them.
_FOLDED = 50
#: Windows that are encoded at once when scoring.
_CHUNK = 4096


class UniTSAnomalyDetector(WindowTask):
    """Score every step of series by how badly its window is reconstructed from its features.

    The head learns, from series taken to be normal, to give back each window from the encoders' fused
    features; the score of a step is the mean squared error there, in the window that ends with it [1]_.

    Parameters
    ----------
    window : int or None, default=None
        Steps of a window; None takes 100, or half of the longest series.
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
    threshold : float or None, default=None
        Score above which a step is anomalous; None takes a quantile of the training's scores, each by a head
        that has not seen the step where nothing is fine-tuned and there are 50 windows or more.
    quantile : float, default=0.99
        That quantile.
    stride : int, default=1
        Steps between the windows that are scored. Above 1 is faster, and a step may be judged by a window
        that ends up to so many steps later.
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
    threshold_ : float
        Score above which a step is anomalous.
    window_ : int
        Steps of a window.
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

    _recipe = "timeseries.detect"

    _parameter_constraints: dict[str, list[Any]] = {
        **TASK,
        "window": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0, None, closed="left"), None],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
        "stride": [Interval(Integral, 1, None, closed="left")],
        "max_windows": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        window: int | None = None,
        encoders: Encoders = "TS2Vec",
        fusion: str | Fusion = "concat",
        pretrain_epochs: int | None = None,
        mode: str = "freeze",
        n_epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        threshold: float | None = None,
        quantile: float = 0.99,
        stride: int = 1,
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
        self.threshold = threshold
        self.quantile = quantile
        self.stride = stride
        self.max_windows = max_windows
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn what is normal.

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
        self._validate_params()
        series, lengths = self._checked_fit(X)
        longest = int(lengths.max())
        self.window_ = self._window_for(series, longest, min(100, max(longest // 2, 1)))
        self.mean_, self.scale_ = channel_scales(series)
        scaled = self._scaled(series)
        most = max(1, self.max_windows // len(series))
        parts = [
            cut(one[:length], starts(int(length), self.window_, most), self.window_)
            for one, length in zip(scaled, lengths, strict=True)
        ]
        windows = np.concatenate(parts)
        random = self._fit_encoders(windows)
        features = self._fit_fusion(windows)
        wanted = windows.reshape(len(windows), -1)
        self.head_weight_, self.head_bias_, _ = ridge(features, wanted)
        self.history_ = []
        if self.mode == "fine_tune":
            self._tune(windows, None, self._squared(wanted), int(random.randint(2**31 - 1)))
        if self.threshold is not None:
            self.threshold_ = float(self.threshold)
        else:
            fold = self.mode == "freeze" and len(windows) >= _FOLDED
            normal = self._unseen(features, wanted) if fold else self._scores(series)
            self.threshold_ = float(np.nanquantile(normal, self.quantile))
        return self

    def _unseen(self, features: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float64]:
        """Scores of the windows' last steps by heads that have not seen them; what a head has seen it gives
        back better than what will come, and a threshold taken from that would be too low."""
        errors = np.empty(len(wanted))
        # Stretches of time, because windows that overlap would tell each other.
        for held in np.array_split(np.arange(len(wanted)), 5):
            rest = np.setdiff1d(np.arange(len(wanted)), held)
            weight, bias, _ = ridge(features[rest], wanted[rest])
            last = (features[held] @ weight.T + bias - wanted[held])[:, -self.n_channels_ :]
            errors[held] = (last**2).mean(axis=1)
        return errors

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Score of every step, shape (n, T); higher is stranger, NaN beyond a series' own length."""
        check_is_fitted(self)
        return self._scores(self._check_series(X, reset=False))

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """1 for every anomalous step, else 0; shape (n, T)."""
        found: NDArray[np.intp] = (self.decision_function(X) > self.threshold_).astype(np.intp)
        return found

    def _scaled(self, X: Series) -> NDArray[np.float64]:
        return standardize(X, self.mean_, self.scale_).astype(np.float64)

    def _scores(self, X: Series) -> NDArray[np.float64]:
        lengths, window = series_lengths(X), self.window_
        # A series shorter than a window is seen once, its first value prolonged into the past.
        seen = [
            np.concatenate([np.repeat(one[:1], max(window - length, 0), axis=0), one[:length]])
            for one, length in zip(self._scaled(X), lengths, strict=True)
        ]
        first = [self._starts(len(one) - window) for one in seen]
        errors = self._errors(seen, first)
        result = np.full(X.shape[:2], np.nan)
        done = 0
        for row, (one, begin) in enumerate(zip(seen, first, strict=True)):
            step = np.arange(len(one))
            # The first window that ends at or after the step.
            chosen = np.searchsorted(begin + window - 1, step)
            found = errors[done + chosen, step - begin[chosen]]
            result[row, : lengths[row]] = found[len(one) - lengths[row] :]
            done += len(begin)
        return result

    def _starts(self, last: int) -> NDArray[np.intp]:
        return np.unique(np.append(np.arange(0, last + 1, self.stride), last))

    def _errors(self, seen: list[NDArray[np.float64]], first: list[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Mean squared error at every step of every window, (windows of all series, window)."""
        row = np.repeat(np.arange(len(seen)), [len(begin) for begin in first])
        begin = np.concatenate(first)
        errors = np.empty((len(row), self.window_))
        for at in range(0, len(row), _CHUNK):
            part = slice(at, at + _CHUNK)
            windows = np.concatenate(
                [cut(seen[i], begin[part][row[part] == i], self.window_) for i in np.unique(row[part])]
            )
            found = self._linear(self._features(windows)).reshape(windows.shape)
            errors[part] = ((found - windows) ** 2).mean(axis=2)
        return errors
