"""The server and the browser of the load benchmark."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

#: Milliseconds since the address was entered, once the page's title is there; false before.
TITLE = """() => {
    const title = document.querySelector('[data-testid=stMain] h1');
    return title && title.getBoundingClientRect().height > 0 ? performance.now() : false;
}"""
RUNNING = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    return !app || ['initial', 'running'].includes(app.dataset.testScriptState);
}"""


def pages(store: Path) -> dict[str, str]:
    """Every page with an address that shows something of this store."""
    import workbench as wb
    from benchmarks._load_store import BIG

    runs = [run for run in wb.open(store).runs(limit=50) if run.state == "done"]
    chosen = {
        "home": "/",
        "datasets": "/datasets",
        "datasets, 50 M rows": f"/datasets?data={BIG}@1",
        "run": f"/run?run={runs[0].id}",
        "compare": f"/compare?runs={runs[0].id},{runs[1].id}",
    }
    names = (
        "sql prepare labels time-series selection modality bidding pipelines runs models notebooks storage"
    )
    return chosen | {name: f"/{name}" for name in names.split()}


@contextmanager
def serving(store: Path, workers: int = 0) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A page server over `store` and so many workers: its address, and the processes, the server first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [["web", "--port", str(port)], *([["worker"]] * workers)]
    environment = os.environ | {
        "WORKBENCH_STORE": str(store.resolve()),
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    }
    log = open(store.parent / "load-server.txt", "wb")  # noqa: SIM115 - the processes outlive a block
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "workbench", *arguments], env=environment, stdout=log, stderr=log
        )
        for arguments in words
    ]
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, processes[0])
        yield address, processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        log.close()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                raise SystemExit("the page server ended: see load-server.txt beside the store") from None
            time.sleep(0.1)
    raise SystemExit("the page server did not answer")
