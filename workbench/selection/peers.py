"""The methods that LPFS is measured against, behind the same interface; the unit is always the field."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, make_scorer
from sklearn.utils._param_validation import Interval

from workbench.ctr._base import CTRClassifier
from workbench.selection._base import FieldSelector, Problem
from workbench.selection.scores import (
    design,
    field_gradients,
    gate_gradients,
    mutual_information,
    permutation_importance,
)

__all__ = [
    "BoostingSelector",
    "GradientSelector",
    "LassoSelector",
    "MutualInformationSelector",
    "PermutationSelector",
    "SharkSelector",
]

# Not "neg_log_loss", which a few rows kept for judging, all of one class, would stop.
_LOG_LOSS = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False, labels=[0, 1])

_COMMON = """estimator : CTR classifier, default=None
        The host model; its encoder reads the fields. A `DeepFMClassifier` by default.
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


def _documented(cls: type) -> type:
    """Fill in what the selectors share; forms and the command line read the result."""
    cls.__doc__ = (cls.__doc__ or "").replace("<common>", _COMMON).replace("<learned>", _LEARNED)
    return cls


class _Ranker(FieldSelector):
    """Selectors whose kept fields follow from their scores."""

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.max_fields = max_fields
        self.validation_fraction = validation_fraction
        self.n_probes = n_probes
        self.random_state = random_state


@_documented
class PermutationSelector(_Ranker):
    """Rank fields by how much the log loss rises when their cells are shuffled, a field at a time.

    Parameters
    ----------
    <common>
    n_repeats : int, default=5
        Shuffles of each field.

    Attributes
    ----------
    <learned>
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        n_repeats: int = 5,
    ) -> None:
        super().__init__(estimator, max_fields, validation_fraction, n_probes, random_state)
        self.n_repeats = n_repeats

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], None]:
        host = self._trained_host(problem)
        held = problem.held_out_y.astype(np.float64)
        scores = permutation_importance(
            host, problem.layout, problem.held_out, held, n_repeats=self.n_repeats, seed=problem.seed
        )
        return scores, None


@_documented
class GradientSelector(_Ranker):
    """Rank fields by the size of the loss's gradient by a gate on each (SFS).

    Scores sum to 1 and are all above 0, so set `max_fields`.

    Parameters
    ----------
    <common>

    Attributes
    ----------
    <learned>

    References
    ----------
    "SFS" of the ERASE benchmark, arXiv 2403.12660.
    """

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], None]:
        host = self._trained_host(problem)
        sizes = gate_gradients(host, problem.rows, problem.y.astype(np.float64), batch_size=host.batch_size)
        return sizes / sizes.sum(), None


@_documented
class MutualInformationSelector(_Ranker):
    """Rank fields by the information that their values share with the label, less that of chance.

    Parameters
    ----------
    <common>

    Attributes
    ----------
    <learned>
    """

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], None]:
        return mutual_information(problem.layout, problem.rows, problem.y.astype(np.float64)), None


class _OnNumbers(_Ranker):
    """Rankers by models of plain numbers: a category stands as its click rate on other rows."""

    def _numbers(self, problem: Problem) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Design matrix of half the rows with rates of the other half, both ways; and the labels."""
        rng = np.random.default_rng(problem.seed)
        order = rng.permutation(len(problem.y))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        X, y = [], []
        for mine, other in (halves, halves[::-1]):
            rates: list[NDArray[np.float64] | None] = []
            labels = problem.y[other].astype(np.float64)
            for place, field in enumerate(problem.layout.fields):
                if field.kind != "categorical":
                    rates.append(None)
                    continue
                ids = problem.rows.ids[other, place]
                clicks = np.bincount(ids, labels, field.rows)
                count = np.bincount(ids, minlength=field.rows)
                rates.append((clicks + 10 * labels.mean()) / (count + 10.0))
            X.append(design(problem.layout, problem.rows[mine], rates))
            y.append(problem.y[mine])
        return np.vstack(X), np.concatenate(y).astype(np.float64)


@_documented
class LassoSelector(_OnNumbers):
    """Rank fields by the size of their coefficient in a Lasso on standardised numbers.

    Categories stand as their click rate, learned on the other half of the rows.

    Parameters
    ----------
    <common>
    alpha : float, default=0.001
        Strength of the penalty; coefficients it makes zero drop their field.

    Attributes
    ----------
    <learned>
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "alpha": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        alpha: float = 1e-3,
    ) -> None:
        super().__init__(estimator, max_fields, validation_fraction, n_probes, random_state)
        self.alpha = alpha

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], None]:
        from sklearn.linear_model import Lasso

        X, y = self._numbers(problem)
        spread = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
        return np.abs(Lasso(alpha=self.alpha, max_iter=5000).fit(X, y).coef_), None


@_documented
class BoostingSelector(_OnNumbers):
    """Rank fields by permutation in gradient-boosted trees on numbers.

    Categories stand as their click rate, learned on the other half of the rows.

    Parameters
    ----------
    <common>
    n_trees : int, default=100
        Trees of the model.

    Attributes
    ----------
    <learned>
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "n_trees": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        n_trees: int = 100,
    ) -> None:
        super().__init__(estimator, max_fields, validation_fraction, n_probes, random_state)
        self.n_trees = n_trees

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], None]:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.inspection import permutation_importance as permuted

        X, y = self._numbers(problem)
        held = np.random.default_rng(problem.seed).permutation(len(y))
        test, train = held[: max(len(y) // 5, 1)], held[max(len(y) // 5, 1) :]
        trees = HistGradientBoostingClassifier(
            max_iter=self.n_trees, early_stopping=False, random_state=problem.seed
        ).fit(X[train], y[train])
        found = permuted(trees, X[test], y[test], scoring=_LOG_LOSS, n_repeats=3, random_state=problem.seed)
        return found.importances_mean, None


@_documented
class SharkSelector(FieldSelector):
    """Drop the fields that a first-order estimate calls least useful, and fine-tune, until a target is met.

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
        overfitted model; the signed one is near 0 for every field of a model at its optimum.
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

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "max_bytes": [Interval(Integral, 1, None, closed="left"), None],
        "signed": ["boolean"],
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
    ) -> None:
        self.estimator = estimator
        self.max_fields = max_fields
        self.validation_fraction = validation_fraction
        self.n_probes = n_probes
        self.random_state = random_state
        self.max_bytes = max_bytes
        self.signed = signed
        self.drop_per_round = drop_per_round
        self.fine_tune = fine_tune

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        from workbench.ctr import metrics
        from workbench.selection._size import n_bytes

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
        if not targeted:
            alive = (first > 0) & np.isin(names, list(real))
        probes = ~np.isin([field["name"] for field in host.layout_], list(real))
        chosen = np.isin([field["name"] for field in host.layout_], np.array(names)[alive]) & ~probes
        if chosen.any():  # else `fit` says that nothing is left
            self.estimator_ = host.pruned(chosen)
        return final, alive

    def _terms(self, host: CTRClassifier, rows: Any, y: NDArray[np.float64]) -> NDArray[np.float64]:
        return field_gradients(host, rows, y)["signed" if self.signed else "absolute"]

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
        return self.estimator_
