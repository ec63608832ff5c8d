"""Runs as jobs of a Ray cluster, over its Jobs API; this side needs no package of Ray.

Settings, all of the worker's environment::

    WORKBENCH_RAY_ADDRESS   http://<head>:8265
    RAY_AUTH_TOKEN          the cluster's token, or RAY_AUTH_TOKEN_PATH the file that holds it
    WORKBENCH_URL           where the nodes reach the workbench's pages
    WORKBENCH_RAY_CPUS      cores that a run is given (1)
    WORKBENCH_RAY_PYTHON    the Python of the nodes that has the workbench (python)

The token is required: whoever reaches a cluster without one runs anything on it.
"""

from __future__ import annotations

import json
import os
import shlex
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from workbench.errors import UsageError
from workbench.runs.launchers.remote import Gone, Job, Refused, RemoteLauncher, address, whole_number
from workbench.store import StoreDir

__all__ = ["RayLauncher", "from_environment"]

TIMEOUT = 10.0  # seconds for an answer
_STOP_SECONDS = 40  # until Ray kills what was asked to stop; a node does so itself after 10, and then sends
_TAIL = 2000  # characters of Ray's message that are kept in the log


class RayLauncher(RemoteLauncher):
    """Hands runs to a Ray cluster, which queues them until a node has what they ask for.

    Each process of a run asks for `threads` cores, and for a GPU where the device is "cuda".

    Parameters
    ----------
    dir : StoreDir
    cluster : str
        Address of its dashboard, ``http://host:8265``.
    token : str
    url : str
        Where the nodes reach the workbench's pages.
    threads : int
        Cores of each process.
    python : str
    """

    def __init__(
        self, dir: StoreDir, cluster: str, token: str, url: str, *, threads: int = 1, python: str = "python"
    ) -> None:
        super().__init__(dir, url, threads)
        self.cluster, self.python, self._token = cluster.rstrip("/"), python, token

    def _submit(self, job: Job) -> str:
        body = {
            "submission_id": job.name,
            "entrypoint": f"exec {shlex.quote(self.python)} -m workbench node",
            "entrypoint_num_cpus": self.threads * job.processes,
            "entrypoint_num_gpus": job.processes if job.gpu else 0,
            "runtime_env": {
                "env_vars": {**self.environment(job), "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS)}
            },
            "metadata": {"workbench_run": job.run},
        }
        try:
            self._ask("POST", "/api/jobs/", body)
        except OSError as error:
            if "already exists" not in str(error):  # it was taken, and only the answer got lost
                raise
        return job.name

    def _look(self, job: Job) -> int | None:
        return self._code(job, self._ask("GET", f"/api/jobs/{job.id}"))

    def _code(self, job: Job, found: dict[str, Any]) -> int | None:
        status, code = found["status"], found.get("driver_exit_code")
        if status in ("PENDING", "RUNNING"):
            return None
        if status == "STOPPED":
            return 128 + 15
        if status == "SUCCEEDED":
            return 0
        if found.get("error_type") == "JOB_SUPERVISOR_ACTOR_START_TIMEOUT":
            return os.EX_TEMPFAIL  # it waited for its turn for longer than Ray lets a job wait: again
        if code is None or code < 0 or code > 128:  # its node is gone, or something killed it
            self._keep(job, found)
            return -9 if code is None else code if code < 0 else 128 - code if code != 143 else code
        self._keep(job, found)
        return int(code)

    def _keep(self, job: Job, found: dict[str, Any]) -> None:
        text = " ".join(str(found.get("message") or "").split())[-_TAIL:]
        with open(job.folder / "log.txt", "a", encoding="utf-8") as log:
            log.write(f"Ray says of job {job.id}: {text}\n")

    def _cancel(self, job: Job, *, kill: bool) -> None:
        # Ray has one way only: SIGTERM, and SIGKILL to what is still there after the time that it was given.
        self._ask("POST", f"/api/jobs/{job.id}/stop", {})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310  the worker's own setting, http or https
            f"{self.cluster}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = " ".join(error.read().decode(errors="replace").split())[-_TAIL:]
            if error.code in (401, 403):
                raise Refused(
                    f"The Ray cluster {self.cluster} refused the token: set RAY_AUTH_TOKEN for the worker to "
                    "the cluster's, then retry the run."
                ) from error
            if error.code == 404:
                raise Gone from error
            if error.code == 400 and "already exists" not in text:
                raise Refused(f"The Ray cluster does not take the run: {text[-300:]}") from error
            raise OSError(f"{self.cluster} answered {error.code}: {text}") from error
        except ValueError as error:
            raise OSError(f"{self.cluster} does not answer as a Ray cluster does") from error


def from_environment(dir: StoreDir) -> RayLauncher | None:
    """The launcher that the environment describes; None without ``WORKBENCH_RAY_ADDRESS``.

    Raises
    ------
    UsageError
        Without a token, or where another setting is missing or wrong.
    """
    cluster = os.environ.get("WORKBENCH_RAY_ADDRESS", "").strip()
    if not cluster:
        return None
    if not cluster.startswith(("http://", "https://")):
        raise UsageError(f"WORKBENCH_RAY_ADDRESS must be like http://head:8265, not {cluster!r}.")
    return RayLauncher(
        dir,
        cluster,
        _token(),
        address(os.environ, "Ray"),
        threads=whole_number(os.environ, "WORKBENCH_RAY_CPUS", 1),
        python=os.environ.get("WORKBENCH_RAY_PYTHON", "python"),
    )


def _token() -> str:
    token, path = os.environ.get("RAY_AUTH_TOKEN", ""), os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    if not token and path:
        try:
            token = Path(path).read_text()
        except OSError as error:
            raise UsageError(f"RAY_AUTH_TOKEN_PATH {path} cannot be read: {error.strerror}.") from error
    if not token.strip():
        raise UsageError(
            "Ray needs a token: start the cluster with RAY_AUTH_MODE=token, and give the worker the token as "
            "RAY_AUTH_TOKEN."
        )
    return token.strip()
