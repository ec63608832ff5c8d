"""What the CTR classifiers share: checking, fitting, going on with training, and prediction."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from workbench.ctr._columns import FieldsError, as_columns, batches_of, n_rows
from workbench.ctr.encoded import Encoded, Layout
from workbench.ctr.encoder import FieldEncoder
from workbench.training.fingerprint import fingerprint

if TYPE_CHECKING:
    from workbench.ctr._networks import Network
    from workbench.ctr._training import Gated, Schedule

__all__ = ["CTRClassifier", "Labelled", "binary_codes"]

#: Encoded rows, their labels as 0 and 1, and their weights.
Labelled = tuple[Encoded, NDArray[np.float32], NDArray[np.float64] | None]


class CTRClassifier(ClassifierMixin, BaseEstimator):
    """Base of the models: a field encoder, a network, and one logistic output."""

    _recipe = "fit_score"

    #: Name of the network, and the parameters that are its own.
    _kind: ClassVar[str] = ""
    _options: ClassVar[tuple[str, ...]] = ()

    _parameter_constraints: dict[str, list[Any]] = {
        "encoder": [FieldEncoder, None],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions({"adam", "adagrad", "sgd"})],
        "l2": [Interval(Real, 0, None, closed="left")],
        "l2_by_frequency": ["boolean"],
        "negative_rate": [Interval(Real, 0, 1, closed="right")],
        "precision": [StrOptions({"fp32", "bf16", "fp16"})],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

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
        columns = as_columns(self, X, reset=True)
        codes = self._learn_classes(y, n_rows(columns))
        weights = self._check_weights(sample_weight, len(codes))
        self.encoder_ = self._fitted_encoder(X)
        return self.fit_encoded(self.encoder_, self.encoder_._encode(columns), codes, weights)

    def fit_encoded(
        self,
        encoder: FieldEncoder,
        encoded: Encoded,
        codes: NDArray[Any],
        weights: NDArray[np.float64] | None = None,
        *,
        gated: Gated | None = None,
        start: Network | None = None,
        layout: Layout | None = None,
    ) -> Self:
        """Train on rows that `encoder` has encoded already: `fit` without repeating its first half.

        Parameters
        ----------
        encoder : FieldEncoder
            Fitted; used as it is.
        encoded : Encoded
        codes : ndarray of 0 and 1, shape (n,)
        weights : ndarray, shape (n,), optional
        gated : optional
            What learns gates beside the network.
        start : Network, optional
            Of the same fields, whose weights to start from; it stays as it is.
        layout : Layout, optional
            Of the encoded rows, where they hold other fields than the encoder's.
        """
        self._adopt(encoder)
        if layout is not None:
            self.layout_ = layout.to_list()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if start is not None:
            self.network_options_ = dict(start.options)
        network = self._network(seed)
        if start is not None:
            self._load(network, {name: value.numpy().copy() for name, value in start.state_dict().items()})
        if weights is not None:
            counted = weights > 0
            if not counted.all():
                encoded, codes, weights = encoded[counted], codes[counted], weights[counted]
            weights = weights / weights.mean()
        self.history_ = self._train(network, (encoded, codes.astype(np.float32), weights), seed, gated=gated)
        return self

    def _adopt(self, encoder: FieldEncoder) -> None:
        self.encoder_ = encoder
        if not hasattr(self, "classes_"):
            self.classes_ = np.array([0, 1])
        self.layout_ = encoder.layout().to_list()
        self.n_features_in_ = len(encoder.kinds_)
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        self.network_options_ = {name: getattr(self, name) for name in self._options}
        self._moments: Any = None

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
        if first:
            self._adopt(self._fitted_encoder(X))
            self._seen = 0
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        network = self._network(seed)
        if not first:
            self._load(network, self.weights_)
        encoded = self.encoder_._encode(columns)
        self._seen = getattr(self, "_seen", 0) + 1
        history = self._train(
            network,
            (encoded, codes.astype(np.float32), weights),
            seed + self._seen,
            n_epochs=1,
            state=getattr(self, "_moments", None),
        )
        self.history_ = history if first else [*self.history_, *history]
        return self

    def fit_batches(self, batches: Iterable[Any], label: str, *, weight: str | None = None) -> Self:
        """Train on a log that does not fit into memory, read as a stream of Arrow batches.

        One pass learns the encoder, then each epoch is a pass; rows are shuffled inside a batch. For hours
        of training in a capped process use batches of about 100,000 rows.

        Parameters
        ----------
        batches : re-iterable of pyarrow RecordBatch or Table
        label : str
            Name of the column with the label.
        weight : str, optional
            Name of the column with the rows' weights.

        Returns
        -------
        self
        """
        self._validate_params()
        left_out = [label] if weight is None else [label, weight]
        classes: set[Any] = set()

        def fields() -> Iterable[pa.Table]:
            for table in batches_of(batches):
                classes.update(table[label].unique().to_pylist())
                yield table.drop_columns(left_out)

        encoder = clone(self.encoder) if self.encoder is not None else FieldEncoder()
        encoder.fit(_Again(fields))
        self._adopt(encoder)
        self._learn_classes(np.array(sorted(classes)), None)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        network = self._network(seed)
        self.history_ = []
        for epoch in range(self.n_epochs):
            for i, table in enumerate(batches_of(batches)):
                codes = np.searchsorted(self.classes_, table[label].to_numpy()).astype(np.float32)
                weights = None if weight is None else table[weight].to_numpy().astype(np.float64)
                encoded = encoder._encode(as_columns(encoder, table.drop_columns(left_out), reset=False))
                step_seed = (seed + 7919 * epoch + i) % (2**31 - 1)
                self.history_ += self._train(
                    network, (encoded, codes, weights), step_seed, n_epochs=1, state=self._moments
                )
        return self

    def _fitted_encoder(self, X: Any) -> FieldEncoder:
        return (clone(self.encoder) if self.encoder is not None else FieldEncoder()).fit(X)

    def _train(
        self,
        network: Network,
        rows: Labelled,
        seed: int,
        *,
        n_epochs: int | None = None,
        state: Any = None,
        gated: Gated | None = None,
    ) -> list[dict[str, float]]:
        from workbench.ctr._training import make_rows, train

        encoded, codes, weights = rows
        schedule = self._schedule(seed, n_epochs or self.n_epochs, rows)
        network.to(schedule.device)
        history, self._moments = train(
            network,
            make_rows(encoded, network.layout, codes, weights, schedule.device),
            schedule,
            self.encoder_.counts_,
            gated=gated,
            optimizer_state=state,
        )
        self._keep(network)
        return history

    def _schedule(self, seed: int, n_epochs: int, rows: Labelled) -> Schedule:
        from workbench.ctr._training import Schedule
        from workbench.training.device import resolve_device

        encoded, codes, weights = rows
        device = resolve_device(self.device)
        return Schedule(
            n_epochs=n_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            weight_decay=getattr(self, "weight_decay", 0.0),
            l2=self.l2,
            l2_by_frequency=self.l2_by_frequency,
            device=device,
            seed=seed,
            precision=self.precision,
            fingerprint=fingerprint(
                self, encoded.ids, encoded.numbers, *encoded.lists, codes, weights, device=device.type
            ),
            verbose=self.verbose,
        )

    def _keep(self, network: Network) -> None:
        self.weights_ = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
        self.network_options_ = dict(network.options)

    def _load(self, network: Network, weights: dict[str, NDArray[Any]]) -> None:
        from workbench.ctr._training import from_arrays

        try:
            from_arrays(network, weights)
        except RuntimeError as error:
            raise FieldsError(
                f"The weights are not those of a {type(self).__name__} with these parameters and fields."
            ) from error

    def _network(self, seed: int = 0) -> Network:
        """A network of this model's shape, its weights drawn from `seed`."""
        from workbench.ctr._training import build

        layout = Layout.from_list(self.layout_)
        return build(self._kind, layout, getattr(self, "embedding_dim", 1), self.network_options_, seed)

    def pruned(self, keep: NDArray[np.bool_], gates: NDArray[Any] | None = None) -> Self:
        """This model without some fields, and with the gates of the others as part of it.

        Parameters
        ----------
        keep : ndarray of bool, shape (n_fields,)
            In the order of ``layout_``.
        gates : ndarray, shape (n_fields,), optional

        Returns
        -------
        A fitted model of the kept fields: its answers are those of this one with the other gates at 0.
        """
        import torch

        if not keep.any():
            raise FieldsError("A model needs at least one field.")
        network = self.network().prune(keep, None if gates is None else torch.from_numpy(gates))
        names = set(network.layout.names)
        made = clone(self)
        made.classes_ = self.classes_
        made._adopt(self.encoder_.restrict(names))
        if self.encoder is not None:
            made.set_params(encoder=clone(made.encoder_))
        made.layout_ = network.layout.to_list()
        made.history_ = list(self.history_)
        made._keep(network)
        return made

    def network(self) -> Network:
        """The fitted network as a torch module; it shares its arrays with this estimator."""
        check_is_fitted(self, "weights_")
        network = self._network()
        self._load(network, self.weights_)
        return network.eval()

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Log odds of the click, (n,), with the correction for `negative_rate`."""
        check_is_fitted(self, "weights_")
        columns = as_columns(self, X, reset=False)
        return self.decide_encoded(self.encoder_._encode(columns))

    def decide_encoded(
        self, encoded: Encoded, gates: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """`decision_function` of encoded rows, each field times its gate."""
        import torch

        from workbench.ctr._training import logits_of

        check_is_fitted(self, "weights_")
        network = self._network()
        # A copy of the layers in double precision; the tables are shared.
        tables = ("table", "weight")
        self._load(network, {k: v if k in tables else np.array(v) for k, v in self.weights_.items()})
        # Double precision makes a row's prediction the same whatever rows stand beside it.
        factors = None if gates is None else torch.from_numpy(gates)
        logits = logits_of(network.to_double(), encoded, gates=factors)
        return logits + np.log(self.negative_rate)

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


class _Again:
    """Turns a function that makes an iterator into something that can be iterated anew."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __iter__(self) -> Any:
        return iter(self._make())


def binary_codes(labels: NDArray[Any], *, classes: Any = None) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The two classes, and each label as 0 or 1.

    Raises
    ------
    FieldsError
        If there are not two.
    """
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise FieldsError(
            f"Input y contains NaN: the label of row {int(np.isnan(labels).argmax())} is missing."
        )
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise FieldsError("Input y contains infinity.")
    check_classification_targets(labels)
    found, codes = np.unique(labels.astype(str) if labels.dtype == object else labels, return_inverse=True)
    if labels.dtype == object:
        found = np.array([labels[codes == i][0] for i in range(len(found))])
    if classes is not None:
        known = np.unique(np.asarray(classes))
        if not np.isin(found, known).all():
            wrong = found[~np.isin(found, known)][0]
            raise FieldsError(f"y holds the class {wrong!r}, which is not one of {known.tolist()}.")
        found, codes = known, np.searchsorted(known, labels)
    if len(found) == 1:
        raise FieldsError(
            f"All rows have the one class {str(found[0])!r}: both clicks and non-clicks are needed."
        )
    if len(found) != 2:
        raise FieldsError(
            f"Only binary classification is supported. The type of the target is "
            f"{type_of_target(labels)}: the label has {len(found)} classes; choose a column with two."
        )
    return found, codes


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of both classes, (n, 2), from log odds."""
    from scipy.special import expit

    return np.column_stack([expit(-logits), expit(logits)])
