"""Each augmentation's exact effect, and that padding stays padding."""

import numpy as np
import pytest
import torch
from scipy.interpolate import PchipInterpolator

from workbench.timeseries import augmentations
from workbench.timeseries.augmentations import (
    AUGMENTATIONS,
    _pchip,
    add_noise,
    crop,
    pool,
    quantize,
    time_warp,
    two_views,
)

B, D, T = 5, 3, 41


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def x(generator):
    return torch.randn(B, D, T, generator=generator).cumsum(2)


@pytest.fixture
def lengths():
    return torch.tensor([T, 40, 17, 2, 1])


def test_noise_is_a_tenth_of_the_range(generator):
    x = torch.zeros(2, 2, 40_000)
    x[0, 0, 0], x[0, 1, 0], x[1, 0, 0] = 5.0, -2.0, 1.0
    added = add_noise(x, None, generator) - x
    expected = torch.tensor([[0.5, 0.2], [0.1, 0.0]])
    torch.testing.assert_close(added.std(2), expected, rtol=0.02, atol=0)
    assert added.mean(2).abs().max() < 0.02


def test_crop_is_a_window_of_nine_tenths_at_a_place_of_its_own(generator, x):
    starts = set()
    for _ in range(40):
        cut = crop(x, None, generator)
        assert cut.shape == (B, D, 36)
        for one, whole in zip(cut, x, strict=True):
            found = [s for s in range(6) if torch.equal(one, whole[:, s : s + 36])]
            assert len(found) == 1
            starts |= set(found)
    assert starts == set(range(6))


def test_crop_of_a_short_series_takes_nine_tenths_of_its_own_length(generator, x, lengths):
    cut = crop(x, lengths, generator)
    for one, whole, length in zip(cut, x, lengths.tolist(), strict=True):
        kept = max(1, int(0.9 * length))
        windows = [whole[:, s : s + kept] for s in range(length - kept + 1)]
        assert any(torch.equal(one[:, :kept], window) for window in windows)
        assert (one[:, kept:] == 0).all()


def test_pool_replaces_pairs_by_their_mean_and_leaves_the_odd_last_step(x):
    pooled = pool(x, None)
    for t in range(0, T - 1, 2):
        mean = (x[:, :, t] + x[:, :, t + 1]) / 2
        torch.testing.assert_close(pooled[:, :, t], mean)
        torch.testing.assert_close(pooled[:, :, t + 1], mean)
    torch.testing.assert_close(pooled[:, :, -1], x[:, :, -1])


def test_pool_of_a_short_series_does_not_mix_in_the_padding(x):
    x[0, :, 17:] = 0
    pooled = pool(x, torch.tensor([17, T, T, T, T]))
    torch.testing.assert_close(pooled[0, :, :17], pool(x[:1, :, :17], None)[0])


def test_quantize_gives_the_centres_of_ten_levels(x):
    found = quantize(x, None)
    low, high = x.amin(2, keepdim=True), x.amax(2, keepdim=True)
    width = (high - low) / 10
    assert ((found - x).abs() <= width / 2 * 1.001).all()
    level = (found - low) / width - 0.5
    torch.testing.assert_close(level, level.round(), atol=1e-4, rtol=0)
    assert level.min().round() == 0
    assert level.max().round() == 9


def test_quantize_leaves_a_constant_alone():
    torch.testing.assert_close(quantize(torch.full((1, 1, 9), 3.5), None), torch.full((1, 1, 9), 3.5))


def test_time_warp_keeps_ends_order_and_range(generator):
    ramp = torch.linspace(0, 1, 200).expand(6, 2, 200)
    warped = time_warp(ramp, None, generator)
    torch.testing.assert_close(warped[:, :, [0, -1]], ramp[:, :, [0, -1]])
    assert (warped.diff(dim=2) >= 0).all()
    assert (warped[0] - warped[1]).abs().max() > 0.01
    torch.testing.assert_close(warped[:, 0], warped[:, 1])


def test_time_warp_has_four_pieces_whose_fastest_is_three_times_the_slowest(generator):
    ramp = torch.linspace(0, 1, 401).expand(8, 1, 401)
    knots = time_warp(ramp, None, generator)[:, 0, ::100]
    rises = knots.diff(dim=1)
    torch.testing.assert_close(rises.amax(1) / rises.amin(1), torch.full((8,), 3.0), rtol=1e-3, atol=0)


def test_monotone_cubic_equals_scipy(generator):
    rises = torch.rand(3, 4, generator=generator, dtype=torch.float64) + 0.1
    rises /= rises.sum(1, keepdim=True)
    at = torch.linspace(0, 1, 57, dtype=torch.float64)
    found = _pchip(rises, at)
    for one, rise in zip(found, rises, strict=True):
        knots = np.concatenate([[0], np.cumsum(rise.numpy())])
        np.testing.assert_allclose(one, PchipInterpolator(np.linspace(0, 1, 5), knots)(at), atol=1e-12)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda a: a.__name__)
def test_padding_stays_zero_and_the_rest_is_as_if_alone(augmentation, x, lengths, generator):
    beyond = torch.arange(T) >= lengths[:, None]
    x = x.masked_fill(beyond[:, None, :], 0)
    found = augmentation(x, lengths, torch.Generator().manual_seed(3))
    assert (found.masked_select(beyond[:, None, : found.shape[2]].expand_as(found)) == 0).all()
    assert torch.isfinite(found).all()
    # What the padding holds has no influence.
    other = x.masked_fill(beyond[:, None, :], 99.0)
    again = augmentation(other, lengths, torch.Generator().manual_seed(3))
    torch.testing.assert_close(again, found)


def test_the_two_operators_differ_and_all_pairs_occur(x, generator, monkeypatch):
    # Stand-ins tell which operator made a view.
    marks = tuple((lambda x, lengths, g, i=i: torch.full_like(x, i)) for i in range(5))
    monkeypatch.setattr(augmentations, "AUGMENTATIONS", marks)
    seen = set()
    for _ in range(300):
        query, key = two_views(x, None, generator, generator)
        seen.add((int(query.max()), int(key.max())))
    assert seen == {(a, b) for a in range(5) for b in range(5) if a != b}
