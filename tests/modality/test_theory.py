"""The theory of modality competition, where the truth is known (arXiv 2203.12221)."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.modality.theory import experiment, smoothed_relu

SMALL = {"dimension": 300, "n_train": 300, "n_test": 1500, "n_classes": 6, "n_steps": 600}


def test_smoothed_relu_is_a_power_then_straight():
    value, slope = smoothed_relu(np.array([-1.0, 0.1, 0.3, 2.0]), q=3, beta=0.3)
    np.testing.assert_allclose(value, [0, 0.1**3 / (3 * 0.09), 0.1, 2 - (1 - 1 / 3) * 0.3])
    np.testing.assert_allclose(slope, [0, (0.1 / 0.3) ** 2, 1, 1])
    x, h = np.linspace(0.01, 1, 50), 1e-6
    numeric = (smoothed_relu(x + h, 3, 0.3)[0] - smoothed_relu(x - h, 3, 0.3)[0]) / (2 * h)
    np.testing.assert_allclose(smoothed_relu(x, 3, 0.3)[1], numeric, atol=1e-5)


@pytest.mark.slow
def test_small_first_weights_make_modalities_compete_and_large_ones_do_not():
    competing = experiment(1, **SMALL)
    assert competing.alone_error == pytest.approx([0.10, 0.30], abs=0.03)
    assert (competing.won == competing.predicted).mean() >= 0.8
    assert competing.kept < 0.3
    assert competing.ensemble_error < 0.01
    large = experiment(1, init_scale=0.01, learning_rate=5.0, **SMALL)
    assert large.joint_error < competing.joint_error / 2
    assert large.kept > 0.3


@pytest.fixture(scope="module")
def competing():
    """The experiment as published, three seeds."""
    return [experiment(seed) for seed in range(3)]


@pytest.mark.slow
def test_networks_trained_alone_err_as_often_as_their_modality_is_insufficient(competing):
    mu = np.array([0.10, 0.30])
    mean = np.mean([found.alone_error for found in competing], axis=0)
    np.testing.assert_allclose(mean, mu, atol=0.02)
    for found in competing:
        np.testing.assert_allclose(found.insufficient, mu, atol=0.02)  # 5000 test rows
        # On the rows as they were drawn: no more errors than insufficient ones, and nearly as many.
        np.testing.assert_allclose(found.alone_error, found.insufficient, atol=0.02)
        assert (found.alone_error < found.insufficient + 0.005).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_joint_training_is_worse_than_the_better_modality(competing, seed):
    found = competing[seed]
    assert found.joint_error > found.alone_error.min()
    assert found.joint_error < found.mixture + 0.03
    assert found.ensemble_error < 0.01
    assert found.joint_train_accuracy > 0.99
    assert (found.won == found.predicted).mean() >= 0.8
    assert found.kept < 0.01


@pytest.mark.slow
def test_large_first_weights_remove_the_competition():
    found = experiment(0, init_scale=0.01, learning_rate=5.0)
    assert found.joint_error < 0.02
    assert found.kept > 0.4
