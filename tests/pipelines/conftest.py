"""Pipelines to run, a data set for them, and workers in processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.facade import Store

RUNS = Path(__file__).parent.parent / "runs" / "support"
SUPPORT = Path(__file__).parent / "support"
if str(RUNS) not in sys.path:
    sys.path.insert(0, str(RUNS))

import rig  # noqa: E402


@pytest.fixture(autouse=True)
def probes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let run processes find the probes; returns the folder in which steps count their calls."""
    counts = tmp_path / "counts"
    counts.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(RUNS), prepend=os.pathsep)
    monkeypatch.setenv("WORKBENCH_PIPELINES", str(SUPPORT))
    monkeypatch.setenv("PROBE_COUNTS", str(counts))
    return counts


@pytest.fixture
def table(store: Store):
    return rig.publish_table(store)


@pytest.fixture
def workers(store: Store) -> Iterator[rig.Workers]:
    with rig.Workers(store) as started:
        yield started
