"""The recipes for any scikit-learn estimator.

:func:`fit_score` fits one and scores it, a trivial control beside it; :func:`apply` uses one that is
fitted already on another data set.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_clusterer, is_regressor

from workbench.arrays import Data, Split
from workbench.errors import DatasetError
from workbench.report import Report, Reporter

__all__ = ["apply", "arrays_of", "fit_score", "scored"]

MAX_CLASSES = 50  # above which probabilities are no columns of what a model said
MAX_IMPORTANCE = 200  # columns above which permuting each one takes too long


def fit_score(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Fit on the train part and score on the test part.

    Classifiers get accuracy, balanced accuracy and log loss, regressors R², MAE and RMSE, each beside a
    control that ignores the features; clusterers the adjusted Rand index against the labels (where there
    are any) and the silhouette; transformers the shape of what they return.

    Tables: ``scores`` (model, metric, value), ``predictions`` (id, split?, true, predicted), ``confusion``
    (true, predicted, count), ``importance`` (by permutation of each column of the test part).
    """
    X, y, column, ids = arrays_of(estimator, data)
    train, test = split.indices(len(X), y=y, column=column, seed=seed)
    supervised = is_classifier(estimator) or is_regressor(estimator)
    if supervised and y is None:
        raise DatasetError(f"{data.ref} has no labels: give a column the role 'label'.")
    if y is not None and supervised:
        known = ~pd.isna(y)
        train, test = train[known[train]], test[known[test]]
    weights = {"fit": 8.0, "score": 1.0}
    permutable = supervised and isinstance(X, pd.DataFrame) and X.shape[1] <= MAX_IMPORTANCE
    if permutable:
        weights["importance"] = 2.0
    reporter.plan(weights)
    with reporter.stage("fit"):
        estimator.fit(_take(X, train), None if y is None else y[train])
    with reporter.stage("score"):
        report = scored(estimator, X, y, train, test, ids, seed)
    if permutable and y is not None and isinstance(X, pd.DataFrame):
        with reporter.stage("importance"):
            report.tables["importance"] = _importance(estimator, X.iloc[test], y[test], seed, reporter)
    report.estimator = estimator
    return report


def scored(
    estimator: Any,
    X: Any,
    y: NDArray[Any] | None,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    ids: NDArray[Any],
    seed: int,
) -> Report:
    """What `fit_score` reports of an estimator that was fitted on the rows `train`, but for importances."""
    if is_classifier(estimator) and y is not None:
        return _classification(estimator, X, y, train, test, ids, seed)
    if is_regressor(estimator) and y is not None:
        return _regression(estimator, X, y, train, test, ids, seed)
    if is_clusterer(estimator):
        return _clustering(estimator, X, y, train, test, ids, seed)
    return _transformation(estimator, X, train, test)


def apply(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Use a fitted estimator on every row of a data set; `split` and `seed` do not count.

    Columns of a table that the model was not fitted on are left out.

    What the estimator does decides: it predicts, and is scored where the rows have labels; or it
    transforms, and the table ``features`` (id, f0, f1, …) holds what it returned.
    """
    X, y, _, ids = arrays_of(estimator, data)
    X = _columns_of(estimator, X)
    with reporter.stage("apply"), _warnings_as_notes(reporter) as notes:
        try:
            if not hasattr(estimator, "predict"):
                return _applied_transform(estimator, X, ids)
            predicted = np.asarray(estimator.predict(X))
        except ValueError as error:
            raise DatasetError(
                f"{data.ref} does not fit this model: {' '.join(str(error).split())}"
            ) from error
        proba = _proba(estimator, X) if is_classifier(estimator) else None
    table = pd.DataFrame({"id": ids.astype(str), **_by_output(estimator, predicted)})
    if proba is not None and np.ndim(proba[1]) == 2 and len(proba[0]) <= MAX_CLASSES:
        table = table.assign(**{f"p_{name}": proba[1][:, i] for i, name in enumerate(proba[0])})
    headline, scores = f"{len(ids)} rows predicted", {"n_rows": float(len(ids))}
    if y is not None and predicted.ndim == 1 and not pd.isna(y).all():
        table["true"] = y
        known = ~pd.isna(y)
        if is_classifier(estimator):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the same as of all rows
                proba = _proba(estimator, _take(X, np.flatnonzero(known)))
            scores |= _class_scores(y[known], predicted[known], proba)
            headline += f", accuracy {scores['accuracy']:.3f}"
        elif is_regressor(estimator) and pd.api.types.is_numeric_dtype(pd.Series(y[known]).infer_objects()):
            scores |= _error_scores(y[known], predicted[known])
            headline += f", mean absolute error {scores['mae']:.4g}"
    tables = {"predictions": table}
    if notes:
        tables["notes"] = pd.DataFrame({"note": notes}, dtype=object)
    return Report("apply", f"{headline}.", scores, tables)


@contextmanager
def _warnings_as_notes(reporter: Reporter) -> Iterator[list[str]]:
    """What our own models warn of, each sentence once; other warnings go where they would have gone."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield notes
    for one in caught:
        sentence = " ".join(str(one.message).split())
        if one.category.__module__.partition(".")[0] != "workbench":
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        elif sentence not in notes:
            notes.append(sentence)
            reporter.log(sentence)


def _columns_of(estimator: Any, X: Any) -> Any:
    """The columns that the model was fitted on, where the table has them all among others."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None or not isinstance(X, pd.DataFrame) or not set(names) <= set(X.columns):
        return X
    return X[list(names)]


def _by_output(estimator: Any, predicted: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """A column for what was predicted; several where the model tells several labels or numbers a row."""
    if predicted.ndim == 1:
        return {"predicted": predicted}
    names = getattr(estimator, "classes_", None)
    known = isinstance(names, np.ndarray) and len(names) == predicted.shape[1]
    return {
        f"predicted_{names[k] if known else k}": predicted[:, k]  # type: ignore[index]
        for k in range(predicted.shape[1])
    }


def _applied_transform(estimator: Any, X: Any, ids: NDArray[Any]) -> Report:
    out = np.asarray(estimator.transform(X)).reshape(len(ids), -1)
    table = pd.DataFrame(out, columns=[f"f{i}" for i in range(out.shape[1])])
    table.insert(0, "id", ids.astype(str))
    headline = f"{len(ids)} rows turned into {out.shape[1]} numbers each."
    return Report("apply", headline, {"n_rows": float(len(ids))}, {"features": table})


def arrays_of(
    estimator: Any, data: Data
) -> tuple[Any, NDArray[Any] | None, NDArray[Any] | None, NDArray[Any]]:
    """X, y, split and ids: as series where the estimator takes 3-D input and the data set has series."""
    tags = getattr(estimator, "__sklearn_tags__", None)
    if tags is not None and tags().input_tags.three_d_array:
        try:
            series = data.to_series()
        except DatasetError:
            pass  # a plain table is fine too
        else:
            return series.X, series.y, series.split, np.asarray(series.ids)
    table = data.to_table()
    return table.X, table.y, table.split, np.arange(len(table.X))


def _take(X: Any, rows: NDArray[np.intp]) -> Any:
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def _classification(
    estimator: Any, X: Any, y: NDArray[Any], train: Any, test: Any, ids: NDArray[Any], seed: int
) -> Report:
    from sklearn.dummy import DummyClassifier

    control = DummyClassifier(strategy="prior").fit(np.zeros((len(train), 1)), y[train])
    predicted = np.asarray(estimator.predict(_take(X, test)))
    scores = {
        f"test_{k}": v
        for k, v in _class_scores(y[test], predicted, _proba(estimator, _take(X, test))).items()
    }
    blank = np.zeros((len(test), 1))
    baseline = _class_scores(
        y[test], control.predict(blank), (control.classes_, control.predict_proba(blank))
    )
    scores |= {f"control_test_{k}": v for k, v in baseline.items()}
    scores["train_accuracy"] = float(np.mean(np.asarray(estimator.predict(_take(X, train))) == y[train]))
    confusion = (
        pd.DataFrame({"true": y[test].astype(str), "predicted": predicted.astype(str)})
        .value_counts()
        .rename("count")
        .reset_index()
        .sort_values(["true", "predicted"], ignore_index=True)
    )
    headline = (
        f"Test accuracy {scores['test_accuracy']:.3f}, against {scores['control_test_accuracy']:.3f} for "
        f"always guessing the commonest class ({len(test)} test rows)."
    )
    tables = {
        "scores": _score_table(type(estimator).__name__, scores),
        "confusion": confusion,
        "predictions": _predictions(ids[test], y[test], predicted),
    }
    return Report("fit_score", headline, scores, tables)


def _class_scores(y: NDArray[Any], predicted: NDArray[Any], proba: Any) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

    scores = {"accuracy": float(accuracy_score(y, predicted))}
    # With a class predicted that the test part does not hold, scikit-learn warns; its recall is undefined.
    scores["balanced_accuracy"] = (
        float(balanced_accuracy_score(y, predicted))
        if np.isin(predicted, y).all()
        else float(np.mean([np.mean(predicted[y == label] == label) for label in np.unique(y)]))
    )
    if proba is not None and np.isin(y, proba[0]).all():
        scores["log_loss"] = float(log_loss(y, proba[1], labels=proba[0]))
    return scores


def _proba(estimator: Any, X: Any) -> tuple[NDArray[Any], NDArray[Any]] | None:
    try:
        return estimator.classes_, estimator.predict_proba(X)
    except AttributeError:  # no probabilities, or not with these parameters
        return None


def _regression(
    estimator: Any, X: Any, y: NDArray[Any], train: Any, test: Any, ids: NDArray[Any], seed: int
) -> Report:
    from sklearn.dummy import DummyRegressor

    control = DummyRegressor().fit(np.zeros((len(train), 1)), y[train])
    predicted = np.asarray(estimator.predict(_take(X, test)))
    scores = {f"test_{k}": v for k, v in _error_scores(y[test], predicted).items()}
    baseline = _error_scores(y[test], control.predict(np.zeros((len(test), 1))))
    scores |= {f"control_test_{k}": v for k, v in baseline.items()}
    headline = (
        f"Test R² {scores['test_r2']:.3f}, mean absolute error {scores['test_mae']:.4g} against "
        f"{scores['control_test_mae']:.4g} for always guessing the mean ({len(test)} test rows)."
    )
    tables = {
        "scores": _score_table(type(estimator).__name__, scores),
        "predictions": _predictions(ids[test], y[test], predicted),
    }
    return Report("fit_score", headline, scores, tables)


def _error_scores(y: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    return {
        "r2": float(r2_score(y, predicted)) if len(y) > 1 else float("nan"),
        "mae": float(mean_absolute_error(y, predicted)),
        "rmse": float(root_mean_squared_error(y, predicted)),
    }


def _clustering(
    estimator: Any, X: Any, y: NDArray[Any] | None, train: Any, test: Any, ids: NDArray[Any], seed: int
) -> Report:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

    # Not every clusterer can place new rows; those are judged on the rows they grouped.
    rows = test if hasattr(estimator, "predict") else train
    found = np.asarray(estimator.predict(_take(X, rows)) if rows is test else estimator.labels_)
    shuffled = np.random.default_rng(seed).permutation(found)
    scores: dict[str, float] = {"n_clusters": float(len(np.unique(found[found != -1])))}
    flat = np.asarray(_take(X, rows), dtype=float).reshape(len(rows), -1)
    if 1 < len(np.unique(found)) < len(rows) and np.isfinite(flat).all():
        scores["silhouette"] = float(
            silhouette_score(flat, found, sample_size=min(len(rows), 5000), random_state=seed)
        )
        scores["control_silhouette"] = float(
            silhouette_score(flat, shuffled, sample_size=min(len(rows), 5000), random_state=seed)
        )
    headline = f"{int(scores['n_clusters'])} clusters"
    if y is not None and not pd.isna(y[rows]).any():
        labels = y[rows].astype(str)
        scores["adjusted_rand"] = float(adjusted_rand_score(labels, found))
        scores["nmi"] = float(normalized_mutual_info_score(labels, found))
        scores["control_adjusted_rand"] = float(adjusted_rand_score(labels, shuffled))
        headline += f"; adjusted Rand index {scores['adjusted_rand']:.3f} against the labels"
    elif "silhouette" in scores:
        headline += f"; silhouette {scores['silhouette']:.3f}"
    tables = {
        "scores": _score_table(type(estimator).__name__, scores),
        "clusters": pd.DataFrame({"id": ids[rows].astype(str), "cluster": found}),
    }
    return Report("fit_score", f"{headline} ({len(rows)} rows).", scores, tables)


def _transformation(estimator: Any, X: Any, train: Any, test: Any) -> Report:
    name = type(estimator).__name__
    if not hasattr(estimator, "transform"):
        return Report("fit_score", f"{name} was fitted on {len(train)} rows.", {"n_train": float(len(train))})
    out = np.asarray(estimator.transform(_take(X, test)))
    scores = {"n_features_out": float(np.prod(out.shape[1:])), "n_train": float(len(train))}
    explained = getattr(estimator, "explained_variance_ratio_", None)
    headline = f"{name} turns each row into {int(scores['n_features_out'])} numbers"
    if explained is not None:
        scores["explained_variance"] = float(np.sum(explained))
        headline += f" that keep {scores['explained_variance']:.1%} of the variance"
    tables = {"scores": _score_table(name, scores)}
    return Report("fit_score", f"{headline}.", scores, tables)


def _importance(
    estimator: Any, X: pd.DataFrame, y: NDArray[Any], seed: int, reporter: Reporter
) -> pd.DataFrame:
    """Mean drop of the score when one column of the test part is shuffled."""
    rng = np.random.default_rng(seed)
    base, repeats = estimator.score(X, y), 5
    drops = []
    for i, column in enumerate(X.columns):
        mixed, losses = X.copy(), []
        for _ in range(repeats):
            mixed[column] = X[column].take(rng.permutation(len(X))).set_axis(X.index)
            losses.append(base - estimator.score(mixed, y))
        drops.append(float(np.mean(losses)))
        reporter.progress(i + 1, X.shape[1])
    table = pd.DataFrame(
        {"component": X.columns.astype(str), "kind": "column", "score": drops, "cost": 1.0, "kept": True}
    )
    return table.sort_values("score", ascending=False, ignore_index=True)


def _predictions(ids: NDArray[Any], true: NDArray[Any], predicted: NDArray[Any]) -> pd.DataFrame:
    return pd.DataFrame({"id": ids.astype(str), "true": true, "predicted": predicted})


def _score_table(model: str, scores: dict[str, float]) -> pd.DataFrame:
    rows = [
        ("control" if name.startswith("control_") else model, name.removeprefix("control_"), value)
        for name, value in scores.items()
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "value"])
