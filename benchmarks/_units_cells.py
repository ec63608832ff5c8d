"""The experiments of ``benchmarks/units.py``: each gives, for one seed, a value a model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from _common import Problem
from _units_data import ETT_PARTS, WEARERS, Memory, etth1, labelled_windows, nab, server, uea, watch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, average_precision_score, normalized_mutual_info_score, rand_score

from workbench.arrays import Split
from workbench.report import NullReporter, Report
from workbench.timeseries import (
    UniTSAnomalyDetector,
    UniTSClassifier,
    UniTSClusterer,
    UniTSForecaster,
    UniTSImputer,
)
from workbench.timeseries.evaluation import fit_probe
from workbench.timeseries.tasks import detect, impute
from workbench.timeseries.tasks._forecast_peers import forecasters
from workbench.timeseries.tasks._peers import classifiers, clusterers

#: Short ones first; JapaneseVowels is of unequal lengths.
UEA = (
    "BasicMotions", "RacketSports", "NATOPS", "ERing", "JapaneseVowels", "Epilepsy", "UWaveGestureLibrary",
    "AtrialFibrillation", "Cricket", "StandWalkJump",
)  # fmt: skip
#: Sets with enough series that a tenth of the labels is more than two of each class.
LABELLED = ("RacketSports", "Epilepsy", "NATOPS", "JapaneseVowels")
CLUSTERED = ("BasicMotions", "ERing", "NATOPS", "Epilepsy", "UWaveGestureLibrary", "AtrialFibrillation")
ENCODERS = ("CSL", "TS2Vec", "TSTCC", "TST", "TNC", "TLoss", "CSL+TS2Vec", "CSL+TS2Vec+TST")
NAB = (
    "nyc_taxi",
    "ambient_temperature_system_failure",
    "machine_temperature_system_failure",
    "ec2_request_latency_system_failure",
    "cpu_utilization_asg_misconfiguration",
    "rogue_agent_key_hold",
    "rogue_agent_key_updown",
)
SERVERS = (*(("smd", m) for m in ("1-6", "2-1", "3-4")), *(("asd", f"omi-{i}") for i in (1, 4, 8)))
HORIZONS = (24, 48, 168, 336)
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)

#: What makes a cell affordable on one core: epochs of the tuning, and for tasks on windows how many are
#: learnt from, how often, and how many steps apart they are scored.
TUNING = {"mode": "fine_tune", "n_epochs": 30}
WINDOWS = {"max_windows": 300, "pretrain_epochs": 5}
FORECASTS = {"max_windows": 2000, "pretrain_epochs": 2}
#: The same in words, below the table.
REDUCED = (
    f"Reduced, to fit one core: whole series are fine-tuned for {TUNING['n_epochs']} epochs; anomalies and "
    f"imputation learn from {WINDOWS['max_windows']} windows for {WINDOWS['pretrain_epochs']} epochs, and "
    f"every tenth window is scored; forecasts learn from {FORECASTS['max_windows']} windows for "
    f"{FORECASTS['pretrain_epochs']} epochs and are judged from 200 origins; AutoETS and AutoARIMA see the "
    "last 600 steps of each variable and, since they draw nothing at random, are run for the first seed "
    "alone; for the shift between machines encoders train for 5 epochs."
)
#: What is run before all else: one cell or more of every experiment, and what the verdict is of.
FIRST = (
    *(f"classify/{name}/{what}" for name in UEA[:4] for what in ("peers", "CSL+TS2Vec", "CSL+TS2Vec+TST")),
    "forecast/ETTh1/24",
    "anomalies/nab/ambient_temperature_system_failure",
    "anomalies/smd/1-6",
    "anomalies/asd/omi-1",
    "labels/RacketSports/10%",
    "labels/RacketSports/50%",
    "shift/watch to wearers 1",
    "shift/smd 1-6 to 2-1",
    "cluster/BasicMotions",
    "impute/ETTh1/geometric 12.5%",
    "impute/ETTh1/block 12.5%",
)
#: Windows of ETTh1's test part that are foretold.
_ORIGINS = 200

Peers = dict[str, Callable[[], np.ndarray]]
#: Value by model, by metric.
Found = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Cell:
    """One experiment: what is run for a seed."""

    name: str
    work: Callable[[int, Path | None], Found]


def _classify(name: str, encoders: str, seed: int, data: Path | None) -> Found:
    """An encoder, or several fused: frozen and under an SVM, with and without training, and fine-tuned."""
    problem = uea(name, data)
    trained = UniTSClassifier(encoders, random_state=seed).fit(problem.X_train, problem.y_train)
    raw = clone(trained).set_params(pretrain_epochs=0).fit(problem.X_train, problem.y_train)
    frozen = [FrozenEstimator(encoder) for encoder in trained.encoders_]
    tuned = clone(trained).set_params(encoders=frozen, **TUNING).fit(problem.X_train, problem.y_train)
    accuracy = {
        "untrained + SVM": _svm(raw, problem),
        "frozen + SVM": _svm(trained, problem),
        "frozen + linear": trained.score(problem.X_test, problem.y_test),
        "fine-tuned": tuned.score(problem.X_test, problem.y_test),
    }
    return {"accuracy": accuracy}


def _svm(model: UniTSClassifier, problem: Problem) -> float:
    train, test = (
        np.concatenate([encoder.transform(X) for encoder in model.encoders_], axis=1)
        for X in (problem.X_train, problem.X_test)
    )
    return float(fit_probe(train, problem.y_train).model.score(test, problem.y_test))


def _classify_peers(name: str, seed: int, data: Path | None) -> Found:
    problem = uea(name, data)
    peers = classifiers(problem.X_train, problem.y_train, problem.X_test, seed)
    return {"accuracy": _accuracies(problem, peers)}


def _accuracies(problem: Problem, peers: Peers) -> dict[str, float]:
    return {name: float(accuracy_score(problem.y_test, found)) for name, found in _each(peers).items()}


def _each(peers: Peers) -> dict[str, np.ndarray]:
    """What the peers find; one that cannot deal with the data is left out."""
    found = {}
    for name, peer in peers.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # libraries' own
                found[name] = peer()
        except Exception as error:
            print(f"  {name} failed: {error}", flush=True)
    return found


def _cluster(name: str, seed: int, data: Path | None) -> Found:
    problem = uea(name, data)
    k = len(np.unique(problem.y_test))
    trained = UniTSClusterer(k, "CSL+TS2Vec", random_state=seed).fit(problem.X_train)
    raw = clone(trained).set_params(pretrain_epochs=0).fit(problem.X_train)
    groups = {"UniTS": trained.predict(problem.X_test), "untrained": raw.predict(problem.X_test)}
    groups |= _each(clusterers(problem.X_train, problem.X_test, k, seed))
    judges = {"nmi": normalized_mutual_info_score, "rand_index": rand_score}
    return {
        metric: {model: float(judge(problem.y_test, found)) for model, found in groups.items()}
        for metric, judge in judges.items()
    }


def _partial(name: str, share: float, seed: int, data: Path | None) -> Found:
    """A share of the labels, two of each class at least: pre-trained and tuned, from scratch, MiniRocket."""
    problem = uea(name, data)
    y = problem.y_train.astype(object)
    order = np.random.default_rng(seed).permutation(len(y))
    first = [order[problem.y_train[order] == label][:2] for label in np.unique(problem.y_train)]
    order = np.array(list(dict.fromkeys([*np.concatenate(first), *order])))
    known = order[: max(sum(map(len, first)), round(share * len(y)))]
    labels = np.full(len(y), None, dtype=object)
    labels[known] = y[known]
    model = UniTSClassifier("TS2Vec", random_state=seed, **TUNING)
    scratch = clone(model).set_params(pretrain_epochs=0)
    peers = classifiers(problem.X_train[known], problem.y_train[known], problem.X_test, seed)
    peers = {peer: work for peer, work in peers.items() if peer == "MiniRocket"}
    accuracy = {
        "pre-trained + tuned": model.fit(problem.X_train, labels).score(problem.X_test, problem.y_test),
        "from scratch": scratch.fit(problem.X_train[known], y[known]).score(problem.X_test, problem.y_test),
    }
    return {"accuracy": accuracy | _accuracies(problem, peers), "labels": {"known": float(len(known))}}


def _shift(source: str, target: str, seed: int, data: Path | None) -> Found:
    """Labels of one machine, judged on the second half of another, of which the first half is unlabelled."""
    (X, y), (X_to, y_to) = (labelled_windows(name, data, 100) for name in (source, target))
    half = len(X_to) // 2
    both = np.concatenate([X, X_to[:half]])
    labels = np.concatenate([y.astype(object), np.full(half, None)])
    domain = np.repeat(["source", "target"], [len(X), half])
    model = UniTSClassifier("TS2Vec", random_state=seed, pretrain_epochs=5)
    shared = clone(model).fit(both, labels, domain)
    alone = clone(model).fit(X, y)
    raw = clone(model).set_params(pretrain_epochs=0).fit(X, y)
    found = {"source and target": shared, "source alone": alone, "untrained": raw}
    true = y_to[half:] == "True"
    auc = {
        name: float(average_precision_score(true, one.predict_proba(X_to[half:])[:, 1]))
        for name, one in found.items()
    }
    return {"auc_pr": auc | {"share that is anomalous": float(true.mean())}}


def _shift_wearers(fold: int, seed: int, data: Path | None) -> Found:
    """Labels of some people, judged on half of the recordings of others, whose other half is unlabelled."""
    X, y, wearer, recording = watch()
    target = np.isin(wearer, WEARERS[fold])
    theirs = np.random.default_rng(seed).permutation(np.unique(recording[target]))
    held = np.isin(recording, theirs[: len(theirs) // 2])
    source, seen, tested = np.flatnonzero(~target), np.flatnonzero(target & ~held), np.flatnonzero(held)
    labels = np.concatenate([y[source].astype(object), np.full(len(seen), None)])
    domain = np.repeat(["source", "target"], [len(source), len(seen)])
    model = UniTSClassifier("TS2Vec", random_state=seed)
    shared = clone(model).fit(X[np.concatenate([source, seen])], labels, domain)
    alone = clone(model).fit(X[source], y[source])
    raw = clone(model).set_params(pretrain_epochs=0).fit(X[source], y[source])
    found = {"source and target": shared, "source alone": alone, "untrained": raw}
    accuracy = {name: float(one.score(X[tested], y[tested])) for name, one in found.items()}
    peers = classifiers(X[source], y[source], X[tested], seed)
    quick = {peer: work for peer, work in peers.items() if peer in ("MiniRocket", "QUANT")}
    problem = Problem("watch", X[source], y[source], X[tested], y[tested])
    return {"accuracy": accuracy | _accuracies(problem, quick)}


def _impute(mask: str, ratio: float, seed: int, data: Path | None) -> Found:
    estimator = UniTSImputer(mask=mask, mask_ratio=ratio, random_state=seed, **WINDOWS)
    return _scores(
        impute(estimator, Memory("ETTh1", etth1(data)), Split(), seed, NullReporter()), "mse", "mae"
    )


def _detect(read: Callable[[Path | None], Memory], seed: int, data: Path | None) -> Found:
    estimator = UniTSAnomalyDetector(stride=10, random_state=seed, **WINDOWS)
    return _scores(
        detect(estimator, read(data), Split(test_size=0.7), seed, NullReporter()), "vus_pr", "auc_pr", "f1"
    )


def _forecast(horizon: int, seed: int, data: Path | None) -> Found:
    """Learnt from 12 months, judged on the last 4 of 20."""
    X = etth1(data)
    train = X[:, : ETT_PARTS[0]]
    first = sum(ETT_PARTS[:2])
    step = np.unique(np.linspace(first, X.shape[1] - horizon, _ORIGINS).astype(int))
    past = np.stack([X[0, s - 400 : s] for s in step])
    true = np.stack([X[0, s : s + horizon] for s in step])
    model = UniTSForecaster(horizon, 96, random_state=seed, **FORECASTS).fit(train)
    raw = clone(model).set_params(pretrain_epochs=0).fit(train)
    found = {"UniTS": model.predict(past[:, -96:]), "untrained": raw.predict(past[:, -96:])}
    peers = forecasters(train, past, horizon, 336, 24, row=np.zeros(len(step), np.intp), seed=seed)
    if seed:  # they draw nothing at random, and take half of a cell's time
        peers = {name: peer for name, peer in peers.items() if not name.startswith("Auto")}
    found |= _each(peers)
    return {
        metric: {name: float((np.abs(values - true) ** power).mean()) for name, values in found.items()}
        for metric, power in (("mse", 2), ("mae", 1))
    }


def _scores(report: Report, *metrics: str) -> Found:
    found: Found = {metric: {} for metric in metrics}
    for row in report.tables["scores"].dropna().itertuples():
        if row.metric in found:
            found[row.metric][{"trained": "UniTS"}.get(row.model, row.model)] = float(row.value)
    return found


def cells() -> list[Cell]:
    """Every experiment, in the order in which they are run."""
    work: dict[str, Callable[[int, Path | None], Found]] = {}
    for name in UEA:
        work[f"classify/{name}/peers"] = partial(_classify_peers, name)
        work |= {f"classify/{name}/{encoders}": partial(_classify, name, encoders) for encoders in ENCODERS}
    work |= {f"cluster/{name}": partial(_cluster, name) for name in CLUSTERED}
    for name in LABELLED:
        work |= {f"labels/{name}/{share:.0%}": partial(_partial, name, share) for share in SHARES}
    machines = [name for kind, name in SERVERS if kind == "smd"]
    for source, target in zip(machines, machines[1:] + machines[:1], strict=True):
        work[f"shift/smd {source} to {target}"] = partial(_shift, source, target)
    work |= {f"shift/watch to wearers {i + 1}": partial(_shift_wearers, i) for i in range(len(WEARERS))}
    for mask in ("geometric", "block"):
        work |= {f"impute/ETTh1/{mask} {r:.1%}": partial(_impute, mask, r) for r in (0.125, 0.25, 0.5)}
    work |= {f"anomalies/nab/{name}": partial(_detect, partial(nab, name)) for name in NAB}
    work |= {f"anomalies/{k}/{name}": partial(_detect, partial(server, k, name)) for k, name in SERVERS}
    work |= {f"forecast/ETTh1/{horizon}": partial(_forecast, horizon) for horizon in HORIZONS}
    return [Cell(name, work.pop(name)) for name in FIRST] + [Cell(name, one) for name, one in work.items()]
