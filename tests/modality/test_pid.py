"""The decomposition on distributions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.modality.pid import PID, cluster_codes, contingency, decompose, estimate, mutual_information


def table(rule, inputs=(0, 1)):
    p = np.zeros((2, 2, 4))
    for a in inputs:
        for b in inputs:
            p[a, b, rule(a, b)] += 0.25
    return p


AND = 0.811278124459133  # H(1/4), the information of (x1, x2) about x1 AND x2

FIXTURES = {
    "and": (table(lambda a, b: a & b), PID(AND - 0.5, 0, 0, 0.5)),
    "or": (table(lambda a, b: a | b), PID(AND - 0.5, 0, 0, 0.5)),
    "xor": (table(lambda a, b: a ^ b), PID(0, 0, 0, 1)),
    "first only": (table(lambda a, b: a), PID(0, 1, 0, 0)),
    "second only": (table(lambda a, b: b), PID(0, 0, 1, 0)),
    "both apart": (table(lambda a, b: 2 * a + b), PID(0, 1, 1, 0)),
}


@pytest.mark.parametrize("name", FIXTURES)
def test_known_decompositions(name):
    p, expected = FIXTURES[name]
    found = decompose(p)
    for part in ("redundancy", "unique_1", "unique_2", "synergy"):
        assert getattr(found, part) == pytest.approx(getattr(expected, part), abs=1e-3), part


def test_copies_are_redundant():
    p = np.zeros((2, 2, 2))
    p[0, 0, 0] = p[1, 1, 1] = 0.5
    found = decompose(p)
    assert found.redundancy == pytest.approx(1)
    assert found.unique_1 == found.unique_2 == found.synergy == pytest.approx(0)


def test_parts_add_up_to_the_informations():
    p = np.random.default_rng(0).dirichlet(np.ones(3 * 4 * 3)).reshape(3, 4, 3)
    found = decompose(p)
    assert found.redundancy + found.unique_1 == pytest.approx(mutual_information(p.sum(1)), abs=1e-9)
    assert found.redundancy + found.unique_2 == pytest.approx(mutual_information(p.sum(0)), abs=1e-9)
    assert found.total == pytest.approx(mutual_information(p.reshape(-1, 3)), abs=1e-9)
    assert min(found.redundancy, found.unique_1, found.unique_2, found.synergy) >= 0


def test_optimum_against_a_search_over_the_only_free_direction():
    # Binary x1, x2, y: given y there is one degree of freedom each, so a grid over both finds q*.
    p = np.random.default_rng(5).dirichlet(np.ones(8)).reshape(2, 2, 2)
    steps = np.linspace(-1, 1, 801)
    pattern = np.array([[1.0, -1.0], [-1.0, 1.0]])
    best = np.inf
    for y0 in steps * p[..., 0].max():
        q0 = p[..., 0] + y0 * pattern
        if q0.min() < 0:
            continue
        for y1 in steps * p[..., 1].max():
            q1 = p[..., 1] + y1 * pattern
            if q1.min() >= 0:
                best = min(best, mutual_information(np.stack([q0, q1], axis=2).reshape(4, 2)))
    found = decompose(p)
    assert found.total - found.synergy == pytest.approx(best, abs=1e-4)


def test_chance_is_measured_with_permuted_labels():
    rng = np.random.default_rng(0)
    a, b, y = rng.integers(4, size=(3, 400))
    found, chance = estimate(a, b, y, random_state=0)
    assert found.total == pytest.approx(chance.total, rel=0.35)
    assert found.total > 0.03  # a finite sample looks informative though nothing is
    found, chance = estimate(a, b, a, random_state=0)
    assert found.unique_1 - chance.unique_1 > 1.5


def test_codes_are_few_enough_for_the_sample():
    X = np.random.default_rng(0).normal(size=(450, 30))
    codes = cluster_codes(X)
    assert codes.max() + 1 == 3  # sqrt(450 / 50)
    assert contingency(codes, codes, codes).sum() == 450
