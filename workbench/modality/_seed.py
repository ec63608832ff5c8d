"""One seed of an analysis: from the table to its measurements and its joint network."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from workbench.modality._measure import Measured, Parts, Plan, measure
from workbench.modality._metrics import Metric
from workbench.modality._nets import Architecture, shapes_of, state_of
from workbench.modality._preparation import learn, prepare
from workbench.modality._rows import make_schedule
from workbench.modality._table import Target, holdout_rows
from workbench.modality.columns import ModalitiesError
from workbench.modality.fusion import LateFusionClassifier, LateFusionRegressor
from workbench.modality.remedies import REMEDIES

if TYPE_CHECKING:
    from workbench.modality.analyzer import ModalityCompetitionAnalyzer

__all__ = ["Task", "analyse_seed"]


@dataclass(frozen=True)
class Task:
    """What is the same for every seed: the analyzer, whose `modalities_` are known, and its checked data."""

    analyzer: ModalityCompetitionAnalyzer
    frame: pd.DataFrame
    target: Target
    weights: NDArray[np.float64]
    groups: NDArray[Any] | None
    metric: Metric
    functions: Sequence[str]  # value functions of the contributions


def analyse_seed(task: Task, seed: int, test: NDArray[np.intp]) -> tuple[Measured, Any]:
    """Measure one seed; returns also its joint network as an estimator.

    Raises
    ------
    ModalitiesError
        If a part would have fewer than two rows.
    """
    analyzer, target = task.analyzer, task.target
    parts = _divide(task, seed, test)
    plans = learn(task.frame.iloc[parts.fitted], analyzer.modalities_, analyzer.encoder, seed)
    blocks = prepare(task.frame, plans)
    fitted = _estimator(task, seed, parts)
    codes = target.codes
    if target.task == "regression":
        codes = (codes - fitted.target_mean_) / fitted.target_scale_
    architecture = Architecture(
        shapes_of(plans), target.n_outputs, analyzer.fusion, analyzer.hidden, analyzer.depth
    )
    plan = Plan(
        list(analyzer.modalities_),
        architecture,
        task.metric,
        analyzer.absent,
        tuple(task.functions),
        analyzer.n_permutations,
        analyzer.remedy,
        analyzer.remedy_options,
    )
    # A function given as modalities cannot be hashed; what it chose can.
    known = clone(analyzer).set_params(modalities=analyzer.modalities_)
    schedule = make_schedule(known, seed, blocks, target.codes, task.weights)
    schedule = replace(schedule, fingerprint=f"{schedule.fingerprint}:{_digest(parts)}")
    one = measure(plan, blocks, codes, task.weights, parts, schedule)
    fitted.plans_, fitted.architecture_, fitted.votes_ = plans, asdict(architecture), one.net.votes
    fitted.weights_ = {name: value.astype(np.float32) for name, value in state_of(one.net.model).items()}
    fitted.history_ = one.history["joint"]
    return one, fitted


def _divide(task: Task, seed: int, test: NDArray[np.intp]) -> Parts:
    rest = np.setdiff1d(np.arange(len(task.frame)), test)
    held = _held(task, rest, seed)
    train = rest[~held]
    validates = REMEDIES[task.analyzer.remedy].validates
    spare = _held(task, train, seed) if validates else np.zeros(len(train), dtype=bool)
    parts = Parts(train, rest[held], np.asarray(test), spare)
    if min(len(parts.train), len(parts.validation), len(parts.test)) < 2:
        raise ModalitiesError(
            f"The table has {len(task.frame)} samples, too few to spare at least two for validation and two "
            "for test."
        )
    return parts


def _held(task: Task, rows: NDArray[np.intp], seed: int) -> NDArray[np.bool_]:
    """Which of some rows are kept for validation."""
    target = task.target
    part = Target(target.task, target.codes[rows], target.classes, target.flat)
    groups = None if task.groups is None else task.groups[rows]
    return holdout_rows(part, task.analyzer.validation_fraction, groups, seed)


def _estimator(task: Task, seed: int, parts: Parts) -> Any:
    """The joint network's estimator, yet without its weights."""
    analyzer, target = task.analyzer, task.target
    fitted: Any = LateFusionClassifier() if target.task != "regression" else LateFusionRegressor()
    own = {name: getattr(analyzer, name) for name in fitted.get_params() if name in analyzer.get_params()}
    fitted.set_params(**{**own, "modalities": analyzer.modalities_, "random_state": seed})
    fitted._learn_target(
        Target(target.task, target.codes[parts.fitted], target.classes, target.flat),
        task.weights[parts.fitted],
    )
    fitted.modalities_, fitted.task_ = analyzer.modalities_, target.task
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(analyzer, name):
            setattr(fitted, name, getattr(analyzer, name))
    return fitted


def _digest(parts: Parts) -> str:
    return "-".join(str(zlib.crc32(p.tobytes())) for p in (parts.train, parts.validation, parts.test))
