"""The recipes of the family: analyse the competition between modalities, and race the remedies."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit

from workbench.arrays import Data, Split, TableData
from workbench.errors import DatasetError
from workbench.modality.remedies import REMEDIES
from workbench.report import Report, Reporter

__all__ = ["analyze", "modalities_of_roles", "race"]

#: What a column's role begins with when it says the column's modality.
ROLE = "modality:"


def analyze(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Analyse the competition between the modalities of a table.

    Parameters
    ----------
    estimator : ModalityCompetitionAnalyzer
        Where its `modalities` is None, the data set's roles ``modality:<name>`` are taken, else prefixes.
    data : Data
        Rows without a label take no part. Rows of one ``user`` (a subject, an actor) are never divided
        between training, validation and test.
    split : Split
        A drawn one is drawn anew for each of the analyzer's seeds.
    seed : int
    reporter : Reporter
        Each seed is a stage, and so is the decomposition of information.

    Returns
    -------
    Report
        The tables of `ModalityCompetitionAnalyzer.report_`.
    """
    table, y, groups = _labelled(data)
    analyzer = _prepared(estimator, table, seed)
    n_seeds = analyzer.n_seeds
    reporter.plan({**{f"seed {i + 1}": 10.0 for i in range(n_seeds)}, "information": 1.0})
    tests = [_divided(split, table, y, groups, seed + i)[1] for i in range(n_seeds)]
    began = time.perf_counter()

    def stage(name: str) -> AbstractContextManager[None]:
        return reporter.stage(name, weight=10.0 if name.startswith("seed") else 1.0)

    analyzer._analyse(table.X, y, groups=groups, test_rows=tests, stage=stage)
    for note in analyzer.notes_:
        reporter.log(note)
    scores = {**analyzer.scores_, "seconds": time.perf_counter() - began}
    return Report("modality.analyze", analyzer.headline_, scores, analyzer.report_, analyzer)


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
    table, y, groups = _labelled(data)
    runner = _prepared(estimator, table, seed)
    train, test = _divided(split, table, y, groups, seed)
    began = time.perf_counter()
    runner._race(
        table.X.iloc[train],
        y[train],
        groups=None if groups is None else groups[train],
        test=(table.X.iloc[test], y[test]),
        stage=lambda name: reporter.stage(name),
    )
    mean = runner.report_.set_index("remedy")
    best = runner.best_
    test_score = float(runner.score(table.X.iloc[test], y[test]))
    gain = mean.loc[best, "gain"]
    headline = (
        f"{best.replace('_', ' ').capitalize()} is best on the validation rows "
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


def _prepared(estimator: Any, table: TableData, seed: int) -> Any:
    estimator = clone(estimator)
    if estimator.random_state is None:
        estimator.set_params(random_state=seed)
    if estimator.modalities is None:
        estimator.set_params(modalities=modalities_of_roles(table.roles))
    return estimator


def _labelled(data: Data) -> tuple[TableData, NDArray[Any], NDArray[Any] | None]:
    """The rows with a label, the labels, and whose row each is where the data set says so."""
    table = data.to_table()
    if table.y is None:
        raise DatasetError(f"{data.ref} has no label: give a column the role 'label'.")
    known = ~pd.isna(np.asarray(table.y, dtype=object) if table.y.ndim == 1 else table.y)
    rows = np.flatnonzero(known if known.ndim == 1 else known.all(axis=1))
    split = None if table.split is None else table.split[rows]
    X, y, users = table.X.iloc[rows].reset_index(drop=True), table.y[rows], table.roles.get("user", [])
    groups = X[users[0]].astype(str).to_numpy() if users else None
    return TableData(X.drop(columns=users), y, split, table.roles), y, groups


def _divided(
    split: Split, table: TableData, y: NDArray[Any], groups: NDArray[Any] | None, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Train and test rows; drawn ones by whole groups, where there are such."""
    drawn = table.split is None or split.kind == "random"
    if groups is None or not drawn or split.kind == "column":
        return split.indices(len(table.X), y=_strata(y), column=table.split, seed=seed)
    if len(np.unique(groups)) < 3:
        raise DatasetError(
            "Rows of one user are never divided, and there are fewer than three users to draw from: take the "
            "role 'user' away, or give the data set a split."
        )
    drawer = GroupShuffleSplit(1, test_size=split.test_size, random_state=seed)
    train, test = next(drawer.split(groups, groups=groups))
    return np.sort(train), np.sort(test)


def _strata(y: NDArray[Any]) -> NDArray[Any] | None:
    return y if y.ndim == 1 and len(np.unique(y.astype(str))) <= max(2, len(y) // 10) else None
