"""What all selectors share: a host model, encoded rows, a score a field, and the fields that are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import ClassifierTags, check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from workbench.ctr._base import CTRClassifier
from workbench.ctr._columns import FieldsError, as_columns
from workbench.ctr._parameters import documented, keep_parameters
from workbench.ctr.audit import warn_fields
from workbench.ctr.encoded import Encoded, Layout
from workbench.ctr.encoder import FieldEncoder
from workbench.ctr.models import DeepFMClassifier
from workbench.selection.steps import host_options

__all__ = ["FieldSelector", "Problem", "selector_documented"]

_COMMON = """estimator : CTR classifier, default=None
        The host model; its encoder reads the fields. By default a `DeepFMClassifier` whose batches and epochs
        give some 800 steps.
    max_fields : int, default=None
        Keep so many of the best fields; by default those with a score above 0.
    validation_fraction : float, default=0.1
        Share of the rows kept for judging.
    n_probes : int, default=0
        Shuffled copies of fields that take part as controls and are never kept.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number."""

_LEARNED = """support_ : ndarray of bool, shape (n_fields,)
    importance_ : ndarray, shape (n_fields,)
    probe_scores_ : ndarray, shape (n_probes,)
    fields_, ranking_, classes_, n_features_in_, feature_names_in_"""

#: Fills in ``<common>`` and ``<learned>``.
selector_documented = documented(common=_COMMON, learned=_LEARNED)


@dataclass(frozen=True)
class Problem:
    """What a search is given.

    Attributes
    ----------
    encoder : FieldEncoder
        Fitted.
    layout : Layout
        Fields of `rows`; the probes among them too.
    rows, held_out : Encoded
        To learn from, and to judge by.
    y, held_out_y : ndarray of 0 and 1
    weight : ndarray or None
        Of `rows`.
    seed : int
    """

    encoder: FieldEncoder
    layout: Layout
    rows: Encoded
    y: NDArray[np.float32]
    weight: NDArray[np.float64] | None
    held_out: Encoded
    held_out_y: NDArray[np.float32]
    seed: int


class FieldSelector(TransformerMixin, BaseEstimator, ABC):
    """Base of the selectors. The unit is the field: a column, with all its values.

    Subclasses give each field a score in `_search`; what is kept follows from the scores, or from the search
    itself.
    """

    _recipe = "selection.search"

    _parameter_constraints: dict[str, list[Any]] = {
        "estimator": [CTRClassifier, None],
        "max_fields": [Interval(Integral, 1, None, closed="left"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_probes": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    estimator: CTRClassifier | None
    max_fields: int | None
    validation_fraction: float
    n_probes: int
    random_state: Any
    _started_from: CTRClassifier | None = None  # the model of a hot start, unfitted

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        keep_parameters(self, locals())

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Score every field and decide which are kept.

        Parameters
        ----------
        X : DataFrame, pyarrow Table or array-like of shape (n, n_fields)
        y : array-like of shape (n,)
            Two classes; the second in sorted order is the click.
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        self

        Raises
        ------
        FieldsError
            If y has not two classes, a field cannot be read, or no field is left.

        Warns
        -----
        FieldWarning
            Of each field with one value, with a value of its own in every row, that alone gives the answer,
            or that looks like a count and is below 0.
        """
        return self._fit(X, y, sample_weight, start=None)

    def _fit(self, X: Any, y: Any, sample_weight: Any, start: CTRClassifier | None) -> Self:
        self._validate_params()
        columns = as_columns(self, X, reset=True)
        host = self._host()
        n = len(next(iter(columns.values())))
        classes = None if start is None else start.classes_
        codes = host._learn_classes(y, n, classes=classes).astype(np.float32)
        weights = host._check_weights(sample_weight, n)
        self.classes_ = host.classes_
        encoder = host._fitted_encoder(X) if start is None else start.encoder_
        encoded = encoder._encode(columns)
        warn_fields(encoder, columns, encoded, codes.astype(np.float64))
        return self.fit_encoded(encoder, encoded, codes, weights, start=start)

    def fit_encoded(
        self,
        encoder: FieldEncoder,
        encoded: Encoded,
        codes: NDArray[Any],
        weights: NDArray[np.float64] | None = None,
        *,
        start: CTRClassifier | None = None,
    ) -> Self:
        """`fit` on rows that `encoder` has encoded already."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rng = np.random.default_rng(seed)
        self._started_from = None if start is None else clone(start)
        if not hasattr(self, "classes_"):
            self.classes_ = np.array([0, 1])
        self.n_features_in_ = len(encoder.kinds_)
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        layout, with_probes = _add_probes(encoder.layout(), encoded, self.n_probes, rng)
        counted = np.arange(len(codes)) if weights is None else np.flatnonzero(weights > 0)
        train, held = _divide(counted, codes, self.validation_fraction, rng)
        problem = Problem(
            encoder,
            layout,
            with_probes[train],
            codes[train].astype(np.float32),
            None if weights is None else weights[train],
            with_probes[held],
            codes[held].astype(np.float32),
            seed,
        )
        scores, kept = self._search(problem, start)
        self._conclude(encoder, layout, scores, kept)
        return self

    @abstractmethod
    def _search(
        self, problem: Problem, start: CTRClassifier | None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """A score a field of the problem's layout, and which are kept, where the search itself says so."""

    def _conclude(
        self,
        encoder: FieldEncoder,
        layout: Layout,
        scores: NDArray[np.float64],
        kept: NDArray[np.bool_] | None,
    ) -> None:
        found = pd.Series(scores, index=layout.names)
        names = list(encoder.kinds_)
        self.fields_ = names
        self.importance_ = np.asarray(found[names], dtype=np.float64)
        self.probe_scores_ = found.drop(names).to_numpy(dtype=np.float64)
        if kept is None:
            self.support_ = self._best(self.importance_)
        else:
            self.support_ = pd.Series(kept, index=layout.names)[names].to_numpy(dtype=bool)
        self.ranking_ = (-self.importance_).argsort(kind="stable").argsort(kind="stable") + 1
        if not self.support_.any():
            raise FieldsError(self._nothing_left())

    def _best(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """The fields with the best `max_fields` scores, or with a score above 0."""
        if self.max_fields is None:
            positive: NDArray[np.bool_] = scores > 0
            return positive
        kept = np.zeros(len(scores), dtype=bool)
        kept[(-scores).argsort(kind="stable")[: self.max_fields]] = True
        return kept

    def _nothing_left(self) -> str:
        return "No field has a score above 0, so none is left: set max_fields to keep the best ones."

    def _host(self, n_rows: int = 0) -> CTRClassifier:
        """A copy of the host model; where none is given, one for so many training rows."""
        if self.estimator is not None:
            return clone(self.estimator)
        host = DeepFMClassifier() if self._started_from is None else clone(self._started_from)
        return host.set_params(**host_options(n_rows))

    def _trained_host(self, problem: Problem) -> CTRClassifier:
        """The host model, trained on all fields of the problem."""
        host = self._seeded_host(problem)
        host.classes_ = self.classes_
        return host.fit_encoded(
            problem.encoder, problem.rows, problem.y, problem.weight, layout=problem.layout
        )

    def _seeded_host(self, problem: Problem) -> CTRClassifier:
        host = self._host(len(problem.rows))
        if host.random_state is None:
            host.set_params(random_state=problem.seed)
        return host

    def get_support(self, indices: bool = False) -> NDArray[Any]:
        """Which columns are kept: a mask, or their positions."""
        check_is_fitted(self, "support_")
        return np.flatnonzero(self.support_) if indices else self.support_

    def transform(self, X: Any) -> Any:
        """The kept columns: of a frame or table as such, of anything else as an array."""
        check_is_fitted(self, "support_")
        as_columns(self, X, reset=False)
        kept = self.get_support(indices=True)
        if isinstance(X, pd.DataFrame):
            return X.iloc[:, kept]
        if isinstance(X, (pa.Table, pa.RecordBatch)) or hasattr(X, "to_arrow"):
            return X.select([X.columns[i] if hasattr(X, "to_arrow") else X.column_names[i] for i in kept])
        return np.asarray(X)[:, kept]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the kept columns."""
        check_is_fitted(self, "support_")
        return np.array(self.fields_, dtype=object)[self.support_]

    def ranking(self) -> pd.DataFrame:
        """Fields from best to worst: field, score, kept, rank."""
        check_is_fitted(self, "support_")
        table = pd.DataFrame(
            {
                "field": self.fields_,
                "score": self.importance_,
                "kept": self.support_,
                "rank": self.ranking_,
            }
        )
        return table.sort_values("rank", ignore_index=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.classifier_tags = ClassifierTags(multi_class=False)  # y must have two classes
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _divide(
    rows: NDArray[np.intp], codes: NDArray[Any], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to learn from and rows to judge by, the same share of each class."""
    held = np.zeros(len(codes), dtype=bool)
    for value in (0, 1):
        mine = rows[codes[rows] == value]
        n = min(max(round(share * len(mine)), 1), len(mine) - 1) if len(mine) > 1 else 0
        held[rng.permutation(mine)[:n]] = True
    return rows[~held[rows]], rows[held[rows]]


def _add_probes(
    layout: Layout, encoded: Encoded, n_probes: int, rng: np.random.Generator
) -> tuple[Layout, Encoded]:
    """Fields that hold nothing: shuffled copies of others, each with embeddings of its own."""
    plain = [field for field in layout.fields if not field.is_list]
    if n_probes == 0 or not plain:
        return layout, encoded
    chosen = [plain[i] for i in rng.choice(len(plain), n_probes, replace=n_probes > len(plain))]
    first, numbers = layout.count("categorical"), layout.count("numeric")
    fields = {kind: [f for f in layout.fields if f.kind == kind] for kind in ("categorical", "numeric")}
    ids, values = [encoded.ids], [encoded.numbers]
    for i, field in enumerate(chosen):
        order = rng.permutation(len(encoded))
        place = layout.names.index(field.name)
        name = f"probe {i + 1}"
        fields[field.kind].append(replace(field, name=name, table=name))
        if field.kind == "categorical":
            ids.append(encoded.ids[order, place : place + 1])
        else:
            values.append(encoded.numbers[order, place - first : place - first + 1])
    lists = layout.fields[first + numbers :]
    made = Layout((*fields["categorical"], *fields["numeric"], *lists))
    return made, Encoded(np.hstack(ids), np.hstack(values), encoded.lists)
