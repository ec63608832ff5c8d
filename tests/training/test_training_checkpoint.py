"""A training that is stopped anywhere and continued equals one that never stopped, bit for bit."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from test_training_loop import least_squares

from workbench.errors import CheckpointError
from workbench.timeseries import CSL
from workbench.training import Callback, Checkpoint, EarlyStopping, Stopped, callbacks

N_BATCHES = 28  # 4 epochs of 7


class StopAfter(Callback):
    """Interrupts after so many batches."""

    def __init__(self, batches):
        self.left = batches

    def on_batch_end(self, loop):
        self.left -= 1
        if self.left == 0:
            loop.interrupt()


class CountEpochs(Callback):
    def __init__(self):
        self.epochs = self.batches = 0

    def on_batch_end(self, loop):
        self.batches += 1

    def on_epoch_end(self, loop):
        self.epochs += 1


def weights(loop):
    return {name: value.clone() for name, value in loop.model.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("batches", [1, 6, 7, 8, 20, N_BATCHES])
def test_resumed_equals_uninterrupted(tmp_path, optimizer, batches):
    reference = least_squares(optimizer=optimizer, fingerprint="f").run()
    with pytest.raises(Stopped):
        least_squares(
            optimizer=optimizer, fingerprint="f", callbacks=(StopAfter(batches), Checkpoint(tmp_path))
        ).run()
    count = CountEpochs()
    resumed = least_squares(
        optimizer=optimizer, fingerprint="f", callbacks=(Checkpoint(tmp_path), count)
    ).run()
    assert_same(weights(resumed), weights(reference))
    assert resumed.history == reference.history
    assert count.batches == N_BATCHES - batches


def test_interrupted_at_every_batch_in_turn(tmp_path):
    reference = least_squares(fingerprint="f").run()
    stops = 0
    while True:
        loop = least_squares(fingerprint="f", callbacks=(Checkpoint(tmp_path), StopAfter(1)))
        try:
            loop.run()
            break
        except Stopped:
            stops += 1
    assert stops == N_BATCHES
    assert_same(weights(loop), weights(reference))


def test_a_finished_training_is_restored_without_an_epoch(tmp_path):
    reference = least_squares(fingerprint="f", callbacks=(Checkpoint(tmp_path),)).run()
    count = CountEpochs()
    again = least_squares(fingerprint="f", callbacks=(Checkpoint(tmp_path), count)).run()
    assert count.batches == 0
    assert_same(weights(again), weights(reference))
    assert again.history == reference.history


def test_early_stopping_is_remembered(tmp_path):
    options = {"n_epochs": 30, "learning_rate": 1e-12, "fingerprint": "f"}
    stopping = EarlyStopping(patience=5, min_delta=100.0)
    with pytest.raises(Stopped):
        least_squares(callbacks=(stopping, Checkpoint(tmp_path), StopAfter(20)), **options).run()
    for _ in range(2):
        loop = least_squares(
            callbacks=(EarlyStopping(patience=5, min_delta=100.0), Checkpoint(tmp_path)), **options
        )
        assert len(loop.run().history) == 6


def test_only_the_last_two_states_are_kept_and_no_rubbish(tmp_path):
    rubbish = tmp_path / "fit-000" / ".writing-00000009"
    rubbish.mkdir(parents=True)
    (rubbish / "state.json").write_text("{")
    least_squares(callbacks=(Checkpoint(tmp_path, every=0.0),)).run()
    kept = sorted(p.name for p in (tmp_path / "fit-000").iterdir())
    assert len(kept) == 2
    assert all(name.isdigit() for name in kept)
    files = {p.name for p in (tmp_path / "fit-000" / kept[-1]).iterdir()}
    assert files == {"state.json", "tensors.safetensors"}


def test_saves_no_more_often_than_asked(tmp_path):
    least_squares(callbacks=(Checkpoint(tmp_path, every=3600.0),)).run()
    assert len(list((tmp_path / "fit-000").iterdir())) == 1


def test_each_training_of_a_stage_has_its_own_state(tmp_path):
    X = np.random.default_rng(0).normal(size=(16, 20))

    def stage():
        with callbacks(Checkpoint(tmp_path)):
            return [CSL(n_epochs=2, random_state=seed).fit(X) for seed in (0, 1)]

    first, second = stage()
    again, other = stage()
    assert again.history_ == first.history_ != second.history_ == other.history_


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "nest"])
def test_a_damaged_state_is_refused_in_one_sentence(tmp_path, name, damage):
    least_squares(callbacks=(Checkpoint(tmp_path),)).run()
    (file,) = tmp_path.rglob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "delete":
        file.unlink()
    else:
        file.write_bytes({"flip": content, "cut": content[:-9], "nest": b"[" * 100_000}[damage])
    with pytest.raises(CheckpointError) as raised:
        least_squares(callbacks=(Checkpoint(tmp_path),)).run()
    assert str(file) in str(raised.value)
    assert "runs retry --fresh" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_of_other_work_is_refused(tmp_path):
    X = np.random.default_rng(0).normal(size=(16, 20))
    with callbacks(Checkpoint(tmp_path)):
        CSL(n_epochs=1, random_state=0).fit(X)
    for model, data in ((CSL(n_epochs=2, random_state=0), X), (CSL(n_epochs=1, random_state=0), X + X[::-1])):
        with callbacks(Checkpoint(tmp_path)), pytest.raises(CheckpointError, match="other parameters, data"):
            model.fit(data)


SMALL = {"n_scales": 2, "n_shapelets": 12, "random_state": 0}


@pytest.fixture(scope="module")
def uninterrupted(basic_motions):
    """Three epochs of five batches."""
    return CSL(n_epochs=3, **SMALL).fit(basic_motions)


@pytest.mark.parametrize("batches", [1, 5, 8, 13])
def test_csl_interrupted_and_continued_is_the_same_model(tmp_path, basic_motions, uninterrupted, batches):
    with pytest.raises(Stopped), callbacks(StopAfter(batches), Checkpoint(tmp_path)):
        CSL(n_epochs=3, **SMALL).fit(basic_motions)
    with callbacks(Checkpoint(tmp_path)):
        resumed = CSL(n_epochs=3, **SMALL).fit(basic_motions)
    assert resumed.history_ == uninterrupted.history_
    for name, value in uninterrupted.state_.items():
        np.testing.assert_array_equal(resumed.state_[name], value)


def test_csl_killed_and_continued_is_the_same_model(tmp_path, basic_motions):
    reference = CSL(n_epochs=5, **SMALL).fit(basic_motions)
    np.save(tmp_path / "X.npy", basic_motions)
    code = f"""
import sys, numpy as np, torch
from workbench.timeseries import CSL
from workbench.training import Checkpoint, callbacks
torch.set_num_threads(1)
with callbacks(Checkpoint(sys.argv[1] + "/checkpoint", every=0.0)):
    CSL(n_epochs=5, **{SMALL!r}).fit(np.load(sys.argv[1] + "/X.npy"))
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    home, deadline = tmp_path / "checkpoint" / "fit-000", time.monotonic() + 300
    while not list(home.glob("0000001?")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    count = CountEpochs()
    with callbacks(Checkpoint(tmp_path / "checkpoint"), count):
        resumed = CSL(n_epochs=5, **SMALL).fit(basic_motions)
    assert 0 < count.batches < 5 * 5
    assert resumed.history_ == reference.history_
    for name, value in reference.state_.items():
        np.testing.assert_array_equal(resumed.state_[name], value)
