"""From a table of fields to the numbers that CTR models read: one index or number a field and row."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from workbench.ctr._columns import (
    Columns,
    FieldsError,
    as_columns,
    batches_of,
    is_stream,
    n_rows,
    to_float,
    to_plain,
)
from workbench.ctr._numbers import NumbersBuilder, scaled
from workbench.ctr._vocabulary import (
    MISSING,
    RESERVED,
    UNSEEN,
    VocabularyBuilder,
    lookup,
    lookup_lists,
)
from workbench.ctr.encoded import Encoded, Field, Layout

__all__ = ["KINDS", "MISSING", "RESERVED", "UNSEEN", "FieldEncoder"]

#: What a field can be.
KINDS = ("categorical", "numeric", "multi", "sequence")


class FieldEncoder(TransformerMixin, BaseEstimator):
    """Turn the fields of a table into indices and numbers.

    A categorical value becomes its place in the field's vocabulary, which is ordered by frequency. Index 0
    stands for every value not in it (rare, or never seen in `fit`), index 1 for a missing cell; both count
    like no value at all, since models start their embeddings at zero. Everything runs on Arrow arrays; no
    Python is executed per row.

    Parameters
    ----------
    kinds : dict of str to str, default=None
        Kind of each column: "categorical", "numeric", "multi" (several values a cell: a list, or text with
        `separator`) or "sequence" (the same in the order of time). Columns not named are numeric where they
        hold numbers or times, multi where they hold lists, and categorical otherwise.
    min_count : int, default=1
        Values rarer than this in the training rows share the index of unseen values.
    n_buckets : int, default=None
        Fields with more distinct values than this are hashed into so many buckets, so that new values
        need no vocabulary. By default nothing is hashed.
    numeric : {"log", "quantile", "standard", "bins"}, default="log"
        What becomes of a number: sign(x)·log(1 + |x|), or its rank among the training values, or itself,
        each then scaled to zero mean and unit variance; or the quantile bin it falls in, as a category.
    n_bins : int, default=32
        Bins of each number for "bins".
    max_length : int, default=50
        Values of a cell that are read: the first of a multi-valued one, the last of a sequence.
    separator : str, default="|"
        What divides the values of a multi-valued cell of text.
    qr_threshold : int, default=None
        Fields with more distinct values than this get two small tables in place of one: the value at place i
        of the vocabulary is made of row i mod m of the one and row i div m of the other (quotient-remainder
        embeddings, arXiv 1909.02107). By default every value has a row of its own.
    qr_modulus : int, default=None
        m. By default the root of the number of values, which makes the two tables smallest.
    qr_operation : {"product", "sum"}, default="product"
        How the two rows become one vector.
    shared : dict of str to str, default=None
        Fields that use another field's vocabulary and embeddings: ``{"history": "item"}``.

    Attributes
    ----------
    kinds_ : dict of str to str
    vocabularies_ : dict of str to ndarray
        Values of each field in the order of their indices, from index 2 on.
    counts_ : dict of str to ndarray of int64
        How often each index occurred in the training rows.
    numbers_ : dict of str to dict
        Learned scale of each numeric field.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    Shi et al., "Compositional embeddings using complementary partitions", KDD 2020, arXiv 1909.02107, for
    `qr_threshold`; the rest is common practice.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"city": ["Rome", "Oslo", "Rome"], "age": [30.0, 41.0, 52.0]})
    >>> FieldEncoder().fit(X).transform(pd.DataFrame({"city": ["Oslo", "Lima"], "age": [41.0, None]}))
    array([[3.        , 0.04...],
           [0.        ,        nan]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "kinds": [dict, None],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "n_buckets": [Interval(Integral, 1, None, closed="left"), None],
        "numeric": [StrOptions({"log", "quantile", "standard", "bins"})],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "separator": [str],
        "qr_threshold": [Interval(Integral, 1, None, closed="left"), None],
        "qr_modulus": [Interval(Integral, 1, None, closed="left"), None],
        "qr_operation": [StrOptions({"product", "sum"})],
        "shared": [dict, None],
    }

    def __init__(
        self,
        kinds: dict[str, str] | None = None,
        min_count: int = 1,
        n_buckets: int | None = None,
        numeric: str = "log",
        n_bins: int = 32,
        max_length: int = 50,
        separator: str = "|",
        qr_threshold: int | None = None,
        qr_modulus: int | None = None,
        qr_operation: str = "product",
        shared: dict[str, str] | None = None,
    ) -> None:
        self.kinds = kinds
        self.min_count = min_count
        self.n_buckets = n_buckets
        self.numeric = numeric
        self.n_bins = n_bins
        self.max_length = max_length
        self.separator = separator
        self.qr_threshold = qr_threshold
        self.qr_modulus = qr_modulus
        self.qr_operation = qr_operation
        self.shared = shared

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn vocabularies and scales.

        Parameters
        ----------
        X : DataFrame, pyarrow Table, array-like, or re-iterable of Arrow batches
            A stream is read once, batch by batch.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        FieldsError
            If a column cannot have its kind; names the column and the first such row.
        """
        self._validate_params()
        if is_stream(X):
            return self._learn(as_columns(self, batch, reset=i == 0) for i, batch in enumerate(batches_of(X)))
        return self._learn([as_columns(self, X, reset=True)])

    def _learn(self, parts: Any) -> Self:
        builders: dict[str, VocabularyBuilder] = {}
        numbers: dict[str, NumbersBuilder] = {}
        started = False
        for columns in parts:
            if not started:
                self.kinds_ = self._choose_kinds(columns)
                shared = self._check_shared()
                started = True
            for name, array in columns.items():
                kind = self.kinds_[name]
                if kind == "numeric":
                    numbers.setdefault(name, NumbersBuilder()).add(to_float(name, array))
                else:
                    owner = shared.get(name, name)
                    builder = builders.setdefault(owner, VocabularyBuilder(owner))
                    builder.add(to_plain(name, array, kind), kind, self.separator)
        if not started:
            raise FieldsError("There is no batch of rows to learn from.")
        self.numbers_ = {name: part.learn(self.numeric, self.n_bins) for name, part in numbers.items()}
        self.vocabularies_, self.counts_, self.hashed_ = {}, {}, {}
        for name, builder in builders.items():
            values, counts, hashed = builder.finish(self.min_count, self.n_buckets)
            self.vocabularies_[name], self.counts_[name], self.hashed_[name] = values, counts, hashed
        self.shared_ = shared
        return self

    def _choose_kinds(self, columns: Columns) -> dict[str, str]:
        given = self.kinds or {}
        for name, kind in given.items():
            if kind not in KINDS:
                raise FieldsError(f"The kind {kind!r} of {name!r} is not one of {', '.join(KINDS)}.")
            if name not in columns:
                raise FieldsError(
                    f"`kinds` names the column {name!r}, which the table does not have; "
                    f"it has {', '.join(list(columns)[:10])}."
                )
        return {name: given.get(name) or _guess(array.type) for name, array in columns.items()}

    def _check_shared(self) -> dict[str, str]:
        shared = dict(self.shared or {})
        for name, owner in shared.items():
            for one in (name, owner):
                if one not in self.kinds_:
                    raise FieldsError(f"`shared` names the column {one!r}, which the table does not have.")
                if self.kinds_[one] == "numeric":
                    raise FieldsError(f"`shared` names {one!r}, but a numeric field has no vocabulary.")
            if owner in shared:
                raise FieldsError(
                    f"`shared` gives {name!r} the vocabulary of {owner!r}, which has none itself."
                )
        return shared

    def layout(self) -> Layout:
        """The encoded fields: categories first, then numbers, then multi-valued ones and sequences."""
        check_is_fitted(self, "kinds_")
        rows = {name: len(counts) for name, counts in self.counts_.items()}
        fields = []
        for name, kind in self.kinds_.items():
            if kind == "numeric" and self.numeric == "bins":
                fields.append(Field(name, "categorical", name, len(self.numbers_[name]["edges"]) + 3))
            elif kind == "numeric":
                fields.append(Field(name, "numeric", name, 2))
            else:
                owner = self.shared_.get(name, name)
                length = self.max_length if kind in ("multi", "sequence") else 1
                modulus = self._modulus(rows[owner] - RESERVED)
                fields.append(Field(name, kind, owner, rows[owner], length, modulus, self.qr_operation))
        order = {"categorical": 0, "numeric": 1, "multi": 2, "sequence": 2}
        return Layout(tuple(sorted(fields, key=lambda field: order[field.kind])))

    def _modulus(self, n_values: int) -> int:
        if self.qr_threshold is None or n_values <= self.qr_threshold:
            return 0
        return self.qr_modulus or math.isqrt(n_values - 1) + 1

    def restrict(self, names: Collection[str]) -> Self:
        """A fitted encoder of those columns only; vocabularies that they share stay."""
        check_is_fitted(self, "kinds_")
        kinds = {name: kind for name, kind in self.kinds_.items() if name in names}
        shared = {name: owner for name, owner in self.shared_.items() if name in kinds}
        made = clone(self).set_params(
            kinds=None if self.kinds is None else {n: k for n, k in self.kinds.items() if n in kinds},
            shared={name: owner for name, owner in shared.items() if owner in kinds} or None,
        )
        tables = {shared.get(name, name) for name in kinds}
        made.kinds_, made.shared_ = kinds, shared
        made.numbers_ = {name: part for name, part in self.numbers_.items() if name in kinds}
        for learned in ("vocabularies_", "counts_", "hashed_"):
            setattr(made, learned, {n: v for n, v in getattr(self, learned).items() if n in tables})
        made.n_features_in_ = len(kinds)
        if hasattr(self, "feature_names_in_"):
            made.feature_names_in_ = np.array(list(kinds), dtype=object)
        return made

    def encode(self, X: Any) -> Encoded:
        """The rows as the models read them: local indices, scaled numbers and padded lists."""
        check_is_fitted(self, "kinds_")
        return self._encode(as_columns(self, X, reset=False))

    def _encode(self, columns: Columns) -> Encoded:
        layout = self.layout()
        n = n_rows(columns)
        ids = np.empty((n, sum(f.kind == "categorical" for f in layout.fields)), dtype=np.int32)
        numbers = np.empty((n, sum(f.kind == "numeric" for f in layout.fields)), dtype=np.float32)
        lists = []
        i = j = 0
        for field in layout.fields:
            array = columns[field.name]
            if field.kind == "numeric":
                values = to_float(field.name, array)
                numbers[:, j] = scaled(values, self.numeric, self.numbers_[field.name])
                j += 1
            elif field.kind == "categorical":
                ids[:, i] = self._indices(field.name, array)
                i += 1
            else:
                owner = field.table
                lists.append(
                    lookup_lists(
                        to_plain(field.name, array, field.kind),
                        self.vocabularies_[owner],
                        self.hashed_[owner],
                        separator=self.separator,
                        length=self.max_length,
                        last=field.kind == "sequence",
                    )
                )
        return Encoded(ids, numbers, tuple(lists))

    def _indices(self, name: str, array: pa.Array) -> NDArray[np.int32]:
        if self.kinds_[name] != "numeric":
            owner = self.shared_.get(name, name)
            plain = to_plain(name, array, "categorical")
            return lookup(plain, self.vocabularies_[owner], self.hashed_[owner])
        values = to_float(name, array)
        found = (
            np.searchsorted(self.numbers_[name]["edges"], values, side="right").astype(np.int32) + RESERVED
        )
        found[np.isnan(values)] = MISSING
        return found

    def transform(self, X: Any) -> NDArray[np.float64]:
        """One column a field (`max_length` for lists), in the order of the table's columns.

        Returns
        -------
        ndarray of float64, shape (n, n_columns_out)
            Indices of categories, scaled numbers (NaN where missing), padded indices of lists.
        """
        encoded, layout = self.encode(X), self.layout()
        parts: dict[str, NDArray[Any]] = {}
        i = j = k = 0
        for field in layout.fields:
            if field.kind == "categorical":
                parts[field.name], i = encoded.ids[:, i : i + 1], i + 1
            elif field.kind == "numeric":
                parts[field.name], j = encoded.numbers[:, j : j + 1], j + 1
            else:
                parts[field.name], k = encoded.lists[k], k + 1
        return np.hstack([parts[name] for name in self.kinds_]).astype(np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns of `transform`."""
        check_is_fitted(self, "kinds_")
        lengths = {field.name: (field.length, field.kind) for field in self.layout().fields}
        names = []
        for name in self.kinds_:
            length, kind = lengths[name]
            names += [f"{name}_{i}" for i in range(length)] if kind in ("multi", "sequence") else [name]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _guess(kind: pa.DataType) -> str:
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "multi"
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return "numeric" if number or types.is_temporal(kind) or types.is_null(kind) else "categorical"
