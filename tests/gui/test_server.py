"""The server as a process: health, safe settings, and what it refuses."""

import os
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
