"""A table to run on, and workers in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.facade import Store

SUPPORT = Path(__file__).parent / "support"


@pytest.fixture(autouse=True)
def probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and the run processes import the probes."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(SUPPORT))


@pytest.fixture
def table(store: Store):
    """Four numeric columns and a label that two of them decide."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["label"] = np.where(X[:, 0] + X[:, 1] > 0, "up", "down")
    return store.datasets.publish_frame(frame, "table", roles={"label": ["label"]})


@pytest.fixture
def start_worker(store: Store) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start workers of the store; whatever of them is left is killed in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(slots: str = "['cpu']", lease: float = 2.0) -> subprocess.Popen[bytes]:
        code = (
            "from workbench.store import StoreDir; from workbench.runs.worker import Worker; "
            f"Worker(StoreDir({str(store.root)!r}), {slots}, lease={lease}).run_forever()"
        )
        started.append(subprocess.Popen([sys.executable, "-c", code]))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in started:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait for `condition`; fails the test when it does not come true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
