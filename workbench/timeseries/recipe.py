"""The recipe of representation methods: train without labels, then see what the embedding is good for.

Beside the trained encoder stands the same one *untrained* (``n_epochs=0``, same seed): random shapelets
are a strong baseline, and a report that hides it says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils import get_tags

from workbench.arrays import Data, SeriesData, Split
from workbench.errors import DatasetError
from workbench.report import Report, Reporter
from workbench.timeseries._importance import importance, match_table, shapelet_table
from workbench.timeseries.evaluation import (
    Probe,
    cluster_scores,
    fit_probe,
    known_labels,
    label_names,
    robust_scaler,
)
from workbench.timeseries.preprocessing import z_normalize

__all__ = ["class_tables", "embedding_map", "represent"]

RECIPE = "timeseries.represent"

#: t-SNE of more series than this takes minutes; PCA then draws the map.
_MOST_FOR_TSNE = 4000
#: Shapelets that are drawn.
_SHOWN = 12


@dataclass
class _Judged:
    """One encoder and what came of it."""

    Z: NDArray[np.floating[Any]]
    scores: dict[str, float]
    probe: Probe | None
    predicted: NDArray[Any] | None


def represent(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Train an encoder of series on the train part and evaluate its embedding on the test part.

    Parameters
    ----------
    estimator : transformer
        Unfitted; ``transform`` gives (n, features). One that does not take three dimensions is given
        the variables side by side. The untrained control needs a parameter ``n_epochs``.
    data : Data
        Labels are optional; series without one take no part in probes.
    split : Split
    seed : int
        Becomes the estimator's ``random_state`` where that is None; also used by split and evaluation.
    reporter : Reporter

    Returns
    -------
    Report
        Scores ``test_accuracy``, ``nmi`` and ``rand_index`` (on the test part) with their ``untrained_``
        counterparts, ``cv_accuracy``, and ``seconds`` of training. Tables curve, embedding, features,
        importance, scores; with labels also confusion and per_class; for shapelets also shapelets and
        matches.
    """
    series = data.to_series()
    train, test = split.indices(len(series.X), y=series.y, column=series.split, seed=seed)
    labels = None if series.y is None else label_names(series.y)
    trained = _prepared(estimator, seed)
    has_control = trained.get_params().get("n_epochs", 0) != 0
    reporter.plan(
        {"train": 10.0, "untrained": 0.5, "evaluate": 2.0} if has_control else {"train": 1, "evaluate": 1}
    )

    with reporter.stage("train", weight=10.0):
        began = time.perf_counter()
        _fit(trained, series, train, labels)
        seconds = time.perf_counter() - began
    untrained = None
    if has_control:
        with reporter.stage("untrained", weight=0.5):
            untrained = clone(trained).set_params(n_epochs=0)
            _fit(untrained, series, train, labels)
    with reporter.stage("evaluate", weight=2.0):
        judged = _judge(trained, series, train, test, labels, seed)
        control = None if untrained is None else _judge(untrained, series, train, test, labels, seed)
        reporter.progress(1, 3)
        tables = {"curve": _curve(trained), "embedding": _embedding(judged, series, train, labels, seed)}
        tables["features"] = _features(trained, judged.Z, series.ids)
        reporter.progress(2, 3)
        tables |= _shapelets(trained, judged, series, train, labels, seed)
        if judged.predicted is not None and labels is not None:
            tables |= class_tables(labels[test], judged.predicted[test])
    tables["scores"] = pd.DataFrame(
        [
            {"model": model, "metric": metric, "value": value}
            for model, one in (("trained", judged), ("untrained", control))
            if one is not None
            for metric, value in one.scores.items()
        ],
        columns=["model", "metric", "value"],
    )
    scores = dict(judged.scores)
    if control is not None:
        scores |= {f"untrained_{name}": value for name, value in control.scores.items() if name != "C"}
    scores["seconds"] = seconds
    return Report(RECIPE, _headline(scores, series, train, test), scores, tables, trained)


def _prepared(estimator: Any, seed: int) -> Any:
    estimator = clone(estimator)
    if estimator.get_params().get("random_state", 0) is None:
        estimator.set_params(random_state=seed)
    return estimator


def _input(estimator: Any, X: NDArray[Any]) -> NDArray[Any]:
    """The series in the shape that the estimator takes."""
    if get_tags(estimator).input_tags.three_d_array:
        return X
    return z_normalize(X).reshape(len(X), -1)


def _fit(estimator: Any, series: SeriesData, train: NDArray[np.intp], labels: NDArray[Any] | None) -> None:
    if not get_tags(estimator).target_tags.required:
        estimator.fit(_input(estimator, series.X[train]))
        return
    if labels is None:
        raise DatasetError(f"{type(estimator).__name__} needs labels: give a column the role 'label'.")
    known = train[known_labels(labels[train])]
    estimator.fit(_input(estimator, series.X[known]), labels[known].astype(str))


def _judge(
    estimator: Any,
    series: SeriesData,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    labels: NDArray[Any] | None,
    seed: int,
) -> _Judged:
    Z = np.asarray(estimator.transform(_input(estimator, series.X)))
    judged = _Judged(Z, {}, None, None)
    if labels is None or len(set(labels[train][known_labels(labels[train])])) < 2:
        return judged
    judged.probe = fit_probe(Z[train], _text(labels[train]), random_state=seed)
    judged.predicted = judged.probe.model.predict(Z)
    if not np.isnan(judged.probe.cv_accuracy):
        judged.scores["cv_accuracy"] = judged.probe.cv_accuracy
    judged.scores["C"] = judged.probe.C
    tested = test[known_labels(labels[test])]
    if len(tested):
        judged.scores["test_accuracy"] = float(
            accuracy_score(labels[tested].astype(str), judged.predicted[tested])
        )
        clusters = cluster_scores(Z[test], _text(labels[test]), random_state=seed)
        judged.scores |= {"nmi": clusters.nmi, "rand_index": clusters.rand_index}
    return judged


def _text(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as an array of text where none is missing, else of objects."""
    return labels.astype(str) if known_labels(labels).all() else labels


def _curve(estimator: Any) -> pd.DataFrame:
    rows = [
        {"epoch": epoch, "name": name, "value": value}
        for epoch, entry in enumerate(getattr(estimator, "history_", []), start=1)
        for name, value in entry.items()
    ]
    return pd.DataFrame(rows, columns=["epoch", "name", "value"])


def embedding_map(Z: NDArray[np.floating[Any]], seed: int = 0) -> NDArray[np.float64]:
    """Embeddings, (n, p), as points in the plane, (n, 2), neighbours staying neighbours.

    t-SNE with perplexity 30, or a third of the series where they are few; PCA for fewer than ten
    series or more than 4000.
    """
    scaled = make_pipeline(Normalizer(), robust_scaler()).fit_transform(Z)
    if len(Z) < 3 or min(scaled.shape) < 2:
        flat = scaled[:, :2] - scaled[:, :2].mean(axis=0)
        return np.pad(flat.astype(float), ((0, 0), (0, 2 - flat.shape[1])))
    plane = PCA(2, random_state=seed).fit_transform(scaled)
    if 10 <= len(Z) <= _MOST_FOR_TSNE and plane.std() > 0:
        perplexity = min(30.0, (len(Z) - 1) / 3)
        plane = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)
    return np.asarray(plane, dtype=float)


def _embedding(
    judged: _Judged,
    series: SeriesData,
    train: NDArray[np.intp],
    labels: NDArray[Any] | None,
    seed: int,
) -> pd.DataFrame:
    n = len(judged.Z)
    part = np.full(n, "test", dtype=object)
    part[train] = "train"
    plane = embedding_map(judged.Z, seed)
    label = np.full(n, None, dtype=object) if labels is None else labels
    # The probe has learnt the train part: only its predictions for the test part say something.
    predicted = np.full(n, None, dtype=object)
    if judged.predicted is not None:
        predicted[part == "test"] = judged.predicted[part == "test"]
    told = pd.notna(label) & pd.notna(predicted)
    correct = np.array([bool(a == b) if t else None for a, b, t in zip(label, predicted, told, strict=True)])
    return pd.DataFrame(
        {
            "series": np.arange(n),
            "id": series.ids,
            "split": part,
            "x": plane[:, 0],
            "y": plane[:, 1],
            "label": label,
            "predicted": predicted,
            "correct": pd.array(correct, dtype="boolean"),
        }
    )


def _features(estimator: Any, Z: NDArray[Any], ids: NDArray[Any]) -> pd.DataFrame:
    return pd.DataFrame(Z, columns=_names(estimator, Z.shape[1])).assign(id=ids)


def _names(estimator: Any, n_features: int) -> list[str]:
    try:
        return [str(name) for name in estimator.get_feature_names_out()]
    except (AttributeError, ValueError):
        return [f"feature_{i}" for i in range(n_features)]


def _shapelets(
    estimator: Any,
    judged: _Judged,
    series: SeriesData,
    train: NDArray[np.intp],
    labels: NDArray[Any] | None,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """The importance table, and for shapelets what they look like and where they match."""
    n_features = judged.Z.shape[1]
    names = _names(estimator, n_features)
    known = train
    y = None
    if judged.probe is not None and labels is not None:
        known = train[known_labels(labels[train])]
        y = labels[known].astype(str)
    kinds, costs = ["feature"] * n_features, np.zeros(n_features)
    shapelets = getattr(estimator, "shapelets_", None)
    if shapelets is not None:
        table = estimator.feature_table()
        kinds = [measure for _, measure, _ in table]
        lengths = [length for _, _, length in table]
        steps, channels = series.X.shape[1:]
        costs = np.array([(steps - length + 1) * length * channels for length in lengths], dtype=float)
    found = importance(
        names, kinds, costs, judged.Z[known], y, C=1.0 if judged.probe is None else judged.probe.C, seed=seed
    )
    tables = {"importance": found}
    if shapelets is not None:
        chosen = found["feature"].head(_SHOWN).tolist()
        start, value = estimator.locate(series.X)
        tables["shapelets"] = shapelet_table(shapelets, chosen, names, kinds, series.channels)
        tables["matches"] = match_table(start, value, chosen, names, kinds, lengths, series.ids)
    return tables


def class_tables(labels: NDArray[Any], predicted: NDArray[Any]) -> dict[str, pd.DataFrame]:
    """Confusion, and precision, recall and F1 of each class, over the series whose label is known."""
    known = known_labels(labels)
    if not known.any():
        return {}
    true, found = labels[known].astype(str), predicted[known].astype(str)
    classes = np.unique(np.concatenate([true, found]))
    counts = confusion_matrix(true, found, labels=classes)
    confusion = pd.DataFrame(
        {
            "true": np.repeat(classes, len(classes)),
            "predicted": np.tile(classes, len(classes)),
            "count": counts.ravel(),
        }
    )
    precision, recall, f1, support = precision_recall_fscore_support(
        true, found, labels=classes, zero_division=0.0
    )
    per_class = pd.DataFrame(
        {"class": classes, "precision": precision, "recall": recall, "f1": f1, "support": support}
    )
    return {"confusion": confusion, "per_class": per_class}


def _headline(
    scores: dict[str, float], series: SeriesData, train: NDArray[np.intp], test: NDArray[np.intp]
) -> str:
    accuracy = scores.get("test_accuracy")
    if accuracy is None:
        return (
            f"Representation of {len(series.X)} series learnt from {len(train)}, without labels to test it."
        )
    text = f"Test accuracy {accuracy:.3f} on {len(test)} series"
    control = scores.get("untrained_test_accuracy")
    return f"{text}." if control is None else f"{text}; untrained {control:.3f}."


def _refuse(params: Mapping[str, Any], dataset: Any, split: Split) -> None:
    from workbench.timeseries.tasks import refusal_of  # which imports this module

    refusal_of("timeseries.represent")(params, dataset, split)


setattr(represent, "refuse", _refuse)  # noqa: B010  (asked before a run is queued, see `Store.check`)
