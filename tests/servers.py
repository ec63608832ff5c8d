"""Servers on loopback for tests: a port for one, Debian's PostgreSQL, and moto's S3."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres_server(password: str) -> Iterator[int]:
    """A PostgreSQL server with a user ``ann`` and a database ``postgres``; its port."""
    initdb = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if initdb is None:
        pytest.skip("no PostgreSQL server is installed")
    folder = Path(tempfile.mkdtemp(prefix="workbench-pg-"))
    owner = {"user": "postgres"} if os.geteuid() == 0 else {}  # the server refuses root
    if owner:
        shutil.chown(folder, "postgres")
    (folder / "password").write_text(password)
    os.chmod(folder / "password", 0o644)
    command = [initdb, "-D", folder / "data", "-U", "ann", "-A", "scram-sha-256"]
    command += ["--pwfile", folder / "password", "-N"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder, **owner)
    port = free_port()
    server = Path(initdb).resolve().with_name("postgres")
    process = subprocess.Popen(
        [server, "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **owner,
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


@contextmanager
def s3_server() -> Iterator[int]:
    """An object store that speaks as S3 does; its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(port, process):
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server does not answer")
