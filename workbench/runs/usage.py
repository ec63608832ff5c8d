"""What a run's process used: written by the process itself into ``usage.json`` of the run's folder.

It is written every few seconds as well as at the end, so that it is there also of a process that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["FILE", "Keeper", "measure", "read", "write"]

FILE = "usage.json"
EVERY = 5.0  # seconds between two looks at what a process that is at work uses


def measure() -> dict[str, Any]:
    """Peak memory of this process and of its largest child, its processor time, and the GPU, if it used one.

    Returns
    -------
    dict
        ``device`` ("cpu" or "cuda"), ``gpu`` (its name or None), ``memory_bytes``, ``gpu_memory_bytes`` (None
        without a GPU), ``cpu_seconds``, ``threads`` (None where it was not told how many), ``host``, ``pid``.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    gpu, gpu_memory = _gpu()
    return {
        "device": "cuda" if gpu else "cpu",
        "gpu": gpu,
        "memory_bytes": max(_peak() or own.ru_maxrss * 1024, children.ru_maxrss * 1024),
        "gpu_memory_bytes": gpu_memory,
        "cpu_seconds": round(own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime, 3),
        "threads": int(threads) if threads.isdecimal() else None,
        "host": platform.node(),
        "pid": os.getpid(),
    }


def write(folder: Path) -> None:
    """Measure, and keep the larger peak where an earlier attempt of the run had one."""
    _write(folder, read(folder))


class Keeper:
    """Writes in a thread of its own, at once and then every few seconds, until it is told to finish.

    Parameters
    ----------
    folder : Path
        The run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._earlier = folder, read(folder)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="usage", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Write for the last time."""
        self._ended.set()
        self._thread.join()
        self._try()

    def _keep(self) -> None:
        self._try()
        while not self._ended.wait(EVERY):
            self._try()

    def _try(self) -> None:
        with contextlib.suppress(OSError):  # worth knowing, not worth a run
            _write(self._folder, self._earlier)


def _write(folder: Path, earlier: dict[str, Any]) -> None:
    found = measure()
    for name in ("memory_bytes", "gpu_memory_bytes"):
        if earlier.get(name):
            found[name] = max(found[name] or 0, earlier[name])
    part = folder / f"{FILE}.part"
    part.write_text(json.dumps(found))
    part.replace(folder / FILE)


def read(folder: Path) -> dict[str, Any]:
    """What the run in `folder` used; empty while nothing has been written."""
    try:
        found = json.loads((folder / FILE).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _peak() -> int | None:
    """Bytes this process had at most; unlike ``ru_maxrss`` this is not inherited from the parent's fork."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _gpu() -> tuple[str | None, int | None]:
    torch = sys.modules.get("torch")  # what did not import it has used no GPU
    if torch is None:
        return None, None
    try:
        used = torch.cuda.is_available() and torch.cuda.is_initialized()
    except AttributeError:  # the run's own thread is in the middle of importing it
        used = False
    if not used:
        return None, None
    peak = int(torch.cuda.max_memory_allocated())
    return (str(torch.cuda.get_device_name()), peak) if peak else (None, None)
