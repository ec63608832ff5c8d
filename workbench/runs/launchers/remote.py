"""What the launchers of other machines share: jobs that outlive the worker, and one data path.

A job is the process ``python -m workbench node`` on some machine (:mod:`workbench.runs.node`). It shares no
folder with the store: over the workbench's own HTTP it fetches the run and, checked by its SHA-256, the
data set, and sends back events, log, checkpoints and artifacts. Its token opens this attempt of this run and
nothing else.

A cluster may take seconds to answer, and the worker must not wait: it would lose its leases. So each
launcher speaks to its cluster from one thread, and the worker reads what was heard last.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from workbench.errors import UsageError
from workbench.runs.child import write_atomically
from workbench.runs.launchers.base import read_log
from workbench.store import StoreDir
from workbench.tokens import run_token

__all__ = ["Gone", "Job", "Refused", "RemoteLauncher", "address", "whole_number"]

logger = logging.getLogger(__name__)

EVERY = 1.0  # seconds between two looks at the cluster
PATIENCE = 30.0  # at most so many seconds between two tries to reach it
KILLED = -9


class Refused(Exception):
    """The cluster will never take this job; its text is the sentence for the run's owner."""


class Gone(Exception):
    """The cluster does not know the job: nothing is alive of it."""


@dataclass
class Job:
    """A run that was handed to a cluster.

    Attributes
    ----------
    id : str
        The cluster's name for it; "" while it has not taken the job.
    code : int or None
        Exit code, once it has ended.
    stop, stopped : int
        1 is asked to end, 2 to be killed; and what of it the cluster has been told.
    trouble : str
        Why the cluster could not be reached just now.
    """

    name: str
    folder: Path
    attempt: int
    gpu: bool
    processes: int
    id: str = ""
    code: int | None = None
    stop: int = 0
    stopped: int = 0
    trouble: str = ""

    @property
    def run(self) -> str:
        """The id of the run."""
        return self.folder.name


class RemoteLauncher(ABC):
    """Hands runs to a cluster; subclasses say how it is spoken to, in three calls that may block.

    Parameters
    ----------
    dir : StoreDir
    url : str
        Where the nodes reach the workbench's pages.
    threads : int
        Processor cores that a run is given.
    """

    lasting: ClassVar[bool] = True
    places: ClassVar[int] = 64

    def __init__(self, dir: StoreDir, url: str, threads: int = 1) -> None:
        self.dir, self.url, self.threads = dir, url, threads
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    # -- what a cluster must be able to do --------------------------------------------------------

    @abstractmethod
    def _submit(self, job: Job) -> str:
        """Have the cluster take the job, once however often this is tried; returns its id there.

        Raises
        ------
        OSError
            If it cannot be reached: it is tried again.
        Refused
        """

    @abstractmethod
    def _look(self, job: Job) -> int | None:
        """The exit code, or None while it waits or runs.

        Raises
        ------
        OSError, Gone
        """

    @abstractmethod
    def _cancel(self, job: Job, *, kill: bool) -> None:
        """Have the job's processes end: by SIGTERM, or with `kill` at once."""

    def _known(self, job: Job) -> str:
        """The cluster's id of a job that an earlier worker handed over, "" where there is none."""
        return job.name

    # -- what the worker asks ----------------------------------------------------------------------

    def start(self, folder: Path, *, slot: str, threads: int, attempt: int) -> str:
        _say(folder, f"waiting for {slot}")
        _log(folder, f"--- attempt {attempt}, {time.strftime('%Y-%m-%d %H:%M:%S')}, handed to {slot} ---")
        job = self._job(f"workbench-{folder.name}-{attempt}", folder)
        self._follow(job)
        return job.name

    def attach(self, job: str, folder: Path) -> bool:
        if not job or not (folder / "spec.json").exists():
            return False
        found = self._job(job, folder)
        found.id = self._known(found)
        self._follow(found)
        return True

    def poll(self, job: str) -> int | None:
        with self._lock:
            found = self._jobs.get(job)
            if found is None:
                return KILLED
            if found.code is not None:
                del self._jobs[job]
            return found.code

    def stop(self, job: str, *, force: bool = False) -> None:
        with self._lock:
            if job in self._jobs:
                self._jobs[job].stop = 2 if force else max(1, self._jobs[job].stop)
        self._wake.set()

    def abandon(self, job: str) -> None:
        with self._lock:
            self._jobs.pop(job, None)

    def logs(self, folder: Path, tail: int | None = None) -> str:
        return read_log(folder, tail)

    # -- behind the scenes -------------------------------------------------------------------------

    def environment(self, job: Job) -> dict[str, str]:
        """What the node process is told."""
        return {
            "WORKBENCH_NODE_URL": self.url,
            "WORKBENCH_NODE_RUN": job.run,
            "WORKBENCH_NODE_ATTEMPT": str(job.attempt),
            "WORKBENCH_NODE_TOKEN": run_token(self.dir, job.run, job.attempt),
            "WORKBENCH_NODE_THREADS": str(self.threads),
        }

    def _job(self, name: str, folder: Path) -> Job:
        spec = json.loads((folder / "spec.json").read_text())
        attempt = int(name.rpartition("-")[2])
        return Job(name, folder, attempt, gpu=spec["device"] == "cuda", processes=spec.get("processes", 1))

    def _follow(self, job: Job) -> None:
        with self._lock:
            self._jobs[job.name] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name=type(self).__name__, daemon=True)
                self._thread.start()
        self._wake.set()

    def _watch(self) -> None:
        wait = EVERY
        while True:
            self._wake.wait(wait)
            self._wake.clear()
            with self._lock:
                if not self._jobs:
                    self._thread = None
                    return
                jobs = [job for job in self._jobs.values() if job.code is None]
            reached = [self._attend(job) for job in jobs]
            wait = EVERY if all(reached) else min(2 * wait, PATIENCE)

    def _attend(self, job: Job) -> bool:
        """Do what one job needs; False where the cluster could not be reached."""
        try:
            if not job.id:
                if job.stop:
                    job.code = 128 + 15
                    return True
                job.id = self._submit(job)
            if job.stop > job.stopped:
                wanted = job.stop
                self._cancel(job, kill=wanted == 2)
                job.stopped = wanted
            job.code = self._look(job)
            job.trouble = ""
        except Gone:
            job.code = KILLED
        except Refused as error:
            _refuse(job.folder, str(error))
            job.code = 1
        except Exception as error:  # must not end the thread on which all other jobs depend
            text = " ".join(str(error).split()) or type(error).__name__
            if text != job.trouble:
                job.trouble = text
                logger.warning("%s: %s", job.name, text, exc_info=not isinstance(error, OSError))
                with contextlib.suppress(OSError):
                    _log(job.folder, f"the cluster does not answer, it is asked again: {text}")
            return False
        return True


def address(environment: Mapping[str, str], what: str) -> str:
    """``WORKBENCH_URL``: where nodes reach the workbench's pages.

    Raises
    ------
    UsageError
        If it is not given, or is no web address.
    """
    url = environment.get("WORKBENCH_URL", "").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"{what} needs WORKBENCH_URL, the address under which the nodes reach the workbench's pages, "
            "such as http://10.0.0.5:8501."
        )
    return url


def whole_number(environment: Mapping[str, str], name: str, default: int) -> int:
    """A setting that is a number from 1."""
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise UsageError(f"{name} must be a whole number from 1, not {text!r}.")
    return int(text)


def _say(folder: Path, stage: str) -> None:
    """Show where a run stands before it can say so itself."""
    event: dict[str, Any] = {"event": "progress", "time": time.time(), "stage": stage}
    with open(folder / "events.jsonl", "ab+") as file:
        file.seek(0, os.SEEK_END)
        torn = False
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"  # by a node that was killed
        file.write((b"\n" if torn else b"") + json.dumps(event).encode() + b"\n")


def _log(folder: Path, line: str) -> None:
    with open(folder / "log.txt", "a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _refuse(folder: Path, sentence: str) -> None:
    result = {"state": "failed", "error": sentence, "headline": "", "scores": {}, "time": time.time()}
    write_atomically(folder / "result.json", json.dumps(result, indent=1))
