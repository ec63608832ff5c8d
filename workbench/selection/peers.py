"""The methods that LPFS is measured against, behind the same interface; the unit is always the field."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, make_scorer
from sklearn.utils._param_validation import Interval

from workbench.ctr._base import CTRClassifier
from workbench.ctr._parameters import keep_parameters
from workbench.selection._base import FieldSelector, Problem, selector_documented
from workbench.selection.scores import (
    design,
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
]

# Not "neg_log_loss", which a few rows kept for judging, all of one class, would stop.
_LOG_LOSS = make_scorer(log_loss, response_method="predict_proba", greater_is_better=False, labels=[0, 1])


@selector_documented
class PermutationSelector(FieldSelector):
    """Rank fields by how much the log loss rises when their cells are shuffled, a field at a time.

    Parameters
    ----------
    <common>
    n_repeats : int, default=5
        Shuffles of each field.

    Attributes
    ----------
    <learned>

    References
    ----------
    Breiman, "Random Forests", Machine Learning 45, 2001; Fisher, Rudin, Dominici, "All models are wrong, but
    many are useful", JMLR 20, 2019, arXiv 1801.01489.
    """

    n_repeats: int

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
        keep_parameters(self, locals())

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], None]:
        host = self._trained_host(problem)
        held = problem.held_out_y.astype(np.float64)
        scores = permutation_importance(
            host, problem.layout, problem.held_out, held, n_repeats=self.n_repeats, seed=problem.seed
        )
        return scores, None


@selector_documented
class GradientSelector(FieldSelector):
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


@selector_documented
class MutualInformationSelector(FieldSelector):
    """Rank fields by the information that their values share with the label, less that of chance.

    Parameters
    ----------
    <common>

    Attributes
    ----------
    <learned>

    References
    ----------
    Battiti, "Using mutual information for selecting features in supervised neural net learning", IEEE
    Transactions on Neural Networks 5, 1994.
    """

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], None]:
        return mutual_information(problem.layout, problem.rows, problem.y.astype(np.float64)), None


class _OnNumbers(FieldSelector):
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


@selector_documented
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

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the Lasso", JRSS B 58, 1996.
    """

    alpha: float

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
        keep_parameters(self, locals())

    def _search(self, problem: Problem, start: Any) -> tuple[NDArray[np.float64], None]:
        from sklearn.linear_model import Lasso

        X, y = self._numbers(problem)
        spread = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
        return np.abs(Lasso(alpha=self.alpha, max_iter=5000).fit(X, y).coef_), None


@selector_documented
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

    References
    ----------
    Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29, 2001.
    """

    n_trees: int

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
        keep_parameters(self, locals())

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
