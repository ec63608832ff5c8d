"""Whole runs through real workers and run processes."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from rig import is_alive, until
from seeded import Seeded

from workbench import models
from workbench.runs import queue
from workbench.runs.launchers import find_gpus
from workbench.runs.launchers.local import _environment
from workbench.runs.worker import Worker, any_alive


def work(store, run, **options):
    Worker(store.dir, ["cpu"], **options).run_until_done(run.id)
    return run.refresh()


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_is_done_with_report_model_log_and_scores(store, table):
    run = store.submit("sklearn.linear_model:LogisticRegression", table, params={"C": 100.0})
    done = work(store, run)
    assert (done.state, done.progress, done.error, done.attempt) == ("done", 1.0, "", 1)
    assert done.scores["test_accuracy"] > 0.9 > done.scores["control_test_accuracy"]
    report = done.report()
    assert report.scores == done.scores
    assert set(report.tables["importance"]["component"][:2]) == {"a", "b"}
    estimator = done.estimator()
    accuracy = estimator.score(table.to_table().X, table.to_table().y)
    assert accuracy > 0.9
    assert "attempt 1" in done.log()
    assert "report/report.json" in done.artifacts
    assert done.save_model("mine").run == run.id
    applied = work(store, store.submit("model:mine@1", table, recipe="workbench.recipes:apply"))
    assert applied.scores["accuracy"] == accuracy


def test_every_metric_is_entered_once(store, table):
    run = work(
        store, store.submit("probes:Failing", table, params={"how": "no"}, recipe="probes:count_metrics")
    )
    metrics = run.metrics()
    assert run.state == "done"
    for name in ("one/loss", "two/loss"):
        points = metrics[metrics["name"] == name]
        assert points["step"].tolist() == list(range(1000))
        assert points["value"].tolist() == [step / 1000 for step in range(1000)]
    assert metrics[metrics["name"] == "undefined"]["value"].isna().tolist() == [True, True]
    assert run.scores["nothing"] is None


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("value", "ValueError: the third column is constant"),
        ("memory", "more memory than there is"),
        ("full", "The disk is full"),
        ("exit", "ended early with code 3"),
        ("killed", "killed 2 times in a row"),
        ("folder", "folder of the run was deleted"),
    ],
)
def test_failures_end_in_one_sentence(store, table, how, sentence):
    run = work(store, store.submit("probes:Failing", table, params={"how": how}), max_deaths=2)
    assert run.state == "failed"
    assert sentence in run.error
    assert "\n" not in run.error
    assert "Traceback" not in run.error
    if how in ("value", "memory", "full"):
        assert "Traceback" in run.log()
    assert run.attempt == (2 if how == "killed" else 1)


def test_what_the_run_process_finds_broken_is_said_in_one_sentence(store, table):
    def spoiled(**changes):
        run = store.submit("probes:Sleeper", table)
        file = run.folder / "spec.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return work(store, run)

    for sentence, changes in {
        "no estimator 'Nonesuch'": {"estimator": "Nonesuch"},
        "cannot be imported": {"estimator": "nonesuch.module:Class"},
        "no recipe 'nonesuch'": {"recipe": "nonesuch"},
    }.items():
        run = spoiled(**changes)
        assert run.state == "failed"
        assert sentence in run.error
    dataset = run.spec["dataset"]
    assert "table@1 is gone" in spoiled(dataset=dataset | {"path": "../../datasets/gone.duckdb"}).error
    assert "is damaged" in spoiled(dataset=dataset | {"checksum": "0" * 64}).error


def test_cancel_stops_the_whole_process_group_and_what_left_it(store, table, workers):
    run = store.submit("probes:Sleeper", table, params={"seconds": 60, "children": 2})
    workers.start()
    until(lambda: lines(run.folder / "beats.txt"))
    children = [int(line) for line in lines(run.folder / "children.txt")]
    assert len(children) == 2
    run.cancel()
    assert run.wait(30).state == "cancelled"
    assert not any(is_alive(pid) for pid in children)
    assert not is_alive(int(lines(run.folder / "beats.txt")[0].split()[0]))


def test_a_run_that_ignores_sigterm_is_killed_after_its_grace(store, table, workers, monkeypatch):
    run = store.submit("probes:Sleeper", table, params={"seconds": 60, "deaf": True})
    worker = Worker(store.dir, ["cpu"])
    monkeypatch.setattr("workbench.runs.worker.GRACE", 0.5)
    until(lambda: worker.tick() or lines(run.folder / "beats.txt"))
    run.cancel()
    until(lambda: worker.tick() or run.refresh().state == "cancelled")


def test_sigterm_to_the_worker_puts_its_run_back(store, table, workers):
    run = store.submit("probes:Sleeper", table, params={"seconds": 60})
    worker = workers.start()
    until(lambda: lines(run.folder / "beats.txt"))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    after = run.refresh()
    assert (after.state, after.failures) == ("queued", 0)
    assert not any_alive(store.dir)


def test_a_worker_that_lost_its_lease_kills_its_run_and_leaves_the_row_alone(store, table):
    run = store.submit("probes:Sleeper", table, params={"seconds": 60})
    worker = Worker(store.dir, ["cpu"])
    until(lambda: worker.tick() or lines(run.folder / "beats.txt"))
    pid = int(lines(run.folder / "beats.txt")[0].split()[0])
    with store.dir.write() as db:
        db.execute("UPDATE runs SET worker = 'other', lease_until = lease_until + 60")
    until(lambda: worker.tick() or not is_alive(pid))
    assert run.refresh().state == "running"
    assert queue.held(store.dir, "other") == {run.id: False}


def test_a_killed_workers_run_is_taken_over_with_its_orphans_gone(store, table, workers):
    run = store.submit("probes:Sleeper", table, params={"seconds": 3, "children": 2})
    worker = workers.start(lease=1.0)
    until(lambda: len(lines(run.folder / "children.txt")) == 2 and lines(run.folder / "beats.txt"))
    orphans = [int(line) for line in lines(run.folder / "children.txt")]
    leader = int(lines(run.folder / "beats.txt")[0].split()[0])
    worker.kill()
    until(lambda: not is_alive(leader))  # the kernel sees to it
    workers.start(lease=1.0)
    until(lambda: run.refresh().attempt == 2)
    assert not any(is_alive(pid) for pid in orphans)
    done = run.wait(60)
    assert (done.state, done.attempt) == ("done", 2)


def test_a_result_whose_worker_died_is_not_computed_again(store, table):
    run = store.submit("probes:Sleeper", table)
    queue.claim(store.dir, "dead", "cpu", ("auto",), lease=-1)
    result = {"state": "done", "error": "", "headline": "Here already.", "scores": {"a": 1.0}}
    (run.folder / "result.json").write_text(json.dumps(result))
    done = work(store, run)
    assert (done.headline, done.attempt, done.scores) == ("Here already.", 1, {"a": 1.0})
    assert not (run.folder / "beats.txt").exists()


def test_the_lock_keeps_a_second_process_out(store, table, monkeypatch):
    import fcntl

    from workbench.runs import process

    run = store.submit("probes:Sleeper", table)
    monkeypatch.setattr(process, "LOCK_PATIENCE", 0.1)
    with open(run.folder / "lock", "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert process.main(run.folder) == os.EX_TEMPFAIL
    assert not (run.folder / "beats.txt").exists()


def test_slots_decide_what_a_run_sees_of_the_host(store, table):
    gpu, cpu = (store.submit("probes:Sleeper", table, device=device) for device in ("cuda", "cpu"))
    worker = Worker(store.dir, ["cuda:1", "cpu"])
    until(lambda: worker.tick() or all(run.refresh().is_finished for run in (gpu, cpu)))
    seen = json.loads(gpu.refresh().headline.removeprefix("Fitted. "))
    threads = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert seen == {"CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": threads}
    assert json.loads(cpu.refresh().headline.removeprefix("Fitted. "))["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(("given", "waits"), [(None, ("PASSIVE", "0")), ("ACTIVE", ("ACTIVE", "10000"))])
def test_threads_of_a_run_wait_asleep_unless_the_environment_says_how(tmp_path, monkeypatch, given, waits):
    monkeypatch.setenv("GOMP_SPINCOUNT", "10000")  # as set in the worker by its import of the package
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    environment = _environment(tmp_path, "cpu", 2)
    assert (environment["OMP_WAIT_POLICY"], environment["GOMP_SPINCOUNT"]) == waits


_PARALLEL = """
import numba, numpy, torch

@numba.njit(parallel=True)
def total(x):
    found = 0.0
    for i in numba.prange(x.size):
        found += x[i]
    return found

total(numpy.ones(1000))
print(torch.get_num_threads(), numba.get_num_threads())
"""


def test_a_parallel_loop_of_numba_leaves_torch_the_threads_it_was_given(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS")
    environment = _environment(tmp_path, "cpu", 1)
    done = subprocess.run(
        [sys.executable, "-c", _PARALLEL], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "1"]


def test_gpus_are_found_by_what_the_environment_or_the_driver_says(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-abc")
    assert find_gpus() == ["cuda:2", "cuda:GPU-abc"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert find_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_gpus() == ["cuda:0", "cuda:1"]


def test_the_seed_reaches_every_random_state(store, table):
    run = work(store, store.submit("seeded:Seeded", table, seed=3, params={"random_state": None}))
    assert run.estimator().drawn_.tolist() == np.random.default_rng(3).random(3).tolist()
    assert run.spec["params"] == {"random_state": 3}


def test_prune_frees_checkpoints_or_whole_runs_but_not_a_models_run(store, table):
    runs = [store.submit(name, table) for name in ("seeded:Seeded", "probes:Sleeper", "probes:Sleeper")]
    for run in runs:
        queue.claim(store.dir, "w", "cpu", ("auto", "cpu"), lease=60)
        queue.finish(store.dir, run.id, "w", "done")
        (run.folder / "checkpoint").mkdir()
        (run.folder / "checkpoint" / "state").write_bytes(bytes(1000))
    models.save(Seeded().fit(np.zeros((2, 1)), [0, 1]), runs[0].folder / "artifacts" / "model")
    runs[0].refresh().save_model("kept")
    assert store.queue.prune(keep_last=1) == 2000
    assert [(run.folder / "checkpoint").exists() for run in runs] == [False, False, True]
    store.queue.prune(keep_last=1, whole=True)
    assert {run.id for run in store.runs()} == {runs[0].id, runs[2].id}
