"""The manners of processes that a worker, or a pipeline, has started: end with it, fail in one sentence.

Imports next to nothing, so that a small step is a quick one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from pathlib import Path

from workbench.errors import FULL, WorkbenchError

__all__ = ["die_with_parent", "print_traceback", "sentence", "write_atomically"]

_PR_SET_PDEATHSIG = 1


def sentence(error: BaseException, folder: Path) -> str:
    """What went wrong, in one sentence for the user."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, WorkbenchError):
        return text
    if isinstance(error, OSError) and error.errno in FULL:
        return "The disk is full: free some space, then retry the run."
    if isinstance(error, FileNotFoundError) and not (folder / "spec.json").exists():
        return "The folder of the run was deleted while it ran: submit the run again."
    if kind == "OutOfMemoryError":
        return "The GPU has not enough memory: use smaller batches or a smaller model."
    if isinstance(error, MemoryError):
        return "The run needs more memory than there is: use less data, smaller batches or a smaller model."
    where = traceback.extract_tb(error.__traceback__)
    line = f" ({Path(where[-1].filename).name}, line {where[-1].lineno})" if where else ""
    return f"{kind}: {text[:500]}{line}" if text else f"{kind}{line}"


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it (a worker, a pipeline) is gone."""
    worker = os.environ.get("WORKBENCH_WORKER_PID")
    if worker:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(worker):  # it died before we asked
            os._exit(os.EX_TEMPFAIL)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that `path` holds all of it or is as it was before."""
    part = path.with_suffix(".part")
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def print_traceback() -> None:
    """Print the exception that is being handled, if there is room."""
    try:
        traceback.print_exc()
        sys.stderr.flush()
    except OSError:
        pass  # the disk is full, the log too
