"""A small click log whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def log() -> tuple[pd.DataFrame, np.ndarray]:
    """Clicks depend on an interaction of two categories, on a number, and on a tag; one field is noise."""
    rng = np.random.default_rng(0)
    n = 3000
    city = rng.choice(["Rome", "Oslo", "Lima", "Bonn"], n)
    device = rng.choice(["phone", "desk"], n)
    age = rng.lognormal(3, 0.5, n)
    tags = [
        list(rng.choice(["new", "sale", "old", "red"], rng.integers(0, 4), replace=False)) for _ in range(n)
    ]
    cross = np.where((city == "Rome") == (device == "phone"), 1.5, -1.5)
    logit = cross + 1.2 * (np.log1p(age) - 3) + np.array(["sale" in cell for cell in tags]) * 1.0
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    frame = pd.DataFrame(
        {
            "city": city,
            "device": device,
            "age": np.where(rng.random(n) < 0.05, np.nan, age),
            "tags": tags,
            "noise": rng.integers(30, size=n).astype(str),
        }
    )
    return frame, y
