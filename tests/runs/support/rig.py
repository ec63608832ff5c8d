"""What tests of runs need: a data set, workers in processes of their own, and patience."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

SUPPORT = Path(__file__).parent


def publish_table(store):
    """Four numeric columns and a label that two of them decide."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["label"] = np.where(X[:, 0] + X[:, 1] > 0, "up", "down")
    return store.datasets.publish_frame(frame, "table", roles={"field": list("abcd"), "label": ["label"]})


def until(condition, timeout=120.0):
    """Wait for `condition` and return what it gave; fail when it does not come true."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


def is_alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Workers:
    """Worker processes of one store; what is left of them is stopped at the end of the block."""

    def __init__(self, store):
        self.store = store
        self.processes = []

    def start(self, slots=("cpu",), lease=2.0, max_deaths=3, **environment):
        code = (
            "from workbench.store import StoreDir\nfrom workbench.runs.worker import Worker\n"
            f"Worker(StoreDir({str(self.store.root)!r}), {list(slots)!r}, lease={lease}, "
            f"max_deaths={max_deaths}).run_forever()"
        )
        self.processes.append(
            subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **environment})
        )
        return self.processes[-1]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
