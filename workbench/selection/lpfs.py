"""LPFS and LPFS++: a gate a field, polarised by training until it is exactly zero or near one."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from workbench.ctr import metrics
from workbench.ctr._base import CTRClassifier
from workbench.ctr._columns import FieldsError, as_columns
from workbench.ctr._parameters import documented, keep_parameters
from workbench.ctr.encoded import Layout
from workbench.selection._base import FieldSelector, Problem
from workbench.selection._gated import PruningSelector, spread, tensor
from workbench.selection._size import latency_ms, n_bytes
from workbench.selection.steps import FEW_STEPS, host_options

if TYPE_CHECKING:
    from workbench.selection.gates import FieldGates

__all__ = ["LPFS", "LPFSPlusPlus"]

#: Penalties of a path at most, each twice the one before.
_PATH = 12
_PATH_COLUMNS = ("penalty", "n_fields", "bytes", "latency_ms", "auc", "fields")


class LPFS(PruningSelector):
    """Learn which fields a CTR model needs, with gates that end exactly at 0 or near 1.

    Each field's embedding and linear weights are multiplied by a gate x² / (x² + epsilon). The gates learn
    with the model by proximal gradient steps while epsilon falls, so that useless ones reach zero exactly;
    `prune` then gives a smaller model with the same answers. A gate that has reached zero stays there; see
    `LPFSPlusPlus` for gates that can come back.

    Parameters
    ----------
    estimator : CTR classifier, default=None
        The host model; its epochs are those of the search. By default a `DeepFMClassifier` whose batches and
        epochs give some 800 steps.
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

    penalty: float
    max_bytes: int | None
    max_latency_ms: float | None
    latency_rows: int
    travel: float
    gate_learning_rate: float | None
    epsilon_start: float
    epsilon_end: float
    epsilon_fraction: float
    start: float
    anneal: bool
    settle: float
    held_out_gates: bool

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
        keep_parameters(self, locals())

    def hot_start(self, model: CTRClassifier, X: Any, y: ArrayLike, sample_weight: Any = None) -> Self:
        """`fit`, starting from a trained model: its weights, with every gate at exactly 1.

        Parameters
        ----------
        model : CTR classifier
            Fitted on the same columns; it stays as it is. An `estimator`, where one is given, must be of its
            kind and shape, and says how the search trains.
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self
        """
        check_is_fitted(model, "weights_")
        as_columns(model, X, reset=False)
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
            host, learner = self._train_gates(
                problem, alive, held_out=self.held_out_gates, start=network, stage=i
            )
            gates = learner.path()["gates"][-1]
            keep = gates != 0
            records.append(spread(learner.path(), before))
            if not keep.any():
                if i == 0:
                    raise FieldsError(self._nothing_left())
                break
            # What leaves earlier is worth less; the gates order what is left.
            scores[before] = i + np.abs(gates)
            alive[np.flatnonzero(before)[~keep]] = False
            kept = self._keep_models(problem, host, layout, keep, gates)
            self._measure(problem, layout, kept, self._penalty_of(i))
            if self._within_budget():
                break
            network = host.network().prune(keep, tensor(gates))
        self._record(records, problem)
        if self._is_budgeted() and not self._within_budget():
            raise FieldsError(self._budget_missed())
        return scores, alive

    def _penalty_of(self, stage: int) -> float:
        return self.penalty * 2.0**stage

    def _make_gates(self, problem: Problem, layout: Layout, n_steps: int, stage: int) -> FieldGates:
        from workbench.selection.gates import FieldGates

        self._n_steps, self._n_rows = n_steps, len(problem.rows)
        return FieldGates(
            len(layout.fields),
            n_steps=n_steps,
            method=self._method,
            penalty=self._penalty_of(stage),
            learning_rate=self.gate_learning_rate,
            travel=self.travel,
            epsilon_start=self.epsilon_start,
            epsilon_end=self.epsilon_end,
            epsilon_fraction=self.epsilon_fraction,
            start=self.start,
            anneal=self.anneal,
            settle=self.settle,
            **self._shape(),
        )

    def _shape(self) -> dict[str, float]:
        return {}

    def _measure(self, problem: Problem, layout: Layout, kept: NDArray[np.bool_], penalty: float) -> None:
        """Add a point to the path: the pruned model's size, speed and AUC on the rows kept for judging."""
        held = problem.held_out.keep(
            problem.layout,
            np.isin(problem.layout.names, [field["name"] for field in self.estimator_.layout_]),
        )
        area = metrics.auc(problem.held_out_y, self.estimator_.decide_encoded(held))
        values = (
            penalty,
            int(kept.sum()),
            n_bytes(self.estimator_),
            latency_ms(self.estimator_, held[np.arange(self.latency_rows) % len(held)]),
            area,
            ", ".join(name for name, there in zip(layout.names, kept, strict=True) if there),
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
        fields = "1 field" if last["n_fields"] == 1 else f"{last['n_fields']} fields"
        return (
            f"No penalty up to {last['penalty'] * 2:g} left a model within the budget and a field in it; the "
            f"nearest has {fields}, {last['bytes']} bytes and {last['latency_ms']:.2f} ms: "
            "raise the budget, or take a smaller first penalty."
        )

    def _nothing_left(self) -> str:
        if self._n_steps < FEW_STEPS:
            options = host_options(self._n_rows)
            return (
                f"All fields were dropped: the search has {self._n_steps} steps, too few to tell fields "
                f"apart; set the host model's batch_size to {options['batch_size']} and its n_epochs to "
                f"{options['n_epochs']}."
            )
        return (
            f"All fields were dropped: the penalty {self.penalty:g} is too large; "
            f"set it to {min(self.penalty / 4, type(self)().penalty):g} or less."
        )


def _inherited() -> str:
    """The parameters of `LPFS` with the defaults of `LPFSPlusPlus`."""
    doc = (LPFS.__doc__ or "").partition("    Attributes\n")[0]
    text = doc[doc.find("estimator : CTR") :].rstrip()
    for theirs, ours in (
        ("float, default=0.005", "float, default=0.01"),
        ("default=4.0", "default=8.0"),
        ("anneal : bool, default=False", "anneal : bool, default=True"),
        ("held_out_gates : bool, default=False", "held_out_gates : bool, default=True"),
        ("validation_fraction : float, default=0.1", "validation_fraction : float, default=0.2"),
    ):
        text = text.replace(theirs, ours)
    return text


@documented(parameters=_inherited())
class LPFSPlusPlus(LPFS):
    """LPFS with gates that can come back: sign(x)·x² / (x² + epsilon) + alpha·epsilon^(1/tau)·arctan(x).

    Where the gate of `LPFS` is flat at zero, this one has a slope, so a field that was dropped too early
    still learns. See `LPFS` for the search itself and for the attributes.

    By default the gates learn from rows of their own and end near 0 or 1. Public re-implementations learn
    them from the network's rows and leave their scale to the next layer, which on small logs now and then
    keeps noise of many values, since the network memorises it:
    ``LPFSPlusPlus(held_out_gates=False, anneal=False)``.

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

    alpha: float
    tau: float

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
        anneal: bool = True,
        settle: float = 0.1,
        held_out_gates: bool = True,
        validation_fraction: float = 0.2,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        alpha: float = 10.0,
        tau: float = 2.0,
    ) -> None:
        keep_parameters(self, locals())

    def _shape(self) -> dict[str, float]:
        return {"alpha": self.alpha, "tau": self.tau}
