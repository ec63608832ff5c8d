"""A table to run on, and workers in processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.facade import Store

SUPPORT = Path(__file__).parent / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))

import rig  # noqa: E402


@pytest.fixture(autouse=True)
def importable_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let run processes import the probes."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)


@pytest.fixture
def table(store: Store):
    return rig.publish_table(store)


@pytest.fixture
def workers(store: Store) -> Iterator[rig.Workers]:
    with rig.Workers(store) as started:
        yield started
