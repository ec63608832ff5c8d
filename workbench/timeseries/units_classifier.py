"""Classification of series by encoders, fused, with a linear head; some labels may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from workbench.timeseries._labelled import LabelTask, is_target
from workbench.timeseries.evaluation import folds

if TYPE_CHECKING:
    import torch

__all__ = ["UniTSClassifier", "missing_labels"]

#: Inverse penalties that are tried.
_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


class UniTSClassifier(ClassifierMixin, LabelTask):
    """Classify series by the fused features of encoders that were trained without labels.

    The encoders learn from all series, the head from those that have a label, and with
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
        Inverse penalty C of the head; None chooses it by cross-validation.
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
    classes_ : ndarray, shape (n_classes,)
        The labels.
    encoders_ : list
        The fitted encoders.
    fusion_ : Fusion
        The fitted fusion.
    head_weight_, head_bias_ : ndarray
        The linear head.
    history_ : list of dict of str to float
        Mean loss of each epoch of fine tuning; empty with ``mode="freeze"``.
    penalty_ : float
        The inverse penalty used.
    domain_scores_ : dict of str to float
        Accuracy on the labelled series of each domain, where `domain` was given. Those of the target have
        had no part in the training of the head.
    n_channels_, n_features_in_ : int
        Variables; columns of `X` in `fit` where it was a table, else variables.

    Notes
    -----
    The fine tuning starts from the head that fits the frozen features, not from a random one.

    References
    ----------
    .. [1] Z. Liang, C. Liang, Z. Liang, H. Wang. UniTS: A Universal Time Series Analysis Framework with
       Self-supervised Representation Learning. 2023. arXiv:2303.13804.

    Examples
    --------
    >>> from aeon.datasets import load_basic_motions
    >>> X, y = load_basic_motions(split="train")
    >>> model = UniTSClassifier("TS2Vec+TST", pretrain_epochs=1, random_state=0)
    >>> model.fit(X.transpose(0, 2, 1), y).predict(X.transpose(0, 2, 1)[:2])
    array(['standing', 'standing'], dtype='<U9')
    """

    _recipe = "timeseries.classify"

    def fit(self, X: ArrayLike, y: ArrayLike, domain: ArrayLike | None = None) -> Self:
        """Fit the encoders on all series and the head on the labelled ones.

        Parameters
        ----------
        X : array-like of shape (n, T, d) or (n, T)
            Series, NaN-padded at the end where lengths differ.
        y : array-like of shape (n,)
            Labels; a missing one is None or NaN, or −1 where the others are whole numbers from 0. (Only −1
            and 1 are two classes.)
        domain : array-like of shape (n,), optional
            "source" or "target" for each series. Encoders learn from both, the head from labels of the
            source only; labels of the target are used for `domain_scores_` and nothing else.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If fewer than two classes are labelled, or an encoder was fitted on other variables.
        """
        self._validate_params()
        if y is None:
            raise ValueError("UniTSClassifier requires y to be passed, but the target y is None.")
        series = self._check_series(X, reset=True, min_samples=2)
        self.n_channels_ = series.shape[2]
        labels = column_or_1d(as_labels(y), warn=True)
        check_consistent_length(series, labels)
        if labels.dtype.kind == "f":
            check_array(labels, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
        target = is_target(domain, len(series))
        known = ~missing_labels(labels)
        used = known & ~target
        values = labels[used]
        if values.dtype == object:
            values = np.array(values.tolist())
        if not len(values):
            raise ValueError("No series has a label to learn from; label some of at least two classes.")
        check_classification_targets(values)
        self.classes_, codes = np.unique(values, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"All labelled series are of one class, {str(self.classes_[0])!r}; label some of another."
            )
        random = self._fit_encoders(series)
        features = self._fit_fusion(series)
        self._solve(features[used], codes, int(random.randint(2**31 - 1)))
        self.history_ = []
        if self.mode == "fine_tune":
            self._tune(series[used], None, self._loss(codes), int(random.randint(2**31 - 1)), codes)
        self.domain_scores_: dict[str, float] = {}
        if domain is not None:
            predicted = self._labels(self._features(series))
            for name, part in (("source", used), ("target", known & target)):
                if part.any():
                    true = labels[part].astype(predicted.dtype)
                    self.domain_scores_[name] = float(accuracy_score(true, predicted[part]))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, shape (n, n_classes)."""
        check_is_fitted(self)
        logits = self._linear(self._features(self._check_series(X, reset=False)))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each series, shape (n,)."""
        check_is_fitted(self)
        return self._labels(self._features(self._check_series(X, reset=False)))

    def _labels(self, features: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = self.classes_[self._linear(features).argmax(axis=1)]
        return found

    def _solve(self, features: NDArray[Any], codes: NDArray[np.intp], seed: int) -> None:
        """The head that fits frozen features best: a logistic regression."""
        features = features.astype(float)

        def model(penalty: float) -> LogisticRegression:
            return LogisticRegression(C=penalty, max_iter=10_000, tol=1e-3)

        splitter = folds(codes, seed) if self.penalty is None else None
        self.penalty_ = 1.0 if self.penalty is None else self.penalty
        if splitter is not None:
            scores = [cross_val_score(model(c), features, codes, cv=splitter).mean() for c in _PENALTIES]
            self.penalty_ = _PENALTIES[int(np.argmax(scores))]
        fitted = model(self.penalty_).fit(features, codes)
        weight, bias = fitted.coef_, fitted.intercept_
        if len(weight) == 1:  # two classes: the one logit, half for and half against
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        self.head_weight_, self.head_bias_ = weight, bias

    def _loss(self, codes: NDArray[np.intp]) -> Any:
        def on(device: torch.device) -> Any:
            import torch

            labels = torch.from_numpy(codes).to(device)

            def loss(logits: torch.Tensor, rows: torch.Tensor) -> tuple[Any, dict[str, Any]]:
                right = (logits.detach().argmax(1) == labels[rows]).float().mean()
                return torch.nn.functional.cross_entropy(logits, labels[rows]), {"accuracy": right}

            return loss

        return on

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # scikit-learn's check wants points told apart by single columns; encoders pool over time, and so
        # do not know at which step a value stood.
        tags.classifier_tags.poor_score = True
        return tags


def as_labels(y: Any) -> Any:
    """`y`; a list in which some labels are missing as an array of objects, or NaN would become a word."""
    if isinstance(y, (list, tuple)) and any(label is None or label != label for label in y):
        return np.array(y, dtype=object)
    return y


def missing_labels(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Which labels are missing: None, NaN, or −1 where the others are whole numbers from 0, not 1 alone."""
    missing = np.asarray(pd.isna(y))
    values = y[~missing]
    try:
        numbers = values.astype(float)
    except (TypeError, ValueError):
        return missing
    if values.dtype.kind in "US" or (values.dtype == object and any(isinstance(v, str) for v in values)):
        return missing
    others = numbers[numbers != -1]
    # −1 and 1 are two classes as often as not.
    if (numbers == -1).any() and set(others) != {1.0} and (others >= 0).all() and (others % 1 == 0).all():
        missing = missing.copy()
        missing[~missing] = numbers == -1
    return missing
