"""Real series that aeon ships, in this project's layout."""

import numpy as np
import pytest
from aeon.datasets import load_basic_motions, load_japanese_vowels


def padded(series):
    """A list of (d, T_i) arrays, or one (n, d, T) array, as (n, T, d) with NaN at the end."""
    X = np.full((len(series), max(s.shape[1] for s in series), series[0].shape[0]), np.nan)
    for row, one in zip(X, series, strict=True):
        row[: one.shape[1]] = one.T
    return X


@pytest.fixture(scope="session")
def basic_motions():
    """``X_train, y_train, X_test, y_test``: 40 + 40 series of 100 steps and 6 variables, 4 classes."""
    X, y = load_basic_motions(split="train")
    X_test, y_test = load_basic_motions(split="test")
    return padded(X), y, padded(X_test), y_test


@pytest.fixture(scope="session")
def short_motions(basic_motions):
    """The same at every fourth step: 25 steps, for tests of what is around the encoders."""
    X, y, X_test, y_test = basic_motions
    return X[:, ::4], y, X_test[:, ::4], y_test


@pytest.fixture(scope="session")
def japanese_vowels():
    """``X_train, y_train, X_test, y_test``: 270 + 370 series of 7 to 29 steps, 12 variables, 9 classes."""
    X, y = load_japanese_vowels(split="train")
    X_test, y_test = load_japanese_vowels(split="test")
    return padded(X), y, padded(X_test), y_test
