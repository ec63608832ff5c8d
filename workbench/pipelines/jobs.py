"""How the two kinds of steps are started, followed and stopped: a run of the queue, a process of our own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.errors import WorkbenchError
from workbench.pipelines.python import read_outcome, write_task

if TYPE_CHECKING:
    from workbench.facade import Store

__all__ = ["Job", "Outcome", "ProcessJob", "RunJob"]


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt: an output, or why there is none.

    With `final` another attempt makes no sense; with `died` it was not the step's own doing.
    """

    output: Any = None
    error: str = ""
    final: bool = False
    died: bool = False


class Job(Protocol):
    """One attempt of a step."""

    def poll(self) -> Outcome | None:
        """What came of it; None while it goes on."""

    def stop(self) -> None:
        """End it now."""


class ProcessJob:
    """A Python step in its own process."""

    def __init__(self, folder: Path, name: str, task: dict[str, Any], timeout: float | None) -> None:
        self._folder, self._name, self._task = folder, name, task
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._process: subprocess.Popen[bytes] | None = None
        if self._found() is None:  # a process that ended after the pipeline's own had died
            write_task(folder, name, task)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workbench", "step", str(folder), name],
                cwd=folder,
                env={**os.environ, "WORKBENCH_WORKER_PID": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                process_group=0,
            )

    def poll(self) -> Outcome | None:
        code = 0 if self._process is None else self._process.poll()
        if code is None:
            if self._deadline is not None and time.monotonic() > self._deadline:
                self.stop()
                return Outcome(error=f"It took longer than {self._timeout:g} seconds.")
            return None
        self.stop()  # what it may have left running
        found = self._found()
        if found is None and code < 0:
            name = signal.Signals(-code).name
            return Outcome(error=f"Its process was killed ({name}), perhaps for want of memory.", died=True)
        if found is None:
            return Outcome(error=f"Its process ended early with code {code}: the log says why.")
        return Outcome(output=found.get("output"), error=found.get("error", ""))

    def stop(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _found(self) -> dict[str, Any] | None:
        return read_outcome(self._folder, self._name, self._task["key"], self._task["attempt"])


class RunJob:
    """A run that has been submitted."""

    def __init__(self, store: Store, child: str, timeout: float | None) -> None:
        self._store, self._child, self._timeout = store, child, timeout
        self._late, self._since = False, 0.0

    def poll(self) -> Outcome | None:
        run = self._store.dir.connection.execute(
            "SELECT state, headline, scores, error,"
            " (SELECT cancel FROM runs AS pipeline WHERE pipeline.id = runs.parent) AS ending"
            " FROM runs WHERE id = ?",
            (self._child,),
        ).fetchone()
        if run is None:
            return Outcome(error=f"Its run {self._child} has been deleted.", final=True)
        if run["state"] == "running" and self._timeout is not None and not self._late:
            # Time in the queue does not count: it says nothing of the step. Nor does the clock on the wall,
            # which somebody may set.
            self._since = self._since or time.monotonic()
            self._late = time.monotonic() - self._since > self._timeout
            if self._late:
                self.stop()
        if run["state"] in ("queued", "running"):
            return None
        if run["state"] == "cancelled" and run["ending"]:
            return None  # with the whole pipeline, which is about to be told
        if run["state"] == "done":
            scores = json.loads(run["scores"])
            return Outcome(output={"run": self._child, "headline": run["headline"], "scores": scores})
        if self._late:
            return Outcome(error=f"It took longer than {self._timeout:g} seconds.")
        if run["state"] == "cancelled":
            return Outcome(error=f"Its run {self._child} was cancelled.", final=True)
        return Outcome(error=run["error"])

    def stop(self) -> None:
        with suppress(WorkbenchError):
            self._store.queue.cancel(self._child)
