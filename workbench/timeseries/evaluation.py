"""How good a representation is: what simple models make of it, trained on nothing else.

The protocol is that of the CSL paper (section 6): embeddings normalised to length 1, robust scaling, an
RBF support vector machine for classification, and PCA with k-means for clustering. Its penalty C is
chosen here by cross-validation as the paper says; the published code never chooses, and always takes
10⁴ (pass ``C=1e4`` to reproduce it). What is far outside after the scaling is moved to its border
(`robust_scaler`), which shapelets' distances never are.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score, rand_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, RobustScaler
from sklearn.svm import SVC

__all__ = [
    "PENALTIES",
    "ClusterScores",
    "Probe",
    "cluster_scores",
    "fit_probe",
    "folds",
    "known_labels",
    "label_names",
    "robust_scaler",
]

#: Values of the support vector machine's C that are tried.
PENALTIES = tuple(10.0**power for power in range(-4, 5))

#: Interquartile ranges from the median beyond which a feature's value says no more.
_FARTHEST = 5.0

Labels = NDArray[Any]


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes
    ----------
    model : Pipeline
        From embeddings, shape (n, p), to labels.
    C : float
        The penalty used.
    cv_accuracy : float
        Mean accuracy over the folds with that penalty; NaN where it was not chosen by cross-validation.
    """

    model: Pipeline
    C: float
    cv_accuracy: float


@dataclass(frozen=True)
class ClusterScores:
    """Agreement of clusters with labels."""

    rand_index: float
    nmi: float


def known_labels(y: ArrayLike) -> NDArray[np.bool_]:
    """Which labels are there: not None, not NaN."""
    return ~np.asarray(pd.isna(np.asarray(y)))


def label_names(y: ArrayLike) -> NDArray[np.object_]:
    """Labels as text, a missing one as None; whole numbers lose their ``.0``."""

    def name(label: Any) -> str | None:
        if pd.isna(label):
            return None
        if isinstance(label, (float, np.floating)) and float(label).is_integer():
            return str(int(label))
        return str(label)

    return np.array([name(label) for label in np.asarray(y)], dtype=object)


def folds(y: Labels, seed: int | None = 0, most: int = 5) -> StratifiedKFold | None:
    """Stratified folds, no more than the smallest class has members; None where that is one."""
    n_splits = min(most, int(np.unique(y, return_counts=True)[1].min()))
    return StratifiedKFold(n_splits, shuffle=True, random_state=seed) if n_splits > 1 else None


def robust_scaler() -> Pipeline:
    """Features in interquartile ranges from their median, none more than 5 away.

    A feature that is 0 for nearly all series has next to no such range: without the border a few of these
    drown all others in an RBF kernel, in PCA and in k-means.
    """
    border = {"a_min": -_FARTHEST, "a_max": _FARTHEST}
    return make_pipeline(RobustScaler(), FunctionTransformer(np.clip, kw_args=border))


def fit_probe(
    Z: ArrayLike, y: ArrayLike, *, C: float | Literal["cv"] = "cv", random_state: int | None = 0
) -> Probe:
    """Fit the classification probe on the labelled part of some embeddings.

    Parameters
    ----------
    Z : array-like of shape (n, p)
    y : array-like of shape (n,)
        Rows whose label is missing are left out.
    C : float or "cv"
        The penalty, or choose it among `PENALTIES` by stratified cross-validation with
        min(5, smallest class) folds. With a class of one member there are no folds: 10⁴ is taken.
    random_state : int, optional
        Shuffles the folds.

    Returns
    -------
    Probe

    Raises
    ------
    ValueError
        If the labelled rows have fewer than two classes.
    """
    known = known_labels(y)
    Z, labels = np.asarray(Z)[known], np.asarray(y)[known]
    if len(np.unique(labels)) < 2:
        raise ValueError("A classification probe needs labels of at least two classes.")
    model = make_pipeline(Normalizer(), robust_scaler(), SVC(C=1e4 if C == "cv" else C, gamma="scale"))
    splitter = folds(labels, random_state) if C == "cv" else None
    if splitter is None:
        return Probe(model.fit(Z, labels), model[-1].C, np.nan)
    search = GridSearchCV(model, {"svc__C": PENALTIES}, cv=splitter).fit(Z, labels)
    return Probe(search.best_estimator_, search.best_params_["svc__C"], float(search.best_score_))


def cluster_scores(
    Z: ArrayLike, y: ArrayLike, *, n_clusters: int | None = None, random_state: int | None = 0
) -> ClusterScores:
    """Cluster embeddings and compare with their labels.

    Parameters
    ----------
    Z : array-like of shape (n, p)
    y : array-like of shape (n,)
        Rows whose label is missing are clustered with the others but not compared.
    n_clusters : int, optional
        Default: the number of classes.
    random_state : int, optional
        Of PCA and k-means.

    Returns
    -------
    ClusterScores
        Rand index and normalised mutual information, each at most 1.
    """
    Z, y = np.asarray(Z), np.asarray(y)
    known = known_labels(y)
    k = n_clusters or len(np.unique(y[known]))
    components = min(10, *Z.shape)
    reduced = make_pipeline(
        Normalizer(), robust_scaler(), PCA(components, random_state=random_state)
    ).fit_transform(Z)
    with warnings.catch_warnings():
        # Fewer distinct points than clusters: the scores below say so well enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(min(k, len(Z)), init="random", n_init=10, random_state=random_state)
        clusters = model.fit_predict(reduced)[known]
    return ClusterScores(
        float(rand_score(y[known], clusters)), float(normalized_mutual_info_score(y[known], clusters))
    )
