"""Does joint training let one modality win? The analysis as an estimator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from workbench.modality._information import information
from workbench.modality._metrics import METRICS, Metric
from workbench.modality._preparation import learn, prepare
from workbench.modality._table import TableEstimator, Target, check_comparison, holdout_rows
from workbench.modality.columns import Modalities, ModalitiesError, assign, check_content
from workbench.modality.fusion import LateFusionClassifier, LateFusionRegressor, network_constraints
from workbench.modality.remedies import REMEDIES, check_options
from workbench.modality.verdict import advice, failure_mode, headline
from workbench.report import Report

__all__ = ["VALUE_FUNCTIONS", "ModalityCompetitionAnalyzer"]

#: Value functions of the contributions: mute in the joint network, sum uni-modal logits, train each subset.
VALUE_FUNCTIONS = ("mask", "late", "retrain")

#: More modalities than this have too many subsets to train a network for each.
_MOST_RETRAINED = 5

Stage = Callable[[str], AbstractContextManager[Any]]


def _classifies(analyzer: ModalityCompetitionAnalyzer) -> bool:
    return analyzer.task == "classification"


class ModalityCompetitionAnalyzer(TableEstimator):
    """Find out which modality wins in joint training, which is never learned, and what each contributes.

    For every seed the uni-modal networks and the joint network are trained on the same rows from the same
    first weights of each branch, and measured on rows kept apart: scores, linear probes of the encoders
    trained alone and jointly, contributions by Shapley values, permutation tests, gradients over time, and
    what combining the uni-modal networks could still gain. The phenomenon is described in [1]_; "no
    competition here" is an answer.

    Parameters
    ----------
    modalities : dict, callable or None, default=None
        Which columns belong to which modality; see `LateFusionClassifier`.
    task : {"classification", "regression"}, default="classification"
        Kind of the target.
    fusion : {"sum", "concat", "gated"}, default="sum"
        How the joint network fuses.
    encoder : str, transformer or dict, default="auto"
        Encoders of the modalities; see `LateFusionClassifier`.
    hidden : int, default=64
        Width of every layer.
    depth : int, default=2
        Layers of an encoder.
    n_epochs : int, default=60
        Times each training goes through all rows.
    batch_size : int, default=64
        Rows in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step.
    optimizer : {"adam", "adamw", "sgd"}, default="adam"
        The optimization method.
    weight_decay : float, default=0.0
        Pull of the weights towards zero.
    remedy : str, default="none"
        What is done against the competition in the joint network, to see what it does to each encoder;
        `workbench.modality.REMEDIES` describes each. The uni-modal networks are trained as ever.
    remedy_options : dict, default=None
        Settings of the remedy, in place of its own defaults.
    n_seeds : int, default=3
        Trainings, each with its own first weights and, where rows are drawn, its own rows.
    metric : str, default="auto"
        "accuracy", "balanced_accuracy", "f1_macro", "roc_auc" or "r2"; "auto" takes accuracy, macro F1 for
        several labels a row, R² for numbers.
    absent : {"mean", "zero", "sample"}, default="mean"
        What stands for a muted modality: its mean embedding, zeros, or those of random other rows.
    shapley : list of str, default=("mask", "late", "retrain")
        Value functions of the contributions: the joint network with modalities muted, summed logits of the
        uni-modal networks, or a network trained for each subset (left out above 5 modalities).
    n_permutations : int, default=200
        Permutations of the test of each modality's use.
    validation_fraction : float, default=0.2
        Share of the training rows by which curves, ensembles and probes are judged.
    test_fraction : float, default=0.3
        Share of the rows that scores are computed on.
    device : str, default="auto"
        Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or another torch name.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.
    verbose : int, default=0
        Show progress bars when above 0; notebooks always show them.

    Attributes
    ----------
    tables_ : dict of str to dict of str to list
        The frames of the report, column by column; see `report_`.
    scores_ : dict of str to float
        Joint, uni-modal and combined scores, gap, headroom and retention.
    headline_ : str
        The verdict in one sentence.
    failure_mode_ : {"encoder competition", "fusion overfit", "none"}
    recommendation_ : str
        What to do first, and why.
    modalities_ : dict of str to list of str
    classes_ : ndarray
    estimator_ : LateFusionClassifier or LateFusionRegressor
        The joint network of the first seed; `predict` asks it.
    notes_ : list of str
        What was odd about the table, or left out.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    .. [1] Y. Huang, J. Lin, C. Zhou, H. Yang, L. Huang. Modality Competition: What Makes Joint Training of
       Multi-modal Network Fail in Deep Learning? (Provably). ICML 2022. arXiv:2203.12221.
    """

    _recipe = "modality.analyze"

    _parameter_constraints: dict[str, list[Any]] = {
        **network_constraints(),
        "task": [StrOptions({"classification", "regression"})],
        "remedy": [StrOptions(set(REMEDIES))],
        "remedy_options": [dict, None],
        "n_seeds": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(set(METRICS))],
        "absent": [StrOptions({"mean", "zero", "sample"})],
        "shapley": ["array-like", StrOptions(set(VALUE_FUNCTIONS))],
        "n_permutations": [Interval(Integral, 1, None, closed="left")],
        "test_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        modalities: Modalities | None = None,
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
        remedy: str = "none",
        remedy_options: dict[str, Any] | None = None,
        n_seeds: int = 3,
        metric: str = "auto",
        absent: str = "mean",
        shapley: Sequence[str] = VALUE_FUNCTIONS,
        n_permutations: int = 200,
        validation_fraction: float = 0.2,
        test_fraction: float = 0.3,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.modalities = modalities
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
        self.remedy = remedy
        self.remedy_options = remedy_options
        self.n_seeds = n_seeds
        self.metric = metric
        self.absent = absent
        self.shapley = shapley
        self.n_permutations = n_permutations
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Run the analysis.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, n_columns)
        y : array-like of shape (n,) or (n, n_labels)
        sample_weight : array-like of shape (n,), optional
            Weights in training; scores count every test row once.
        groups : array-like of shape (n,), optional
            Rows of one group are never divided between training, validation and test.

        Returns
        -------
        self

        Raises
        ------
        ModalitiesError
            If the table cannot be analysed.
        """
        return self._analyse(X, y, sample_weight, groups)

    def _analyse(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        *,
        test_rows: Sequence[NDArray[np.intp]] | None = None,
        stage: Stage = nullcontext,
    ) -> Self:
        """`fit`, with the test rows of each seed where these are given, and a context for each seed."""
        from workbench.modality._seed import Task, analyse_seed
        from workbench.modality._summary import summarise

        self._validate_params()
        check_options(self.remedy, self.remedy_options)
        frame, target, weights = self._checked(X, y, sample_weight)
        groups = self._check_groups(groups, frame)
        if test_rows is None and groups is not None and groups.max() < 2:
            raise ModalitiesError(
                f"The rows belong to {groups.max() + 1} group(s), which are never divided: at least three "
                "are needed for training, validation and test."
            )
        random = check_random_state(self.random_state)
        seeds = [int(seed) for seed in random.randint(2**31 - 1, size=self.n_seeds)]
        if test_rows is None:
            test_rows = [
                np.flatnonzero(holdout_rows(target, self.test_fraction, groups, seed, what="the test"))
                for seed in seeds
            ]
        metric = Metric.named(self.metric, target.task)
        task = Task(self, frame, target, weights, groups, metric, self._functions())
        measured = []
        for i, (seed, test) in enumerate(zip(seeds, test_rows, strict=True)):
            with stage(f"seed {i + 1}"):
                one, fitted = analyse_seed(task, seed, test)
            measured.append(one)
            if i == 0:
                self.estimator_ = fitted
        columns = {name: len(columns) for name, columns in self.modalities_.items()}
        summary = summarise(measured, metric, target.classes.tolist(), test_rows, columns, groups)
        tables = summary.tables
        with stage("information"):
            blocks = prepare(frame, learn(frame, self.modalities_, self.encoder, seeds[0]))
            tables["information"] = information(list(self.modalities_), blocks, target, seeds[0])
        steps = advice(summary.evidence, tried=self.remedy)
        tables["advice"] = pd.DataFrame(steps, columns=["action", "reason"])
        tables["notes"] = pd.DataFrame({"note": self.notes_})
        self.failure_mode_ = failure_mode(summary.evidence)
        self.headline_ = headline(summary.evidence)
        self.recommendation_ = f"{steps[0][0]}: {steps[0][1]}."
        self.scores_ = summary.scores
        self.tables_ = {name: {c: table[c].tolist() for c in table} for name, table in tables.items()}
        return self

    def _checked(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[pd.DataFrame, Target, NDArray[np.float64]]:
        unknown = [name for name in self._value_functions() if name not in VALUE_FUNCTIONS]
        if unknown:
            raise ModalitiesError(
                f"There is no value function {unknown[0]!r}: take from {', '.join(VALUE_FUNCTIONS)}."
            )
        frame = self._check_table(X, reset=True)
        target = self._check_target(y, len(frame), classification=_classifies(self))
        weights = self._check_weights(sample_weight, frame)
        if target.task != "regression":
            self.classes_ = target.classes
        self.modalities_ = assign(self.modalities, list(frame.columns))
        self.notes_ = check_content(frame, self.modalities_)
        self.notes_ += check_comparison(frame, self.modalities_, target, weights)
        if self.remedy != "none":
            self.notes_.append(f"The joint network is trained with a remedy: {REMEDIES[self.remedy].does}.")
        return frame, target, weights

    def _value_functions(self) -> tuple[str, ...]:
        return (self.shapley,) if isinstance(self.shapley, str) else tuple(self.shapley)

    def _functions(self) -> tuple[str, ...]:
        chosen = self._value_functions()
        if "retrain" in chosen and len(self.modalities_) > _MOST_RETRAINED:
            self.notes_.append(
                f"Contributions by retraining are left out: {len(self.modalities_)} modalities have "
                f"{2 ** len(self.modalities_) - 1} subsets to train."
            )
            return tuple(name for name in chosen if name != "retrain")
        return chosen

    @property
    def report_(self) -> Report:
        """The headline, the scores and the frames of the analysis, the importance table among them."""
        self._check_fitted()
        tables = {name: pd.DataFrame(columns) for name, columns in self.tables_.items()}
        return Report(self._recipe, self.headline_, self.scores_, tables)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The joint network's prediction."""
        self._check_fitted()
        self._check_table(X, reset=False)
        return self.estimator_.predict(X)

    @available_if(_classifies)
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The joint network's probabilities, (n, n_classes)."""
        self._check_fitted()
        self._check_table(X, reset=False)
        return self.estimator_.predict_proba(X)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of the joint network's prediction, or its R²."""
        self._check_fitted()
        return float(self.estimator_.score(X, y, sample_weight))

    def _check_fitted(self) -> None:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "estimator_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        network: Any = LateFusionClassifier() if _classifies(self) else LateFusionRegressor()
        theirs = network.__sklearn_tags__()
        tags.estimator_type = theirs.estimator_type
        tags.classifier_tags, tags.regressor_tags = theirs.classifier_tags, theirs.regressor_tags
        tags.target_tags = theirs.target_tags
        return tags
