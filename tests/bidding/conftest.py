"""Small logs that every bidding test shares."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bidding import BidLog


def random_log(n_requests: int = 200, n_candidates: int = 8, n_merchants: int = 20, seed: int = 0) -> BidLog:
    """Requests over three hours with random candidates; everything positive."""
    rng = np.random.default_rng(seed)
    n = n_requests * n_candidates
    return BidLog(
        indptr=np.arange(n_requests + 1, dtype=np.int64) * n_candidates,
        hour=np.sort(rng.random(n_requests)) * 3,
        consumer=rng.integers(0, 30, n_requests).astype(np.int32),
        merchant=np.concatenate(
            [rng.permutation(n_merchants)[:n_candidates] for _ in range(n_requests)]
        ).astype(np.int32),
        bid=rng.lognormal(0.0, 0.3, n),
        pctr=rng.beta(2, 40, n),
        pcvr=rng.beta(2, 30, n),
        ppb=rng.lognormal(3.0, 0.3, n),
        merchants=np.array([f"m{i:02d}" for i in range(n_merchants)], dtype=object),
        consumers=np.arange(30),
    )


@pytest.fixture(scope="session")
def log() -> BidLog:
    return random_log()
