"""The loop, its callbacks, its optimizers and devices."""

import io
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from workbench import training
from workbench.errors import RunError, UsageError
from workbench.timeseries import CSL
from workbench.training import Callback, EarlyStopping, Loop, ProgressBar, callbacks, resolve_device
from workbench.training.fingerprint import fingerprint
from workbench.training.optimizers import make_optimizer


def least_squares(n=50, optimizer="adam", learning_rate=1e-2, **options):
    """A loop over a small regression with dropout and batch normalisation."""
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Dropout(0.3), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    X = torch.randn(n, 4, generator=generator)
    y = X.sum(1, keepdim=True)
    seen = []

    def step(indices):
        seen.append(indices.tolist())
        loss = (model(X[indices]) - y[indices]).square().mean()
        return loss, {"root": loss.sqrt()}

    options = {"n_samples": n, "n_epochs": 4, "batch_size": 8, "generator": generator} | options
    loop = Loop(model, make_optimizer(optimizer, model.parameters(), learning_rate), step, **options)
    loop.seen = seen
    return loop


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, loop):
        self.calls.append("train begin")

    def on_epoch_begin(self, loop):
        self.calls.append(f"epoch {loop.epoch} begin")

    def on_batch_end(self, loop):
        self.calls.append(f"batch {loop.batch}/{loop.n_batches}")

    def on_epoch_end(self, loop):
        assert len(loop.history) == loop.epoch
        self.calls.append(f"epoch {loop.epoch} end")

    def on_train_end(self, loop):
        self.calls.append("train end")


def test_hooks_come_in_order():
    recorder = Recorder()
    least_squares(n=10, n_epochs=2, callbacks=(recorder,)).run()
    epoch = ["batch 1/2", "batch 2/2"]
    assert recorder.calls == [
        *("train begin", "epoch 0 begin", *epoch, "epoch 1 end"),
        *("epoch 1 begin", *epoch, "epoch 2 end", "train end"),
    ]


def test_every_sample_is_seen_once_an_epoch_in_another_order():
    loop = least_squares(n=21, n_epochs=2).run()
    first, second = (list(chain.from_iterable(part)) for part in (loop.seen[:3], loop.seen[3:]))
    assert [len(batch) for batch in loop.seen[:3]] == [8, 8, 5]
    assert sorted(first) == sorted(second) == list(range(21))
    assert first != second
    assert [len(batch) for batch in least_squares(n=21, n_epochs=1, drop_last=True).run().seen] == [8, 8]


def test_history_holds_means_over_the_batches():
    values = iter([1.0, 3.0, 5.0, 9.0])
    model = torch.nn.Linear(1, 1)

    def step(indices):
        value = next(values)
        return model.weight.sum() * 0 + value, {"twice": torch.tensor(2 * value)}

    loop = Loop(
        model,
        make_optimizer("sgd", model.parameters(), 0.1),
        step,
        n_samples=4,
        n_epochs=2,
        batch_size=2,
        generator=torch.Generator(),
    )
    assert loop.run().history == [{"loss": 2.0, "twice": 4.0}, {"loss": 7.0, "twice": 14.0}]


def test_training_learns_and_repeats_itself():
    torch.manual_seed(1)
    first = least_squares(n_epochs=30).run()
    torch.manual_seed(2)
    second = least_squares(n_epochs=30).run()
    assert first.history == second.history
    assert first.history[-1]["loss"] < 0.5 * first.history[0]["loss"]


def test_callbacks_reach_loops_inside_estimators_and_no_further():
    recorder = Recorder()
    X = np.random.default_rng(0).normal(size=(16, 20))
    with callbacks(recorder):
        CSL(n_epochs=2).fit(X)
    assert recorder.calls.count("train end") == 1
    assert "epoch 2 end" in recorder.calls
    CSL(n_epochs=2).fit(X)
    assert recorder.calls.count("train end") == 1


def test_early_stopping_waits_as_long_as_it_was_told():
    loop = least_squares(n_epochs=50, learning_rate=1e-12, optimizer="sgd")
    loop.callbacks = (EarlyStopping("loss", patience=3, min_delta=100.0),)
    assert len(loop.run().history) == 4
    with pytest.raises(UsageError, match=r"cannot watch 'accuracy'.*loss, root"):
        least_squares(callbacks=(EarlyStopping("accuracy"),)).run()


def test_a_diverging_loss_ends_in_one_sentence():
    with pytest.raises(RunError, match="no longer a number in epoch 1: lower the learning rate"):
        least_squares(optimizer="sgd", learning_rate=1e30).run()


def test_gradients_are_clipped():
    loop = least_squares(n_epochs=1, optimizer="sgd", learning_rate=1.0, max_grad_norm=1e-3)
    before = [p.detach().clone() for p in loop.model.parameters()]
    loop.run()
    moved = torch.cat([(a - b).ravel() for a, b in zip(loop.model.parameters(), before, strict=True)]).norm()
    assert 0 < moved <= 1e-3 * loop.n_batches * 1.001


def test_progress_bar_tells_epochs_and_loss(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    least_squares(callbacks=(ProgressBar("CSL"),)).run()
    assert "CSL" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()
    assert "loss=" in terminal.getvalue()


def test_devices_and_optimizers_that_are_not_there():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda")
    for name in ("cuda:99", "abacus"):
        with pytest.raises(UsageError, match=f"no usable device '{name}'"):
            resolve_device(name)
    with pytest.raises(UsageError, match="no optimizer 'magic'"):
        make_optimizer("magic", [torch.nn.Parameter(torch.zeros(1))], 0.1)
    with pytest.raises(UsageError, match="needs a GPU"):
        least_squares(precision="fp16")


def test_fingerprint_tells_work_apart():
    X = np.random.default_rng(0).normal(size=(5, 4))
    reference = fingerprint(CSL(random_state=0), X)
    assert fingerprint(CSL(random_state=0, verbose=3), X.copy()) == reference
    others = [
        fingerprint(CSL(random_state=1), X),
        fingerprint(CSL(random_state=0, n_epochs=3), X),
        fingerprint(LogisticRegression(random_state=0), X),
        fingerprint(CSL(random_state=0), X.reshape(4, 5)),
        fingerprint(CSL(random_state=0), np.where(X[0, 0] == X, 0, X)),
        fingerprint(CSL(random_state=0), X, device="cuda"),
    ]
    assert len({reference, *others}) == 7


def test_importing_the_package_does_not_import_torch():
    code = "import sys, workbench.training, workbench.timeseries.csl; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert training.Checkpoint.__name__ == "Checkpoint"
