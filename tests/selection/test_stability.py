"""Stability selection: the halves, the frequencies, the bound, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench.ctr import FieldsError, LRClassifier
from workbench.selection import LassoSelector, MutualInformationSelector, StabilitySelector
from workbench.selection._base import FieldSelector
from workbench.selection.stability import _halves, expected_false

TINY = LRClassifier(batch_size=32, learning_rate=0.05, random_state=0)
_REASONS = {
    "check_sample_weight_equivalence_on_dense_data": (
        "halves of the rows are drawn at random, so a weight of 2 is not the row twice"
    ),
}


class Turns(FieldSelector):
    """Keeps the first field always, the second on every other call, the third never."""

    calls = 0

    def _search(self, problem, start):
        Turns.calls += 1
        assert len(problem.rows) == len(problem.y)
        scores = np.zeros(len(problem.layout.fields))
        scores[0], scores[1] = 1.0, Turns.calls % 2
        return scores, None


@pytest.mark.slow
@parametrize_with_checks(
    [StabilitySelector(TINY, n_resamples=4, max_fields=2)], expected_failed_checks=lambda e: _REASONS
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


def test_frequencies_and_the_bound_by_hand(log):
    X, y = log
    found = StabilitySelector(selector=Turns(), n_resamples=10, threshold=0.75, random_state=0).fit(X, y)
    layout = found.fields_  # the order of the columns; the problem's is categories first
    by_name = dict(zip(layout, found.importance_, strict=True))
    assert sorted(by_name.values()) == [0, 0, 0, 0, 0.5, 1.0]
    assert found.support_.sum() == 1
    # q = 1.5 fields of p = 6 a half: 2.25 / (0.5 * 6).
    assert found.expected_false_ == pytest.approx(0.75)
    assert expected_false(10, 100, 0.9) == pytest.approx(1.25)


def test_halves_come_in_complementary_pairs():
    halves = _halves(9, 5, np.random.default_rng(0))
    assert [len(half) for half in halves] == [4] * 5
    for one, two in (halves[:2], halves[2:4]):
        assert not set(one) & set(two)


@pytest.mark.parametrize("selector", ["lasso", MutualInformationSelector(max_fields=3)])
def test_the_three_useful_fields_are_stable(selector, log):
    X, y = log
    found = StabilitySelector(selector=selector, n_resamples=10, n_probes=1, random_state=0).fit(X, y)
    assert {"a", "b", "x"} <= set(found.get_feature_names_out())
    assert (found.importance_[found.support_] >= 0.75).all()


def test_nothing_stable_is_one_sentence(log):
    X, y = log
    strict = LassoSelector(alpha=10.0)
    with pytest.raises(FieldsError, match="No field is kept on 75% of the halves"):
        StabilitySelector(selector=strict, n_resamples=2, random_state=0).fit(X, y)
