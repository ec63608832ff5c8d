"""SHARK: drop the fields that matter least by an estimate from one pass, fine-tuning in between."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, Options
from sklearn.utils.validation import check_is_fitted

from workbench.ctr import metrics
from workbench.ctr._base import CTRClassifier
from workbench.ctr._columns import FieldsError
from workbench.ctr._parameters import keep_parameters
from workbench.selection._base import FieldSelector, Problem, selector_documented
from workbench.selection._size import n_bytes
from workbench.selection.scores import field_gradients

__all__ = ["SharkSelector"]


@selector_documented
class SharkSelector(FieldSelector):
    """Drop the fields that one pass over the rows calls least useful, and fine-tune, until a target is met.

    Each round scores all remaining fields in one pass over the validation rows (F-Permutation), drops the
    lowest, and trains the pruned model for another epoch. Set a target: without one, fields with a score
    above 0 are kept after one round, which all absolute scores are.

    Parameters
    ----------
    <common>
    max_bytes : int, default=None
        Go on until the model takes at most so many bytes.
    signed : bool, default=False
        Score by the mean of the estimated change of the loss itself, in place of the mean of its absolute
        values, which public reproductions take. The absolute one ranks noise of many values high in an
        overfitted model; the signed one is what permutation importance estimates.
    order : {1, 2}, default=2
        Terms of the signed score: 1 is the published one, which is near 0 for every field of a model at its
        optimum; the second term is what is left there.
    drop_per_round : int, default=1
        Fields dropped between two fine-tunings.
    fine_tune : bool, default=True
        Train the pruned model for an epoch after each round.

    Attributes
    ----------
    <learned>
    estimator_ : CTR classifier
        The model that is left.
    path_ : dict of str to list
        Fields, bytes and AUC on the validation rows after each round.

    References
    ----------
    Zhang et al., "SHARK", CIKM 2023, arXiv 2308.09395.
    """

    max_bytes: int | None
    signed: bool
    order: int
    drop_per_round: int
    fine_tune: bool

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "max_bytes": [Interval(Integral, 1, None, closed="left"), None],
        "signed": ["boolean"],
        "order": [Options(Integral, {1, 2})],
        "drop_per_round": [Interval(Integral, 1, None, closed="left")],
        "fine_tune": ["boolean"],
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        max_bytes: int | None = None,
        signed: bool = False,
        drop_per_round: int = 1,
        fine_tune: bool = True,
        order: int = 2,
    ) -> None:
        keep_parameters(self, locals())

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        held = problem.held_out_y.astype(np.float64)
        names = problem.layout.names
        real = set(problem.encoder.kinds_)
        host = self._trained_host(problem) if start is None else start
        first = self._terms(host, problem.held_out, held)
        final = first.copy()
        alive = np.ones(len(names), dtype=bool)
        self.path_: dict[str, list[Any]] = {name: [] for name in ("n_fields", "bytes", "auc", "dropped")}
        targeted = self.max_fields is not None or self.max_bytes is not None
        dropped: list[str] = []
        for round_ in range(len(names)):
            layout = problem.layout.keep(alive)
            held_rows = problem.held_out.keep(problem.layout, alive)
            self.path_["n_fields"].append(int(np.isin(layout.names, list(real)).sum()))
            self.path_["bytes"].append(n_bytes(host))
            self.path_["auc"].append(metrics.auc(held, host.decide_encoded(held_rows)))
            self.path_["dropped"].append(", ".join(dropped))
            if not targeted or self._met() or alive.sum() <= 1:
                break
            scores = first if round_ == 0 else self._terms(host, held_rows, held)
            n = min(self.drop_per_round, int(alive.sum()) - 1)
            if self.max_fields is not None:
                n = min(n, max(self.path_["n_fields"][-1] - self.max_fields, 1))
            worst = scores.argsort(kind="stable")[:n]
            # Dropped in an earlier round ranks below what was dropped later.
            places = np.flatnonzero(alive)
            dropped = [names[place] for place in places[worst]]
            alive[places[worst]] = False
            final[places[worst]] = final.min() - len(names) + round_ - np.arange(n)[::-1] / (n + 1.0)
            host = self._without(problem, host, layout, np.isin(layout.names, dropped, invert=True), alive)
        if targeted and not self._met():
            raise FieldsError(
                f"One field alone takes {self.path_['bytes'][-1]} bytes, which is more than max_bytes="
                f"{self.max_bytes} allows: raise it."
            )
        if not targeted:
            alive = (first > 0) & np.isin(names, list(real))
        probes = ~np.isin([field["name"] for field in host.layout_], list(real))
        chosen = np.isin([field["name"] for field in host.layout_], np.array(names)[alive]) & ~probes
        if chosen.any():  # else `fit` says that nothing is left
            self.estimator_ = host.pruned(chosen)
        return final, alive

    def _terms(self, host: CTRClassifier, rows: Any, y: NDArray[np.float64]) -> NDArray[np.float64]:
        return field_gradients(host, rows, y, order=self.order)["signed" if self.signed else "absolute"]

    def _met(self) -> bool:
        fields = self.max_fields is None or self.path_["n_fields"][-1] <= self.max_fields
        return fields and (self.max_bytes is None or self.path_["bytes"][-1] <= self.max_bytes)

    def _without(
        self,
        problem: Problem,
        host: CTRClassifier,
        layout: Any,
        keep: NDArray[np.bool_],
        alive: NDArray[np.bool_],
    ) -> CTRClassifier:
        """The host without some fields, trained on for an epoch."""
        network = host.network().prune(keep)
        made = self._seeded_host(problem).set_params(n_epochs=1)
        made.classes_ = self.classes_
        if not self.fine_tune:
            made._adopt(problem.encoder)
            made.layout_, made.history_ = network.layout.to_list(), []
            made.network_options_ = dict(network.options)
            made._keep(network)
            return made
        rows = problem.rows.keep(problem.layout, alive)
        return made.fit_encoded(
            problem.encoder, rows, problem.y, problem.weight, start=network, layout=network.layout
        )

    def prune(self) -> CTRClassifier:
        """The model of the kept fields."""
        check_is_fitted(self, "estimator_")
        return self.estimator_
