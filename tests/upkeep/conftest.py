"""A store with a data set in two versions, a finished run with curves, a queued one, and a model."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from workbench.facade import Store
from workbench.models import save
from workbench.report import Report
from workbench.runs import queue


@pytest.fixture
def filled(store: Store, tmp_path) -> Store:
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
    save(fitted, tmp_path / "fitted", run=run.id, dataset="points@2", scores={"test_accuracy": 0.9})
    store.models.add(tmp_path / "fitted", "line", run=run.id, dataset="points@2")
    store.submit("sklearn.linear_model:LogisticRegression", data, name="waiting")
    return store
