"""Each remedy's own formula against numbers worked out by hand or by plain numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from workbench.modality._formulas import (
    agm_coefficients,
    conditional_speed,
    drop_modalities,
    monomodal_outputs,
    ogm_coefficients,
    pareto_gradient,
    pmr_weights,
    prototype_entropy,
    prototype_logits,
)
from workbench.modality.diagnostics import (
    Bootstrap,
    blending_weights,
    conditional_utilisation,
    ensemble_weights,
    judge_encoders,
    overfitting_to_generalisation,
    permutation_p_value,
    retention,
)


@pytest.mark.parametrize(("alpha", "limit"), [(0.3, 0.709), (0.5, 0.538), (1.0, 0.238)])
def test_ogm_slows_only_the_leader(alpha, limit):
    k = ogm_coefficients(torch.tensor([30.0, 20.0]), alpha)
    assert k[1] == 1
    assert float(k[0]) == pytest.approx(1 - math.tanh(alpha * 1.5), abs=1e-6)
    # Just over parity the factor jumps to 1 - tanh(alpha).
    assert float(ogm_coefficients(torch.tensor([20.0001, 20.0]), alpha)[0]) == pytest.approx(limit, abs=1e-3)
    assert ogm_coefficients(torch.tensor([20.0, 20.0]), alpha).tolist() == [1, 1]


def test_ogm_of_three_modalities_averages_the_ratios():
    k = ogm_coefficients(torch.tensor([30.0, 20.0, 10.0]), 0.5)
    assert float(k[0]) == pytest.approx(1 - math.tanh(0.5 * (1.5 + 3) / 2), abs=1e-6)
    assert float(k[1]) == pytest.approx(1 - math.tanh(0.5 * (2 / 3 + 2) / 2), abs=1e-6)
    assert k[2] == 1


def test_monomodal_outputs_of_two():
    f = {(True, True): 5.0, (True, False): 3.0, (False, True): 1.0}
    phi = monomodal_outputs(lambda keep: torch.tensor(f[tuple(keep.tolist())]), 2)
    assert phi.tolist() == [0.5 * (5 - 1 + 3), 0.5 * (5 - 3 + 1)]
    assert float(phi.sum()) == 5


def test_agm_slows_a_modality_further_ahead_than_usual():
    s, usual = np.array([0.4, 1.0]), np.array([0.8, 1.0])
    kappa = agm_coefficients(torch.tensor(s), torch.tensor(usual), 1.5).numpy()
    lead, before = np.exp(2 * (s.mean() - s)), np.exp(2 * (usual.mean() - usual))
    np.testing.assert_allclose(kappa, np.exp(1.5 * (before - lead)))
    assert kappa[0] < 1 < kappa[1]
    np.testing.assert_allclose(agm_coefficients(torch.tensor(s), torch.tensor(s), 1.5), 1)


def test_pareto_gradient_of_agreeing_and_opposed_losses():
    agree = pareto_gradient([torch.tensor([1.0, 0.0])], [torch.tensor([1.0, 1.0])], gamma=1.5)[0]
    torch.testing.assert_close(agree, 1.5 * torch.tensor([2.0, 1.0]))  # λ = ½: γ times the plain sum
    v1, v2 = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 2.0])
    opposed = pareto_gradient([v1], [v2], gamma=1.0)[0]
    weight = (5 - -1) / (1 + 5 + 2)  # (v2·v2 - v1·v2) / |v1 - v2|²
    shortest = weight * v1 + (1 - weight) * v2
    assert float(shortest @ v1) == pytest.approx(float(shortest @ v2))  # what makes it the shortest
    g = 2 * shortest
    torch.testing.assert_close(opposed, g * max(1.0, float((v1 + v2).norm() / g.norm())))
    assert float(opposed @ v1) > 0
    assert float(opposed @ v2) > 0


def test_pareto_gradient_is_no_shorter_than_the_sum_in_any_tensor():
    generator = torch.Generator().manual_seed(0)
    v1 = [torch.randn(3, 2, generator=generator), torch.randn(4, generator=generator)]
    v2 = [-0.5 * v1[0] + torch.randn(3, 2, generator=generator), -v1[1]]
    for g, a, b in zip(pareto_gradient(v1, v2, gamma=1.0), v1, v2, strict=True):
        assert g.norm() >= (a + b).norm() * 0.9999


def test_prototype_logits_are_negative_distances():
    h, c = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    torch.testing.assert_close(
        prototype_logits(h, c), torch.tensor([[-5.0, -1.0], [0.0, -math.sqrt(18)]]), atol=1e-5, rtol=0
    )


def test_modality_dropout_hides_each_at_its_rate_but_never_all():
    present = torch.ones(20_000, 3, dtype=torch.bool)
    present[:2000, 1] = False
    kept = drop_modalities(present, 0.5, torch.Generator().manual_seed(0))
    assert bool(kept.any(1).all())
    assert not kept[:2000, 1].any()
    # One of three is dropped with p, except where all three were: p - p^3 / 3.
    assert float((~kept[2000:]).float().mean()) == pytest.approx(0.5 - 0.5**3 / 3, abs=0.01)


def test_conditional_speed_is_a_ratio_of_paces():
    assert conditional_speed(torch.tensor([100.0]), torch.tensor([1.0])).tolist() == pytest.approx([2.0])


def test_gradient_blending_weights():
    weights = blending_weights([0.5, 0.2, 0.4], [0.2, 0.1, 0.4])
    raw = np.array([0.5 / 0.04, 0.2 / 0.01, 0.4 / 0.16])
    np.testing.assert_allclose(weights, raw / raw.sum())
    # Nothing generalised, or nothing overfitted, gives no modality all by division by almost nothing.
    np.testing.assert_allclose(blending_weights([1.0, 1.0], [0.0, 0.01]), [0.5, 0.5])
    assert blending_weights([-1.0, 0.1], [0.1, 0.1])[0] < 1e-4


def test_overfitting_to_generalisation_ratio():
    gained, overfitted, ratio = overfitting_to_generalisation([1.0, 0.5, 0.1], [1.1, 0.8, 0.7])
    np.testing.assert_allclose(gained, [0, 0.3, 0.4])
    np.testing.assert_allclose(overfitted, [0, 0.2, 0.5])
    np.testing.assert_allclose(ratio[1:], [0.2 / 0.3, 0.5 / 0.4])
    assert np.isnan(ratio[0])


def test_ensemble_weights():
    np.testing.assert_allclose(ensemble_weights([1.0, 1.0 + math.log(2) / 3]), [2 / 3, 1 / 3])


def test_retention_and_the_winner():
    np.testing.assert_allclose(
        retention([0.25, 0.56], [0.5, 0.57], chance=1 / 6), [0.25, 0.9752066], atol=1e-6
    )
    assert np.isnan(retention([0.1], [0.1], chance=0.1)[0])
    # What is above chance by two standard errors or less is not known to be known.
    found = retention([0.12, 0.4], [0.15, 0.5], chance=0.1, error=[0.03, 0.03])
    np.testing.assert_allclose(found, [np.nan, 0.75])
    assert not judge_encoders([0.15], [0.1], [0.01], [False]).lost.any()
    assert judge_encoders([0.15], [0.1], [0.01]).lost.all()
    loss = judge_encoders([0.57, 0.50], [0.56, 0.25], error=[0.01, 0.01])
    assert loss.lost.tolist() == [False, True]
    assert loss.winner == 0
    # Within noise, or when all lost alike, there is no winner.
    assert judge_encoders([0.57, 0.50], [0.56, 0.46], error=[0.01, 0.03]).winner is None
    assert judge_encoders([0.6, 0.6], [0.4, 0.4], error=[0.01, 0.01]).winner is None


def test_conditional_utilisation():
    used = conditional_utilisation([0.2, 0.6, 0.5, 0.8])
    np.testing.assert_allclose(used, [[0.375, 0.375], [0.25, 0.25]])


def test_p_value_counts_itself():
    assert permutation_p_value(0.9, [0.5] * 99) == pytest.approx(0.01)
    assert permutation_p_value(0.5, [0.5] * 99) == 1.0


def test_bootstrap_error_of_a_mean():
    values = np.random.default_rng(0).normal(size=400)
    rows = [np.arange(400)]
    bootstrap = Bootstrap(rows, n_samples=300)
    error = bootstrap.error(lambda seed, chosen: float(values[chosen].mean()))
    assert error == pytest.approx(values.std() / 20, rel=0.12)
    assert bootstrap.error_of_mean([values]) == pytest.approx(error, rel=1e-6)
    holes = np.where(np.arange(400) < 100, values, np.nan)
    assert bootstrap.error_of_mean([holes]) == pytest.approx(values[:100].std() / 10, rel=0.2)


def test_seeds_on_the_same_rows_are_not_independent():
    values = np.random.default_rng(0).normal(size=800)
    values[400:] += values[:400].mean() - values[400:].mean()
    same = Bootstrap([np.arange(400)] * 2, n_samples=300).error_of_mean([values[:400]] * 2)
    apart = Bootstrap([np.arange(400), np.arange(400, 800)], n_samples=300).error_of_mean(
        [values[:400], values[400:]]
    )
    assert same == pytest.approx(values[:400].std() / 20, rel=0.12)
    assert apart == pytest.approx(values.std() / np.sqrt(800), rel=0.12)
    # What the seeds themselves show counts where it is more.
    assert Bootstrap([np.arange(400)] * 2).error_of_mean([np.full(400, 0.5), np.full(400, 0.7)]) == (
        pytest.approx(0.1)
    )


def test_rows_of_one_group_are_resampled_together():
    groups = np.repeat(np.arange(20), 20)
    values = np.repeat(np.random.default_rng(0).normal(size=20), 20)
    by_group = Bootstrap([np.arange(400)], groups, n_samples=300).error_of_mean([values])
    assert by_group == pytest.approx(values.std() / np.sqrt(20), rel=0.2)
    assert Bootstrap([np.arange(400)], n_samples=300).error_of_mean([values]) < by_group / 3


def test_pmr_weights_hard_and_soft():
    # ρ = s_a / s_v = 1.25: the code's γ = 1, the paper's γ = ρ - 1, and nothing for the leading modality.
    sure = torch.tensor([10.0, 8.0])
    assert pmr_weights(sure, "hard").tolist() == [0, 1]
    assert pmr_weights(sure, "soft").tolist() == pytest.approx([0, 0.25])
    assert pmr_weights(torch.tensor([3.0, 9.0]), "soft").tolist() == pytest.approx([1, 0])  # clipped
    assert pmr_weights(torch.tensor([5.0, 5.0]), "hard").tolist() == [0, 0]
    assert pmr_weights(torch.tensor([12.0, 10.0, 8.0]), "soft").tolist() == pytest.approx([0, 0.2, 0.5])


def test_prototype_entropy():
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    expected = [math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))]
    assert prototype_entropy(logits).tolist() == pytest.approx(expected)
