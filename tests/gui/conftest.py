"""Pages run by Streamlit's own test harness over a store with real data."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import workbench as wb
from workbench.gui.config import PAGES
from workbench.runs import Run

#: A training of a second, whose result holds all there is to see.
PARAMS = {"n_epochs": 1, "n_scales": 2, "n_shapelets": 12}
AEON = Path(importlib.util.find_spec("aeon").submodule_search_locations[0]) / "datasets" / "data"


@pytest.fixture(scope="session")
def italy() -> list[Path]:
    """ItalyPowerDemand as aeon ships it: a TRAIN and a TEST file of 24 steps."""
    folder = AEON / "ItalyPowerDemand"
    return [folder / "ItalyPowerDemand_TRAIN.ts", folder / "ItalyPowerDemand_TEST.ts"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> wb.Store:
    """An empty store, and the one that the pages open."""
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    return wb.open(tmp_path / "store")


@pytest.fixture
def filled(store: wb.Store, italy: list[Path]) -> wb.Store:
    """The store with one data set."""
    store.datasets.import_files(italy, "Italy")
    return store


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of CSL that is done, in a store that tests may read but not change."""
    store = wb.open(tmp_path_factory.mktemp("finished") / "store")
    store.datasets.import_files([AEON / "GunPoint" / f"GunPoint_{part}.ts" for part in ("TRAIN", "TEST")])
    run = store.submit("timeseries.CSL", "GunPoint", params=PARAMS, name="short")
    command = [sys.executable, "-m", "workbench", "run", str(run.folder)]
    subprocess.run(command, check=True, capture_output=True)
    # The worker would enter the outcome; here there is none.
    result = json.loads((run.folder / "result.json").read_text())
    with store.dir.write() as connection:
        connection.execute(
            "UPDATE runs SET state = 'done', attempt = 1, headline = ?, scores = ?, started = created,"
            " finished = created + 9 WHERE id = ?",
            (result["headline"], json.dumps(result["scores"]), run.id),
        )
    return store.run(run.id).refresh()


@pytest.fixture
def finished_store(finished: Run, monkeypatch: pytest.MonkeyPatch) -> wb.Store:
    """Make the pages open the store of the finished run."""
    root = finished.folder.parents[1]
    monkeypatch.setenv("WORKBENCH_STORE", str(root))
    return wb.open(root)


Open = Callable[..., AppTest]


@pytest.fixture
def open_page() -> Open:
    """Run a page with query parameters; it must not fail."""

    def run(name: str, **params: str) -> AppTest:
        app = AppTest.from_file(PAGES / f"{name}.py", default_timeout=60)
        for key, value in params.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception
        return app

    return run
