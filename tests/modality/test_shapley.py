"""Contributions and interactions against numbers worked out by hand or by brute force over orders."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from workbench.modality import LateFusionClassifier
from workbench.modality.shapley import game, interactions, sampled_shapley_values, shapley_values


def by_orders(values: np.ndarray, n: int) -> np.ndarray:
    """The definition: the mean marginal contribution over all orders of the players."""
    phi = np.zeros(n)
    orders = list(permutations(range(n)))
    for order in orders:
        mask = 0
        for player in order:
            phi[player] += values[mask | 1 << player] - values[mask]
            mask |= 1 << player
    return phi / len(orders)


@given(st.integers(1, 5), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_shapley_values_are_the_mean_over_all_orders(n, seed):
    values = np.random.default_rng(seed).normal(size=2**n)
    phi = shapley_values(values)
    np.testing.assert_allclose(phi, by_orders(values, n), atol=1e-12)
    assert phi.sum() == pytest.approx(values[-1] - values[0], abs=1e-9)


def test_glove_game():
    # Players 0 and 1 own a left glove, player 2 the only right one: 1/6, 1/6, 2/3.
    values = game(lambda mask: float(mask & 0b100 != 0 and mask & 0b011 != 0), 3)
    np.testing.assert_allclose(shapley_values(values), [1 / 6, 1 / 6, 2 / 3])


def test_a_group_is_not_the_sum_of_its_members():
    # v = x0 * x1 * x2 (all must be present): as single players 1/3 each; {0, 1} as one player gets 1/2,
    # not 2/3.
    assert shapley_values(game(lambda m: float(m == 0b111), 3))[:2].sum() == pytest.approx(2 / 3)
    assert shapley_values(game(lambda m: float(m == 0b11), 2))[0] == pytest.approx(1 / 2)


def test_a_copy_adds_nothing_to_the_original():
    # Player 1 is a copy of player 0: together they are worth what one is, so they share it and are redundant.
    values = np.array([0.1, 0.7, 0.7, 0.7])
    np.testing.assert_allclose(shapley_values(values), [0.3, 0.3])
    assert interactions(values)[0, 1] == pytest.approx(-0.6)
    assert values[0b11] - values[0b01] == 0


def test_interactions_of_additive_and_of_xor_games():
    rng = np.random.default_rng(0)
    worth = rng.normal(size=4)
    additive = game(lambda m: sum(worth[r] for r in range(4) if m >> r & 1), 4)
    np.testing.assert_allclose(interactions(additive), 0, atol=1e-12)
    xor = np.array([0.5, 0.5, 0.5, 1.0])
    np.testing.assert_allclose(interactions(xor), [[0, 0.5], [0.5, 0]])


def test_values_of_every_sample_at_once():
    values = np.random.default_rng(1).normal(size=(8, 50))
    each = np.stack([shapley_values(values[:, i]) for i in range(50)], axis=1)
    np.testing.assert_allclose(shapley_values(values), each)


def test_sampling_eight_players_is_within_two_percent_of_exact():
    rng = np.random.default_rng(3)
    strength = rng.uniform(0.2, 1.0, 8)

    def value(mask: int) -> float:
        return 1 - float(np.prod([1 - 0.5 * strength[r] for r in range(8) if mask >> r & 1]))

    exact = shapley_values(game(value, 8))
    sampled = sampled_shapley_values(value, 8, random_state=0)
    assert sampled.sum() == pytest.approx(value(255) - value(0), abs=1e-9)
    np.testing.assert_allclose(sampled, exact, rtol=0.02)


def test_sampling_the_eight_rows_of_digits_is_within_two_percent_of_exact():
    """The game that the analyzer plays: a trained network, its accuracy with modalities muted."""
    X, y = load_digits(return_X_y=True, as_frame=True)
    X = X.loc[:, [c for c in X if X[c].nunique() > 1]]
    rows = {f"row{i}": [c for c in X if c.startswith(f"pixel_{i}_")] for i in range(8)}
    model = LateFusionClassifier(rows, n_epochs=8, hidden=16, depth=1, random_state=0).fit(X[:1200], y[:1200])
    h = torch.tensor(model.embeddings(X[1200:]).to_numpy().reshape(-1, 8, 16))
    net, truth = model._model(), y[1200:].to_numpy()

    @torch.no_grad()
    def value(mask: int) -> float:
        keep = torch.tensor([bool(mask >> r & 1) for r in range(8)])
        logits = net.fuse(torch.where(keep[:, None], h, net.default), keep.expand(len(h), 8))
        return float((logits.argmax(1).numpy() == truth).mean())

    exact = shapley_values(game(value, 8))
    assert exact.sum() == pytest.approx(value(255) - value(0), abs=1e-9)
    sampled = sampled_shapley_values(value, 8, random_state=0)
    assert np.abs(sampled - exact).max() < 0.02 * np.abs(exact).max()


def test_sampling_stops_at_its_budget():
    asked = []
    phi = sampled_shapley_values(
        lambda mask: asked.append(mask) or mask.bit_count(), 20, max_evaluations=300, random_state=0
    )
    assert 300 <= len(asked) < 300 + 2 * 20
    np.testing.assert_allclose(phi, 1)


def test_a_game_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError, match="2, 4, 8"):
        shapley_values([0.0, 1.0, 2.0])
