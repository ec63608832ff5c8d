"""The process that does a run on a machine which does not mount the store."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile

import httpx
import pytest
from rig import until

from workbench.runs import queue
from workbench.tokens import run_of_token, run_token


@pytest.fixture
def start(store, url, tmp_path):
    """``start(run)``: claim a run as a worker would, and start its node; its folder is ``tmp_path/node``."""
    started = []

    def begin(run, **settings):
        row = queue.claim(store.dir, "worker", "ray", ("auto", "cpu", "cuda"), lease=600, launchers=("ray",))
        assert row["id"] == run.id
        environment = {
            **os.environ,
            "WORKBENCH_NODE_URL": url,
            "WORKBENCH_NODE_RUN": run.id,
            "WORKBENCH_NODE_ATTEMPT": str(row["attempt"]),
            "WORKBENCH_NODE_TOKEN": run_token(store.dir, run.id, row["attempt"]),
            "WORKBENCH_NODE_DIR": str(tmp_path / "node"),
            "WORKBENCH_NODE_SEND": "0",
            **settings,
        }
        command = [sys.executable, "-m", "workbench", "node"]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def result(run):
    return json.loads((run.folder / "result.json").read_text())


def test_a_run_comes_back_whole_and_its_data_stay_in_the_cache(store, table, start, tmp_path):
    run = store.submit("sklearn.linear_model:LogisticRegression", table, launcher="ray")
    node = start(run)
    assert node.wait(120) == 0, node.communicate()
    assert result(run)["state"] == "done"
    assert result(run)["scores"]["test_accuracy"] > 0.8
    queue.finish(store.dir, run.id, "worker", "done")
    assert run.refresh().report().scores == result(run)["scores"]
    assert run.refresh().estimator().score(table.to_table().X, table.to_table().y) > 0.8
    assert "attempt 1" in run.log()
    assert run.usage["memory_bytes"] > 1 << 20
    assert '"stage": "fit"' in (run.folder / "events.jsonl").read_text()
    (kept,) = (tmp_path / "node" / "datasets").glob("*.duckdb")
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == table.checksum
    assert not list((tmp_path / "node" / "runs").iterdir())

    # A second run takes the file from the cache; one that was tampered with is fetched again.
    before = kept.stat().st_ino
    again = store.submit("probes:Sleeper", table, launcher="ray")
    assert start(again).wait(120) == 0
    assert kept.stat().st_ino == before
    queue.finish(store.dir, again.id, "worker", "done")
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    third = store.submit("probes:Sleeper", table, launcher="ray")
    assert start(third).wait(120) == 0
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == table.checksum
    assert result(third)["state"] == "done"


def test_a_cancelled_run_stops_its_processes_and_a_superseded_one_changes_nothing(store, table, start):
    run = store.submit("probes:Sleeper", table, params={"seconds": 600, "children": 2}, launcher="ray")
    node = start(run)
    until(lambda: "stage fit" in run.log())
    run.cancel()
    assert node.wait(60) == 128 + signal.SIGTERM
    assert not (run.folder / "result.json").exists()
    queue.finish(store.dir, run.id, "worker", "cancelled")

    store.queue.retry([run.id])
    late = start(run)
    until(lambda: run.log().count("stage fit") == 2)
    with store.dir.write() as db:
        db.execute("UPDATE runs SET attempt = attempt + 1")
    assert late.wait(60) == os.EX_TEMPFAIL
    assert not (run.folder / "result.json").exists()


def test_a_node_with_a_wrong_token_or_address_says_so(store, table, start):
    run = store.submit("probes:Sleeper", table, launcher="ray")
    node = start(run, **dict.fromkeys(["WORKBENCH_NODE_TOKEN"], "wbn_x_1_y"))
    assert node.wait(60) == os.EX_TEMPFAIL
    assert "does not open this run" in node.stderr.read()
    queue.release(store.dir, run.id, "worker")
    node = start(run, WORKBENCH_NODE_URL="http://127.0.0.1:9", WORKBENCH_NODE_PATIENCE="0")
    assert node.wait(60) == 1
    assert "cannot be reached" in node.stderr.read()


def archive(*members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    return file.getvalue()


def test_a_node_can_do_nothing_but_its_own_run(store, table, url):
    mine, other = (store.submit("probes:Sleeper", table, launcher="ray", name=n) for n in ("a", "b"))
    queue.claim(store.dir, "worker", "ray", ("cpu", "auto"), lease=600, launchers=("ray",))
    token = run_token(store.dir, mine.id, 1)
    assert run_of_token(store.dir, token) == mine.id
    assert run_of_token(store.dir, token.replace("_1_", "_2_")) is None
    assert run_of_token(store.dir, run_token(store.dir, mine.id, 2)) is None
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
        assert http.get(f"/api/nodes/{mine.id}").json()["cancel"] is False
        assert http.get(f"/api/nodes/{other.id}").status_code == 401
        assert http.get("/api/runs").status_code == 401  # it is no token of the API
        assert http.get(f"/api/nodes/{mine.id}", headers={"Host": "evil.example"}).status_code == 403
        append = f"/api/nodes/{mine.id}/append"
        for _ in range(2):  # the second time because an answer was lost: it is not entered twice
            answer = http.post(f"{append}/log.txt?offset=0", content=b"one\n")
            assert answer.json()["length"] == 4
        assert http.post(f"{append}/log.txt?offset=2", content=b"one\n").status_code == 409
        assert (mine.folder / "log.txt").read_bytes() == b"one\n"
        assert http.post(f"{append}/spec.json?offset=0", content=b"x").status_code == 404
        for name, content, status in (
            ("usage.json", b"{}", 200),
            ("spec.json", b"{}", 404),
            ("artifacts", b"no tar", 422),
            ("artifacts", archive(("../../out", tarfile.REGTYPE, "")), 422),
            ("artifacts", archive(("/etc/out", tarfile.REGTYPE, "")), 200),  # taken as etc/out, inside
            ("artifacts", archive(("link", tarfile.SYMTYPE, "/etc/passwd")), 422),
            ("artifacts", archive(("pipe", tarfile.FIFOTYPE, "")), 422),
        ):
            digest = hashlib.sha256(content).hexdigest()
            answer = http.put(
                f"/api/nodes/{mine.id}/files/{name}", content=content, headers={"X-Checksum-Sha256": digest}
            )
            assert answer.status_code == status, (name, answer.text)
        torn = http.put(
            f"/api/nodes/{mine.id}/files/usage.json", content=b"{", headers={"X-Checksum-Sha256": "0"}
        )
        assert torn.status_code == 422
        assert (mine.folder / "usage.json").read_text() == "{}"
    assert {path.name for path in (mine.folder / "artifacts").rglob("*")} <= {"etc", "out"}
    assert not list(store.dir.tmp.iterdir())
    queue.finish(store.dir, mine.id, "worker", "failed")
    assert run_of_token(store.dir, token) is None
