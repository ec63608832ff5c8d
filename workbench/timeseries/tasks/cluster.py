"""The recipe of clustering: groups of series, compared with labels where there are any."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    rand_score,
    silhouette_score,
)

from workbench.arrays import Data, SeriesData, Split
from workbench.report import Report, Reporter
from workbench.timeseries.evaluation import known_labels, label_names
from workbench.timeseries.preprocessing import z_normalize
from workbench.timeseries.recipe import embedding_map
from workbench.timeseries.tasks._peers import clusterers
from workbench.timeseries.tasks._shared import (
    Judged,
    best_peer,
    fit_both,
    flat_scores,
    losses,
    run_peers,
    score_table,
    wanted,
)
from workbench.timeseries.units_clusterer import UniTSClusterer

__all__ = ["cluster"]

RECIPE = "timeseries.cluster"


def cluster(
    estimator: Any,
    data: Data,
    split: Split,
    seed: int,
    reporter: Reporter,
    *,
    peers: bool | None = None,
) -> Report:
    """Group the series of the train part, and put those of the test part into the groups.

    Parameters
    ----------
    estimator : UniTSClusterer
    data : Data
        Labels take no part in the grouping.
    split : Split
    seed : int
        Becomes ``random_state`` where that is None; also of the split and the peers.
    reporter : Reporter
    peers : bool, optional
        Whether peers run too; by default unless the split is the inner one, which only trials are judged by.

    Returns
    -------
    Report
        On the test part, ``silhouette`` of the z-normalised series themselves, and with labels ``nmi``,
        ``rand_index`` and ``adjusted_rand``, with their ``untrained_`` counterparts, and ``seconds`` of
        training. Tables scores (with the peers'), map (the features in the plane, with the cluster and which
        series is its medoid), groups (series by cluster and label) and curve.
    """
    series = data.to_series()
    labels = None if series.y is None else label_names(series.y)
    train, test = split.indices(len(series.X), y=series.y, column=series.split, seed=seed)
    reporter.plan({"train": 10.0, "untrained": 1.0, "evaluate": 1.0, "peers": 3.0})
    fitted, seconds = fit_both(estimator, seed, lambda model: model.fit(series.X[train]), reporter)
    trained = fitted["trained"]
    groups = {name: model.predict(series.X[test]) for name, model in fitted.items()}
    with reporter.stage("evaluate"):
        tables = _tables(trained, series, train, labels, seed)
    flat = z_normalize(series.X[test]).reshape(len(test), -1)
    judge = partial(group_scores, flat, None if labels is None else labels[test], seed)
    with reporter.stage("peers"):
        asked = clusterers(series.X[train], series.X[test], trained.n_clusters, seed)
        found, times = run_peers(wanted(asked, peers, split), reporter, judge if peers else None)
        groups |= found
        seconds |= times
    judged: Judged = {name: judge(group) for name, group in groups.items()}
    tables |= {"scores": score_table(judged, seconds), "curve": losses(trained)}
    scores = flat_scores(judged, seconds)
    metric = "nmi" if "nmi" in scores else "silhouette"
    headline = f"{trained.n_clusters} clusters of {len(train)} series."
    if metric in scores:
        what = "NMI with the labels" if metric == "nmi" else "Silhouette"
        headline = (
            f"{trained.n_clusters} clusters; {what} {scores[metric]:.3f} on {len(test)} test series; "
            f"untrained {scores[f'untrained_{metric}']:.3f}{best_peer(judged, metric, largest=True)}."
        )
    return Report(RECIPE, headline, scores, tables, trained)


def group_scores(
    flat: NDArray[Any], labels: NDArray[Any] | None, seed: int, groups: NDArray[Any]
) -> dict[str, float]:
    """How well groups agree with the labels, where there are any, and how far apart they lie.

    The silhouette of more than 2000 series is that of as many, drawn by `seed`.
    """
    scores: dict[str, float] = {}
    if labels is not None and known_labels(labels).any():
        known = known_labels(labels)
        true, found = labels[known].astype(str), groups[known]
        scores["nmi"] = float(normalized_mutual_info_score(true, found))
        scores["rand_index"] = float(rand_score(true, found))
        scores["adjusted_rand"] = float(adjusted_rand_score(true, found))
    if 1 < len(np.unique(groups)) < len(groups):
        size = min(len(flat), 2000)
        scores["silhouette"] = float(silhouette_score(flat, groups, sample_size=size, random_state=seed))
    else:  # one group: nothing is told apart
        scores["silhouette"] = 0.0
    return scores


def _tables(
    model: UniTSClusterer, series: SeriesData, train: NDArray[np.intp], labels: NDArray[Any] | None, seed: int
) -> dict[str, pd.DataFrame]:
    groups = model.predict(series.X)
    plane = embedding_map(model.embed(series.X), seed)
    n = len(groups)
    part = np.full(n, "test", dtype=object)
    part[train] = "train"
    medoid = np.zeros(n, dtype=bool)
    medoid[train[model.medoids_]] = True
    table = pd.DataFrame(
        {
            "series": np.arange(n),
            "id": series.ids,
            "split": part,
            "x": plane[:, 0],
            "y": plane[:, 1],
            "cluster": groups,
            "label": np.full(n, None, dtype=object) if labels is None else labels,
            "medoid": medoid,
        }
    )
    shown = table.assign(label=table["label"].map(lambda label: "no label" if label is None else label))
    counts = shown.value_counts(["cluster", "label"]).rename("count").reset_index()
    return {"map": table, "groups": counts.sort_values(["cluster", "label"], ignore_index=True)}
