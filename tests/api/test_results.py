"""What runs leave, downloaded over HTTP; and what their processes used, also of those that were killed."""

import io
import json
import os
import signal
import time

import httpx
import numpy as np
import pandas as pd
import pytest
from starlette.applications import Starlette

from workbench import api
from workbench.api.access import Access
from workbench.runs import usage
from workbench.tokens import Tokens

pytestmark = pytest.mark.anyio
TABLE = pd.DataFrame({"name": ["a", "b", None], "value": [1.5, np.nan, 3.0]})


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def run(store, tmp_path):
    (tmp_path / "page.html").write_text("<script>alert(1)</script>")
    with store.start_run("made") as made:
        made.log(loss=0.5)
        made.log_table("figures", TABLE)
        made.log_artifact(tmp_path / "page.html")
    return store.run(made.id)


@pytest.fixture
def get(store):
    async def send(path, client="127.0.0.1", headers=None):
        app = Starlette(routes=api.routes(store, Access(Tokens(store.dir))))
        transport = httpx.ASGITransport(app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8501") as http:
            return await http.get(path, headers=headers)

    return send


async def test_tables_come_as_json_csv_and_parquet(get, run):
    told = (await get(f"/api/runs/{run.id}/report")).json()
    assert told["tables"] == [{"name": "figures", "rows": 3, "columns": ["name", "value"]}]
    assert told["scores"] == {"loss": 0.5}
    path = f"/api/runs/{run.id}/tables/figures"
    rows = (await get(f"{path}?limit=2&offset=1")).json()["rows"]
    assert rows == [{"name": "b", "value": None}, {"name": None, "value": 3.0}]
    csv = await get(f"{path}?format=csv")
    assert "attachment" in csv.headers["content-disposition"]
    assert pd.read_csv(io.BytesIO(csv.content)).equals(TABLE)
    parquet = await get(f"{path}?format=parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(parquet.content)), TABLE, check_dtype=False)
    for wrong, status in (("figures?format=xlsx", 400), ("none", 404), ("figures?limt=1", 400)):
        answer = await get(f"/api/runs/{run.id}/tables/{wrong}")
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]


async def test_artifacts_are_listed_and_saved_and_nothing_else_is(get, run, store):
    listed = (await get(f"/api/runs/{run.id}/artifacts")).json()["artifacts"]
    assert {each["path"] for each in listed} == set(run.artifacts)
    page = await get(f"/api/runs/{run.id}/artifacts/files/page.html")
    assert page.content == b"<script>alert(1)</script>"
    assert page.headers["content-disposition"].startswith("attachment")  # never a page of this server
    assert page.headers["content-security-policy"] == "sandbox"
    (run.folder / "artifacts" / "link").symlink_to(store.dir.database)
    for name in ("../spec.json", "%2e%2e/spec.json", "files/../../spec.json", "/etc/passwd", "link", "files"):
        answer = await get(f"/api/runs/{run.id}/artifacts/{name}")
        assert answer.status_code == 404, name
    assert (await get(f"/api/runs/{run.id}/artifacts", client="10.0.0.9")).status_code == 401


def test_what_a_killed_process_used_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(usage, "EVERY", 0.01)
    (tmp_path / usage.FILE).write_text(json.dumps({"memory_bytes": 1 << 60}))
    child = os.fork()
    if child == 0:
        usage.Keeper(tmp_path)
        time.sleep(600)
        os._exit(0)
    deadline = time.monotonic() + 30
    while usage.read(tmp_path).get("pid") != child:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = usage.read(tmp_path)
    assert found["memory_bytes"] == 1 << 60  # an earlier attempt's peak
    assert {"device", "gpu", "gpu_memory_bytes", "cpu_seconds", "host"} <= set(found)
