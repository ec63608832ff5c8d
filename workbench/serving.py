"""Starting things: the pages with a worker beside them, the first start of a store, waiting for a run."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.commands import DEFAULT_PORT
from workbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from workbench.facade import Store
    from workbench.runs import Run

__all__ = ["first_start", "free_port", "serve", "wait_for", "web"]

SAMPLE_RUN = {"estimator": "timeseries.CSL", "data": "BasicMotions", "params": {"n_epochs": 10}}


def serve(store: Store, host: str = "127.0.0.1", port: int | None = None) -> int:
    """Serve the pages in this process and keep a worker in another, until interrupted."""
    if store.dir.read_only:  # there is nothing that a worker could do
        return web(store, host, port)
    command = [sys.executable, "-m", "workbench", "worker", "--store", str(store.root), "--samples"]
    with _kept_alive(command):
        return web(store, host, port)


@contextmanager
def _kept_alive(command: list[str]) -> Iterator[None]:
    """Keep a child process running during the block: started again a second after it was lost."""
    ended = threading.Event()
    child = subprocess.Popen(command)

    def watch() -> None:
        nonlocal child
        while not ended.wait(1.0):
            if child.poll() is not None:
                child = subprocess.Popen(command)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        child.terminate()
        child.wait()


def web(store: Store, host: str = "127.0.0.1", port: int | None = None) -> int:
    """Serve the pages only; prints the address once they answer.

    Raises
    ------
    UsageError
        If the port that was asked for is taken; the sentence offers a free one. Where none was asked
        for, the next free port is taken and said.
    """
    from workbench.gui import server

    chosen = free_port(host, port or DEFAULT_PORT)
    if port is not None and chosen != port:
        raise UsageError(f"Port {port} is in use by another program; {chosen} is free: add --port {chosen}.")
    if chosen != (port or DEFAULT_PORT):
        print(f"Port {DEFAULT_PORT} is in use by another program, so {chosen} is taken.", flush=True)
    address = f"http://{host}:{chosen}"
    threading.Thread(target=_announce, args=(address,), daemon=True).start()
    server.run(store.root, host, chosen)
    return 0


def free_port(host: str, first: int) -> int:
    """The first port from `first` on that nothing listens to."""
    for port in range(first, min(first + 100, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise StoreError(f"No port between {first} and {first + 99} is free on {host}.")


def _announce(address: str) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5):  # noqa: S310  our own http address
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    print(f"Workbench is up: {address}", flush=True)


def first_start(store: Store) -> None:
    """Give a new store its real samples and one short run, so that the home page shows something alive."""
    from workbench.datasets import samples

    if store.datasets.list() or store.runs(limit=1):
        return
    samples.register(store.datasets)
    store.submit(
        SAMPLE_RUN["estimator"],
        str(SAMPLE_RUN["data"]),
        params=SAMPLE_RUN["params"],
        name="A first look: CSL on BasicMotions",
    )


def wait_for(store: Store, run: Run) -> Run:
    """Wait for a run's end; where no worker is alive to start it, be the worker meanwhile."""
    from workbench.runs.worker import Worker, any_alive

    if not any_alive(store.dir):
        Worker(store.dir).run_until_done(run.id)
    return run.wait()
