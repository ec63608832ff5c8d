"""The same helpers as the tests of runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent.parent / "runs" / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))


@pytest.fixture(autouse=True)
def importable_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let run processes import the probes, and save their state often."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    monkeypatch.setenv("WORKBENCH_CHECKPOINT_SECONDS", "0.3")
