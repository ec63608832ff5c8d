"""The objective against the paper's formulas, written out term by term."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from workbench.timeseries._csl_loss import (
    RunningGram,
    alignment,
    coarse_contrast,
    csl_loss,
    decorrelation,
    fine_contrast,
    gram,
)

B, R, K, TAU = 3, 2, 4, 0.1


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(1)
    q, k = torch.randn(2, B, R * K, generator=generator, dtype=torch.float64)
    return q, k


def unit(vector):
    length = math.sqrt(sum(v * v for v in vector))
    return [v / length for v in vector]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def naive_contrast(q, k):
    """−(1/B) Σ_i log( exp(q_i·k_i/τ) / Σ_j exp(q_i·k_j/τ) )."""
    total = 0.0
    for i in range(B):
        below = sum(math.exp(dot(q[i], k[j]) / TAU) for j in range(B))
        total -= math.log(math.exp(dot(q[i], k[i]) / TAU) / below)
    return total / B


def naive_parts(q, k, past=None, weight=0.0, decay=0.5):
    """Coarse, fine, alignment and decorrelation, and the running sums after this batch."""
    q, k = [unit(v) for v in q.tolist()], [unit(v) for v in k.tolist()]

    def scale(z, r):
        return [row[r * K : (r + 1) * K] for row in z]

    coarse = naive_contrast(q, k)
    fine = sum(
        naive_contrast([unit(v) for v in scale(q, r)], [unit(v) for v in scale(k, r)]) for r in range(R)
    )
    aligned = decorrelated = 0.0
    sums, weight = {}, weight * decay + 1
    for name, z in (("q", q), ("k", k)):
        for i in range(B):
            for m in range(K):
                values = [scale(z, r)[i][m] for r in range(R)]
                aligned += (sum(v * v for v in values) - sum(values) ** 2 / R) / 2
        for r in range(R):
            part = scale(z, r)
            for a in range(K):
                for b in range(K):
                    c = sum(part[i][a] * part[i][b] for i in range(B)) / (B - 1)
                    c += decay * past[name, r, a, b] if past else 0.0
                    sums[name, r, a, b] = c
                    if a != b:
                        decorrelated += abs(c / weight)
    return (coarse, fine, aligned, decorrelated), sums, weight


def test_every_part_equals_the_formula(views):
    found = csl_loss(*views, R, RunningGram(0.5), temperature=TAU)
    (coarse, fine, aligned, decorrelated), _, _ = naive_parts(*views)
    assert found.coarse.item() == pytest.approx(coarse, rel=1e-9)
    assert found.fine.item() == pytest.approx(fine, rel=1e-9)
    # The paper's sum over its batches of 8 is kept for other sizes.
    assert found.alignment.item() == pytest.approx(aligned * 8 / B, rel=1e-9)
    assert found.decorrelation.item() == pytest.approx(decorrelated, rel=1e-9)
    total = coarse + fine + 0.01 * (aligned * 8 / B + decorrelated)
    assert found.total.item() == pytest.approx(total, rel=1e-9)


def test_the_second_batch_remembers_half_of_the_first_and_a_restart_forgets_it(views):
    q, k = views
    running = RunningGram(0.5)
    csl_loss(q, k, R, running)
    _, past, weight = naive_parts(q, k)
    second = csl_loss(k.flip(0), q, R, running)
    (*_, expected), _, _ = naive_parts(k.flip(0), q, past, weight)
    assert second.decorrelation.item() == pytest.approx(expected, rel=1e-9)
    running.reset()
    assert csl_loss(q, k, R, running).total == csl_loss(q, k, R, RunningGram(0.5)).total


def test_gradient_is_that_of_finite_differences(views):
    q, k = (view.clone().requires_grad_() for view in views)

    def total(query, key):
        running = RunningGram(0.5)
        running.update(gram(torch.ones(B, 2 * R, K, dtype=torch.float64)))
        return csl_loss(query, key, R, running).total

    assert torch.autograd.gradcheck(total, (q, k), eps=1e-6, atol=1e-5)


def test_identical_scales_are_aligned(views):
    z = views[0].unflatten(1, (R, K))
    assert alignment(z[:, :1].expand(-1, R, -1)).abs().item() < 1e-12
    assert alignment(z).item() > 0.1


def test_uncorrelated_features_are_not_punished():
    assert decorrelation(torch.eye(K).expand(R, K, K)).item() == 0
    assert decorrelation(torch.ones(R, K, K)).item() == R * K * (K - 1)


def test_contrast_is_least_when_views_of_a_series_agree_and_others_differ():
    basis = torch.eye(B, dtype=torch.float64)
    perfect, wrong = coarse_contrast(basis, basis, TAU), coarse_contrast(basis, basis.roll(1, 0), TAU)
    assert perfect.item() == pytest.approx(math.log(1 + (B - 1) * math.exp(-1 / TAU)))
    assert wrong > perfect


def test_fine_contrast_ignores_the_weight_of_a_scale(views):
    q, k = (view.unflatten(1, (R, K)) for view in views)
    heavy = torch.tensor([1.0, 7.0])[None, :, None]
    torch.testing.assert_close(fine_contrast(q * heavy, k, TAU), fine_contrast(q, k, TAU))
    torch.testing.assert_close(fine_contrast(normalize(q, dim=2), k, TAU), fine_contrast(q, k, TAU))
