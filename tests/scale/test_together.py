"""Two processes that train together do what one does with the same batches.

The tolerance is that of float32 sums taken in another order, and of what an optimizer makes of it: losses
agree to 1e-4 of their size over whole trainings.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rig import until

from workbench.runs.worker import Worker

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("training_together.py")
TOLERANCE = 1e-4


def trained(tmp_path, what, options, n):
    folder = tmp_path / f"by-{n}"
    folder.mkdir()
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"] if n > 1 else []
    arguments = [json.dumps(what), json.dumps(options), str(folder)]
    done = subprocess.run(
        [sys.executable, *start, str(SCRIPT), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Warning" not in done.stderr  # a user would find it in the log
    read = range(n)
    return (
        [json.loads((folder / f"{rank}.json").read_text()) for rank in read],
        [dict(np.load(folder / f"{rank}.npz")) for rank in read],
    )


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("CSL", {}),
        ("CSL", {"batch_size": 7, "optimizer": "adam", "learning_rate": 0.001}),
        ("LRClassifier", {}),
        ("FMClassifier", {"optimizer": "adagrad"}),
        ("DeepFMClassifier", {"batch_norm": True, "dropout": 0.0}),
        ("DCNv2Classifier", {"optimizer": "sgd", "l2": 1e-4, "dropout": 0.0}),
        ("DLRMClassifier", {"optimizer": "lion"}),
        ("DINClassifier", {}),
    ],
)
def test_two_processes_follow_the_loss_curve_of_one(tmp_path, what, options):
    (alone,), (weights,) = trained(tmp_path, what, options, 1)
    together, both = trained(tmp_path, what, options, 2)
    assert together[0] == together[1]
    for ours, theirs in zip(together[0], alone, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name] == pytest.approx(theirs[name], rel=TOLERANCE, abs=1e-6), name
    for name in weights:  # the processes hold the same model, statistics of batches included
        assert np.array_equal(both[0][name], both[1][name]), name
    # The shares matter: with statistics and negatives of half a batch the curve is another one.
    assert len(alone) >= 3


def test_without_what_the_shares_exchange_the_curve_is_another_one(tmp_path):
    """The comparison above would notice: half the negatives is half the batch."""
    (whole,), _ = trained(tmp_path, "CSL", {}, 1)
    half = tmp_path / "half"
    half.mkdir()
    (other,), _ = trained(half, "CSL", {"batch_size": 4}, 1)
    assert abs(other[0]["loss"] - whole[0]["loss"]) > 100 * TOLERANCE * whole[0]["loss"]


def test_a_run_by_two_processes_is_that_of_one_and_goes_on_after_a_stop(store, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CHECKPOINT_SECONDS", "0")
    X = np.random.default_rng(0).normal(size=(24, 60, 2)).cumsum(axis=1)
    walks = store.datasets.publish_arrays(X, np.arange(24) % 2, name="walks")
    options = {"params": {"n_epochs": 40, "n_scales": 2, "device": "cpu"}, "recipe": "probes:train_only"}
    alone = store.submit("timeseries.CSL", walks, **options)
    whole = store.submit("timeseries.CSL", walks, processes=2, **options)
    broken = store.submit("timeseries.CSL", walks, processes=2, **options)
    worker = Worker(store.dir, ["cpu"])
    for run in (alone, whole):
        worker.run_until_done(run.id)
        assert run.refresh().state == "done", run.refresh().error + run.log()
        worker = Worker(store.dir, ["cpu"])
    until(lambda: worker.tick() or len(broken.refresh().metrics()) > 20)
    broken.cancel()
    until(lambda: worker.tick() or broken.refresh().is_finished)
    assert broken.refresh().state == "cancelled"
    store.queue.retry([broken.id])
    worker.run_until_done(broken.id)
    curves = [run.metrics().drop(columns="time") for run in (alone, whole, broken)]
    np.testing.assert_allclose(curves[1]["value"], curves[0]["value"], rtol=10 * TOLERANCE, atol=1e-5)
    pd.testing.assert_frame_equal(curves[2], curves[1], check_exact=True)
    assert curves[1].duplicated(["name", "step"]).sum() == 0  # told by the first process only
