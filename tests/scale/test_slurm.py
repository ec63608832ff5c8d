"""Runs through submitit, whose local executor stands in for Slurm."""

import stat

import numpy as np
import pytest
from rig import until

from workbench import search
from workbench.errors import UsageError
from workbench.runs import launchers
from workbench.runs.worker import Worker

pytestmark = pytest.mark.slow
pytest.importorskip("submitit", reason="needs the extra slurm")


@pytest.fixture
def folder(store, url, tmp_path, monkeypatch):
    """What the environment of a worker says; gives submitit's folder."""
    monkeypatch.setenv("WORKBENCH_SLURM", "local")
    monkeypatch.setenv("WORKBENCH_SLURM_FOLDER", str(tmp_path / "slurm"))
    monkeypatch.setenv("WORKBENCH_URL", url)
    monkeypatch.setenv("WORKBENCH_NODE_DIR", str(tmp_path / "node"))
    return tmp_path / "slurm"


def work_until(worker, condition):
    return until(lambda: worker.tick() or condition(), 600)


def test_runs_come_back_done_failed_and_cancelled(store, table, folder):
    done = store.submit("sklearn.linear_model:LogisticRegression", table, launcher="slurm")
    failing = store.submit("probes:Failing", table, launcher="slurm")
    asleep = store.submit("probes:Sleeper", table, params={"seconds": 600}, launcher="slurm")
    worker = Worker(store.dir, [])
    work_until(worker, lambda: done.refresh().is_finished and failing.refresh().is_finished)
    done, failing = done.refresh(), failing.refresh()
    assert (done.state, done.attempt, failing.state) == ("done", 1, "failed"), done.error
    assert done.report().scores["test_accuracy"] == done.scores["test_accuracy"] > 0.8
    assert done.estimator().score(table.to_table().X, table.to_table().y) > 0.8
    assert "the third column is constant" in failing.error
    assert "Traceback" in failing.log()
    work_until(worker, lambda: "stage fit" in asleep.log())
    for home in folder.iterdir():  # its pickles are nobody else's
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    asleep.cancel()
    work_until(worker, lambda: asleep.refresh().is_finished)
    assert asleep.refresh().state == "cancelled"
    assert not list(folder.iterdir())


def test_a_killed_job_is_tried_again(store, table, folder):
    run = store.submit("probes:Failing", table, params={"how": "killed"}, launcher="slurm")
    worker = Worker(store.dir, [], max_deaths=2)
    work_until(worker, lambda: run.refresh().is_finished)
    assert "killed 2 times in a row" in run.refresh().error
    assert run.refresh().attempt == 2


def test_settings_that_are_not_whole_are_named(store, folder, monkeypatch):
    monkeypatch.setenv("WORKBENCH_SLURM_CPUS", "many")
    with pytest.raises(UsageError, match="whole number"):
        launchers.configured(store.dir)
    monkeypatch.delenv("WORKBENCH_URL")
    with pytest.raises(UsageError, match="WORKBENCH_URL"):
        launchers.configured(store.dir)
    monkeypatch.delenv("WORKBENCH_SLURM_FOLDER")
    with pytest.raises(UsageError, match="WORKBENCH_SLURM_FOLDER"):
        launchers.configured(store.dir)


def test_trials_of_a_search_and_seeds_of_a_benchmark_fan_out(store, folder):
    X = np.random.default_rng(0).normal(size=(24, 20, 1))
    waves = store.datasets.publish_arrays(X, np.array(["a", "b"] * 12), name="waves")
    base = {"n_epochs": 1, "n_scales": 1, "n_shapelets": 3, "device": "cpu"}
    main = search.start(
        store, "timeseries.CSL", waves, n_trials=2, vary=["learning_rate"], params=base, launcher="slurm"
    )
    seeds = search.over_seeds(store, "timeseries.CSL", waves, range(2), params=base, launcher="slurm")
    worker, most = Worker(store.dir, []), 0

    def ended():
        nonlocal most
        most = max(most, sum(run.state == "running" and run.launcher == "slurm" for run in store.runs()))
        return all(run.is_finished for run in store.runs())

    work_until(worker, ended)
    assert most > 1  # beside each other
    assert {run.state for run in store.runs()} == {"done"}
    trials, test = search.trials(store, main.id), search.tested(store, main.id)
    assert [run.launcher for run in (*trials, test, *seeds)] == ["slurm"] * 5
    best = search.winner(trials)
    assert test.spec["params"]["learning_rate"] == best.spec["params"]["learning_rate"]
    assert [run.refresh().spec["seed"] for run in seeds] == [0, 1]
