"""Small tables with known modalities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def two_views() -> tuple[pd.DataFrame, np.ndarray]:
    """Three classes; audio tells 0 from the rest, motion tells 1 from the rest, so both are needed."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=240)
    audio = rng.normal(size=(240, 4)) + 2.5 * (y == 0)[:, None]
    motion = rng.normal(size=(240, 3)) + 2.5 * (y == 1)[:, None]
    frame = pd.DataFrame(
        np.hstack([audio, motion]), columns=[f"a_{i}" for i in range(4)] + [f"m_{i}" for i in range(3)]
    )
    return frame, np.array(["rest", "walk", "talk"])[y]
