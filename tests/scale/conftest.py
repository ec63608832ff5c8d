"""A workbench that nodes can reach over HTTP, and workers that know of a cluster."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from workbench import api
from workbench.api.access import Access
from workbench.tokens import Tokens

SUPPORT = Path(__file__).parent.parent / "runs" / "support"
if str(SUPPORT) not in sys.path:
    sys.path.insert(0, str(SUPPORT))

import rig  # noqa: E402


@pytest.fixture(autouse=True)
def importable_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let run processes import the probes, and this package wherever it stands."""
    paths = [str(SUPPORT), str(Path(api.__file__).parents[2])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths), prepend=os.pathsep)


@pytest.fixture
def table(store):
    return rig.publish_table(store)


@pytest.fixture
def url(store) -> Iterator[str]:
    """Address of a server of the store's API on loopback."""
    app = Starlette(routes=api.routes(store, Access(Tokens(store.dir))))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listening.close()
