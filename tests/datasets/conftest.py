from __future__ import annotations

import pytest

from workbench.datasets import Datasets
from workbench.store import StoreDir


@pytest.fixture
def datasets(tmp_path):
    return Datasets(StoreDir(tmp_path / "store"))


def leftovers(datasets):
    """Everything on disk that no catalogue entry accounts for."""
    store = datasets.store
    known = {
        version.path for name in [d.name for d in datasets.list()] for version in datasets.versions(name)
    }
    return [*store.tmp.iterdir(), *(path for path in store.datasets.glob("*/*") if path not in known)]
