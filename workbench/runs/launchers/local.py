"""Runs as process groups of this host, which end with the worker that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import workbench
from workbench.runs.launchers.base import read_log

__all__ = ["THREADS", "LocalLauncher", "cores", "find_gpus", "patient"]

# Every process of a run carries its folder in this variable, which survives fork and exec: what a
# killed worker left behind is found by it, also when it left the process group.
MARK = "WORKBENCH_RUN_DIR"
#: Variables that say how many threads numbers are worked out on. numba's is among them because its first
#: parallel loop otherwise lets torch, whose OpenMP it shares, have a thread for every core.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
#: How variables begin that no run is given: passwords, and what else is the worker's business.
SECRET = ("WORKBENCH_NOTIFY_", "WORKBENCH_RAY_", "WORKBENCH_SLURM_", "WORKBENCH_NODE_", "RAY_AUTH_")


class LocalLauncher:
    """Runs as process groups of this host, which die with the worker that started them."""

    places: ClassVar[int] = 0
    lasting: ClassVar[bool] = False

    def __init__(self) -> None:
        self._children: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(self, folder: Path, *, slot: str, threads: int, attempt: int) -> str:
        with open(folder / "log.txt", "ab") as log:
            when = time.strftime("%Y-%m-%d %H:%M:%S")
            log.write(f"--- attempt {attempt}, {when}, {slot}, {threads} threads ---\n".encode())
            log.flush()
            child = subprocess.Popen(
                [sys.executable, "-m", "workbench", "run", str(folder)],
                cwd=folder,  # a relative path that an estimator writes stays inside the run
                env=_environment(folder, slot, threads),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children[str(child.pid)] = child, folder
        return str(child.pid)

    def attach(self, job: str, folder: Path) -> bool:
        self.sweep(folder)
        return False

    def poll(self, job: str) -> int | None:
        child, folder = self._children[job]
        if child.returncode is not None:
            return child.returncode
        # WNOWAIT leaves the leader a zombie, so that its group's number cannot be given away yet.
        if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self.stop(job, force=True)
        self.sweep(folder)
        return child.wait()

    def stop(self, job: str, *, force: bool = False) -> None:
        child, _ = self._children[job]
        if child.returncode is None:  # not yet reaped, so the number is still ours
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL if force else signal.SIGTERM)

    def abandon(self, job: str) -> None:
        child, _ = self._children[job]
        self.stop(job, force=True)
        child.wait()

    def sweep(self, folder: Path) -> None:
        """Kill whatever is still alive of the run in `folder`, whoever started it."""
        deadline = time.monotonic() + 5
        while pids := _marked(folder):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                return  # stuck in the kernel; the lock on the folder still keeps a second start away
            time.sleep(0.01)

    def logs(self, folder: Path, tail: int | None = None) -> str:
        return read_log(folder, tail)


def patient(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with which a thread that waits sleeps, unless they say already how threads wait.

    Where something else wants the cores, two that spin make a training of small networks ten times as long.
    """
    if "OMP_WAIT_POLICY" in environment:
        return dict(environment)
    return {**environment, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def _environment(folder: Path, slot: str, threads: int) -> dict[str, str]:
    paths = [os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    home = str(Path(workbench.__file__).parent.parent)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(SECRET)}
    return {
        **patient(inherited),
        MARK: str(folder),
        "WORKBENCH_WORKER_PID": str(os.getpid()),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([*paths, home])),
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": slot.removeprefix("cuda:") if slot.startswith("cuda:") else "",
        **dict.fromkeys([*THREADS, "LOKY_MAX_CPU_COUNT"], str(threads)),
    }


def _marked(folder: Path) -> list[int]:
    """Living processes that carry the folder's mark."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue  # ended meanwhile, or another user's
    return found


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


def find_gpus() -> list[str]:
    """Slots of the host's GPUs, ``cuda:<index or UUID>``, found without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [f"cuda:{name.strip()}" for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [f"cuda:{i}" for i in range(sum(line.startswith("GPU ") for line in listing.splitlines()))]
