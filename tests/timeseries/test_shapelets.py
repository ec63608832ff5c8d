"""The shapelet encoder against loops written from the formulas."""

from __future__ import annotations

import math

import pytest
import torch

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
        n_channels, scale_lengths(trained), n_shapelets, measure, 3, n_steps, torch.float64
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
