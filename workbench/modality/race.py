"""Remedies side by side: the same rows, seeds and budget, judged on rows kept for validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from workbench.modality._metrics import METRICS, Metric
from workbench.modality._table import TableEstimator, check_comparison, holdout_rows
from workbench.modality.columns import Modalities, ModalitiesError, assign, check_content
from workbench.modality.fusion import LateFusionClassifier, LateFusionRegressor, network_constraints
from workbench.modality.remedies import REMEDIES, check_task, cost

__all__ = ["DEFAULT_RACE", "RemedyRace", "candidates", "judge"]

#: Raced unless others are named: none of them is best everywhere.
DEFAULT_RACE = (
    "none",
    "early_stopping",
    "auxiliary",
    "modality_dropout",
    "weighted_ensemble",
    "pretrain",
    "mmpareto",
)

Stage = Callable[[str], AbstractContextManager[Any]]


def candidates(
    remedies: Sequence[str] = DEFAULT_RACE, *, task: str = "classification", **parameters: Any
) -> dict[str, LateFusionClassifier | LateFusionRegressor]:
    """One unfitted estimator a remedy, e.g. to submit each as a run of its own.

    Parameters
    ----------
    remedies : sequence of str
    task : {"classification", "regression"}
    **parameters
        Of the estimators, the same for all.

    Returns
    -------
    dict of str to estimator
        Remedy to what trains with it.
    """
    remedies = [remedies] if isinstance(remedies, str) else list(remedies)
    if not remedies:
        raise ModalitiesError(f"No remedy is named: take from {', '.join(REMEDIES)}.")
    unknown = [name for name in remedies if name not in REMEDIES]
    if unknown:
        raise ModalitiesError(f"There is no remedy {unknown[0]!r}: take from {', '.join(REMEDIES)}.")
    kind = LateFusionClassifier if task == "classification" else LateFusionRegressor
    return {name: kind(remedy=name, **parameters) for name in remedies}


def _classifies(race: RemedyRace) -> bool:
    return race.task == "classification"


class RemedyRace(TableEstimator):
    """Train with several remedies on the same rows and keep the one that is best on validation rows.

    Beside each remedy stands its own baseline: plain joint training of as many epochs as the remedy takes in
    all, its preparatory trainings included. The chosen one is trained again on all rows.

    Parameters
    ----------
    modalities : dict, callable or None, default=None
        Which columns belong to which modality; see `LateFusionClassifier`.
    remedies : list of str, default=("none", "early_stopping", "auxiliary", ...)
        Names from `workbench.modality.REMEDIES`.
    task : {"classification", "regression"}, default="classification"
        Kind of the target.
    fusion : {"sum", "concat", "gated"}, default="sum"
        How the networks fuse.
    encoder : str, transformer or dict, default="auto"
        Encoders of the modalities; see `LateFusionClassifier`.
    hidden : int, default=64
        Width of every layer.
    depth : int, default=2
        Layers of an encoder.
    n_epochs : int, default=60
        Times a joint training goes through all rows.
    batch_size : int, default=64
        Rows in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step.
    optimizer : {"adam", "adamw", "sgd"}, default="adam"
        The optimization method.
    weight_decay : float, default=0.0
        Pull of the weights towards zero.
    n_seeds : int, default=1
        Trainings of each remedy, on other validation rows each; their mean decides.
    metric : str, default="auto"
        See `ModalityCompetitionAnalyzer`.
    validation_fraction : float, default=0.2
        Share of the rows on which the race is decided.
    device : str, default="auto"
        Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or another torch name.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.
    verbose : int, default=0
        Show progress bars when above 0; notebooks always show them.

    Attributes
    ----------
    table_ : dict of str to list
        The race, column by column: remedy, seed, validation, baseline, gain, epochs, seconds, and test where
        test rows were given.
    best_ : str
        The chosen remedy.
    estimator_ : LateFusionClassifier or LateFusionRegressor
        It, trained on all rows.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
    classes_ : ndarray
    """

    _recipe = "modality.race"

    _parameter_constraints: dict[str, list[Any]] = {
        **network_constraints(),
        "remedies": ["array-like"],
        "task": [StrOptions({"classification", "regression"})],
        "n_seeds": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(set(METRICS))],
    }

    def __init__(
        self,
        modalities: Modalities | None = None,
        remedies: Sequence[str] = DEFAULT_RACE,
        task: str = "classification",
        fusion: str = "sum",
        encoder: Any = "auto",
        hidden: int = 64,
        depth: int = 2,
        n_epochs: int = 60,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        weight_decay: float = 0.0,
        n_seeds: int = 1,
        metric: str = "auto",
        validation_fraction: float = 0.2,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.modalities = modalities
        self.remedies = remedies
        self.task = task
        self.fusion = fusion
        self.encoder = encoder
        self.hidden = hidden
        self.depth = depth
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.n_seeds = n_seeds
        self.metric = metric
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None, groups: Any = None) -> Self:
        """Run the race and train the winner on all rows; see `LateFusionClassifier.fit`."""
        return self._race(X, y, sample_weight, groups)

    def _race(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        test: tuple[Any, Any] | None = None,
        stage: Stage = nullcontext,
    ) -> Self:
        """`fit`, with test rows to report beside, and a context for each training."""
        self._validate_params()
        shared = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name in LateFusionClassifier._parameter_constraints and name != "random_state"
        }
        racing = candidates(self.remedies, task=self.task, **shared)
        frame = self._check_table(X, reset=True)
        target = self._check_target(y, len(frame), classification=_classifies(self))
        if target.task != "regression":
            self.classes_ = target.classes
        weights = self._check_weights(sample_weight, frame)
        chosen = assign(self.modalities, list(frame.columns))
        check_content(frame, chosen)
        check_comparison(frame, chosen, target, weights)
        groups = self._check_groups(groups, frame)
        for name in racing:
            check_task(name, target.task)
        metric = Metric.named(self.metric, target.task)
        if not isinstance(y, (pd.Series, pd.DataFrame)):  # these keep the labels' names
            y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_seeds)
        rows = []
        for i, seed in enumerate(int(s) for s in seeds):
            held = holdout_rows(target, self.validation_fraction, groups, seed)
            if not held.any():
                raise ModalitiesError("There are too few samples to spare any for validation.")
            known, asked = _safe_indexing(y, ~held), _safe_indexing(y, held)
            fit_on = (frame[~held], known, weights[~held], None if groups is None else groups[~held])
            baselines: dict[int, float] = {}

            def judged(
                estimator: Any, name: str, fit_on: Any = fit_on, on: Any = (frame[held], asked)
            ) -> tuple[Any, float]:
                with stage(name):
                    estimator.fit(*fit_on)
                return estimator, judge(metric, estimator, *on)

            for name, estimator in racing.items():
                epochs = cost(name, self.n_epochs)
                began = time.perf_counter()
                estimator, validation = judged(estimator.set_params(random_state=seed), f"{name} {i + 1}")
                seconds = time.perf_counter() - began
                if name == "none":
                    baselines[epochs] = validation
                if epochs not in baselines:
                    plain = candidates(["none"], task=self.task, **{**shared, "n_epochs": epochs})["none"]
                    plain.set_params(random_state=seed)
                    baselines[epochs] = judged(plain, f"baseline of {epochs} epochs {i + 1}")[1]
                row = {
                    "remedy": name,
                    "seed": i,
                    "validation": validation,
                    "baseline": baselines[epochs],
                    "gain": validation - baselines[epochs],
                    "epochs": epochs,
                    "seconds": seconds,
                }
                if test is not None:
                    row["test"] = judge(metric, estimator, *test)
                rows.append(row)
        table = pd.DataFrame(rows)
        self.table_ = {name: table[name].tolist() for name in table}
        self.best_ = str(table.groupby("remedy", sort=False)["validation"].mean().idxmax())
        self.estimator_ = racing[self.best_].set_params(random_state=int(seeds[0]))
        with stage(f"{self.best_} on all rows"):
            self.estimator_.fit(frame, y, weights, groups)
        return self

    @property
    def report_(self) -> pd.DataFrame:
        """The race as a frame, best first, with the mean over seeds."""
        check_is_fitted(self, "table_")
        table = pd.DataFrame(self.table_).drop(columns="seed")
        mean = table.groupby("remedy", sort=False).mean().sort_values("validation", ascending=False)
        return mean.reset_index()

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The winner's prediction."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict(self._check_table(X, reset=False))

    @available_if(_classifies)
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The winner's probabilities, (n, n_classes)."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_proba(self._check_table(X, reset=False))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None) -> float:
        """The winner's accuracy, or R²."""
        check_is_fitted(self, "estimator_")
        return float(self.estimator_.score(self._check_table(X, reset=False), y, sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        network: Any = LateFusionClassifier() if _classifies(self) else LateFusionRegressor()
        theirs = network.__sklearn_tags__()
        tags.estimator_type = theirs.estimator_type
        tags.classifier_tags, tags.regressor_tags = theirs.classifier_tags, theirs.regressor_tags
        tags.target_tags = theirs.target_tags
        return tags


def judge(metric: Metric, estimator: Any, X: Any, y: Any) -> float:
    """The metric of a fitted network on labels as they come."""
    if metric.task == "regression":
        return metric(np.asarray(y, float).reshape(len(y), -1), estimator.predict(X).reshape(len(y), -1))
    outputs = estimator.predict_proba(X)
    if metric.task == "multilabel":
        return metric(np.asarray(y), outputs)
    classes = list(estimator.classes_)
    codes = np.array([classes.index(label) if label in classes else len(classes) for label in np.asarray(y)])
    return metric(codes, np.pad(outputs, ((0, 0), (0, 1))) if codes.max() == len(classes) else outputs)
