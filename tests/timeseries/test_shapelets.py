"""The shapelet encoder against loops written from the formulas."""

from __future__ import annotations

import math

import pytest
import torch

from workbench.timeseries._shapelet_search import fast_length
from workbench.timeseries._shapelets import MEASURES, ShapeletEncoder, scale_lengths


def naive_value(x, shapelet, bias, measure):
    """One series (D, T) and one shapelet (D, L): the formula, window by window."""
    n_channels, length = shapelet.shape
    scores = []
    for j in range(x.shape[1] - length + 1):
        window = x[:, j : j + length]
        if measure == "euclidean":
            scores.append(sum(torch.linalg.vector_norm(window[d] - shapelet[d]) for d in range(n_channels)))
        elif measure == "cosine":
            terms = [
                window[d]
                @ shapelet[d]
                / (window[d].norm().clamp(min=1e-8) * shapelet[d].norm().clamp(min=1e-8))
                for d in range(n_channels)
            ]
            scores.append(torch.relu(sum(terms) / n_channels))
        else:
            scores.append(sum(window[d] @ shapelet[d] for d in range(n_channels)) + bias)
    stacked = torch.stack(scores)
    return stacked.min() if measure == "euclidean" else stacked.max()


def naive_distances(encoder, x):
    n_x = encoder.layout.counts[2]
    columns = []
    seen = 0
    for feature, (_, measure, _) in enumerate(encoder.feature_table()):
        bias = None
        if measure == "cross-correlation":
            bias = encoder.bias[seen]
            seen += 1
        columns.append(torch.stack([naive_value(row, encoder.shapelet(feature), bias, measure) for row in x]))
    assert seen == n_x * len(encoder.layout.lengths)
    return torch.stack(columns, dim=1)


def encoder_and_series(n_channels, lengths, n_shapelets, measure, batch, n_steps, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    encoder = ShapeletEncoder(n_channels, lengths, n_shapelets, measure, generator=generator).to(dtype)
    return encoder, torch.randn(batch, n_channels, n_steps, generator=generator, dtype=torch.float64).to(
        dtype
    )


CASES = [
    pytest.param(1, 24, 24, "mixed", 6, id="univariate"),
    pytest.param(3, 24, 24, "mixed", 6, id="multivariate"),
    pytest.param(2, 24, 31, "mixed", 7, id="longer than in training"),
    pytest.param(2, 24, 20, "mixed", 7, id="shorter than in training"),
    pytest.param(2, 8, 8, "mixed", 5, id="collapsed scales"),
    pytest.param(2, 20, 20, "euclidean", 3, id="euclidean"),
    pytest.param(2, 20, 20, "cosine", 3, id="cosine"),
    pytest.param(2, 20, 20, "cross-correlation", 3, id="cross-correlation"),
]


@pytest.mark.parametrize(("n_channels", "trained", "n_steps", "measure", "n_shapelets"), CASES)
@pytest.mark.parametrize("path", ["direct", "fft"])
def test_values_and_gradients_equal_the_window_loops(
    n_channels, trained, n_steps, measure, n_shapelets, path
):
    encoder, x = encoder_and_series(
        n_channels, scale_lengths(trained)[::3], n_shapelets, measure, 3, n_steps, torch.float64
    )
    encoder.search_path = path
    weights = torch.randn(
        3, encoder.n_features, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    expected = naive_distances(encoder, x)
    wanted = torch.autograd.grad(
        (expected * weights).sum(), [encoder.shapelets, encoder.bias], allow_unused=True
    )
    values = encoder.distances(x)
    found = torch.autograd.grad((values * weights).sum(), [encoder.shapelets, encoder.bias])
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(found[0], wanted[0], rtol=0, atol=1e-10)
    if wanted[1] is not None:
        torch.testing.assert_close(found[1], wanted[1], rtol=0, atol=1e-10)


def both_paths(encoder, x):
    results = []
    for encoder.search_path in ("direct", "fft"):
        encoder.zero_grad()
        values = encoder.distances(x)
        values.square().sum().backward()
        results.append((values.detach(), encoder.shapelets.grad.clone(), encoder.bias.grad.clone()))
    return results


@pytest.mark.parametrize("n_steps", [40, 130, 700])
def test_single_precision_agrees_with_double_on_both_paths(n_steps):
    encoder, x = encoder_and_series(3, scale_lengths(n_steps), 12, "mixed", 4, n_steps, torch.float64)
    exact = both_paths(encoder, x)[0]
    for found in both_paths(encoder.float(), x.float()):
        for single, double in zip(found, exact, strict=True):
            torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_a_quiet_stretch_is_not_drowned_by_the_rounding_of_the_transform():
    encoder, x = encoder_and_series(1, (20, 60), 30, "cosine", 3, 400, torch.float64)
    # The last shapelet of each scale is in the series, a hundred thousand times fainter than the rest.
    x[0, 0, 150:250] *= 1e-6
    x[0, 0, 180:200] = 1e-5 * encoder.shapelet(29)[0].detach()
    x[1, 0, 100:300] = 0
    exact = both_paths(encoder, x)[0][0]
    assert exact[0, 29] == pytest.approx(1, abs=1e-6)
    for values, gradient, _ in both_paths(encoder.float(), x.float()):
        torch.testing.assert_close(values.double(), exact, rtol=0, atol=1e-5)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("level", [0.0, 2.5])
def test_constant_series_and_zero_shapelets_give_finite_values_and_gradients(level):
    """Every window ties with every other, and where all is zero no norm can be divided by."""
    encoder, x = encoder_and_series(2, (4, 9), 6, "mixed", 3, 30, torch.float32)
    with torch.no_grad():
        encoder.shapelets[: len(encoder.shapelets) // 2] = 0
    x[:] = level
    for values, gradient, bias_gradient in both_paths(encoder, x):
        torch.testing.assert_close(values, naive_distances(encoder, x).detach(), rtol=1e-5, atol=1e-5)
        assert gradient.isfinite().all()
        assert bias_gradient.isfinite().all()


def test_match_points_at_a_planted_shapelet():
    encoder, x = encoder_and_series(2, (10, 25), 9, "mixed", 2, 120, torch.float32)
    x[0, :, 70:95] = encoder.shapelet(9).detach()
    positions, values = encoder.match(x)
    assert encoder.feature_table()[9] == (1, "euclidean", 25)
    assert (positions.shape, positions.dtype) == ((2, 18), torch.int64)
    assert positions[0, 9] == 70
    assert values[0, 9] == 0
    values.sum().backward()
    assert encoder.shapelets.grad.isfinite().all()


def test_each_view_is_normalised_by_its_own_statistics():
    encoder, x = encoder_and_series(2, (5, 8), 6, "mixed", 16, 30, torch.float64)
    query, key = x[:8], x[8:] * 3
    together = encoder.forward_views(query, key)
    running = encoder.norm.running_mean.clone()
    encoder.norm.reset_running_stats()
    apart = encoder(query), encoder(key)
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a.mean(0), torch.zeros_like(a[0]), rtol=0, atol=1e-10)
    torch.testing.assert_close(running, encoder.norm.running_mean)
    cropped, whole = encoder.forward_views(query[..., :27], key)
    torch.testing.assert_close(whole, apart[1])
    assert cropped.shape == whole.shape


def test_one_normalisation_equals_one_a_measure():
    encoder, x = encoder_and_series(2, (5, 8), 6, "mixed", 8, 30, torch.float64)
    raw = encoder.distances(x).detach()
    measures = [row[1] for row in encoder.feature_table()]
    expected = torch.empty_like(raw)
    for measure in MEASURES:
        columns = [i for i, own in enumerate(measures) if own == measure]
        expected[:, columns] = torch.nn.BatchNorm1d(len(columns)).double()(raw[:, columns]).detach()
    torch.testing.assert_close(encoder(x), expected)


def test_the_parameters_are_as_many_as_the_paper_says_and_start_as_it_says():
    generator = torch.Generator().manual_seed(3)
    lengths = scale_lengths(100)
    encoder = ShapeletEncoder(6, lengths, generator=generator)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == sum(40 * 6 * length + 14 for length in lengths) + 2 * 320
    longest = encoder.layout.split(encoder.shapelets)[-1]
    bound = (6 * 80) ** -0.5
    assert longest[:26].std().item() == pytest.approx(1, abs=0.05)
    assert 0.95 * bound < longest[26:].abs().max().item() <= bound
    again = ShapeletEncoder(6, lengths, generator=torch.Generator().manual_seed(3))
    assert torch.equal(encoder.shapelets, again.shapelets)


@pytest.mark.parametrize("n_steps", range(1, 8))
def test_very_short_series_have_lengths_that_fit(n_steps):
    lengths = scale_lengths(n_steps)
    assert list(lengths) == sorted(set(lengths))
    assert 1 <= lengths[0] <= lengths[-1] <= n_steps


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 3, 30), "expected"), ((2, 2, 7), "fewer than the longest shapelet")]
)
def test_series_that_do_not_fit_are_refused(shape, message):
    encoder, _ = encoder_and_series(2, (5, 8), 6, "mixed", 1, 30, torch.float32)
    with pytest.raises(ValueError, match=message):
        encoder(torch.zeros(shape))


@pytest.mark.parametrize("n", [1, 32, 33, 100, 315, 1197, 2500])
def test_fast_length_is_long_enough_and_smooth(n):
    size = fast_length(n)
    assert n <= size <= max(32, 1.34 * n)
    while size % 2 == 0:
        size //= 2
    assert size in (1, 3, 5)


@pytest.mark.parametrize("n_steps", [7, 8, 13, 100, 315, 1197, 2500])
def test_lengths_follow_the_paper(n_steps):
    lengths = scale_lengths(n_steps)
    assert lengths[0] == min(128, max(3, n_steps // 10))
    assert lengths[-1] == math.floor(0.8 * n_steps)
    assert len(lengths) == len(set(lengths)) == min(8, lengths[-1] - lengths[0] + 1)


def test_feature_table_has_each_scale_contiguous():
    encoder, _ = encoder_and_series(2, (3, 5), 40, "mixed", 1, 8, torch.float32)
    table = encoder.feature_table()
    assert [row[1] for row in table[:40]] == ["euclidean"] * 13 + ["cosine"] * 13 + ["cross-correlation"] * 14
    assert {row[0] for row in table[:40]} == {0}
    assert {row[2] for row in table[40:]} == {5}
    assert tuple(dict.fromkeys(row[1] for row in table)) == MEASURES
