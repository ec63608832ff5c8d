"""Pre-training on several data sets, then a task: what is learnt from, and what the scores are of."""

import numpy as np
import pytest
from aeon.datasets import load_basic_motions

from workbench.runs.worker import Worker

pytestmark = pytest.mark.slow

BY_HAND = {
    "$estimator": "timeseries.TS2Vec",
    "params": {"n_epochs": 1, "n_features": 16, "n_hidden": 8, "depth": 3},
}


@pytest.fixture
def motions(store):
    """Two data sets of motions, of 25 and of 20 steps."""
    for name, part, steps in (("first", "train", 25), ("second", "test", 20)):
        X, y = load_basic_motions(split=part)
        store.datasets.publish_arrays(X.transpose(0, 2, 1)[:, ::4][:, :steps], y, name=name)
    return store


def run(store, **params):
    asked = {"data": "first", "more": ["second"], "estimator": "timeseries.UniTSClassifier", **params}
    started = store.pipelines.run("units", asked)
    Worker(store.dir, ["cpu"]).run_until_done(started.id)
    done = started.refresh()
    assert done.state == "done", (done.error, done.log())
    task = next(one for one in store.runs(limit=None) if one.name == "units: task")
    return done, task


def test_others_are_pretrained_on_and_never_tested(motions):
    done, task = run(motions, params={"encoders": [BY_HAND], "penalty": 1.0})
    assert task.dataset == "first-joined@1"
    series = motions.dataset("first-joined").to_series()
    assert series.X.shape == (80, 25, 6)
    tested = task.report().tables["probabilities"]["id"]
    assert len(tested) == 12
    assert all(name.startswith("first/") for name in tested)
    assert task.spec["params"]["encoders"][0]["params"]["n_epochs"] == 1
    assert done.scores["test_accuracy"] == task.scores["test_accuracy"]


def test_others_are_the_target_of_a_shift(motions):
    done, task = run(motions, params={"encoders": [BY_HAND], "penalty": 1.0}, domain=True)
    tested = task.report().tables["probabilities"]["id"]
    assert all(name.startswith("second/") for name in tested)
    assert np.isfinite(done.scores["source_accuracy"])


def test_a_searched_encoder_is_used_as_it_was_found(motions):
    _, task = run(motions, more=[], params={"encoders": "TSTCC", "penalty": 1.0}, smart=["TSTCC"], trials=2)
    (encoder,) = task.spec["params"]["encoders"]
    trials = [one for one in motions.runs(limit=None) if one.name.startswith("units: TSTCC trial")]
    assert trials
    assert all(one.spec["split"]["inner"] for one in trials)
    assert encoder["params"].get("n_epochs", 10) == 10  # as in the last rung, which is the default
    assert task.dataset == "first@1"
