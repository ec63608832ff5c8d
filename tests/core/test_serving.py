"""Starting the pages: the address, a busy port, and the first start of a new store."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

import workbench as wb
from workbench.cli import main
from workbench.serving import first_start, free_port


def eventually(look, seconds=60.0):
    """What `look` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return seen


@pytest.fixture
def busy_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_busy_port_is_passed_over(busy_port):
    assert free_port("127.0.0.1", busy_port) > busy_port


def test_a_named_port_that_is_busy_is_refused_with_a_free_one_offered(tmp_path, busy_port, capsys):
    assert main(["web", "--port", str(busy_port), "--store", str(tmp_path / "s")]) == 2
    said = capsys.readouterr().err
    assert f"Port {busy_port} is in use" in said
    offered = int(said.rsplit("--port ", 1)[1].strip(".\n"))
    assert offered != busy_port


@pytest.mark.parametrize("value", ["abc", "0", "70000"])
def test_a_wrong_port_in_the_environment_is_a_usage_error(tmp_path, value, monkeypatch, capsys):
    monkeypatch.setenv("WORKBENCH_PORT", value)
    assert main(["web", "--store", str(tmp_path / "s")]) == 2
    assert "WORKBENCH_PORT" in capsys.readouterr().err


def test_serve_prints_the_address_answers_and_ends_with_its_worker(tmp_path, busy_port):
    command = [sys.executable, "-m", "workbench", "--store", str(tmp_path / "s")]
    port = free_port("127.0.0.1", busy_port)
    with subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as served:
        try:
            line = served.stdout.readline()
            assert line == f"Workbench is up: http://127.0.0.1:{port}\n"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 200
            store = wb.open(tmp_path / "s")
            first = eventually(lambda: store.queue.workers())
            os.kill(first[0]["pid"], signal.SIGKILL)  # a lost worker is replaced
            eventually(lambda: [w for w in store.queue.workers() if w["pid"] != first[0]["pid"]])
        finally:
            served.send_signal(signal.SIGINT)
            served.wait(timeout=30)
    with pytest.raises(ProcessLookupError):  # nothing of the process group is left
        os.killpg(served.pid, 0)


def test_the_first_start_registers_samples_and_queues_one_run_once(store):
    first_start(store)
    names = {dataset.name for dataset in store.datasets.list()}
    assert {"BasicMotions", "JapaneseVowels", "GunPoint", "Trace", "digits"} <= names
    (run,) = store.runs()
    assert (run.state, run.dataset) == ("queued", "BasicMotions@1")
    first_start(store)
    assert len(store.runs()) == 1
