"""Runs with known scores and curves, entered through the queue as a worker enters them."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from workbench.facade import Store
from workbench.report import Report
from workbench.runs import Run, queue

Record = Callable[..., Run]


@pytest.fixture
def tables(store: Store) -> list[str]:
    """Three small data sets with a label."""
    rng = np.random.default_rng(0)
    made = []
    for name in ("north", "south", "west"):
        frame = pd.DataFrame(rng.normal(size=(30, 3)), columns=list("abc"))
        frame["label"] = np.where(frame["a"] > 0, "up", "down")
        roles = {"field": list("abc"), "label": ["label"]}
        made.append(store.datasets.publish_frame(frame, name, roles=roles).ref)
    return made


@pytest.fixture
def record(store: Store) -> Record:
    """``record(estimator, ref, scores, curve=..., seed=..., **params)``: a run that is done."""

    def make(estimator, ref, scores, *, curve=(), seed=0, name=None, tables=None, **params) -> Run:
        run = store.submit(estimator, ref, params=params, seed=seed, name=name, priority=1)
        row = queue.claim(store.dir, "test", "cpu", ("cpu", "auto"), lease=60)
        assert row["id"] == run.id
        points = [("fit/loss", step, value, 0.0) for step, value in enumerate(curve, 1)]
        queue.ingest(store.dir, run.id, "test", start=0, end=1, metrics=points, state={})
        report = Report(run.recipe, "Done.", scores, tables or {})
        report.save(run.folder / "artifacts" / "report")
        result = {"state": "done", "error": "", "headline": "Done.", "scores": scores}
        (run.folder / "result.json").write_text(json.dumps(result))
        queue.finish(store.dir, run.id, "test", "done", headline="Done.", scores=scores)
        return store.run(run.id)

    return make
