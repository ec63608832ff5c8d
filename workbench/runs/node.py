"""A run on a machine that does not mount the store: ``python -m workbench node``.

A launcher starts it there and says, by environment variables, which attempt of which run it is to do. It
fetches the run's inputs and the data set's version, whose file is checked by its SHA-256 and kept in a local
cache for the next run; starts ``python -m workbench run`` as on any machine; and sends back what that
writes: log and events every second, a checkpoint when there is a new one, artifacts and result at the end.

A network that fails is waited for: what is not sent yet is still on this machine's disk. If the workbench
says that the token opens nothing any more (the run was taken for dead and begun again), all is ended here.

::

    WORKBENCH_NODE_DIR       where runs and the cache are kept meanwhile (<temporary folder>/workbench-<uid>)
    WORKBENCH_NODE_PATIENCE  seconds for which the workbench may be out of reach (3600)
    WORKBENCH_NODE_CACHE     bytes of data sets that are kept (50e9)
    WORKBENCH_NODE_SEND      seconds between two checkpoints that are sent (15)
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from workbench.errors import RunError, WorkbenchError
from workbench.runs import parcels
from workbench.runs.launchers.local import LocalLauncher

__all__ = ["main"]

GRACE = 10.0  # seconds a run has to save its checkpoint
EVERY = 1.0  # seconds between two pieces of log and events
TIMEOUT = 30.0  # seconds for an answer
PIECE = 4 << 20
_SHA = "X-Checksum-Sha256"
STOPPED = 128 + signal.SIGTERM


class Void(Exception):
    """The token opens nothing any more: this attempt is over."""


class Client:
    """What a node asks of the workbench."""

    def __init__(self, url: str, run: str, token: str, patience: float) -> None:
        self.base, self._token, self.patience = f"{url}/api/nodes/{run}", token, patience

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self._ask("GET", "").read()))

    @contextmanager
    def fetch(self, what: str) -> Iterator[tuple[IO[bytes], str]]:
        """The body of an answer, and the SHA-256 it should have."""
        with self._ask("GET", f"/{what}") as answer:
            yield answer, answer.headers.get(_SHA, "")

    def append(self, name: str, offset: int, data: bytes) -> int:
        """Send a piece; returns how long the file is there now."""
        try:
            answer = self._ask("POST", f"/append/{name}?offset={offset}", data)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            answer = error
        return int(json.loads(answer.read())["length"])

    def put(self, name: str, path: Path) -> None:
        """Send a file, whole."""
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            headers = {_SHA: digest, "Content-Length": str(path.stat().st_size)}
            self._ask("PUT", f"/files/{name}", file, headers).read()

    def patiently(self, action: Any, *arguments: Any) -> Any:
        """Do it, however long the workbench is out of reach, up to its patience."""
        deadline, wait = time.monotonic() + self.patience, 1.0
        while True:
            try:
                return action(*arguments)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise RunError(f"The workbench at {self.base} cannot be reached: {error}.") from error
                time.sleep(wait)
                wait = min(2 * wait, 30.0)

    def _ask(self, method: str, path: str, data: Any = None, headers: dict[str, str] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310  the launcher's setting, http or https
            f"{self.base}{path}",
            data=data,
            method=method,
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/octet-stream",
                **(headers or {}),
            },
        )
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code == 409:
                raise
            text = error.read().decode(errors="replace")[:300]
            if error.code == 401:
                raise Void(text) from error
            if error.code < 500:
                raise RunError(f"The workbench refused {method} {path}: {text}") from error
            raise


def main() -> int:
    """Do the run that the environment names, and return the exit code of its process."""
    settings = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("WORKBENCH_NODE_")}
    try:
        url, run, token, attempt = (
            settings[f"WORKBENCH_NODE_{name}"] for name in ("URL", "RUN", "TOKEN", "ATTEMPT")
        )
    except KeyError as error:
        print(f"{error.args[0]} is not set: a launcher starts this command.", file=sys.stderr)
        return os.EX_USAGE
    home = Path(
        settings.get("WORKBENCH_NODE_DIR") or Path(tempfile.gettempdir()) / f"workbench-{os.getuid()}"
    )
    client = Client(url, run, token, float(settings.get("WORKBENCH_NODE_PATIENCE", 3600)))
    root = home / "runs" / f"{run}-{attempt}"
    shutil.rmtree(root, ignore_errors=True)
    try:
        _own(home)
        folder = _prepare(client, home, root, run, int(float(settings.get("WORKBENCH_NODE_CACHE", 50e9))))
        threads, every = (
            int(settings.get("WORKBENCH_NODE_THREADS", 1)),
            float(settings.get("WORKBENCH_NODE_SEND", 15)),
        )
        return _Errand(client, folder, int(attempt), threads, every).run()
    except Void as error:
        print(f"This attempt is over: {error}", file=sys.stderr)
        return os.EX_TEMPFAIL
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _own(home: Path) -> None:
    """Make the folder ours alone: in a shared temporary folder somebody else's must not be used."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise RunError(f"{home} is not this user's own folder: set WORKBENCH_NODE_DIR to one that is.")


def _prepare(client: Client, home: Path, root: Path, run: str, most: int) -> Path:
    """A store of this run alone below `root`; returns the run's folder."""
    root.mkdir(parents=True)
    client.patiently(_fetch, client, "inputs", root / "inputs.tar")
    with open(root / "inputs.tar", "rb") as file:
        parcels.unpack(file, root)
    (root / "inputs.tar").unlink()
    folder = root / "runs" / run
    spec = json.loads((folder / "spec.json").read_text())
    data = cached(client, home / "datasets", spec["dataset"]["checksum"], most)
    os.link(data, root / "data.duckdb")  # stays, also if the cache lets it go meanwhile
    spec["dataset"]["path"] = os.path.relpath(root / "data.duckdb", folder)
    (folder / "spec.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")
    return folder


def cached(client: Client, cache: Path, checksum: str, most: int) -> Path:
    """The file of the data set with that SHA-256: from the cache if it is there, whole, else fetched."""
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"{checksum}.duckdb"
    with open(cache / f"{checksum}.lock", "a") as lock:  # two runs on one machine fetch it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target.exists() and _sha256(target) == checksum):
            part = cache / f"{checksum}.part"
            client.patiently(_fetch, client, "dataset", part, checksum)
            part.chmod(0o444)
            os.replace(part, target)
            print(f"fetched {target.stat().st_size} bytes of data", flush=True)
        os.utime(target)
    _shrink(cache, target, most)
    return target


def _shrink(cache: Path, kept: Path, most: int) -> None:
    """Let the data sets go that were used longest ago, down to `most` bytes."""
    files = sorted(cache.glob("*.duckdb"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files)
    for path in files:
        if total <= most:
            return
        if path != kept:
            total -= path.stat().st_size
            path.unlink(missing_ok=True)


def _fetch(client: Client, what: str, path: Path, checksum: str = "") -> None:
    with client.fetch(what) as (body, told), open(path, "wb") as file:
        shutil.copyfileobj(body, file, 1 << 20)
    if _sha256(path) != (checksum or told):
        path.unlink()
        raise OSError(f"{what} did not come whole")  # asked for again


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Errand:
    """The run's process here, and what goes back meanwhile."""

    def __init__(self, client: Client, folder: Path, attempt: int, threads: int, every: float) -> None:
        self.client, self.folder, self.attempt, self.threads = client, folder, attempt, threads
        self.every = every  # seconds between two checkpoints
        self.launcher = LocalLauncher()
        self.stopping = False
        self._there: dict[str, int] = {}  # bytes of each file that the workbench has
        self._base: dict[str, int] = {}  # of them, those of earlier attempts
        self._sent_checkpoint = ""
        self._checkpoint_at = time.monotonic()

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._there = dict(self.client.patiently(self.client.state)["sizes"])
        self._base = dict(self._there)
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        slot = f"cuda:{gpu}" if gpu not in ("", "-1") else "cpu"
        job = self.launcher.start(self.folder, slot=slot, threads=self.threads, attempt=self.attempt)
        try:
            code = self._watch(job)
        except BaseException:
            self.launcher.abandon(job)
            self.launcher.sweep(self.folder)
            raise
        self.client.patiently(self._send_all)
        # As a shell tells of a signal: an exit code cannot be negative.
        return code if code >= 0 else 128 - code

    def _on_signal(self, number: int, frame: Any) -> None:
        self.stopping = True

    def _watch(self, job: str) -> int:
        kill_at, send_at, failing_since = None, 0.0, None
        while (code := self.launcher.poll(job)) is None:
            now = time.monotonic()
            if self.stopping and kill_at is None:
                self.launcher.stop(job)
                kill_at = now + GRACE
            elif kill_at is not None and now > kill_at:
                self.launcher.stop(job, force=True)
            if now >= send_at:
                try:
                    self._send_some()
                    failing_since = None
                except (OSError, http.client.HTTPException) as error:
                    failing_since = failing_since or now
                    if now - failing_since > self.client.patience:
                        raise RunError(f"The workbench cannot be reached any more: {error}.") from error
                send_at = time.monotonic() + EVERY
            time.sleep(0.1)
        return code

    def _send_some(self) -> None:
        if self.client.state()["cancel"]:
            self.stopping = True
        for name in parcels.APPENDED:
            self._append(name)
        if time.monotonic() - self._checkpoint_at >= self.every:
            self._send_checkpoint()
            if (self.folder / "usage.json").exists():
                self.client.put("usage.json", self.folder / "usage.json")

    def _send_all(self) -> None:
        """What is left to send; the result last, so that whoever sees it has all the rest."""
        for name in parcels.APPENDED:
            self._append(name)
        self._send_checkpoint()
        if (self.folder / "artifacts").is_dir():
            self._send_folder("artifacts")
        for name in parcels.FILES:
            if (self.folder / name).exists():
                self.client.put(name, self.folder / name)

    def _append(self, name: str) -> None:
        path = self.folder / name
        while path.exists() and path.stat().st_size > (begin := self._there[name] - self._base[name]):
            with open(path, "rb") as file:
                file.seek(begin)
                self._there[name] = self.client.append(name, self._there[name], file.read(PIECE))

    def _send_checkpoint(self) -> None:
        self._checkpoint_at = time.monotonic()
        mark = _mark(self.folder / "checkpoint")
        if mark and mark != self._sent_checkpoint and self._send_folder("checkpoint"):
            self._sent_checkpoint = mark

    def _send_folder(self, name: str) -> bool:
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=f".{name}-") as packed:
            try:
                parcels.pack([(self.folder / name, ".")], packed)
            except FileNotFoundError:  # an old checkpoint was removed meanwhile; the next one is near
                return False
            packed.flush()
            self.client.put(name, Path(packed.name))
        return True


def _mark(folder: Path) -> str:
    """Changes with every new checkpoint."""
    try:
        return str(max((path.stat().st_mtime_ns for path in folder.rglob("state.json")), default=""))
    except FileNotFoundError:
        return ""
