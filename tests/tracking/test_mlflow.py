"""Runs that go to an MLflow store and come back are the same runs."""

import sys

import pandas as pd
import pytest

import workbench as wb
from workbench.errors import UsageError
from workbench.mlflow import export_runs, import_runs

pytest.importorskip("mlflow", reason="needs the extra mlflow")
pytest.importorskip("sqlalchemy")
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:DeprecationWarning"
)  # MLflow's own


@pytest.fixture
def recorded(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # beside a database MLflow keeps files in the working folder
    (tmp_path / "notes.txt").write_text("kept")
    params = {"depth": 3, "rate": 0.1, "name": "plain", "digits": "007", "list": [1, "two"], "none": None}
    store.datasets.publish_frame(pd.DataFrame({"x": [1.0, 2.0]}), "small")
    with store.start_run("first", params=params, data="small", seed=4, owner="ann") as run:
        for step in range(1200):  # more than one request holds
            run.log(loss=1 / (step + 1), step=step)
        run.log(accuracy=0.875)
        run.log_artifact(tmp_path / "notes.txt")
    failed = store.start_run("second")
    failed.log(odd=float("nan"))
    failed.finish("failed", "ValueError: no")
    return [store.run(run.id), store.run(failed.id)]


@pytest.mark.parametrize("kind", ["sqlite", "folder"])
def test_a_round_trip_keeps_everything(recorded, tmp_path, kind):
    uri = f"sqlite:///{tmp_path}/their.db" if kind == "sqlite" else str(tmp_path / "theirs")
    ids = export_runs(recorded, uri, experiment="ours")
    assert len(set(ids)) == 2
    other = wb.open(tmp_path / "other")
    back = {run.name: run for run in import_runs(other, uri, experiment="ours")}
    first, second = back["first"], back["second"]
    assert (first.state, first.owner, first.spec["seed"]) == ("done", "ann", 4)
    assert first.dataset == "small@1"  # though this store has no such data set
    assert first.spec["params"] == recorded[0].spec["params"]
    assert first.git_commit == recorded[0].git_commit
    assert first.scores == recorded[0].scores
    assert first.headline == recorded[0].headline
    assert first.started == pytest.approx(recorded[0].started, abs=0.01)
    theirs, ours = (run.metrics().drop(columns="time") for run in (first, recorded[0]))
    pd.testing.assert_frame_equal(theirs, ours)
    assert first.artifacts["files/files-notes.txt"].read_text() == "kept"
    assert (second.state, second.error) == ("failed", "ValueError: no")
    assert second.metrics()["value"].isna().all()
    assert import_runs(other, uri, experiment="ours") == []  # a second time nothing is new


def test_what_cannot_be_done_is_said_in_one_sentence(store, recorded, tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/their.db"
    export_runs(recorded[:1], uri)
    with pytest.raises(UsageError, match="has no experiment 'none'; it has"):
        import_runs(store, uri, experiment="none")
    with store.start_run("open") as run, pytest.raises(UsageError, match="only a run that has ended"):
        export_runs([store.run(run.id)], uri)
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(UsageError, match=r"pip install 'workbench\[mlflow\]'"):
        export_runs(recorded[:1], uri)
