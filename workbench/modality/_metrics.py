"""Scores of outputs, and the linear probes that say what an embedding knows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from workbench.modality._threads import one_blas_thread_if_small
from workbench.modality.columns import ModalitiesError

__all__ = ["METRICS", "Metric", "best_strength", "common_strength", "predict_with_probe", "row_losses"]

Floats = NDArray[np.float64]

#: Inverses of a probe's penalty that are tried.
_STRENGTHS = (0.01, 0.1, 1.0)

METRICS = ("auto", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "r2")

_FOR = {
    "multiclass": ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc"),
    "multilabel": ("f1_macro", "accuracy", "roc_auc"),
    "regression": ("r2",),
}


@dataclass(frozen=True)
class Metric:
    """A score of outputs (n, K), larger is better, for one kind of target."""

    name: str
    task: str

    @classmethod
    def named(cls, name: str, task: str) -> Metric:
        """The metric called `name`; "auto" takes accuracy, macro F1 for several labels, R² for numbers."""
        if name == "auto":
            return cls(_FOR[task][0], task)
        if name not in _FOR[task]:
            raise ModalitiesError(
                f"The metric {name!r} does not suit this target: take one of {', '.join(_FOR[task])}."
            )
        return cls(name, task)

    def __call__(self, y: NDArray[Any], outputs: Floats) -> float:
        if self.task == "regression":
            spread = ((y - y.mean(0)) ** 2).sum(0)
            residual = ((y - outputs) ** 2).sum(0)
            return float(np.mean(1 - residual[spread > 0] / spread[spread > 0])) if spread.any() else 0.0
        if self.name == "roc_auc":
            return self._auc(y, outputs)
        if self.task == "multilabel":
            predicted = outputs > 0.5
            if self.name == "accuracy":
                return float((predicted == (y > 0.5)).mean())
            return _f1(y > 0.5, predicted)
        predicted = outputs.argmax(1)
        if self.name == "accuracy":
            return float((predicted == y).mean())
        if self.name == "balanced_accuracy":
            return float(np.mean([(predicted[y == k] == k).mean() for k in np.unique(y)]))
        classes = np.union1d(y, predicted)
        return _f1(y[:, None] == classes, predicted[:, None] == classes)

    def _auc(self, y: NDArray[Any], outputs: Floats) -> float:
        truth = y > 0.5 if self.task == "multilabel" else y[:, None] == np.arange(outputs.shape[1])
        both = truth.any(0) & ~truth.all(0)
        if not both.any():
            return 0.5
        return float(np.mean(_areas(truth[:, both], outputs[:, both])))

    def prior(self, y_train: NDArray[Any], n: int, n_outputs: int) -> Floats:
        """What is predicted for `n` rows without any modality: the training rows' frequencies or means."""
        if self.task == "multiclass":
            mean = np.bincount(y_train, minlength=n_outputs) / len(y_train)
        else:
            mean = y_train.mean(0)
        return np.tile(mean.astype(np.float64), (n, 1))

    @property
    def words(self) -> str:
        """The metric's name in a sentence."""
        return {"r2": "R²", "f1_macro": "macro F1", "roc_auc": "AUC"}.get(
            self.name, self.name.replace("_", " ")
        )


def _areas(truth: NDArray[np.bool_], outputs: Floats) -> Floats:
    """Areas under the ROC curves of columns, by ranks: a bootstrap asks for thousands."""
    n_true = truth.sum(0)
    ranks = np.where(truth, rankdata(outputs, axis=0), 0.0).sum(0)
    return np.asarray((ranks - n_true * (n_true + 1) / 2) / (n_true * (len(truth) - n_true)))


def _f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Mean over columns of ``2 tp / (2 tp + fp + fn)``, 0 where nothing is true or predicted."""
    hits = (truth & predicted).sum(0)
    total = truth.sum(0) + predicted.sum(0)
    return float(np.mean(np.divide(2 * hits, total, out=np.zeros(len(total)), where=total > 0)))


def row_losses(task: str, y: NDArray[Any], outputs: Floats) -> Floats:
    """Log-loss (or squared error) of every row."""
    if task == "regression":
        return ((y - outputs) ** 2).mean(1)
    p = np.clip(outputs, 1e-12, 1 - 1e-12)
    if task == "multilabel":
        return -np.where(y > 0.5, np.log(p), np.log(1 - p)).mean(1)
    return -np.log(p[np.arange(len(y)), y])


def best_strength(
    task: str, n_outputs: int, train: tuple[Floats, NDArray[Any]], validation: tuple[Floats, NDArray[Any]]
) -> float:
    """The penalty's inverse strength, of .01, .1 and 1, whose linear model has the lowest validation loss."""
    losses = {}
    for strength in _STRENGTHS:
        found = predict_with_probe(task, n_outputs, strength, train, validation[0])
        losses[strength] = float(row_losses(task, validation[1], found).mean())
    return min(losses, key=lambda strength: losses[strength])


def common_strength(
    metric: Metric,
    n_outputs: int,
    embeddings: Sequence[Floats],
    y: NDArray[Any],
    train: NDArray[np.intp],
    validation: NDArray[np.intp],
) -> float:
    """The strength with which probes of all `embeddings`, each (n, d), score best in sum on validation rows.

    Encoders are compared, of networks and of modalities, so one instrument reads all of them: a penalty
    chosen for each would put the difference of two penalties into that of two encoders.
    """

    def total(strength: float) -> float:
        outputs = (
            predict_with_probe(metric.task, n_outputs, strength, (h[train], y[train]), h[validation])
            for h in embeddings
        )
        return sum(metric(y[validation], output) for output in outputs)

    return max(_STRENGTHS, key=total)


def predict_with_probe(
    task: str, n_outputs: int, strength: float, train: tuple[Floats, NDArray[Any]], features: Floats
) -> Floats:
    """Fit a linear model on standardised features of the training rows; its outputs for other rows.

    Parameters
    ----------
    task : str
    n_outputs : int
    strength : float
        Inverse of the penalty.
    train : tuple of features (n, d) and codes
    features : ndarray of shape (m, d)

    Returns
    -------
    ndarray of shape (m, n_outputs)
    """
    scaler = StandardScaler().fit(train[0])
    if task == "multiclass" and len(np.unique(train[1])) < 2:
        return np.tile(np.bincount(train[1], minlength=n_outputs) / len(train[1]), (len(features), 1))
    model = _linear(task, strength)
    with warnings.catch_warnings(), one_blas_thread_if_small(train[0].size * n_outputs):
        # A probe cut short after 200 iterations says as much.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        model.fit(scaler.transform(train[0]), train[1])
    return _outputs(model, task, n_outputs, scaler.transform(features))


def _linear(task: str, strength: float) -> Any:
    if task == "regression":
        return Ridge(alpha=1 / strength)
    model = LogisticRegression(C=strength, max_iter=200)
    return OneVsRestClassifier(model) if task == "multilabel" else model


def _outputs(model: Any, task: str, n_outputs: int, X: Floats) -> Floats:
    if task == "regression":
        return np.asarray(model.predict(X), dtype=np.float64).reshape(len(X), -1)
    found = np.asarray(model.predict_proba(X), dtype=np.float64)
    if task == "multilabel" or found.shape[1] == n_outputs:
        return found
    whole = np.zeros((len(X), n_outputs))  # a class that the training rows lack
    whole[:, model.classes_] = found
    return whole
