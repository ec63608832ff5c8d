"""LPFS++ on Adult with ten fields of noise: the acceptance of the method, on named files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))


@pytest.mark.proof
@pytest.mark.slow
def test_lpfs_plus_drops_the_noise_and_keeps_the_answers(request):
    data = request.config.getoption("--data")
    if data is None:
        pytest.skip("name the folder of the files with --data")
    import selection as benchmark

    method = "LPFS++ (defaults)"
    cells = [benchmark.run_adult(data, method, seed) for seed in benchmark.SEEDS]
    plain = [benchmark.run_adult(data, "no gate, 23 fields", seed)["auc"] for seed in benchmark.SEEDS]
    areas = [cell["auc"] for cell in cells]
    assert [cell["noise"] for cell in cells] == [0, 0, 0]
    assert np.mean(areas) >= 0.911
    assert min(areas) >= 0.905
    assert np.mean(areas) >= np.mean(plain)
    assert max(cell["pruned_minus_gated"] for cell in cells) <= 1e-12
