"""The API as its clients see it: a Starlette application over a real store."""

import json
import re

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from starlette.applications import Starlette

from workbench import api, models
from workbench.api.access import Access
from workbench.runs import queue, usage
from workbench.tokens import KEY_FILE, Tokens

pytestmark = pytest.mark.anyio
BODY = {"estimator": "timeseries.CSL", "dataset": "waves", "params": {"n_epochs": 2}, "seed": 3}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def waves(store):
    """Ten short series of two classes."""
    X = np.random.default_rng(0).normal(size=(10, 12, 1))
    return store.datasets.publish_arrays(X, np.array(["a", "b"] * 5), name="waves")


@pytest.fixture
def call(store):
    """``await call("GET", path, ...)`` of a server on loopback, or as `local`, `client` and `host` say."""

    async def send(
        method, path, *, local=True, client="127.0.0.1", host="127.0.0.1:8501", hosts=(), **options
    ):
        rules = Access(Tokens(store.dir), local=local, hosts=hosts)
        transport = httpx.ASGITransport(Starlette(routes=api.routes(store, rules)), client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
            return await http.request(method, path, **options)

    return send


@pytest.fixture
def bearer(store):
    """``bearer(write=True)``: the header of a new token."""
    made = iter(range(100))

    def make(write=True, name=None, **options):
        _, text = Tokens(store.dir).create(name or f"t{next(made)}", write=write, **options)
        return {"Authorization": f"Bearer {text}"}

    return make


def sentence(answer, status):
    """The one sentence of an error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    text = answer.json()["error"]
    assert text.endswith((".", "?"))
    assert "Traceback" not in text
    return text


async def test_data_sets_are_listed_described_and_read(call, waves):
    (listed,) = (await call("GET", "/api/datasets")).json()["datasets"]
    assert (listed["ref"], listed["rows"], listed["sha256"]) == ("waves@1", 120, waves.checksum)
    told = (await call("GET", "/api/datasets/waves")).json()
    assert told["profile"]["columns"]
    assert [column["name"] for column in told["columns"]] == [column.name for column in waves.columns]
    rows = (await call("GET", "/api/datasets/waves@1/rows?limit=3&offset=2")).json()["rows"]
    assert len(rows) == 3
    assert rows[0]["value"] == waves.frame()["value"][2]
    got = await call("GET", "/api/datasets/waves/file")
    assert got.content == waves.path.read_bytes()
    assert got.headers["x-checksum-sha256"] == waves.checksum


async def test_a_model_is_asked_for_by_version_or_alias(call, store, tmp_path):
    models.save(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "model")
    for _ in range(2):
        store.models.add(tmp_path / "model", "churn")
    store.models.set_alias("churn@1", "champion")
    found = (await call("GET", "/api/models")).json()["models"]
    assert [(each["ref"], each["aliases"]) for each in found] == [("churn@2", []), ("churn@1", ["champion"])]
    assert (await call("GET", "/api/models/churn@champion")).json()["ref"] == "churn@1"
    assert "called 'best'" in sentence(await call("GET", "/api/models/churn@best"), 404)


async def test_missing_values_are_null(call, store):
    frame = pd.DataFrame({"x": [1.5, np.nan], "when": pd.to_datetime(["2024-01-02", None]), "s": ["a", None]})
    store.datasets.publish_frame(frame, "holes")
    rows = (await call("GET", "/api/datasets/holes/rows")).json()["rows"]
    assert rows[0]["x"] == 1.5
    assert rows[0]["when"].startswith("2024-01-02")
    assert rows[1] == {"x": None, "when": None, "s": None}


async def test_a_run_is_submitted_read_and_cancelled(call, store, waves, bearer):
    mine = bearer(name="ann")
    made = await call("POST", "/api/runs", json=BODY, headers=mine)
    assert made.status_code == 201
    run = store.run(made.json()["id"])
    assert made.headers["location"] == f"/api/runs/{run.id}"
    assert (run.state, run.owner, run.spec["seed"], run.spec["params"]["n_epochs"]) == ("queued", "ann", 3, 2)
    shown = (await call("GET", f"/api/runs/{run.id}")).json()
    assert shown["spec"]["dataset"]["ref"] == "waves@1"
    assert shown["owner"] == "ann"
    assert {"git_commit", "device", "usage"} <= set(shown)
    (listed,) = (await call("GET", "/api/runs?state=queued&dataset=waves")).json()["runs"]
    assert listed["id"] == run.id
    cancelled = await call("POST", f"/api/runs/{run.id}/cancel", headers=mine)
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")


async def test_curves_and_log(call, store, waves):
    run = store.submit("timeseries.CSL", waves)
    queue.claim(store.dir, "w", "cpu", ("cpu", "auto"), lease=60)
    points = [("a/loss", 1, 0.5, 1.0), ("a/loss", 2, None, 2.0), ("b", 1, 7.0, 1.0)]
    landed = ("_peer/k-means/score", 1, 0.5, 1.0)  # the score of a peer that has ended, and no curve
    queue.ingest(store.dir, run.id, "w", start=0, end=1, metrics=[*points, landed], state={})
    (run.folder / "log.txt").write_text("one\ntwo\nthree\n")
    every = (await call("GET", f"/api/runs/{run.id}/metrics")).json()["metrics"]
    assert [(p["name"], p["step"], p["value"]) for p in every] == [p[:3] for p in points]
    later = (await call("GET", f"/api/runs/{run.id}/metrics?name=a/loss&after=1")).json()["metrics"]
    assert [p["step"] for p in later] == [2]
    assert (await call("GET", f"/api/runs/{run.id}/log?tail=2")).text == "two\nthree"


async def test_what_the_process_used_is_told(call, store, waves):
    run = store.submit("timeseries.CSL", waves)
    usage.write(run.folder)
    told = (await call("GET", f"/api/runs/{run.id}")).json()["usage"]
    assert told["memory_bytes"] > 10_000_000
    assert told["device"] == "cpu"


async def test_the_same_key_submits_once(call, store, waves, bearer):
    mine = bearer()
    first = await call("POST", "/api/runs", json=BODY, headers=mine | {"Idempotency-Key": "k1"})
    again = await call("POST", "/api/runs", json=BODY, headers=mine | {"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert len(store.runs()) == 1
    other = await call(
        "POST", "/api/runs", json={**BODY, "seed": 4}, headers=mine | {"Idempotency-Key": "k1"}
    )
    assert "k1" in sentence(other, 409)
    await call("POST", "/api/runs", json=BODY, headers=bearer() | {"Idempotency-Key": "k1"})  # another's key
    await call("POST", "/api/runs", json=BODY, headers=mine)
    assert len(store.runs()) == 3


async def test_two_at_once_with_one_key_are_one_run(store, waves):
    """Both pass the first look; the transaction tells them apart."""
    from workbench.runs.requests import Request

    request = Request("me", "k", "same")
    first = store.submit("timeseries.CSL", waves, request=request)
    spec = {**first.spec, "id": "second"}
    draft = store.dir.tmp / "run-second"
    draft.mkdir()
    columns = {
        "priority": 0,
        "device": "cpu",
        "launcher": "local",
        "parent": None,
        "schedule": None,
        "owner": "",
    }
    assert queue.submit(store.dir, spec, draft, request=request, **columns) == first.id
    assert len(store.runs()) == 1


async def test_a_repeated_cancel_does_not_stop_a_retried_run(call, store, waves, bearer):
    mine = bearer() | {"Idempotency-Key": "stop"}
    run = store.submit("timeseries.CSL", waves)
    await call("POST", f"/api/runs/{run.id}/cancel", headers=mine)
    store.queue.retry(run.id)
    again = await call("POST", f"/api/runs/{run.id}/cancel", headers=mine)
    assert (again.status_code, again.json()["state"]) == (202, "queued")


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"estimator": "os:system"}, 422, "registered"),
        ({"estimator": "timeseries.CLS"}, 422, "timeseries.CLS"),
        ({"estimator": "model:none@1"}, 422, "no model"),
        ({"dataset": "none"}, 422, "none"),
        ({"params": {"epochs": 1}}, 422, "no parameter"),
        ({"params": {"n_epochs": -1}}, 422, "n_epochs"),
        ({"params": {"n_epochs": {"$estimator": "os:system", "params": {}}}}, 422, "n_epochs"),
        ({"params": []}, 422, "object"),
        ({"seed": "1"}, 422, "whole number"),
        ({"seed": True}, 422, "whole number"),
        ({"seed": -1}, 422, "seed"),
        ({"recipe": "os:system"}, 422, "registered"),
        ({"recipe": "none"}, 422, "no recipe"),
        ({"device": "tpu"}, 422, "tpu"),
        ({"split": {"kind": "odd"}}, 422, "odd"),
        ({"split": {"nope": 1}}, 422, "test_size"),
        ({"owner": "root"}, 422, "owner"),
        ({"estimator": "timeseries.TS2Vec", "params": {"batch_size": 64}}, 422, "more than the 7 series"),
    ],
)
async def test_a_body_that_makes_no_sense_queues_nothing(call, store, waves, bearer, change, status, words):
    answer = await call("POST", "/api/runs", json=BODY | change, headers=bearer())
    assert words in sentence(answer, status)
    assert store.runs() == []


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/api/runs/none", {}, 404),
        ("GET", "/api/datasets/none", {}, 404),
        ("GET", "/api/datasets/a%2Fb", {}, 404),
        ("GET", "/api/datasets/..%2F..", {}, 404),
        ("GET", "/api/models/none", {}, 404),
        ("GET", "/api/nothing", {}, 404),
        ("GET", "/api/", {}, 200),
        ("GET", "/api", {}, 200),
        ("PUT", "/api/runs", {}, 405),
        ("GET", "/api/runs/none/cancel", {}, 405),
        ("GET", "/api/runs?limit=ten", {}, 400),
        ("GET", "/api/runs?limit=1001", {}, 400),
        ("GET", "/api/runs?state=odd", {}, 422),
        ("GET", "/api/runs?stat=done", {}, 400),
        ("GET", "/api/runs?limit=1&limit=2", {}, 400),
        ("POST", "/api/runs", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        (
            "POST",
            "/api/runs",
            {"content": b"[" * 100_000, "headers": {"content-type": "application/json"}},
            400,
        ),
        (
            "POST",
            "/api/runs",
            {"content": b'{"seed": NaN}', "headers": {"content-type": "application/json"}},
            400,
        ),
        ("POST", "/api/runs", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
        (
            "POST",
            "/api/runs",
            {"content": b" " * (1 << 21), "headers": {"content-type": "application/json"}},
            413,
        ),
        ("POST", "/api/runs", {"json": []}, 400),
        ("POST", "/api/runs", {"json": {}}, 422),
        ("POST", "/api/runs/none/cancel", {}, 404),
    ],
)
async def test_every_error_is_one_sentence_with_its_status(call, bearer, method, path, options, status):
    options = {**options, "headers": {**options.get("headers", {}), **bearer()}}
    answer = await call(method, path, **options)
    if status == 200:
        assert answer.status_code == 200
    else:
        sentence(answer, status)
    if status == 405:
        assert answer.headers["allow"]


async def test_an_unforeseen_failure_and_a_broken_store_are_sentences(call, store, monkeypatch):
    monkeypatch.setattr("workbench.facade.Store.runs", lambda *a, **k: 1 / 0)
    assert "web.log" in sentence(await call("GET", "/api/runs"), 500)
    with store.dir.write() as db:
        db.execute("DROP TABLE models")
    assert "store" in sentence(await call("GET", "/api/models"), 503)


# --- who may do what ----------------------------------------------------------------------------

ROUTES = ["/api", "/api/runs", "/api/datasets", "/api/models", "/api/nothing", "/metrics"]


@pytest.mark.parametrize("path", ROUTES)
async def test_beyond_this_machine_nothing_is_told_without_a_token(call, path, bearer):
    for options in (
        {"local": False},
        {"client": "192.168.1.9"},
        {"headers": {"X-Forwarded-For": "1.2.3.4"}},
        {"headers": {"Authorization": "Bearer wb_00000000_wrong"}},
        {"headers": {"Authorization": "Basic YTpi"}},
    ):
        answer = await call("GET", path, **options)
        sentence(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    allowed = await call("GET", path, local=False, client="192.168.1.9", headers=bearer(write=False))
    assert allowed.status_code == (404 if path == "/api/nothing" else 200)


async def test_changing_needs_a_token_that_may_write(call, store, waves, bearer):
    sentence(await call("POST", "/api/runs", json=BODY), 401)
    assert "only read" in sentence(
        await call("POST", "/api/runs", json=BODY, headers=bearer(write=False)), 403
    )
    assert store.runs() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8501"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "192.168.1.5"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://127.0.0.1:85[01"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_foreign_hosts_and_origins_are_refused_even_with_a_token(call, headers, bearer):
    sentence(await call("GET", "/api/runs", headers=headers | bearer()), 403)


@pytest.mark.parametrize("host", ["localhost", "[::1]:8501", "127.0.0.1"])
async def test_its_own_pages_may_ask(call, host):
    origin = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert (await call("GET", "/api/runs", host=host, headers=origin)).status_code == 200


async def test_beyond_loopback_names_must_be_listed(call, bearer):
    far = {"local": False, "client": "10.0.0.9"}
    assert (await call("GET", "/api", host="10.0.0.2", headers=bearer(), **far)).status_code == 200
    sentence(await call("GET", "/api", host="lab.example", headers=bearer(), **far), 403)
    named = await call("GET", "/api", host="lab.example", hosts=["lab.example"], headers=bearer(), **far)
    assert named.status_code == 200


async def test_a_revoked_or_expired_token_ends_at_once(call, store, bearer):
    mine = bearer(name="old")
    assert (await call("GET", "/api", headers=mine)).status_code == 200
    Tokens(store.dir).revoke("old")
    sentence(await call("GET", "/api", headers=mine), 401)
    brief = bearer(days=1e-9)
    sentence(await call("GET", "/api", headers=brief), 401)


# --- figures ------------------------------------------------------------------------------------

SAMPLE = re.compile(r'^([a-z_]+)(?:\{([a-z_]+)="([^"]*)"\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$')


async def test_metrics_are_prometheus_text(call, store, waves):
    store.submit("timeseries.CSL", waves)
    done = store.submit("timeseries.CSL", waves, priority=5)
    queue.claim(store.dir, "w", "cpu", ("cpu", "auto"), lease=60)
    queue.finish(store.dir, done.id, "w", "done")
    answer = await call("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found, typed = {}, set()
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("# HELP "):
            name, _, label, value = SAMPLE.match(line).groups()
            assert name in typed
            found[name, label] = float(value)
    assert answer.text.endswith("\n")
    assert found["workbench_runs", "queued"] == 1
    assert found["workbench_runs", "done"] == 1
    assert found["workbench_runs", "failed"] == 0
    assert found["workbench_datasets", None] == 1
    assert found["workbench_dataset_bytes", None] == waves.n_bytes
    assert found["workbench_queue_oldest_seconds", None] >= 0
    assert found["workbench_disk_free_bytes", None] > 0


async def test_no_secret_is_in_the_store(store):
    _, text = Tokens(store.dir).create("ann")
    secret = text.split("_", 2)[2]
    for path in store.root.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()
    assert (store.root / KEY_FILE).stat().st_mode & 0o777 == 0o600
    digest = store.dir.connection.execute("SELECT digest FROM tokens").fetchone()[0]
    assert re.fullmatch("[0-9a-f]{64}", digest)


async def test_the_documented_routes_are_the_routes(store):
    from starlette.routing import Mount

    from workbench.gui.config import ROOT

    documented = set(re.findall(r"`(?:GET|POST) (/\S+)`", (ROOT / "docs" / "api.md").read_text()))
    documented |= {"/api/runs"} if "`POST /api/runs`" in (ROOT / "docs" / "api.md").read_text() else set()
    plain = {
        path.replace("NAME[@VERSION]", "{ref}")
        .replace("ID", "{id}")
        .replace("/NAME", "/{name}")
        .replace("/PATH", "/{path:path}")
        for path in documented
        if path != "/healthz"
    }
    served = {"/api", "/metrics"}
    for route in api.routes(store, Access(Tokens(store.dir))):
        if isinstance(route, Mount) and route.path == "/api":  # what nodes are given is not for people
            served |= {f"/api{inner.path}".rstrip("/") for inner in route.app.app.routes}
    assert plain == served


def test_tokens_in_the_command_line(store, capsys):
    from workbench.cli import main

    at = ["--store", str(store.root), "token"]
    assert main([*at, "create", "night", "--write", "--days", "7"]) == 0
    text = capsys.readouterr().out.strip()
    token = Tokens(store.dir).check(text)
    assert (token.name, token.scope) == ("night", "write")
    assert main([*at, "create", "night"]) == 2
    assert main([*at, "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["id"] == token.id
    assert "digest" not in listed
    assert main([*at, "revoke", "night"]) == 0
    assert Tokens(store.dir).check(text) is None
    assert main([*at, "revoke", "night"]) == 2
