"""Regression of a number outside the series (extrinsic) by encoders, fused, with a linear head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from workbench.timeseries._labelled import LabelTask, is_target
from workbench.timeseries._ridge import ridge

if TYPE_CHECKING:
    import torch

__all__ = ["UniTSRegressor"]


class UniTSRegressor(RegressorMixin, LabelTask):
    """Predict a number for each series from the fused features of encoders trained without labels.

    The encoders learn from all series, the head from those whose number is known, and with
    ``mode="fine_tune"`` the encoders once more from those [1]_.

    Parameters
    ----------
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
    penalty : float or None, default=None
        Penalty of the head's ridge regression; None chooses it by leave-one-out.
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
    encoders_ : list
        The fitted encoders.
    fusion_ : Fusion
        The fitted fusion.
    head_weight_, head_bias_ : ndarray
        The linear head.
    history_ : list of dict of str to float
        Mean loss of each epoch of fine tuning; empty with ``mode="freeze"``.
    penalty_ : float
        The penalty used.
    domain_scores_ : dict of str to float
        R² on the known series of each domain, where `domain` was given. Those of the target have had no
        part in the training of the head.
    n_channels_, n_features_in_ : int
        Variables; columns of `X` in `fit` where it was a table, else variables.

    References
    ----------
    .. [1] Z. Liang, C. Liang, Z. Liang, H. Wang. UniTS: A Universal Time Series Analysis Framework with
       Self-supervised Representation Learning. 2023. arXiv:2303.13804.
    """

    _recipe = "timeseries.regress"

    def fit(self, X: ArrayLike, y: ArrayLike, domain: ArrayLike | None = None) -> Self:
        """Fit the encoders on all series and the head on those whose number is known.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Series, NaN-padded at the end where lengths differ.
        y : array-like of shape (n,)
            Numbers; a missing one is None or NaN.
        domain : array-like of shape (n,), optional
            "source" or "target" for each series, see `UniTSClassifier.fit`.

        Returns
        -------
        self
        """
        self._validate_params()
        if y is None:
            raise ValueError("UniTSRegressor requires y to be passed, but the target y is None.")
        series = self._check_series(X, reset=True, min_samples=2)
        self.n_channels_ = series.shape[2]
        numbers = check_array(
            column_or_1d(y, warn=True), ensure_2d=False, dtype=float, ensure_all_finite="allow-nan"
        )
        check_consistent_length(series, numbers)
        target = is_target(domain, len(series))
        known = ~np.isnan(numbers)
        used = known & ~target
        if used.sum() < 2:
            raise ValueError(f"At least 2 series need a number to learn from, not {used.sum()}.")
        random = self._fit_encoders(series)
        features = self._fit_fusion(series)
        found = ridge(features[used], numbers[used, None], self.penalty)
        self.head_weight_, self.head_bias_, self.penalty_ = found
        self.history_ = []
        if self.mode == "fine_tune":
            # In units of the numbers' own deviation, so that a learning rate means the same everywhere.
            mean, scale = numbers[used].mean(), numbers[used].std() or 1.0
            self.head_weight_, self.head_bias_ = self.head_weight_ / scale, (self.head_bias_ - mean) / scale
            wanted = ((numbers[used] - mean) / scale).astype(np.float32)
            self._tune(series[used], None, _squared(wanted), int(random.randint(2**31 - 1)), wanted)
            self.head_weight_, self.head_bias_ = self.head_weight_ * scale, self.head_bias_ * scale + mean
        self.domain_scores_: dict[str, float] = {}
        if domain is not None:
            predicted = self._linear(self._features(series))[:, 0]
            for name, part in (("source", used), ("target", known & target)):
                if part.sum() > 1:
                    self.domain_scores_[name] = float(r2_score(numbers[part], predicted[part]))
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The number of each series, shape (n,)."""
        check_is_fitted(self)
        found: NDArray[np.float64] = self._linear(self._features(self._check_series(X, reset=False)))[:, 0]
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # scikit-learn's check wants points told apart by single columns; encoders pool over time, and so
        # do not know at which step a value stood.
        tags.regressor_tags.poor_score = True
        return tags


def _squared(wanted: NDArray[np.float32]) -> Any:
    def on(device: torch.device) -> Any:
        import torch

        numbers = torch.from_numpy(wanted).to(device)

        def loss(outputs: torch.Tensor, rows: torch.Tensor) -> tuple[Any, dict[str, Any]]:
            return torch.nn.functional.mse_loss(outputs[:, 0], numbers[rows]), {}

        return loss

    return on
