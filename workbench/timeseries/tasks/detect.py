"""The recipe of anomaly detection: learn what is normal, and score every step of the test part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.arrays import Data, SeriesData, Split
from workbench.report import Report, Reporter
from workbench.timeseries.metrics import auc_pr, vus_pr, window_f1
from workbench.timeseries.preprocessing import series_lengths
from workbench.timeseries.tasks._detect_peers import detectors
from workbench.timeseries.tasks._shared import (
    best_peer,
    cut_in_time,
    fit_both,
    flat_scores,
    losses,
    run_peers,
    score_table,
    wanted,
)

__all__ = ["alarms", "detect"]

RECIPE = "timeseries.detect"

Scored = NDArray[np.float64]


def detect(
    estimator: Any,
    data: Data,
    split: Split,
    seed: int,
    reporter: Reporter,
    *,
    peers: bool | None = None,
) -> Report:
    """Train a detector on the train part, taken to be normal, and score every step of the test part.

    With a column that has the role ``split`` whole series are train or test; else the test part is the last
    ``split.test_size`` of each series in time.

    Parameters
    ----------
    estimator : UniTSAnomalyDetector
    data : Data
        A column with the role ``anomaly`` says which steps are anomalous; it is used to judge alone.
    split : Split
    seed : int
        Becomes ``random_state`` where that is None; also of the peers.
    reporter : Reporter
    peers : bool, optional
        Whether peers run too; by default unless the split is the inner one, which only trials are judged by.

    Returns
    -------
    Report
        Scores ``threshold`` and ``flagged`` (the share of steps above it); where anomalies are known
        ``auc_pr``, ``vus_pr``, and ``f1`` of single steps at the threshold, with their ``untrained_``
        counterparts; ``seconds`` of training. Tables scores (with the peers'), track (every step of the test
        part), alarms (runs of steps above the threshold) and curve.
    """
    series = data.to_series()
    train, rows, begins, ends = _parts(series, split)
    reporter.plan({"train": 10.0, "untrained": 3.0, "peers": 3.0, "evaluate": 2.0})
    tested = [(row, np.arange(begin, end)) for row, begin, end in zip(rows, begins, ends, strict=True)]

    def joined(scores: Scored) -> Scored:
        return np.concatenate([scores[i, steps] for i, (_, steps) in enumerate(tested)])

    fitted, seconds = fit_both(estimator, seed, lambda model: model.fit(train), reporter)
    trained = fitted["trained"]
    found = {
        name: (joined(model.decision_function(series.X[rows])), model.threshold_)
        for name, model in fitted.items()
    }
    labels = None
    if series.anomaly is not None:
        labels = np.concatenate([series.anomaly[row, steps] for row, steps in tested])

    def judge(one: tuple[Scored, float]) -> dict[str, float]:
        return _scores(labels, one[0], one[1], min(100, trained.window_))

    with reporter.stage("peers"):
        asked = detectors(train, series.X[rows], trained.window_, trained.quantile, seed)
        every = {name: _joined(peer, joined) for name, peer in asked.items()}
        more, times = run_peers(wanted(every, peers, split), reporter, judge if peers else None)
    found |= more
    seconds |= times
    with reporter.stage("evaluate"):
        judged: dict[str, dict[str, float]] = {}
        for i, (name, one) in enumerate(found.items()):
            judged[name] = judge(one)
            reporter.progress(i + 1, len(found))
    track = pd.DataFrame(
        {
            "id": np.repeat(series.ids[rows], [len(steps) for _, steps in tested]),
            "step": np.concatenate([steps for _, steps in tested]),
            "score": found["trained"][0],
            "anomaly": pd.array([None] * len(found["trained"][0]) if labels is None else labels, "boolean"),
        }
    )
    tables = {
        "scores": score_table(judged, seconds),
        "track": track,
        "alarms": alarms(track, trained.threshold_),
        "curve": losses(trained),
    }
    scores = flat_scores(judged, seconds) | {"threshold": trained.threshold_}
    n_alarms = len(tables["alarms"])
    headline = f"{n_alarms} alarms over {len(track)} steps; no known anomaly to judge them by."
    if "vus_pr" in scores:
        headline = (
            f"VUS-PR {scores['vus_pr']:.3f} over {len(track)} steps; untrained "
            f"{scores['untrained_vus_pr']:.3f}{best_peer(judged, 'vus_pr', largest=True)}; {n_alarms} alarms."
        )
    return Report(RECIPE, headline, scores, tables, trained)


def _joined(
    peer: Callable[[], tuple[Scored, float]], joined: Callable[[Scored], Scored]
) -> Callable[[], tuple[Scored, float]]:
    """A peer that gives the scores of all tested steps one after the other."""

    def scored() -> tuple[Scored, float]:
        values, threshold = peer()
        return joined(values), threshold

    return scored


def alarms(track: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Runs of steps whose score is above a threshold.

    Parameters
    ----------
    track : DataFrame with the columns id, step, score and anomaly
    threshold : float

    Returns
    -------
    DataFrame
        Columns id, start, end (the last step), steps, peak and anomalous (whether any step truly is; missing
        where that is not known), the highest peak first.
    """
    score, step = track["score"].to_numpy(dtype=float), track["step"].to_numpy()
    above, (series, _) = score > threshold, pd.factorize(track["id"])
    changes = (np.diff(series) != 0) | (above[1:] != above[:-1])
    first = np.flatnonzero(np.append(len(track) > 0, changes))
    last = np.append(first[1:], len(track))[: len(first)] - 1
    kept = above[first]
    known = track["anomaly"].notna().to_numpy()
    true = track["anomaly"].fillna(False).to_numpy(dtype=bool)
    anomalous = pd.array(np.logical_or.reduceat(true, first)[kept], dtype="boolean")
    anomalous[~np.logical_or.reduceat(known, first)[kept]] = pd.NA
    found = pd.DataFrame(
        {
            "id": track["id"].to_numpy()[first[kept]],
            "start": step[first[kept]],
            "end": step[last[kept]],
            "steps": (last - first + 1)[kept],
            "peak": np.fmax.reduceat(score, first)[kept],
            "anomalous": anomalous,
        }
    )
    return found.sort_values("peak", ascending=False, ignore_index=True)


def _parts(
    series: SeriesData, split: Split
) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """What is trained on; and the rows that are tested, from which step to which."""
    ends = series_lengths(series.X)
    if series.split is not None and split.kind != "random":
        train, test = split.indices(len(series.X), column=series.split)
        return series.X[train], test, np.zeros(len(test), dtype=np.int64), ends[test]
    begins, ends = cut_in_time(series.X, split, 2)
    visible = (np.arange(series.X.shape[1]) < begins[:, None])[:, :, None]
    train_part = np.where(visible, series.X, np.nan)[:, : begins.max()]
    return train_part, np.arange(len(series.X)), begins, ends


def _scores(
    labels: NDArray[np.bool_] | None, scores: Scored, threshold: float, buffer: int
) -> dict[str, float]:
    flagged = scores > threshold
    result = {"flagged": float(flagged.mean())}
    if labels is not None and labels.any():
        result |= {
            "vus_pr": vus_pr(labels, scores, buffer),
            "auc_pr": auc_pr(labels, scores),
            "f1": window_f1(labels, flagged),
        }
    return result
