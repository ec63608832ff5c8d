"""The recipe of classification: some labels may be missing, and series may be of two domains."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from workbench.arrays import Data, SeriesData, Split
from workbench.errors import DatasetError
from workbench.report import Report, Reporter
from workbench.timeseries.evaluation import known_labels, label_names
from workbench.timeseries.recipe import class_tables
from workbench.timeseries.tasks._peers import classifiers
from workbench.timeseries.tasks._shared import (
    best_peer,
    fit_both,
    flat_scores,
    losses,
    run_peers,
    score_table,
    wanted,
)
from workbench.timeseries.units_classifier import UniTSClassifier

__all__ = ["classify"]

RECIPE = "timeseries.classify"

#: Shares of the training's labels at which the curve is drawn.
_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)

Rows = NDArray[np.intp]


def classify(
    estimator: Any,
    data: Data,
    split: Split,
    seed: int,
    reporter: Reporter,
    *,
    peers: bool | None = None,
) -> Report:
    """Train a classifier of series on the train part and judge it on the test part.

    Encoders learn from all series of the train part, the head from those with a label. Where the data set
    has a column with the role ``domain``, labels of the source alone are learnt from, encoders learn from
    both domains, and the test scores are those of the target.

    Parameters
    ----------
    estimator : UniTSClassifier
    data : Data
    split : Split
    seed : int
        Becomes ``random_state`` where that is None; also of the split and the peers.
    reporter : Reporter
    peers : bool, optional
        Whether peers run too; by default unless the split is the inner one, which only trials are judged by.

    Returns
    -------
    Report
        Scores ``test_accuracy`` and ``test_balanced_accuracy``, with domains also ``source_accuracy``, each
        with its ``untrained_`` counterpart, and ``seconds`` of training. Tables scores (with the peers'),
        probabilities, confusion, per_class, label_curve (accuracy by share of labels, encoders frozen) and
        curve.
    """
    series = data.to_series()
    if series.y is None:
        raise DatasetError(f"{data.ref} has no labels: give a column the role 'label'.")
    labels = label_names(series.y)
    train, test = split.indices(len(series.X), y=series.y, column=series.split, seed=seed)
    target = None if series.domain is None else series.domain == "target"
    learns, tested, beside = _parts(labels, train, test, series.domain)
    reporter.plan({"train": 10.0, "untrained": 3.0, "evaluate": 1.0, "peers": 3.0, "labels": 1.0})

    domain = None if target is None else target[train]
    fitted, seconds = fit_both(
        estimator, seed, lambda model: model.fit(series.X[train], labels[train], domain), reporter
    )
    trained = fitted["trained"]
    with reporter.stage("evaluate"):
        judged: dict[str, dict[str, float]] = {}
        for name, model in fitted.items():
            judged[name] = _scores(labels[tested], model.predict(series.X[tested]))
            if len(beside):
                accuracy = accuracy_score(labels[beside].astype(str), model.predict(series.X[beside]))
                judged[name]["source_accuracy"] = float(accuracy)
        shares = trained.predict_proba(series.X[tested])
        tables = {"probabilities": _probabilities(trained, shares, series, tested, labels)}
        tables |= class_tables(labels[tested], trained.classes_[shares.argmax(axis=1)])
    with reporter.stage("peers"):
        asked = classifiers(series.X[learns], labels[learns].astype(str), series.X[tested], seed)
        judge = partial(_scores, labels[tested])
        found, times = run_peers(wanted(asked, peers, split), reporter, judge if peers else None)
        judged |= {name: judge(predicted) for name, predicted in found.items()}
        seconds |= times
    with reporter.stage("labels"):
        rows = _label_curve(fitted, series.X, labels, learns, tested, seed, reporter)
        tables["label_curve"] = pd.DataFrame(rows, columns=["model", "share", "labels", "accuracy"])
    tables["scores"] = score_table(judged, seconds)
    tables["curve"] = losses(trained)
    scores = flat_scores(judged, seconds)
    where = " of the target" if target is not None else ""
    headline = (
        f"Test accuracy {scores['test_accuracy']:.3f} on {len(tested)} series{where}; "
        f"untrained {scores['untrained_test_accuracy']:.3f}{best_peer(judged, 'test_accuracy', largest=True)}"
        f" ({len(learns)} of {len(train)} training series have a label to learn from)."
    )
    return Report(RECIPE, headline, scores, tables, trained)


def _parts(
    labels: NDArray[Any], train: Rows, test: Rows, domain: NDArray[Any] | None
) -> tuple[Rows, Rows, Rows]:
    """Series to learn labels from, to judge by, and of the source's test part, where there are domains."""
    known = known_labels(labels)
    learns, tested, beside = train[known[train]], test[known[test]], test[:0]
    if domain is not None:
        strange = sorted(set(map(str, domain)) - {"source", "target"})
        if strange:
            raise DatasetError(
                f"The column with the role 'domain' holds {strange[0]!r}: it must say 'source' or 'target' "
                "for every series."
            )
        learns = learns[domain[learns] == "source"]
        tested, beside = tested[domain[tested] == "target"], tested[domain[tested] == "source"]
    if not len(tested):
        raise DatasetError(
            "No test series" + (" of the target" if domain is not None else "") + " has a label to judge by: "
            "label some, or split otherwise."
        )
    if len(set(labels[learns])) < 2:
        raise DatasetError(
            "The training series have labels of fewer than two classes: label some of another class."
        )
    return learns, tested, beside


def _scores(true: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    true, predicted = true.astype(str), predicted.astype(str)
    recalls = [np.mean(predicted[true == label] == label) for label in np.unique(true)]
    scores = {"test_accuracy": float(accuracy_score(true, predicted))}
    # By hand where a class is predicted that the test part does not hold: scikit-learn warns then.
    known = np.isin(predicted, true).all()
    balanced = balanced_accuracy_score(true, predicted) if known else np.mean(recalls)
    return scores | {"test_balanced_accuracy": float(balanced)}


def _probabilities(
    model: UniTSClassifier, shares: NDArray[Any], series: SeriesData, tested: Rows, labels: NDArray[Any]
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "series": tested,
            "id": series.ids[tested],
            "label": labels[tested],
            "predicted": model.classes_[shares.argmax(axis=1)],
            "sure": shares.max(axis=1),
        }
    )
    return table.join(pd.DataFrame(shares, columns=[f"p:{name}" for name in model.classes_]))


def _label_curve(
    fitted: dict[str, UniTSClassifier],
    X: NDArray[Any],
    labels: NDArray[Any],
    learns: Rows,
    tested: Rows,
    seed: int,
    reporter: Reporter,
) -> list[dict[str, Any]]:
    """Accuracy of a head on frozen encoders, trained or not, learnt from a share of the labels."""
    known = labels[learns].astype(str)
    classes, counts = np.unique(known, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(learns))
    # The first of every class come first, so that even the smallest share knows two of each.
    place = pd.Series(known[order]).groupby(known[order]).cumcount()
    order = order[np.argsort(place.to_numpy(), kind="stable")]
    sizes = sorted({max(2 * len(classes), round(len(learns) * share)) for share in _SHARES})
    sizes = [size for size in sizes if size <= len(learns)] if counts.min() > 1 else [len(learns)]
    rows = []
    for i, size in enumerate(sizes):
        chosen = learns[np.sort(order[:size])]
        for name, model in fitted.items():
            frozen = [FrozenEstimator(encoder) for encoder in model.encoders_]
            head = clone(model).set_params(encoders=frozen, mode="freeze")
            head.fit(X[chosen], labels[chosen].astype(str))
            accuracy = accuracy_score(labels[tested].astype(str), head.predict(X[tested]))
            rows.append(
                {"model": name, "share": size / len(learns), "labels": size, "accuracy": float(accuracy)}
            )
        reporter.progress(i + 1, len(sizes))
    return rows
