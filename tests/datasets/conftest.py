from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from workbench.datasets import Datasets
from workbench.store import StoreDir


@contextmanager
def _memory_folder() -> Iterator[Path]:
    """A folder in memory where there is one: every publish waits for the disk three times."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="workbench-test-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def datasets() -> Iterator[Datasets]:
    """The data sets of an empty store."""
    with _memory_folder() as folder:
        yield Datasets(StoreDir(folder / "store"))


@pytest.fixture(scope="module")
def shared() -> Iterator[Datasets]:
    """The data sets of a store that the tests of a module share; each publishes under its own name."""
    with _memory_folder() as folder:
        yield Datasets(StoreDir(folder / "store"))


def leftovers(datasets: Datasets) -> list[Path]:
    """Everything on disk that no catalogue entry accounts for."""
    store = datasets.store
    known = {
        version.path for name in [d.name for d in datasets.list()] for version in datasets.versions(name)
    }
    return [*store.tmp.iterdir(), *(path for path in store.datasets.glob("*/*") if path not in known)]
