"""The server as a process: health, safe settings, and what it refuses."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.servers import free_port
from workbench.errors import UsageError
from workbench.gui import config


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_loopback_needs_no_authentication(address):
    config.check_address(address, authenticated=False)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::", "example.org", ""])  # noqa: S104
def test_beyond_loopback_only_with_authentication(address):
    with pytest.raises(UsageError, match="without authentication"):
        config.check_address(address, authenticated=False)
    config.check_address(address, authenticated=True)


def test_safe_settings_win_over_the_file_of_looks():
    options = config.options("127.0.0.1", 1234)
    assert options["browser.gatherUsageStats"] is False
    assert options["client.showErrorDetails"] == "none"
    assert options["server.port"] == 1234
    assert options["server.allowedHosts"] == ["localhost", "127.0.0.1", "::1"]
    assert options["theme.dark.backgroundColor"].startswith("#")


def test_a_trusted_header_becomes_the_user(monkeypatch):
    monkeypatch.setenv("WORKBENCH_TRUSTED_HEADER", "X-Forwarded-User")
    options = config.options("0.0.0.0", 1234)  # noqa: S104
    assert options["server.trustedUserHeaders"] == {"X-Forwarded-User": "name"}
    assert "server.allowedHosts" not in options


def _get(address: str | urllib.request.Request) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_answers_from_any_folder_and_says_when_the_store_does_not(tmp_path):
    port = free_port()
    store = tmp_path / "store"
    code = f"from workbench.gui import server; server.run({str(store)!r}, port={port})"
    environment = {**os.environ, "PYTHONPATH": str(config.ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment) as process:
        try:
            for _ in range(200):
                try:
                    assert _get(f"http://127.0.0.1:{port}/healthz") == (200, "ok")
                    break
                except urllib.error.URLError:
                    assert process.poll() is None
                    time.sleep(0.1)
            else:
                pytest.fail("The server did not answer.")
            assert _get(f"http://127.0.0.1:{port}/api/runs") == (200, '{"runs": []}\n')
            status, text = _get(f"http://127.0.0.1:{port}/metrics")
            assert status == 200
            assert 'workbench_runs{state="queued"} 0' in text
            foreign = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/runs", headers={"Host": "evil.example"}
            )
            assert _get(foreign)[0] == 403
            status, page = _get(f"http://127.0.0.1:{port}/datasets")
            assert status == 200
            assert "<title>" in page
            for file in store.glob("workbench.sqlite*"):
                file.unlink()
            (store / "workbench.sqlite").write_bytes(b"not a database" * 100)
            status, text = _get(f"http://127.0.0.1:{port}/healthz")
            assert status == 503
            assert text.startswith("The store does not answer")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The port of a server that is up."""
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    command = [sys.executable, "-m", "workbench", "web", "--store", folder / "store", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(config.ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("Workbench is up")
            yield port
        finally:
            process.terminate()


def _handshake(port, **headers):
    """The first line of the answer to a request for the pages' WebSocket."""
    sent = {
        "Host": f"127.0.0.1:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }
    lines = ["GET /_stcore/stream HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return connection.recv(4096).split(b"\r\n")[0].decode()


def test_the_pages_socket_opens_for_themselves_only(server):
    assert "101" in _handshake(server, Origin=f"http://127.0.0.1:{server}")
    for foreign in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": f"evil.example:{server}"},
    ):
        assert "403" in _handshake(server, **foreign), foreign


def test_files_are_taken_from_the_pages_themselves_only(server):
    address = f"http://127.0.0.1:{server}/_stcore/upload_file/session/file"
    body = b'--x\r\nContent-Disposition: form-data; name="a"; filename="../a.csv"\r\n\r\n1\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Cookie": "_streamlit_xsrf=a"}
    request = urllib.request.Request(address, body, headers, method="PUT")
    assert _get(request)[0] == 403


def test_nothing_of_the_program_or_the_machine_is_served(server):
    for path in ("/../pyproject.toml", "/static/../../../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd",
                 "/component/x/../../../../etc/passwd", "/media/../../etc/passwd"):  # fmt: skip
        status, text = _get(f"http://127.0.0.1:{server}{path}")
        assert status >= 400 or "<title>" in text, path
        assert "root:" not in text
        assert "[project]" not in text
