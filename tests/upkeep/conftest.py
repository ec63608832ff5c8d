"""A store with a data set in two versions, a finished run with curves, a queued one, and a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import workbench as wb
from workbench.facade import Store
from workbench.models import save
from workbench.report import Report
from workbench.runs import queue


@pytest.fixture
def filled(template: Path, tmp_path: Path) -> Store:
    """A copy of it that a test may break."""
    shutil.copytree(template, tmp_path / "store")
    return wb.open(tmp_path / "store")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the store."""
    root = tmp_path_factory.mktemp("template")
    store = wb.open(root / "store")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])
    frame["label"] = np.where(frame["a"] > 0, "up", "down")
    for _ in range(2):
        data = store.datasets.publish_frame(frame, "points", roles={"field": ["a", "b"], "label": ["label"]})
    run = store.submit("sklearn.linear_model:LogisticRegression", data, name="kept")
    queue.claim(store.dir, "w", "cpu", ("cpu", "auto"), lease=60)
    event = {"event": "metric", "name": "loss", "step": 1, "value": 0.5, "time": run.created + 5}
    (run.folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    size = (run.folder / "events.jsonl").stat().st_size
    point = ("loss", 1, 0.5, run.created + 5)
    queue.ingest(store.dir, run.id, "w", start=0, end=size, metrics=[point], state={})
    Report("fit_score", "Fine.", {"test_accuracy": 0.9}, {"t": frame}).save(
        run.folder / "artifacts" / "report"
    )
    result = {"state": "done", "error": "", "headline": "Fine.", "scores": {"test_accuracy": 0.9}}
    (run.folder / "result.json").write_text(json.dumps(result))
    queue.finish(store.dir, run.id, "w", "done", headline="Fine.", scores={"test_accuracy": 0.9})
    fitted = LogisticRegression().fit(frame[["a", "b"]].to_numpy(), frame["label"])
    save(fitted, root / "fitted", run=run.id, dataset="points@2", scores={"test_accuracy": 0.9})
    store.models.add(root / "fitted", "line", run=run.id, dataset="points@2")
    store.submit("sklearn.linear_model:LogisticRegression", data, name="waiting")
    store.dir.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.dir.close()
    return store.root
