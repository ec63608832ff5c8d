"""What the CTR classifiers share: checking, fitting, going on with training, and prediction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from workbench.ctr._columns import Again, FieldsError, as_columns, n_rows
from workbench.ctr._labels import binary_codes, probabilities
from workbench.ctr._parameters import TRAINING
from workbench.ctr._stream import ahead, blocks_of, check_columns, labels_of
from workbench.ctr._trained import Labelled, NetworkEstimator
from workbench.ctr.audit import warn_unseen
from workbench.ctr.encoder import FieldEncoder

__all__ = ["CTRClassifier"]


class CTRClassifier(ClassifierMixin, NetworkEstimator):
    """Base of the models: a field encoder, a network, and one logistic output."""

    _recipe = "fit_score"

    _parameter_constraints: dict[str, list[Any]] = TRAINING

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the encoder and train the network.

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
            If y has not two classes, or a field cannot be read as its kind.
        """
        self._validate_params()
        again = self.warm_start and hasattr(self, "weights_")
        columns = as_columns(self, X, reset=not again)
        codes = self._learn_classes(y, n_rows(columns), classes=self.classes_ if again else None)
        weights = self._check_weights(sample_weight, len(codes))
        encoder, start = (self.encoder_, self.network()) if again else (self._fitted_encoder(X), None)
        return self.fit_encoded(encoder, encoder._encode(columns), codes, weights, start=start)

    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Go through a day's rows once, from where the last call ended.

        The first call learns the encoder from its rows; values that come later count as unseen, unless the
        encoder hashes. The optimizer's moments are kept while the object lives, and start anew after saving.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array-like of shape (2,), optional
            Both classes, where the first call may see only one of them.

        Returns
        -------
        self
        """
        self._validate_params()
        first = not hasattr(self, "weights_")
        columns = as_columns(self, X, reset=first)
        codes = self._learn_classes(y, n_rows(columns), classes=classes if first else self.classes_)
        weights = self._check_weights(sample_weight, len(codes))
        if len(codes) == 1 and getattr(self, "batch_norm", False):
            raise FieldsError("One row alone has no variance for batch_norm: give partial_fit two or more.")
        if first:
            self._adopt(self._fitted_encoder(X))
            self._seen = 0
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        network = self._network(seed)
        if not first:
            self._load(network, self.weights_)
        encoded = self.encoder_._encode(columns)
        self._seen = getattr(self, "_seen", 0) + 1
        history, _ = self._train(
            network,
            (encoded, codes.astype(np.float32), weights),
            seed + self._seen,
            n_epochs=1,
            state=getattr(self, "_moments", None),
        )
        self.history_ = history if first else [*self.history_, *history]
        return self

    def fit_batches(self, batches: Any, label: str, *, weight: str | None = None) -> Self:
        """Train on a log that does not fit into memory, read as a stream of Arrow batches.

        One pass learns the encoder, then each epoch is a pass. Rows are shuffled in blocks of about 130,000,
        whatever the size of the batches; the next block is read and encoded while the last is learned.

        Parameters
        ----------
        batches : pyarrow.dataset.Dataset, or re-iterable of pyarrow RecordBatch or Table
            ``pyarrow.dataset.dataset("folder")`` reads the Parquet or CSV files of a folder.
        label : str
            Name of the column with the label.
        weight : str, optional
            Name of the column with the rows' weights.

        Returns
        -------
        self

        Raises
        ------
        FieldsError
            If a batch lacks a column, the label has gaps or not two classes, or the batches can be read
            only once.
        """
        self._validate_params()
        left_out = [label] if weight is None else [label, weight]
        classes: set[Any] = set()

        def fields() -> Iterable[pa.Table]:
            for table in blocks_of(batches, self.batch_size):
                check_columns(table, label, weight)
                classes.update(table[label].unique().to_pylist())
                yield table.drop_columns(left_out)

        encoder = clone(self.encoder) if self.encoder is not None else FieldEncoder()
        encoder.fit(Again(fields))
        self._adopt(encoder)
        self._learn_classes(np.array(sorted(classes)), None)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        network = self._network(seed)

        def rows(table: pa.Table) -> Labelled:
            weights = None if weight is None else table[weight].to_numpy().astype(np.float64)
            encoded = encoder._encode(as_columns(encoder, table.drop_columns(left_out), reset=False))
            return encoded, labels_of(table, label, self.classes_), weights

        self.history_, optimizer = [], None
        for epoch in range(self.n_epochs):
            losses = []
            for i, block in enumerate(ahead(rows, blocks_of(batches, self.batch_size))):
                if len(block[1]) == 1:
                    continue  # what is left of the log has no variance to normalise by
                step_seed = (seed + 7919 * epoch + i) % (2**31 - 1)
                (means,), optimizer = self._train(network, block, step_seed, n_epochs=1, optimizer=optimizer)
                losses.append((len(block[1]), means["loss"]))
            sizes, values = zip(*losses, strict=True)
            self.history_.append({"loss": float(np.average(values, weights=sizes))})
        return self

    def _fitted_encoder(self, X: Any) -> FieldEncoder:
        return (clone(self.encoder) if self.encoder is not None else FieldEncoder()).fit(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Log odds of the click, (n,), with the correction for `negative_rate`.

        Warns (`UnseenValuesWarning`) of values that were rare or absent in the training rows.
        """
        check_is_fitted(self, "weights_")
        encoded = self.encoder_._encode(as_columns(self, X, reset=False))
        warn_unseen(self.encoder_, encoded)
        return self.decide_encoded(encoded)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of no click and of a click, (n, 2)."""
        return probabilities(self.decision_function(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The more probable class, (n,)."""
        clicked = self.decision_function(X) > 0
        return self.classes_[clicked.astype(int)]

    def _learn_classes(self, y: Any, n: int | None, *, classes: Any = None) -> NDArray[np.intp]:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        labels = column_or_1d(y, warn=True)
        if n is not None:
            check_consistent_length(np.empty((n, 0)), labels)
        self.classes_, codes = binary_codes(labels, classes=classes)
        return codes

    def _check_weights(self, sample_weight: Any, n: int) -> NDArray[np.float64] | None:
        if sample_weight is None:
            return None
        weights = _check_sample_weight(
            sample_weight, np.empty((n, 1)), dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise FieldsError("All sample weights are zero.")
        return weights

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.classifier_tags.multi_class = False
        return tags
