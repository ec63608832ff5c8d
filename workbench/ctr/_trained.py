"""An estimator's network: building it, training it, keeping its weights as arrays, and pruning it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from workbench.ctr._columns import FieldsError
from workbench.ctr.encoded import Encoded, Layout
from workbench.ctr.encoder import FieldEncoder
from workbench.training.callbacks import active_callbacks
from workbench.training.fingerprint import fingerprint

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from workbench.ctr._network import Network
    from workbench.ctr._training import Gated, Schedule
    from workbench.models.onnx import OnnxForm

__all__ = ["Labelled", "NetworkEstimator"]

#: Encoded rows, their labels as 0 and 1, and their weights.
Labelled = tuple[Encoded, NDArray[np.float32], NDArray[np.float64] | None]


class NetworkEstimator(BaseEstimator):
    """What holds a network: all that a classifier does with rows that are encoded already."""

    #: Name of the network, and the parameters that are its own.
    _kind: ClassVar[str] = ""
    _options: ClassVar[tuple[str, ...]] = ()

    encoder: FieldEncoder | None
    n_epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    l2: float
    l2_by_frequency: bool
    negative_rate: float
    warm_start: bool
    precision: str
    device: str
    random_state: Any
    verbose: int

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
        rows = (encoded, codes.astype(np.float32), weights)
        self.history_, _ = self._train(network, rows, seed, gated=gated)
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

    def _train(
        self,
        network: Network,
        rows: Labelled,
        seed: int,
        *,
        n_epochs: int | None = None,
        state: Any = None,
        optimizer: Optimizer | None = None,
        gated: Gated | None = None,
    ) -> tuple[list[dict[str, float]], Optimizer]:
        """Train `network`, going on with `optimizer` itself or with the moments that one left."""
        from workbench.ctr._training import make_rows, train
        from workbench.training.optimizers import pack_optimizer

        encoded, codes, weights = rows
        schedule = self._schedule(seed, n_epochs or self.n_epochs, rows)
        network.to(schedule.device)
        history, optimizer = train(
            network,
            make_rows(encoded, network.layout, codes, weights, schedule.device),
            schedule,
            self.encoder_.counts_,
            gated=gated,
            optimizer=optimizer,
            optimizer_state=state,
        )
        self._moments = pack_optimizer(optimizer)
        self._keep(network)
        return history, optimizer

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
            # To read all rows for it is worth it only where a checkpoint is compared by it.
            fingerprint=fingerprint(
                self, encoded.ids, encoded.numbers, *encoded.lists, codes, weights, device=device.type
            )
            if any(callback.saves for callback in active_callbacks())
            else "",
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

    def _network(self, seed: int | None = None) -> Network:
        """A network of this model's shape, its weights drawn from `seed`, or its tables left blank."""
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

    def _onnx_form(self) -> OnnxForm:
        """Rows as `FieldEncoder` encodes them to the probability of a click."""
        from workbench.ctr._onnx import ExportedClicks, example_inputs
        from workbench.models.onnx import OnnxForm

        network = self.network()
        fields = network.layout.fields
        inputs = example_inputs(fields)
        n = len(next(iter(inputs.values())))
        encoded = Encoded(
            inputs.get("ids", np.empty((n, 0))).astype(np.int32),
            inputs.get("numbers", np.empty((n, 0), np.float32)),
            tuple(inputs[field.name].astype(np.int32) for field in fields if field.is_list),
        )
        expected = 1 / (1 + np.exp(-self.decide_encoded(encoded)))
        notes = {
            "inputs": "what FieldEncoder.encode gives: ids of the categorical fields, scaled numbers, lists",
            "fields": [{"name": field.name, "kind": field.kind, "rows": field.rows} for field in fields],
            "output": f"probability of {self.classes_[1]!r}",
        }
        return OnnxForm(ExportedClicks(network, self.negative_rate), inputs, "probability", expected, notes)

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
