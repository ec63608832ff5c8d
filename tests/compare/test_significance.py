"""The statistics against published numbers (Demšar, JMLR 7, 2006) and against their definitions."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.significance import average_ranks, critical_difference, holm, pairwise, wilcoxon

# Table 6 of the paper: area under the curve of C4.5 with and without cross-validated settings, 14 data sets.
# Of two that are printed as 0.975 (voting) the paper ranks the last lower: it is 0.974 here.
AUC = pd.DataFrame(
    {
        "C4.5": [
            0.763,
            0.599,
            0.954,
            0.628,
            0.882,
            0.936,
            0.661,
            0.583,
            0.775,
            1,
            0.940,
            0.619,
            0.972,
            0.957,
        ],
        "C4.5+m": [
            0.768,
            0.591,
            0.971,
            0.661,
            0.888,
            0.931,
            0.668,
            0.583,
            0.838,
            1,
            0.962,
            0.666,
            0.981,
            0.978,
        ],
        "C4.5+cf": [
            0.771,
            0.590,
            0.968,
            0.654,
            0.886,
            0.916,
            0.609,
            0.563,
            0.866,
            1,
            0.965,
            0.614,
            0.975,
            0.946,
        ],
        "C4.5+m+cf": [
            *(0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685),
            *(0.625, 0.875, 1, 0.962, 0.669, 0.974, 0.970),
        ],
    }
)


def test_ranks_friedman_and_iman_davenport_are_the_papers():
    found = average_ranks(AUC)
    published = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert found.average.round(3).to_dict() == published
    assert found.average.index[0] == "C4.5+m+cf"
    assert found.n_blocks == 14
    # The paper's 9.28 and 3.69 leave ties uncorrected; SciPy divides by the share of ranks that are not tied.
    ranks = AUC.rank(axis=1, ascending=False)
    plain = 12 * 14 / 20 * (np.sum(ranks.mean() ** 2) - 4 * 25 / 4)
    assert round(plain, 2) == 9.28
    assert round(13 * plain / (14 * 3 - plain), 2) == 3.69
    tied = sum((n**3 - n) for _, row in ranks.iterrows() for n in row.value_counts())
    assert found.chi2 == pytest.approx(plain / (1 - tied / (14 * 4 * 15)))
    assert found.f == pytest.approx(13 * found.chi2 / (14 * 3 - found.chi2))
    assert found.p < 0.05
    assert found.f_p < found.p


@pytest.mark.parametrize(
    ("k", "q"),
    [
        (2, 1.960),
        (3, 2.343),
        (4, 2.569),
        (5, 2.728),
        (6, 2.850),
        (7, 2.949),
        (8, 3.031),
        (9, 3.102),
        (10, 3.164),
    ],
)
def test_the_critical_difference_is_by_the_papers_table_of_q(k, q):
    assert critical_difference(k, 30) == pytest.approx(q * math.sqrt(k * (k + 1) / 180), abs=5e-4)


def test_the_papers_critical_differences_and_cliques():
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    # At 0.10 the paper tells C4.5 from both +m and +m+cf, and nothing else.
    found = average_ranks(AUC, alpha=0.10)
    assert found.cliques == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


def test_wilcoxon_has_the_papers_rank_sums():
    statistic, p = wilcoxon(AUC["C4.5"], AUC["C4.5+m"])
    assert statistic == 12  # R⁺ = 93, R⁻ = 12; the critical value at 0.05 is 21
    assert p < 0.05


def _by_enumeration(difference):
    """The two-sided p-value by its definition: all signs of the differences, zeros' ranks split."""
    size = np.abs(difference)
    ranks = pd.Series(size).rank().to_numpy()
    zeros = ranks[size == 0].sum() / 2
    moving = ranks[size > 0]
    seen = difference[size > 0] > 0
    sums = np.array(
        [moving @ np.array(signs) for signs in itertools.product((0, 1), repeat=len(moving))], dtype=float
    )
    observed = moving @ seen
    mean = moving.sum() / 2
    return np.mean(np.abs(sums - mean) >= abs(observed - mean) - 1e-9), min(
        observed, moving.sum() - observed
    ) + zeros


@settings(max_examples=40)
@given(arrays(int, st.integers(2, 9), elements=st.integers(-4, 4)))
def test_wilcoxon_is_exact_with_ties_and_zeros(difference):
    statistic, p = wilcoxon(difference, np.zeros(len(difference)))
    if not difference.any():
        assert p == 1
        return
    expected, least = _by_enumeration(difference)
    assert p == pytest.approx(expected)
    assert statistic == pytest.approx(least)


@given(arrays(float, st.integers(1, 7), elements=st.floats(0, 1)))
def test_holm_is_the_closed_test_by_bonferroni(p):
    def corrected(i):
        sets = (s for n in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), n) if i in s)
        return max(min(1.0, len(s) * p[list(s)].min()) for s in sets)

    np.testing.assert_allclose(holm(p), [corrected(i) for i in range(len(p))], rtol=1e-12)


def test_holm_by_hand_and_with_nothing_to_say():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])


def test_pairs_use_the_blocks_that_both_methods_have():
    scores = pd.DataFrame({"a": [1.0, 2, 3, 4, 5], "b": [0.5, 1, np.nan, 3.9, 4], "c": [np.nan] * 5})
    table = pairwise(scores).set_index(["first", "second"])
    assert table.loc[("a", "b"), "n"] == 4
    assert table.loc[("a", "b"), "difference"] == pytest.approx((0.5 + 1 + 0.1 + 1) / 4)
    assert table.loc[("a", "b"), "p"] == pytest.approx(2 / 16)  # all four differences are of one sign
    assert table.loc[("a", "b"), "least_p"] == 2 / 16
    assert math.isnan(table.loc[("a", "c"), "p"])
    assert table.loc[("a", "b"), "p_holm"] == pytest.approx(2 / 16)  # the pairs without data do not count


def test_ranks_follow_the_direction_and_leave_incomplete_blocks_out():
    scores = pd.DataFrame({"a": [1.0, 1, 1, 9], "b": [2.0, 2, 2, 0], "c": [3.0, 3, 3, np.nan]})
    low = average_ranks(scores, less_is_better=True)
    assert low.n_blocks == 3
    assert low.average.to_dict() == {"a": 1, "b": 2, "c": 3}
    assert low.chi2 == pytest.approx(6)  # N (k - 1): the ranks agree in every block
    assert average_ranks(scores).average.to_dict() == {"c": 1, "b": 2, "a": 3}


def test_too_little_to_rank_and_nothing_but_ties():
    assert average_ranks(pd.DataFrame({"a": [1.0, 2]})) is None
    assert average_ranks(pd.DataFrame({"a": [1.0], "b": [2.0]})) is None
    tied = average_ranks(pd.DataFrame(1.0, index=range(4), columns=list("abc")))
    assert (tied.chi2, tied.p) == (0, 1)
    assert tied.cliques == (("a", "b", "c"),)
