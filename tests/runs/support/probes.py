"""Estimators and recipes that run processes import: each shows one thing about the process it is in."""

import errno
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from workbench.report import Report


def boot_clock():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Plain:
    """What a run asks of an estimator, without the second that importing scikit-learn takes."""

    _recipe = "probes:just_fit"

    def get_params(self, deep=True):
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}


class Sleeper(Plain):
    """Fits for some seconds, and writes down every 10 ms that it is at it."""

    def __init__(self, seconds=0.0, children=0, deaf=False, device="auto"):
        self.seconds = seconds
        self.children = children
        self.deaf = deaf
        self.device = device

    def fit(self, X=None, y=None):
        if self.deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for i in range(self.children):
            # One stays in the process group, the next leaves it for a session of its own.
            command = [sys.executable, "-c", "import time; time.sleep(600)"]
            child = subprocess.Popen(command, start_new_session=bool(i % 2))
            with open("children.txt", "a") as file:
                print(child.pid, file=file)
        end = time.monotonic() + self.seconds
        with open("beats.txt", "a") as file:
            while True:
                print(os.getpid(), boot_clock(), file=file, flush=True)
                if time.monotonic() >= end:
                    break
                time.sleep(0.01)
        self.environment_ = {
            name: os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
        }
        return self


class Looker(Plain):
    """Tells what it sees in a folder."""

    def __init__(self, folder=""):
        self.folder = folder

    def fit(self, X=None, y=None):
        self.environment_ = sorted(os.listdir(self.folder))
        return self


class Failing(Plain):
    """Fails in the way that is asked for."""

    def __init__(self, how="value"):
        self.how = how

    def fit(self, X=None, y=None):
        if self.how == "value":
            raise ValueError("the third column\nis constant")
        if self.how == "memory":
            raise MemoryError
        if self.how == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.how == "exit":
            os._exit(3)
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "folder":
            import shutil

            shutil.rmtree(Path.cwd())
            time.sleep(30)
        if self.how == "fill":
            Path("filler.bin").write_bytes(bytes(64 << 20))
        return self


def just_fit(estimator, data, split, seed, reporter):
    """Fit without data."""
    with reporter.stage("fit"):
        estimator.fit()
    environment = getattr(estimator, "environment_", {})
    return Report("probes:just_fit", f"Fitted. {json.dumps(environment)}", {"seed": float(seed)})


def count_metrics(estimator, data, split, seed, reporter):
    """Report 2,000 points of a curve in two planned stages."""
    reporter.plan({"one": 1.0, "two": 3.0})
    for number, name in enumerate(("one", "two")):
        with reporter.stage(name):
            for step in range(1000):
                reporter.metric(f"{name}/loss", step / 1000, step)
                reporter.progress(step + 1, 1000)
            reporter.metric("undefined", float("nan"), number)
    return Report("probes:count_metrics", "Counted.", {"points": 2000.0, "nothing": float("nan")})


def beat_and_count(estimator, data, split, seed, reporter):
    """Be at it, and report a point of a curve for every tenth of a second."""
    with reporter.stage("fit"):
        for step in range(10):
            Sleeper(estimator.seconds / 10).fit()
            reporter.metric("fit/loss", step, step)
            reporter.progress(step + 1, 10)
    return Report("probes:beat_and_count", "Counted.", {"steps": 10.0})


def train_only(estimator, data, split, seed, reporter):
    """Fit an estimator on all series."""
    with reporter.stage("train"):
        estimator.fit(data.to_series().X)
    return Report("probes:train_only", "Trained.", {}, estimator=estimator)


class Paced(Plain):
    """Takes a known time for each row, and for each row of each epoch."""

    _recipe = "probes:fit_table"

    def __init__(self, n_epochs=10, row_epoch=0.0, row=0.0):
        self.n_epochs, self.row_epoch, self.row = n_epochs, row_epoch, row

    def fit(self, X, y=None):
        time.sleep(len(X) * (self.row + self.n_epochs * self.row_epoch))
        return self


def fit_table(estimator, data, split, seed, reporter):
    """A recipe that reads the table."""
    estimator.fit(data.to_table().X)
    return Report("probe", "Fitted.", {}, {}, estimator)
