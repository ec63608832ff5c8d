"""Training that is killed, cancelled or damaged: the same weights in the end, or one clear sentence."""

import json
import os
import random
import time

import numpy as np
import pytest
from rig import Workers, until
from test_kills import run_processes

pytestmark = pytest.mark.crash

# Two slots, so that a run has one thread: two threads that wait for each other on a busy machine are slow.
SLOTS = ("cpu", "cpu")
PARAMS = {"n_epochs": 30, "n_shapelets": 6, "batch_size": 8, "device": "cpu"}


@pytest.fixture
def motions(store):
    from workbench.datasets import samples

    samples.register(store.datasets)
    return store.dataset("BasicMotions")


def submit(store, data, **params):
    return store.submit("timeseries.CSL", data, params=PARAMS | params, recipe="probes:train_only", seed=5)


def position(run):
    """Epoch and batch of the newest state that is saved."""
    states = sorted(run.folder.glob("checkpoint/train/fit-000/0*/state.json"))
    if not states:
        return None
    try:
        state = json.loads(states[-1].read_text())["state"]
    except FileNotFoundError:  # replaced by newer ones meanwhile
        return position(run)
    return state["epoch"], state["batch"]


def test_csl_killed_again_and_again_ends_with_the_same_weights(store, motions):
    rng = random.Random(3)
    with Workers(store) as workers:
        workers.start(SLOTS, max_deaths=10_000)
        whole = submit(store, motions).wait(300)
        broken = submit(store, motions)
        kills, seen = 0, None
        while kills < 4:
            # Only a kill after some new training is worth its name.
            until(lambda seen=seen: position(broken) not in (None, seen) or broken.refresh().is_finished)
            seen = position(broken)
            time.sleep(rng.uniform(0, 0.2))
            jobs = run_processes(store)
            if broken.refresh().is_finished:
                break
            if jobs:
                os.kill(jobs[0], 9)
                # A process that has written its result and is about to exit loses nothing by a kill.
                kills += not (broken.folder / "result.json").exists()
        broken = broken.wait(300)
    assert kills >= 2
    assert (whole.state, whole.attempt, broken.state) == ("done", 1, "done")
    assert broken.attempt == kills + 1
    expected, found = whole.estimator(), broken.estimator()
    assert expected.state_.keys() == found.state_.keys()
    for name, weights in expected.state_.items():
        np.testing.assert_array_equal(found.state_[name], weights)
    assert found.history_ == expected.history_
    columns = ["name", "step", "value"]
    assert broken.metrics()[columns].equals(whole.metrics()[columns])


def test_cancel_saves_a_checkpoint_and_a_retry_goes_on_from_it(store, motions):
    run = submit(store, motions, n_epochs=400)
    with Workers(store) as workers:
        workers.start(SLOTS, WORKBENCH_CHECKPOINT_SECONDS="3600")
        until(lambda: run.refresh().progress > 0)
        assert position(run) is None
        run.cancel()
        assert run.wait(30).state == "cancelled"
        stopped = position(run)
        assert stopped > (0, 0)
        store.queue.retry(run.id)
        until(lambda: run.refresh().attempt == 2 and run.refresh().state == "running")
        until(lambda: "stage train" in run.log().partition("attempt 2")[2])
        run.cancel()
        assert run.wait(30).state == "cancelled"
        assert position(run) >= stopped


def test_sigterm_to_the_worker_saves_a_checkpoint_and_the_next_one_goes_on(store, motions):
    run = submit(store, motions, n_epochs=20)
    with Workers(store) as workers:
        worker = workers.start(SLOTS, WORKBENCH_CHECKPOINT_SECONDS="3600")
        until(lambda: run.refresh().progress > 0)
        worker.terminate()
        assert worker.wait(20) == 0
        assert (run.refresh().state, run.refresh().failures) == ("queued", 0)
        assert position(run) > (0, 0)
        workers.start(SLOTS)
        done = run.wait(300)
    assert (done.state, done.attempt) == ("done", 2)
    assert done.metrics()["step"].max() == 20


def test_a_corrupt_checkpoint_fails_with_one_sentence_and_a_fresh_retry_works(store, motions):
    run = submit(store, motions, n_epochs=100)
    with Workers(store) as workers:
        workers.start(SLOTS)
        until(lambda: position(run))
        run.cancel()
        run.wait(30)
        for file in run.folder.glob("checkpoint/train/fit-000/*/tensors.safetensors"):
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 255
            file.write_bytes(data)
        store.queue.retry(run.id)
        failed = run.wait(60)
        assert failed.state == "failed"
        assert "is damaged" in failed.error
        assert "--fresh" in failed.error
        assert "Traceback" in failed.log()
        assert "Traceback" not in failed.error
        store.queue.retry(run.id, fresh=True)
        until(lambda: position(run))
        run.cancel()
        assert run.wait(30).state == "cancelled"
