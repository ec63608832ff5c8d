"""What the tasks' recipes share: the untrained control, peers, the tables of scores and losses."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from workbench.arrays import Split
from workbench.errors import DatasetError
from workbench.report import LANDED, Reporter
from workbench.timeseries.preprocessing import series_lengths

__all__ = [
    "Judged",
    "best_peer",
    "cut_in_time",
    "fit_both",
    "flat_scores",
    "losses",
    "prepared",
    "run_peers",
    "score_table",
    "untrained",
    "wanted",
]

#: Scores of one model: metric → value.
Scores = Mapping[str, float]
Judged = Mapping[str, Scores]
Found = TypeVar("Found")


def prepared(estimator: Any, seed: int) -> Any:
    """An unfitted copy whose ``random_state`` is `seed` where it is None."""
    estimator = clone(estimator)
    if estimator.get_params(deep=False).get("random_state", 0) is None:
        estimator.set_params(random_state=seed)
    return estimator


def untrained(estimator: Any) -> Any:
    """The same task over the same encoders without their pre-training: what that is worth shows beside it."""
    control = clone(estimator).set_params(pretrain_epochs=0)
    if isinstance(estimator.encoders, str):
        return control
    return control.set_params(encoders=[_raw(one) for one in estimator.encoders])


def _raw(one: Any) -> Any:
    if isinstance(one, str):
        return one
    inner = clone(one.estimator if isinstance(one, FrozenEstimator) else one)
    return inner.set_params(n_epochs=0)


def fit_both(
    estimator: Any, seed: int, fit: Callable[[Any], Any], reporter: Reporter
) -> tuple[dict[str, Any], dict[str, float]]:
    """The estimator as ``trained`` and its control as ``untrained``, each fitted by `fit`; their seconds."""
    trained = prepared(estimator, seed)
    models, seconds = {"trained": trained, "untrained": untrained(trained)}, {}
    for stage, name in (("train", "trained"), ("untrained", "untrained")):
        with reporter.stage(stage):
            began = time.perf_counter()
            fit(models[name])
            seconds[name] = time.perf_counter() - began
    return models, seconds


def wanted(asked: Mapping[str, Found], peers: bool | None, split: Split) -> dict[str, Found]:
    """The peers that are to run: all, or none; where it is not said, none beside a mere trial."""
    return dict(asked) if (not split.inner if peers is None else peers) else {}


def run_peers(
    peers: Mapping[str, Callable[[], Found]],
    reporter: Reporter,
    judge: Callable[[Found], Scores] | None = None,
) -> tuple[dict[str, Found], dict[str, float]]:
    """What every peer gives, and its seconds; one that fails is told in the log and left out.

    With `judge` the scores of each are reported as soon as it has ended: some take minutes, others none.
    """
    found: dict[str, Found] = {}
    seconds: dict[str, float] = {}
    for i, (name, peer) in enumerate(peers.items()):
        reporter.log(f"peer {name}")
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # libraries' own, of imports and deprecations
                found[name] = peer()
                scores = {} if judge is None else judge(found[name])
        except Exception as error:  # code of others must not cost the run its result
            found.pop(name, None)
            scores = {}
            reporter.log(f"the peer {name} failed and is left out: {type(error).__name__}: {error}")
        seconds[name] = time.perf_counter() - began
        for metric, value in {**scores, "seconds": seconds[name]}.items() if scores else ():
            reporter.metric(f"{LANDED}{name}/{metric}", value, 0)
        reporter.progress(i + 1, len(peers))
    return found, seconds


def score_table(judged: Judged, seconds: Mapping[str, float]) -> pd.DataFrame:
    """One row a model and metric; seconds of training (peers: of all they do) among the metrics."""
    rows = [
        {"model": model, "metric": metric, "value": float(value)}
        for model, scores in judged.items()
        for metric, value in [*scores.items(), ("seconds", seconds.get(model, np.nan))]
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "value"])


def flat_scores(judged: Judged, seconds: Mapping[str, float]) -> dict[str, float]:
    """The scores that runs are compared by: the trained model's, and its control's as ``untrained_…``."""
    flat = {name: float(value) for name, value in judged["trained"].items()}
    flat |= {f"untrained_{name}": float(value) for name, value in judged.get("untrained", {}).items()}
    return flat | {"seconds": seconds["trained"]}


def best_peer(judged: Judged, metric: str, *, largest: bool) -> str:
    """The best peer by a metric, for the headline; empty where there is none."""
    peers = {m: s[metric] for m, s in judged.items() if m not in ("trained", "untrained") and metric in s}
    peers = {m: v for m, v in peers.items() if np.isfinite(v)}
    if not peers:
        return ""
    name = (max if largest else min)(peers, key=peers.__getitem__)
    return f"; best peer {name} {peers[name]:.3g}"


def losses(estimator: Any) -> pd.DataFrame:
    """Losses by epoch: of each encoder's pre-training, and of the fine tuning."""
    histories = [
        (f"{type(encoder).__name__}/", getattr(encoder, "history_", [])) for encoder in estimator.encoders_
    ]
    histories.append(("fine tuning/", getattr(estimator, "history_", [])))
    rows = [
        {"epoch": epoch, "name": f"{prefix}{name}", "value": value}
        for prefix, history in histories
        for epoch, entry in enumerate(history, start=1)
        for name, value in entry.items()
    ]
    return pd.DataFrame(rows, columns=["epoch", "name", "value"])


def cut_in_time(
    X: NDArray[np.floating[Any]], split: Split, at_least: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the test part of each series begins, its last ``split.test_size``; and where the series ends.

    Raises
    ------
    DatasetError
        If the longest series leaves less than `at_least` steps on one of the sides.
    """
    ends = series_lengths(X)
    if split.inner:
        ends, _ = cut_in_time(X, replace(split, inner=False), at_least)
    begins = np.clip(ends - np.maximum(np.round(ends * split.test_size).astype(int), 1), 1, None)
    longest = int(ends.argmax())
    if min(begins[longest], ends[longest] - begins[longest]) < at_least:
        raise DatasetError(
            f"The longest series has {ends[longest]} steps: a test part of {split.test_size:.0%} leaves less "
            f"than {at_least} steps on one side; give longer series, or choose another test share."
        )
    return begins, ends
