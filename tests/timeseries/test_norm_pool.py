"""Batch normalisation, ReLU and pooling in one, against torch's three."""

import pytest
import torch
from torch.nn import functional as F

from workbench.timeseries import _tstcc
from workbench.timeseries._norm_pool import norm_pool


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(x, weight, bias, views):
    found = []
    for view in x.chunk(views):
        normed = F.batch_norm(view.transpose(1, 2), None, None, weight, bias, training=True, eps=1e-5)
        found.append(F.max_pool1d(F.relu(normed), 2, 2, padding=1).transpose(1, 2))
    return torch.cat(found)


@pytest.mark.parametrize("steps", [1, 2, 7, 8])
@pytest.mark.parametrize("views", [1, 2])
def test_values_and_gradients_are_those_of_the_three(steps, views):
    x = numbers(6, steps, 5) * 3 + numbers(5, seed=1) * 10
    # One factor is negative, so that the lesser of two steps is the greater afterwards.
    weight, bias = numbers(5, seed=2), numbers(5, seed=3)
    assert weight.min() < 0 < weight.max()
    sides = []
    for work in (lambda *one: norm_pool(*one, 1e-5, views)[0], lambda *one: plain(*one, views)):
        given = [one.clone().requires_grad_() for one in (x, weight, bias)]
        found = work(*given)
        (found * numbers(*found.shape, seed=4)).sum().backward()
        sides.append([found.detach(), *(one.grad for one in given)])
    assert sides[0][0].shape == (6, steps // 2 + 1, 5)
    for mine, other in zip(*sides, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-10)


def test_means_and_variances_are_each_views_own():
    x = numbers(6, 7, 5) + torch.arange(6)[:, None, None]
    _, mean, variance = norm_pool(x, torch.ones(5), torch.zeros(5), 1e-5, 2)
    for view, its_mean, its_variance in zip(x.chunk(2), mean, variance, strict=True):
        torch.testing.assert_close(its_mean, view.mean((0, 1)))
        torch.testing.assert_close(its_variance, view.var((0, 1), correction=0))


def test_single_precision_holds_on_a_large_level():
    x = (numbers(20, 400, 3) + 1000).float()
    found, mean, variance = norm_pool(x, torch.ones(3), torch.zeros(3), 1e-5)
    torch.testing.assert_close(variance[0].double(), x.double().var((0, 1), correction=0), rtol=1e-5, atol=0)
    torch.testing.assert_close(mean[0].double(), x.double().mean((0, 1)), rtol=1e-6, atol=0)
    expected = plain(x.double(), torch.ones(3).double(), torch.zeros(3).double(), 1)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-3)


def test_what_is_not_a_number_stays_visible():
    x = numbers(2, 4, 2)
    x[0, 1, 0] = torch.nan
    found = norm_pool(x, torch.ones(2).double(), torch.zeros(2).double(), 1e-5)[0]
    assert found[..., 0].isnan().all()
    assert found[..., 1].isfinite().all()


@pytest.mark.parametrize("steps", [16, 17])
def test_the_encoder_trains_as_its_layers_one_by_one(monkeypatch, steps):
    """Latent vectors, gradients and running statistics, with two views in a batch."""
    x, sides = numbers(8, 3, steps), []
    for fused in (True, False):
        torch.manual_seed(0)
        encoder = _tstcc.ConvEncoder(3, 6, dropout=0.0).double().train()
        if not fused:
            monkeypatch.setattr(_tstcc, "_norm_pooled", one_by_one)
        found, lengths = encoder.latents(x, views=2)
        found.square().sum().backward()
        sides.append([found.detach(), lengths, *(p.grad for p in encoder.parameters()), *encoder.buffers()])
        assert found.shape == (8, int(lengths[0]), 6)
    for mine, other in zip(*sides, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def one_by_one(norm, x, views):
    normed = torch.cat([norm(view.transpose(1, 2)) for view in x.chunk(views)])
    return F.max_pool1d(F.relu(normed), 2, 2, padding=1).transpose(1, 2)
