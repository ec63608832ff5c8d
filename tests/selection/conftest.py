"""A small log with known useful and useless fields."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.ctr import DeepFMClassifier


@pytest.fixture(scope="session")
def log() -> tuple[pd.DataFrame, np.ndarray]:
    """Clicks depend on a, on b, on whether the two agree, and on x; c, n1 and n2 say nothing."""
    rng = np.random.default_rng(0)
    n = 3000
    a, b, c = (rng.integers(6, size=n) for _ in range(3))
    frame = pd.DataFrame(
        {
            "n1": rng.integers(40, size=n).astype(str),
            "a": a.astype(str),
            "x": rng.normal(size=n),
            "b": b.astype(str),
            "c": c.astype(str),
            "n2": rng.normal(size=n),
        }
    )
    agree = np.where((a % 2) == (b % 2), 1.0, -1.0)
    logit = agree + np.array([-2, 0, 1, 2, -1, 0])[a] + np.array([2, -1, 0, -2, 1, 0])[b]
    logit = (logit + 1.5 * frame["x"]).to_numpy()
    return frame, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)


@pytest.fixture
def host() -> DeepFMClassifier:
    """Small, and quick to learn."""
    return DeepFMClassifier(
        embedding_dim=4,
        hidden=(16,),
        batch_norm=True,
        n_epochs=6,
        batch_size=64,
        learning_rate=5e-3,
        random_state=0,
    )
