"""What every test shares: a store of its own, and the option that names real files for proofs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import workbench as wb
from workbench.facade import Store

THIRD_PARTY = Path(__file__).parent / "thirdparty"

# One thread a process, here and in the processes that tests start, set before torch is imported: tests run
# beside each other, small networks are slower on two threads, and the same sums come in the same order.
os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

# The same examples in every run, so that a change is judged by itself. New ones are looked for with
# `pytest --hypothesis-profile explore`, and what they find becomes an @example.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", type=Path, default=None, help="folder of named real files, for -m proof")


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Weights that a test draws without a seed are the same in whichever order tests run."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return wb.open(tmp_path / "store")


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the third-party package for child processes too; returns its folder."""
    monkeypatch.setenv("PYTHONPATH", str(THIRD_PARTY), prepend=os.pathsep)
    return THIRD_PARTY
