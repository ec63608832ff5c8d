"""Attention and dropout as the encoders train with them on a CPU."""

import pytest
import torch

from workbench.timeseries import _attention
from workbench.timeseries._attention import attention, dropout


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawn(function, *given):
    """What it gives, with the same random numbers each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return function(*given)


@pytest.mark.parametrize("at_a_time", [1, 100, 2**18])
def test_attention_and_its_gradients_are_those_of_the_formula(monkeypatch, at_a_time):
    monkeypatch.setattr(_attention, "_SCORES", at_a_time)
    q, k, v = (numbers(3, steps, 2, 6, seed=i) for i, steps in enumerate((4, 6, 6)))
    there = torch.ones(3, 6, dtype=torch.bool)
    there[1, 4:] = False
    # With ones on the diagonal as values, what comes out are the shares of attention themselves.
    shares = drawn(attention, q, k, torch.eye(6)[None, :, None].expand(3, -1, 2, -1), 0.4, there)
    shares = shares.transpose(1, 2)
    assert (shares[1, :, :, 4:] == 0).all()

    ours, theirs = ([one.clone().requires_grad_() for one in (q, k, v)] for _ in range(2))
    found = drawn(attention, *ours, 0.4, there)
    a, b, c = (one.transpose(1, 2) for one in theirs)
    scores = (a @ b.transpose(2, 3) / 6**0.5).masked_fill(~there[:, None, None], -torch.inf)
    whole = scores.softmax(3)
    kept = shares > 0
    assert 0.4 < kept[0].float().mean() < 0.8
    scale = (shares / whole)[kept].mean().item()
    assert scale == pytest.approx(1 / 0.6, rel=1e-4)
    expected = ((whole * kept * scale) @ c).transpose(1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for one in (found, expected):
        (one * numbers(3, 4, 2, 6, seed=9)).sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_attention_without_dropout_is_torchs_own():
    q, k, v = (numbers(2, steps, 3, 4, seed=i) for i, steps in enumerate((1, 5, 5)))
    heads = (one.transpose(1, 2) for one in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2)
    torch.testing.assert_close(attention(q, k, v), expected)


def test_shares_too_small_to_count_are_none():
    q, k, v = (torch.tensor(one)[None, :, None, None] for one in ([0.0, 25.0], [0.0, -2.0], [0.0, 1e20]))
    found = attention(q, k, v, 1e-9)
    assert found.flatten().tolist() == [pytest.approx(5e19), 0.0]  # exp(−50) is 2e-22


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99])
def test_dropout_keeps_the_mean_and_drops_its_share(p):
    x = torch.full((300, 701), 2.0, requires_grad=True)
    found = drawn(dropout, x, p, True)
    dropped = found == 0
    assert dropped.float().mean() == pytest.approx(p, abs=0.003)
    assert found.detach().mean() == pytest.approx(2, rel=0.05)
    found.sum().backward()
    torch.testing.assert_close(x.grad, found.detach() / 2)
    # Neither rows nor columns hang together.
    assert dropped.float().mean(0).std() < 0.06
    assert dropped.float().mean(1).std() < 0.06
    assert (drawn(dropout, x, p, True) == found).all()
    assert dropout(x, p, False) is x
    assert dropout(x, 0.0, True) is x
