"""What every test shares: a store of its own, and the option that names real files for proofs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import workbench as wb
from workbench.facade import Store

THIRD_PARTY = Path(__file__).parent / "thirdparty"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", type=Path, default=None, help="folder of named real files, for -m proof")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return wb.open(tmp_path / "store")


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the third-party package for child processes too; returns its folder."""
    monkeypatch.setenv("PYTHONPATH", str(THIRD_PARTY), prepend=os.pathsep)
    return THIRD_PARTY
