"""Bid formulas against numbers that were not made by them: printed figures, brute force, and hand sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog, minimize_scalar

from workbench.bidding import PriceLandscape, ReplayLog, formulas
from workbench.bidding.dp import best_bid, value_iteration
from workbench.bidding.landscape import fit_win_curve
from workbench.bidding.lp import greedy_ratio


@pytest.mark.parametrize(
    ("theta", "lam", "first", "second"),
    [(0.005, 1e-5, 115.83, 117.43), (0.02, 5e-6, 400.00, 262.24)],
)
def test_ortb_against_figures_computed_elsewhere(theta, lam, first, second):
    assert formulas.ortb1(theta, 50, lam) == pytest.approx(first, abs=0.005)
    assert formulas.ortb2(theta, 50, lam) == pytest.approx(second, abs=0.005)


@pytest.mark.parametrize("theta", [0.0005, 0.004, 0.03])
def test_ortb_is_the_argmax(theta):
    lam, c = 2e-5, 40
    for formula, win in (
        (formulas.ortb1, lambda b: b / (c + b)),
        (formulas.ortb2, lambda b: b**2 / (c**2 + b**2)),
    ):
        best = minimize_scalar(
            lambda b, w=win: -(theta - lam * b) * w(b),
            bounds=(0, 3000),
            method="bounded",
            options={"xatol": 1e-8},
        ).x
        assert formula(theta, c, lam) == pytest.approx(best, rel=1e-4)


def test_bids_for_no_value_are_zero():
    assert formulas.ortb1(0.0, 50, 1e-5) == pytest.approx(0)
    assert formulas.ortb2(0.0, 50, 1e-5) == pytest.approx(0)


def test_win_curve_recovers_its_own_c():
    rng = np.random.default_rng(0)
    u = rng.random(50_000) * 0.85
    price = 35 * u / (1 - u)  # inverse of b / (35 + b)
    log = ReplayLog(price=price, pctr=np.full(50_000, 0.1), click=np.zeros(50_000))
    landscape = PriceLandscape().fit(log)
    landscape.survival_ = 1 - 0.85 * (1 - landscape.survival_)
    assert fit_win_curve(landscape) == pytest.approx(35, rel=0.02)


def test_feedback_signal_by_hand():
    # 0.0005·(−100) + 1e-6·(−300) + 1e-4·50 = −0.05 − 0.0003 + 0.005
    assert formulas.pid_signal(-100, -300, 50, 5e-4, 1e-6, 1e-4, -2, 5) == pytest.approx(-0.0453)
    assert formulas.pid_signal(1e6, 0, 0, 5e-4, 1e-6, 1e-4, -2, 5) == 5
    assert formulas.pid_signal(-1e6, 0, 0, 5e-4, 1e-6, 1e-4, -2, 5) == -2


def test_dual_steps_by_hand():
    np.testing.assert_allclose(formulas.pacing_step([0.5, 0.0], 0.1, 2.0, [5.0, 0.0], 10), [0.8, 0.0])
    assert formulas.pacing_step(9.9, 0.1, 2.0, 50.0, 10) == 10
    assert formulas.mirror_step(2.0, 0.1, 2.0, 5.0) == pytest.approx(2 * np.exp(0.3))
    assert formulas.return_on_spend(10.0, 2.0, 0.5) == pytest.approx(6.0)
    assert formulas.return_on_spend(10.0, 4.0, 0.0) == pytest.approx(2.5)


def test_mpid_and_uscb_by_hand():
    assert formulas.mpid(0.02, 0.1, 0.04, 0.01, 3.0) == pytest.approx(0.02 * (2.0 + 0.6))
    # Without the cost constraint it is value over the budget's dual.
    assert formulas.mpid(0.02, 0.1, 0.04, 0.0, 3.0) == pytest.approx(0.02 * 0.1 / 0.04)
    cost_target = ((0.3, 0.0, 0.02, 50.0, True),)
    assert formulas.uscb(5.0, 2.0, cost_target) == pytest.approx(10 + 0.3 * 50 * 0.02)
    rate_target = ((0.3, 1.0, 0.5, 0.4, False),)
    assert formulas.uscb(5.0, 2.0, rate_target) == pytest.approx(10 - 0.3 * (1 - 0.2))


def test_ocpc_bounds_by_hand():
    low, high = formulas.ocpc_bounds([1.0, 1.0, 1.0], [0.5, 1.2, 3.0])
    np.testing.assert_allclose(low, [0.6, 1, 1])
    np.testing.assert_allclose(high, [1, 1.2, 1.4])


def test_action_factor_by_hand():
    factor = formulas.action_factor([0.5, -0.5, 1.0, -1.0], [0.8, 0.8, 2.0, 2.0], 0.9)
    np.testing.assert_allclose(factor, [1.4, 0.6, 1.9, 0.1])
    # As published a negative action punishes a request that converts better; the sane mode does not.
    paper = formulas.action_factor(-0.3, np.array([0.5, 2.0]), 0.9, "paper")
    sane = formulas.action_factor(-0.3, np.array([0.5, 2.0]), 0.9, "multiplier")
    assert paper[1] < paper[0]
    assert sane[1] > sane[0]
    np.testing.assert_allclose(sane, [0.35, 1.4])
    np.testing.assert_allclose(formulas.action_factor(0.2, [0.5, 3], 0.9, "none"), 1.2)


def test_greedy_ratio_is_the_linear_programmes_dual():
    rng = np.random.default_rng(3)
    price, value = rng.random(300), rng.random(300)
    solution = linprog(-value, A_ub=price[None], b_ub=[20.0], bounds=(0, 1))
    dual = -solution.ineqlin.marginals[0]
    ratio = greedy_ratio(price, value, 20.0)
    assert ratio <= 1 / dual <= ratio * 1.1
    bought = price <= ratio * value + 1e-12
    assert value[bought].sum() == pytest.approx(-solution.fun, rel=0.02)


def test_value_iteration_against_enumeration():
    pmf, theta = np.array([0.1, 0.3, 0.0, 0.6]), 0.2
    value = value_iteration(pmf, theta, 4, 6)

    def best(t, b):
        if t == 0 or b == 0:
            return 0.0
        return max(
            sum(
                m * (theta + best(t - 1, b - price) if price <= a else best(t - 1, b))
                for price, m in enumerate(pmf)
            )
            for a in range(min(b, 3) + 1)
        )

    for t, b in ((1, 1), (2, 3), (3, 4), (4, 6)):
        assert value[t, b] == pytest.approx(best(t, b))
    # Without a budget nothing is won, though a tenth of the prices are 0.
    assert value[4, 0] == 0.0
    # With one auction left everything may be spent; with the mean value the bid is the maximiser's.
    assert best_bid(value[0], theta, 6, 300) == 6
