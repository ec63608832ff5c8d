"""Stability selection: which fields a selector keeps again and again on halves of the rows."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions

from workbench.ctr._base import CTRClassifier
from workbench.ctr._parameters import keep_parameters
from workbench.selection._base import FieldSelector, Problem, selector_documented
from workbench.selection.peers import BoostingSelector, LassoSelector, MutualInformationSelector

__all__ = ["StabilitySelector", "expected_false"]

_SELECTORS = {
    "boosting": BoostingSelector,
    "lasso": LassoSelector,
    "mutual_information": MutualInformationSelector,
}


def expected_false(n_kept: float, n_fields: int, threshold: float) -> float:
    """Bound on the expected number of useless fields kept: q² / ((2·threshold - 1)·p) [1]_.

    Parameters
    ----------
    n_kept : float
        q, the fields kept on average in a half.
    n_fields : int
        p.
    threshold : float
        Above 0.5.

    Returns
    -------
    float

    References
    ----------
    .. [1] Meinshausen and Bühlmann, "Stability selection", JRSS B 72 (2010), theorem 1. It holds where
       useless fields are exchangeable and the selector is no worse than chance.
    """
    return n_kept**2 / ((2 * threshold - 1) * n_fields)


@selector_documented
class StabilitySelector(FieldSelector):
    """Keep the fields that another selector keeps on most of many random halves of the rows.

    A field's score is the share of the halves on which it was kept; without `max_fields`, those of at least
    `threshold` stay.

    Parameters
    ----------
    <common>
    selector : {"boosting", "lasso", "mutual_information"} or selector, default="lasso"
        What is repeated. A selector of your own should keep few fields on each half: set its penalty, or its
        `max_fields`.
    n_resamples : int, default=50
        Halves, drawn in complementary pairs.
    threshold : float, default=0.75
        Share of the halves on which a field must be kept.

    Attributes
    ----------
    <learned>
    expected_false_ : float
        Bound on the expected number of useless fields among those of at least `threshold`.

    References
    ----------
    Meinshausen and Bühlmann, "Stability selection", JRSS B 72 (2010); pairs of halves as in Shah and
    Samworth, JRSS B 75 (2013).
    """

    selector: str | FieldSelector
    n_resamples: int
    threshold: float

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "selector": [StrOptions(set(_SELECTORS)), FieldSelector],
        "n_resamples": [Interval(Integral, 2, None, closed="left")],
        "threshold": [Interval(Real, 0.5, 1, closed="right")],
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        selector: str | FieldSelector = "lasso",
        n_resamples: int = 50,
        threshold: float = 0.75,
    ) -> None:
        keep_parameters(self, locals())

    def _search(
        self, problem: Problem, start: CTRClassifier | None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        names = problem.layout.names
        counts = np.zeros(len(names))
        halves = _halves(len(problem.rows), self.n_resamples, np.random.default_rng(problem.seed))
        for i, half in enumerate(halves):
            counts += self._kept_on(self._part(problem, half, i))
        frequency = counts / self.n_resamples
        self.expected_false_ = expected_false(float(frequency.sum()), len(names), self.threshold)
        return frequency, None if self.max_fields else frequency >= self.threshold

    def _kept_on(self, problem: Problem) -> NDArray[np.bool_]:
        selector = self._fresh()
        selector.classes_ = self.classes_
        scores, kept = selector._search(problem, None)
        return selector._best(scores) if kept is None else kept

    def _fresh(self) -> FieldSelector:
        made = _SELECTORS[self.selector]() if isinstance(self.selector, str) else clone(self.selector)
        if made.estimator is None and self.estimator is not None:
            made.set_params(estimator=clone(self.estimator))
        return made

    @staticmethod
    def _part(problem: Problem, rows: NDArray[np.intp], i: int) -> Problem:
        weight = None if problem.weight is None else problem.weight[rows]
        return replace(
            problem, rows=problem.rows[rows], y=problem.y[rows], weight=weight, seed=problem.seed + i
        )

    def _nothing_left(self) -> str:
        return (
            f"No field is kept on {self.threshold:.0%} of the halves: lower the threshold, or let the "
            "selector keep more fields."
        )


def _halves(n: int, n_resamples: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Random halves of `n` rows, the second of each pair being what the first left."""
    found: list[NDArray[np.intp]] = []
    while len(found) < n_resamples:
        drawn = rng.permutation(n)
        found += [np.sort(drawn[: n // 2]), np.sort(drawn[n // 2 : 2 * (n // 2)])]
    return found[:n_resamples]
