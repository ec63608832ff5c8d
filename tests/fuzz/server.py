"""Targets that ask the server: the API by its ASGI application, the pages by Streamlit's own test harness."""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, unquote_to_bytes

import pandas as pd

import workbench as wb
from workbench import errors
from workbench.facade import Store

Made = tuple[Sequence[bytes], Callable[[bytes], object]]
HOST = b"127.0.0.1:8501"
MOST = 500  # runs that are left waiting


def _store(folder: Path) -> Store:
    store = wb.open(folder / "store")
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [0, 1, 0, 1], "value": [0.5, 1.0, None, 2.0]})
    store.datasets.publish_frame(frame, "waves")
    return store


class _Client:
    """Sends requests to the API of a store, with a token that may write."""

    def __init__(self, store: Store) -> None:
        from starlette.applications import Starlette

        from workbench import api
        from workbench.api.access import Access
        from workbench.tokens import Tokens

        _, token = Tokens(store.dir).create("fuzz", write=True)
        self._headers = [(b"host", HOST), (b"authorization", b"Bearer " + token.encode())]
        self._loop = asyncio.Runner()  # one for all: to make one takes longer than most answers
        weakref.finalize(self, self._loop.close)
        self._app = Starlette(routes=api.routes(store, Access(Tokens(store.dir))))

    def ask(self, method: str, target: bytes, body: bytes = b"", headers: Any = None) -> int:
        """The status; an answer must not be a failure that was not foreseen, and an error is a sentence."""
        path, _, query = target.partition(b"?")
        path = quote_from_bytes(path, safe="/%:@!$&'()*+,;=").encode()  # what is no ASCII never comes so far
        sent = self._headers if headers is None else headers
        scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": unquote_to_bytes(path).decode(errors="replace"), "raw_path": path,
            "query_string": query, "headers": [*sent, (b"content-type", b"application/json")],
            "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8501),
        }  # fmt: skip
        found: dict[str, Any] = {"status": 0, "body": b""}

        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            await asyncio.Event().wait()  # for a sender that goes away, which this one does not
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                found["status"] = message["status"]
            else:
                found["body"] += message.get("body", b"")

        self._loop.run(self._app(scope, receive, send))
        status: int = found["status"]
        assert 200 <= status < 500, (status, found["body"][:500])
        # A path with a line break is under no mount of Starlette's, and so none of the API's business.
        if status >= 400 and scope["path"].startswith("/api/") and "\n" not in scope["path"]:
            told = json.loads(found["body"])
            assert list(told) == ["error"], told
            assert "\n" not in told["error"], told
        return status


def body(folder: Path) -> Made:
    """The JSON of a run that is asked for."""
    store = _store(folder)
    client = _Client(store)
    seeds = [
        {
            "estimator": "timeseries.CSL",
            "dataset": "waves",
            "params": {"n_epochs": 2, "device": "cpu"},
            "seed": 3,
        },
        {"estimator": "timeseries.CSL", "dataset": "waves@1", "split": {"kind": "random", "test_size": 0.3}},
        {"estimator": "model:a@1", "dataset": "waves", "name": "b", "priority": 2, "recipe": "apply"},
    ]
    made = 0

    def take(content: bytes) -> None:
        nonlocal made
        made += client.ask("POST", b"/api/runs", content) == 201
        if made >= MOST:
            waiting = [run.id for run in store.runs(limit=None)]
            store.queue.cancel(waiting)
            store.queue.delete(waiting)
            made = 0

    return [json.dumps(seed).encode() for seed in seeds], take


def address(folder: Path) -> Made:
    """The path and the query of everything that can be read."""
    store = _store(folder)
    client = _Client(store)
    run = store.submit("timeseries.CSL", "waves").id
    seeds = [
        "/api/datasets?name=waves", "/api/datasets/waves@1", "/api/datasets/waves@1/rows?limit=3&offset=1",
        "/api/datasets/waves/file", "/api/runs?state=queued&limit=5&dataset=waves", f"/api/runs/{run}",
        f"/api/runs/{run}/metrics?name=loss&after=3", f"/api/runs/{run}/log?tail=4",
        f"/api/runs/{run}/report",
        f"/api/runs/{run}/tables/t?format=csv&limit=3&offset=1", f"/api/runs/{run}/artifacts",
        f"/api/runs/{run}/artifacts/report/report.json", "/api/models/a@1", "/api/models", "/metrics",
        f"/api/nodes/{run}/append/log.txt?offset=5",
    ]  # fmt: skip
    return [seed.encode() for seed in seeds], lambda content: client.ask("GET", content)


def headers(folder: Path) -> Made:
    """Headers, one in a line."""
    client = _Client(_store(folder))

    def take(content: bytes) -> None:
        lines = [line.partition(b": ") for line in content.split(b"\n")]
        client.ask("POST", b"/api/runs", b"{}", [(name.lower(), value) for name, _, value in lines])

    return [
        b"host: 127.0.0.1:8501\norigin: http://127.0.0.1:8501\nidempotency-key: a1",
        b"host: localhost:8501\nauthorization: Bearer wb_0a1b2c3d_secret\nsec-fetch-site: same-origin",
        b"host: [::1]:8501\nx-forwarded-for: 10.0.0.1\nauthorization: Basic YTpi",
    ], take


PAGES = (
    b"datasets?data=waves@1&view=Profile", b"sql?sql=SELECT 1&view=Table",
    b'prepare?data=waves&recipe={"steps":[]}', b"labels?data=waves@1", b"storage?view=Retention",
    b"time_series?data=waves@1&task=represent&estimator=CSL", b"runs?state=done&text=a", b"run?run=abc",
    b"compare?runs=abc,def&score=accuracy&view=Scores", b"models?model=a@1", b"search?search=abc",
    b"pipelines?pipeline=nightly&date=2026-01-01", b"notebooks?notebook=a",
    b"selection?data=waves@1", b"modality?data=waves@1", b"bidding?data=waves@1",
)  # fmt: skip


def page(folder: Path) -> Made:
    """The address of a view: a page opens, says what is wrong, and never fails."""
    from streamlit.testing.v1 import AppTest

    from workbench.gui.config import PAGES as SCRIPTS

    os.environ["WORKBENCH_STORE"] = str(_store(folder).root)
    expected = set(errors.__all__)

    def take(content: bytes) -> None:
        name, _, query = content.decode(errors="replace").partition("?")
        if not name.isidentifier() or not (SCRIPTS / f"{name}.py").exists():
            return
        app = AppTest.from_file(SCRIPTS / f"{name}.py", default_timeout=60)
        for key, value in parse_qsl(query, keep_blank_values=True):
            app.query_params[key] = value
        app.run()
        for failure in app.exception:  # the frame around the pages says it in a sentence
            assert failure.proto.type.rpartition(".")[2] in expected, (failure.proto.type, failure.message)
        for error in app.error:
            assert "did not foresee" not in error.value

    return PAGES, take
