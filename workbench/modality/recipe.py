"""The recipes of the family: train one network, analyse the competition, and race the remedies."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from workbench.arrays import Data, Split
from workbench.modality._labelled import Labelled
from workbench.modality._metrics import Metric
from workbench.modality._several import scored_several
from workbench.modality.columns import assign, guess_modalities
from workbench.modality.race import judge
from workbench.modality.remedies import REMEDIES
from workbench.recipes import scored
from workbench.report import Report, Reporter

__all__ = ["analyze", "fit", "modalities_of_roles", "race"]

#: What a column's role begins with when it says the column's modality.
ROLE = "modality:"

#: Exchanges of a modality's test rows, whose mean loss of score is its importance.
_EXCHANGES = 10


def fit(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Train one late-fusion network on the train part and score it on the test part.

    Parameters
    ----------
    estimator : LateFusionClassifier or LateFusionRegressor
        Where its `modalities` is None, the data set's roles ``modality:<name>`` are taken, else prefixes.
    data : Data
        Rows without a label take no part. Rows of one ``user`` (a subject, an actor) are never divided
        between training, validation and test; the column with the role ``weight`` weighs the training rows.
    split : Split
    seed : int
    reporter : Reporter

    Returns
    -------
    Report
        Scores and tables as `workbench.recipes.fit_score` gives them; `importance` has a row a modality,
        and `presence` the score by which modalities the test rows have, where some are absent.
    """
    rows = Labelled.of(data)
    model = _prepared(estimator, rows, seed)
    train, test = rows.divided(split, seed)
    reporter.plan({"fit": 8.0, "score": 1.0})
    with reporter.stage("fit"):
        part = rows.take(train)
        model.fit(part.X, part.y, sample_weight=part.weight, groups=part.groups)
    with reporter.stage("score"):
        held = rows.take(test)
        if isinstance(rows.y, pd.DataFrame):
            report = scored_several(model, part, held)
        else:
            report = scored(model, rows.X, rows.y, train, test, rows.ids, seed)
        report.tables["importance"] = _importance(model, held, seed)
        presence = _presence(model, held)
        if len(presence) > 1:
            report.tables["presence"] = presence
    return replace(report, recipe="modality.fit", estimator=model)


def _importance(model: Any, held: Labelled, seed: int) -> pd.DataFrame:
    """Mean loss of score when one modality's rows are exchanged among themselves."""
    rng = np.random.default_rng(seed)
    whole = model.score(held.X, held.y)
    found = []
    for name, columns in model.modalities_.items():
        losses = []
        for _ in range(_EXCHANGES):
            mixed = held.X.copy()
            mixed[columns] = held.X[columns].take(rng.permutation(len(mixed))).set_axis(mixed.index)
            losses.append(whole - model.score(mixed, held.y))
        found.append((name, "modality", float(np.mean(losses)), float(len(columns)), True))
    table = pd.DataFrame(found, columns=["component", "kind", "score", "cost", "kept"])
    return table.sort_values("score", ascending=False, ignore_index=True)


def _presence(model: Any, held: Labelled) -> pd.DataFrame:
    """The score on the rows that have the same modalities."""
    names = list(model.modalities_)
    present = np.stack([held.X[columns].notna().any(axis=1) for columns in model.modalities_.values()], 1)
    found = []
    for pattern in np.unique(present, axis=0)[::-1]:
        rows = np.flatnonzero((present == pattern).all(axis=1))
        part = held.take(rows)
        score = model.score(part.X, part.y) if len(rows) > 1 else np.nan
        there = [name for name, is_there in zip(names, pattern, strict=True) if is_there]
        found.append((" + ".join(there) or "none", len(rows), score))
    return pd.DataFrame(found, columns=["present", "rows", "score"])


def analyze(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Analyse the competition between the modalities of a table.

    Parameters
    ----------
    estimator : ModalityCompetitionAnalyzer
    data : Data
        As in `fit`; weights count in training, and every test row once.
    split : Split
        A drawn one is drawn anew for each of the analyzer's seeds.
    seed : int
    reporter : Reporter
        Each seed is a stage, and so is the decomposition of information.

    Returns
    -------
    Report
        `ModalityCompetitionAnalyzer.report_`, and how long it took.
    """
    rows = Labelled.of(data)
    analyzer = _prepared(estimator, rows, seed)
    n_seeds = analyzer.n_seeds
    reporter.plan({**{f"seed {i + 1}": 10.0 for i in range(n_seeds)}, "information": 1.0})
    tests = [rows.divided(split, seed + i)[1] for i in range(n_seeds)]
    began = time.perf_counter()

    def stage(name: str) -> AbstractContextManager[None]:
        return reporter.stage(name, weight=10.0 if name.startswith("seed") else 1.0)

    analyzer._analyse(rows.X, rows.y, rows.weight, rows.groups, test_rows=tests, stage=stage)
    for note in analyzer.notes_:
        reporter.log(note)
    scores = {**analyzer.scores_, "seconds": time.perf_counter() - began}
    return replace(analyzer.report_, scores=scores, estimator=analyzer)


def race(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Race the remedies on the train part, decide on validation rows of it, and report the test part beside.

    Parameters
    ----------
    estimator : RemedyRace
    data, split, seed, reporter
        As in `analyze`; each training is a stage.

    Returns
    -------
    Report
        Tables race (one row a remedy and seed) and importance (remedies, scored by their gain over the
        baseline
        of the same budget).
    """
    rows = Labelled.of(data)
    runner = _prepared(estimator, rows, seed)
    train, test = (rows.take(part) for part in rows.divided(split, seed))
    began = time.perf_counter()
    runner._race(
        train.X,
        train.y,
        train.weight,
        train.groups,
        test=(test.X, test.y),
        stage=lambda name: reporter.stage(name),
    )
    mean = runner.report_.set_index("remedy")
    best = runner.best_
    metric = Metric.named(runner.metric, runner.estimator_.task_)
    test_score = judge(metric, runner.estimator_, test.X, test.y)
    gain = mean.loc[best, "gain"]
    winner = "No remedy" if best == "none" else best.replace("_", " ").capitalize()
    headline = (
        f"{winner} is best on the validation rows "
        f"({mean.loc[best, 'validation']:.3f}; "
        f"plain joint training of the same budget {mean.loc[best, 'baseline']:.3f}); "
        f"trained on all rows it scores {test_score:.3f} on the test rows."
    )
    importance = pd.DataFrame(
        {
            "component": mean.index,
            "kind": "remedy",
            "score": mean["gain"].to_numpy(),
            "cost": mean["epochs"].to_numpy(),
            "kept": mean.index == best,
        }
    )
    does = pd.DataFrame(
        [(name, REMEDIES[name].does, REMEDIES[name].source) for name in mean.index],
        columns=["remedy", "does", "source"],
    )
    scores = {
        "test_score": test_score,
        "validation_score": float(mean.loc[best, "validation"]),
        "gain": float(gain),
        "seconds": time.perf_counter() - began,
    }
    tables = {"race": pd.DataFrame(runner.table_), "importance": importance, "remedies": does}
    return Report("modality.race", headline, scores, tables, runner)


def modalities_of_roles(roles: dict[str, list[str]]) -> dict[str, list[str]] | None:
    """Modalities from the roles ``modality:<name>``; None where there are none."""
    found = {role.removeprefix(ROLE): list(names) for role, names in roles.items() if role.startswith(ROLE)}
    return found or None


def _prepared(estimator: Any, rows: Labelled, seed: int) -> Any:
    """The estimator with its seed and its modalities settled; who the user is tells no modality."""
    estimator = clone(estimator)
    if estimator.random_state is None:
        estimator.set_params(random_state=seed)
    given = estimator.modalities
    if given is None:
        given = modalities_of_roles(rows.roles) or guess_modalities(rows.features)
    return estimator.set_params(modalities=assign(given, rows.features) if callable(given) else given)
