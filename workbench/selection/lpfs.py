"""LPFS and LPFS++: a gate a field, polarised by training until it is exactly zero or near one."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from workbench.ctr import metrics
from workbench.ctr._base import CTRClassifier
from workbench.ctr._columns import FieldsError, as_columns
from workbench.ctr.encoded import Layout
from workbench.selection._base import FieldSelector, Problem
from workbench.selection._size import latency_ms, n_bytes

if TYPE_CHECKING:
    from workbench.ctr._network import Network
    from workbench.selection._learning import GateLearner

__all__ = ["LPFS", "LPFSPlusPlus"]

#: Penalties of a path at most, each twice the one before.
_PATH = 12
_PATH_COLUMNS = ("penalty", "n_fields", "bytes", "latency_ms", "auc", "fields")


class LPFS(FieldSelector):
    """Learn which fields a CTR model needs, with gates that end exactly at 0 or near 1.

    Each field's embedding and linear weights are multiplied by a gate x² / (x² + epsilon). The gates learn
    with the model by proximal gradient steps while epsilon falls, so that useless ones reach zero exactly;
    `prune` then gives a smaller model with the same answers. A gate that has reached zero stays there; see
    `LPFSPlusPlus` for gates that can come back.

    Parameters
    ----------
    estimator : CTR classifier, default=None
        The host model; its epochs are those of the search. A `DeepFMClassifier` by default.
    penalty : float, default=0.005
        Pull of every gate towards zero. A field is dropped when its use is less; more drops more fields.
    max_fields : int, default=None
        Instead of one penalty, a path of growing penalties, each started from the pruned model before, until
        at most so many fields are left.
    max_bytes : int, default=None
        The same, until the model takes at most so many bytes.
    max_latency_ms : float, default=None
        The same, until the model answers one request of `latency_rows` rows within so many milliseconds.
    latency_rows : int, default=100
        Rows of the request that is timed.
    travel : float, default=4.0
        How far the penalty alone would move a gate, which starts at 1, in the whole search; it sets the
        gates' learning rate to travel / (penalty · steps). Sensible values are 3 to 8.
    gate_learning_rate : float, default=None
        Of the gates, in place of that rule.
    epsilon_start : float, default=0.1
        Smoothness of the gates in the beginning.
    epsilon_end : float, default=0.001
        Smoothness in the end.
    epsilon_fraction : float, default=0.6
        Share of the steps over which it falls.
    start : float, default=1.0
        Where each gate's parameter begins; the gate itself is scaled to be 1 there.
    anneal : bool, default=False
        Scale the gates at every moment by the gate of a parameter that has not moved, so that they end near
        0 or 1; otherwise the kept ones settle at a common value, which the next layer makes good.
    settle : float, default=0.1
        Share of the steps, at the end, in which the gates rest and only the model learns.
    held_out_gates : bool, default=False
        Learn the gates from rows that the network does not see; helps where it memorises.
    validation_fraction : float, default=0.1
        Share of the rows kept for judging, and for `held_out_gates`.
    n_probes : int, default=0
        Shuffled copies of fields that take part as controls; none of them should be kept.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.

    Attributes
    ----------
    support_ : ndarray of bool, shape (n_fields,)
    importance_ : ndarray, shape (n_fields,)
        Size of each gate in the end.
    gates_ : ndarray, shape (n_moments, n_fields)
        Gates over the search, columns as in ``fields_``.
    gate_steps_, epsilons_ : ndarray, shape (n_moments,)
    path_ : dict of str to list
        The penalties tried, and what was left and measured at each, AUC on the rows kept for judging.
    searched_ : CTR classifier
        The model with all fields, as the search left it; ``final_gates_`` belong to it.
    estimator_ : CTR classifier
        The pruned model.
    probe_scores_ : ndarray, shape (n_probes,)
    fields_, ranking_, classes_, n_features_in_, feature_names_in_

    References
    ----------
    Guo et al., "LPFS: Learnable Polarizing Feature Selection for Click-Through Rate Prediction",
    arXiv 2206.00267. Defaults are those of public re-implementations and of our own trials.
    """

    _method = "lpfs"

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "penalty": [Interval(Real, 0, None, closed="neither")],
        "max_bytes": [Interval(Integral, 1, None, closed="left"), None],
        "max_latency_ms": [Interval(Real, 0, None, closed="neither"), None],
        "latency_rows": [Interval(Integral, 1, None, closed="left")],
        "travel": [Interval(Real, 0, None, closed="neither")],
        "gate_learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "epsilon_start": [Interval(Real, 0, None, closed="neither")],
        "epsilon_end": [Interval(Real, 0, None, closed="neither")],
        "epsilon_fraction": [Interval(Real, 0, 1, closed="right")],
        "start": [Interval(Real, 0, None, closed="neither")],
        "anneal": ["boolean"],
        "settle": [Interval(Real, 0, 1, closed="left")],
        "held_out_gates": ["boolean"],
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        penalty: float = 0.005,
        max_fields: int | None = None,
        max_bytes: int | None = None,
        max_latency_ms: float | None = None,
        latency_rows: int = 100,
        travel: float = 4.0,
        gate_learning_rate: float | None = None,
        epsilon_start: float = 0.1,
        epsilon_end: float = 1e-3,
        epsilon_fraction: float = 0.6,
        start: float = 1.0,
        anneal: bool = False,
        settle: float = 0.1,
        held_out_gates: bool = False,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.penalty = penalty
        self.max_fields = max_fields
        self.max_bytes = max_bytes
        self.max_latency_ms = max_latency_ms
        self.latency_rows = latency_rows
        self.travel = travel
        self.gate_learning_rate = gate_learning_rate
        self.epsilon_start = epsilon_start
        self.epsilon_end = epsilon_end
        self.epsilon_fraction = epsilon_fraction
        self.start = start
        self.anneal = anneal
        self.settle = settle
        self.held_out_gates = held_out_gates
        self.validation_fraction = validation_fraction
        self.n_probes = n_probes
        self.random_state = random_state

    def hot_start(self, model: CTRClassifier, X: Any, y: ArrayLike, sample_weight: Any = None) -> Self:
        """`fit`, starting from a trained model: its weights, with every gate at exactly 1.

        Parameters
        ----------
        model : CTR classifier
            Fitted on the same columns; it stays as it is and takes the place of `estimator`.
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self
        """
        check_is_fitted(model, "weights_")
        if self.n_probes:
            raise FieldsError("A trained model has no probes: set n_probes to 0 for a hot start.")
        return self._fit(X, y, sample_weight, start=model)

    def _search(
        self, problem: Problem, start: CTRClassifier | None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        names = problem.layout.names
        alive = np.ones(len(names), dtype=bool)
        scores = np.zeros(len(names))
        self.path_: dict[str, list[Any]] = {name: [] for name in _PATH_COLUMNS}
        records: list[dict[str, NDArray[Any]]] = []
        network = None if start is None else start.network()
        for i in range(_PATH if self._is_budgeted() else 1):
            before, layout = alive.copy(), problem.layout.keep(alive)
            host, learner = self._train_gates(problem, alive, self.penalty * 2.0**i, network, i)
            keep, gates = learner.gates.keep(), learner.path()["gates"][-1]
            records.append(_spread(learner.path(), before))
            if not keep.any():
                if i == 0:
                    raise FieldsError(self._nothing_left())
                break
            # What leaves earlier is worth less; the gates order what is left.
            scores[before] = i + np.abs(gates)
            alive[np.flatnonzero(before)[~keep]] = False
            self._settle(problem, host, layout, keep, gates, self.penalty * 2.0**i)
            if self._within_budget():
                break
            network = host.network().prune(keep, _tensor(gates))
        self._record(records, problem)
        if self._is_budgeted() and not self._within_budget():
            raise FieldsError(self._budget_missed())
        return scores, alive

    def _train_gates(
        self, problem: Problem, alive: NDArray[np.bool_], penalty: float, start: Network | None, stage: int
    ) -> tuple[CTRClassifier, GateLearner]:
        """Train the host with gates on the fields that are left."""
        from workbench.ctr._training import make_rows
        from workbench.selection._learning import GateLearner
        from workbench.selection.gates import FieldGates
        from workbench.training.device import resolve_device

        layout = problem.layout.keep(alive)
        host = self._seeded_host(problem)
        host.classes_ = self.classes_
        n, batch = len(problem.rows), min(host.batch_size, len(problem.rows))
        per_epoch = n // batch if n % batch == 1 and n > batch else -(-n // batch)
        device = resolve_device(host.device)
        gates = FieldGates(
            len(layout.fields),
            n_steps=per_epoch * host.n_epochs,
            method=self._method,
            penalty=penalty,
            learning_rate=self.gate_learning_rate,
            travel=self.travel,
            epsilon_start=self.epsilon_start,
            epsilon_end=self.epsilon_end,
            epsilon_fraction=self.epsilon_fraction,
            start=self.start,
            anneal=self.anneal,
            settle=self.settle,
            **self._shape(),
        ).to(device)
        held = None
        if self.held_out_gates:
            rows = problem.held_out.keep(problem.layout, alive)
            held = make_rows(rows, layout, problem.held_out_y, None, device)
        learner = GateLearner(gates, layout.names, held_out=held, seed=problem.seed + stage)
        host.fit_encoded(
            problem.encoder,
            problem.rows.keep(problem.layout, alive),
            problem.y,
            problem.weight,
            gated=learner.gated(),
            start=start,
            layout=layout,
        )
        return host, learner

    def _shape(self) -> dict[str, float]:
        return {}

    def _settle(
        self,
        problem: Problem,
        host: CTRClassifier,
        layout: Layout,
        keep: NDArray[np.bool_],
        gates: NDArray[np.float64],
        penalty: float,
    ) -> None:
        """Keep this point of the path: the model with its gates, the pruned one, and what it measures."""
        real = np.isin(layout.names, problem.encoder.layout().names)
        if not (keep & real).any():
            raise FieldsError(self._nothing_left())
        whole = len(layout.fields) == len(problem.encoder.kinds_) and real.all()
        self.searched_ = host if whole else host.pruned(real)
        self.final_gates_ = gates[real]
        self.estimator_ = host.pruned(keep & real, gates)
        held = problem.held_out.keep(
            problem.layout,
            np.isin(problem.layout.names, [field["name"] for field in self.estimator_.layout_]),
        )
        area = metrics.auc(problem.held_out_y, self.estimator_.decide_encoded(held))
        values = (
            penalty,
            int((keep & real).sum()),
            n_bytes(self.estimator_),
            latency_ms(self.estimator_, held[: self.latency_rows]),
            area,
            ", ".join(name for name, kept in zip(layout.names, keep & real, strict=True) if kept),
        )
        for name, value in zip(_PATH_COLUMNS, values, strict=True):
            self.path_[name].append(value)

    def _is_budgeted(self) -> bool:
        return any(x is not None for x in (self.max_fields, self.max_bytes, self.max_latency_ms))

    def _within_budget(self) -> bool:
        limits = {"n_fields": self.max_fields, "bytes": self.max_bytes, "latency_ms": self.max_latency_ms}
        return all(limit is None or self.path_[name][-1] <= limit for name, limit in limits.items())

    def _budget_missed(self) -> str:
        last = {name: values[-1] for name, values in self.path_.items()}
        return (
            f"No penalty up to {last['penalty'] * 2:g} left a model within the budget and a field in it; the "
            f"nearest has {last['n_fields']} fields, {last['bytes']} bytes and {last['latency_ms']:.2f} ms: "
            "raise the budget, or take a smaller first penalty."
        )

    def _record(self, records: list[dict[str, NDArray[Any]]], problem: Problem) -> None:
        own, names = list(problem.encoder.kinds_), problem.layout.names
        order = [names.index(name) for name in [*own, *(n for n in names if n not in own)]]
        offsets = np.cumsum([0, *(part["step"][-1] for part in records[:-1])])
        self.gates_ = np.vstack([part["gates"] for part in records])[:, order]
        self.gate_steps_ = np.concatenate([p["step"] + o for p, o in zip(records, offsets, strict=True)])
        self.epsilons_ = np.concatenate([part["epsilon"] for part in records])

    def _nothing_left(self) -> str:
        return (
            f"All fields were dropped: the penalty {self.penalty:g} is too large; "
            f"set it to {self.penalty / 4:g} or less."
        )

    def gate_path(self) -> pd.DataFrame:
        """Gates over the search in long form: step, epsilon, field, gate; the probes among the fields."""
        check_is_fitted(self, "gates_")
        names = [*self.fields_, *(f"probe {i + 1}" for i in range(len(self.probe_scores_)))]
        n, width = self.gates_.shape
        return pd.DataFrame(
            {
                "step": np.repeat(self.gate_steps_, width),
                "epsilon": np.repeat(self.epsilons_, width),
                "field": np.tile(names, n),
                "gate": self.gates_.ravel(),
            }
        )

    def prune(self) -> CTRClassifier:
        """The model of the kept fields alone; its answers are those of the gated model."""
        check_is_fitted(self, "estimator_")
        return self.estimator_

    def refit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> CTRClassifier:
        """A host model trained from scratch on the kept fields, as benchmarks of selection judge it."""
        host = self._host()
        if host.random_state is None:
            host.set_params(random_state=self.random_state)
        if host.encoder is not None:
            host.set_params(encoder=clone(self.estimator_.encoder_))
        return host.fit(self.transform(X), y, sample_weight)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Log odds by the model with all fields of the last search and their gates, (n,)."""
        check_is_fitted(self, "searched_")
        columns = as_columns(self, X, reset=False)
        encoder = self.searched_.encoder_
        encoded = encoder._encode({name: columns[name] for name in encoder.kinds_})
        return self.searched_.decide_encoded(encoded, self.final_gates_)


class LPFSPlusPlus(LPFS):
    """LPFS with gates that can come back: sign(x)·x² / (x² + epsilon) + alpha·epsilon^(1/tau)·arctan(x).

    Where the gate of `LPFS` is flat at zero, this one has a slope, so a field that was dropped too early
    still learns. See `LPFS` for the search itself and for the attributes.

    Parameters
    ----------
    <parameters>
    alpha : float, default=10.0
        Strength of the part that keeps the slope.
    tau : float, default=2.0
        How slowly that part vanishes with epsilon.

    References
    ----------
    Guo et al., arXiv 2206.00267 (LPFS++). The formula and its defaults are those of public
    re-implementations.
    """

    _method = "lpfs++"

    _parameter_constraints: dict[str, list[Any]] = {
        **LPFS._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "tau": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        penalty: float = 0.01,
        max_fields: int | None = None,
        max_bytes: int | None = None,
        max_latency_ms: float | None = None,
        latency_rows: int = 100,
        travel: float = 8.0,
        gate_learning_rate: float | None = None,
        epsilon_start: float = 0.1,
        epsilon_end: float = 1e-3,
        epsilon_fraction: float = 0.6,
        start: float = 1.0,
        anneal: bool = False,
        settle: float = 0.1,
        held_out_gates: bool = False,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        alpha: float = 10.0,
        tau: float = 2.0,
    ) -> None:
        super().__init__(
            estimator,
            penalty,
            max_fields,
            max_bytes,
            max_latency_ms,
            latency_rows,
            travel,
            gate_learning_rate,
            epsilon_start,
            epsilon_end,
            epsilon_fraction,
            start,
            anneal,
            settle,
            held_out_gates,
            validation_fraction,
            n_probes,
            random_state,
        )
        self.alpha = alpha
        self.tau = tau

    def _shape(self) -> dict[str, float]:
        return {"alpha": self.alpha, "tau": self.tau}


def _inherited() -> str:
    doc = LPFS.__doc__ or ""
    begin = doc.index("    estimator : CTR")
    text = doc[begin : doc.index("    Attributes\n")].rstrip()
    return text.replace("float, default=0.005", "float, default=0.01").replace("default=4.0", "default=8.0")


# Forms and the command line read a class's own documentation.
LPFSPlusPlus.__doc__ = (LPFSPlusPlus.__doc__ or "").replace("    <parameters>", _inherited())


def _spread(path: dict[str, NDArray[Any]], alive: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """A stage's record with a column for every field; those that left before are 0."""
    gates = np.zeros((len(path["step"]), len(alive)))
    gates[:, alive] = path["gates"]
    return {**path, "gates": gates}


def _tensor(values: NDArray[np.float64]) -> Any:
    import torch

    return torch.from_numpy(values)
