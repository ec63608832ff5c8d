"""The worker: claims runs, starts their processes, follows their events, and ends what must end.

One thread and one loop; everything it must not forget is in the run table, so it may be killed at any
moment. Several workers may share one store on one host.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from workbench.errors import StoreError
from workbench.runs import launchers, queue
from workbench.runs.clerk import Clerk
from workbench.runs.events import read_events, read_result
from workbench.runs.launchers import Launcher, cores, find_gpus
from workbench.store import StoreDir

__all__ = ["Worker", "any_alive", "default_slots"]

logger = logging.getLogger(__name__)

LEASE = 10.0  # seconds after which a silent worker has lost its runs
POLL = 0.2  # seconds between two looks at the table
GRACE = 10.0  # seconds a run has to save its checkpoint before it is killed
CHUNK = 4 << 20  # bytes of events entered in one transaction
NOTEBOOK = "notebook"  # the recipe of runs that execute one
PIPELINE = "pipeline"  # the slot of runs on device "none", which may wait for other runs
PIPELINES = 8  # of them at once, beside the slots for computing


@dataclass
class _Active:
    """A run whose lease this worker holds."""

    id: str
    folder: Path
    slot: str
    launcher: Launcher
    offset: int
    job: str = ""
    kill_at: float | None = None  # set once it has been asked to stop


class Worker:
    """Carries out queued runs.

    Parameters
    ----------
    dir : StoreDir
    slots : int or sequence of str, optional
        What runs may occupy at the same time: ``"cpu"`` (may be repeated) and ``"cuda:<n>"``. By default
        every GPU of the host and one CPU slot per four cores; a number says how many CPU slots instead.
    lease : float
        Seconds after which another worker may take over from one that is dead or stuck.
    max_deaths : int
        Times that a run whose process was killed is begun again.
    """

    def __init__(
        self,
        dir: StoreDir,
        slots: Sequence[str] | int | None = None,
        *,
        lease: float = LEASE,
        max_deaths: int = queue.MAX_DEATHS,
    ) -> None:
        self.dir = dir
        self.id = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.slots = default_slots(slots) if slots is None or isinstance(slots, int) else list(slots)
        self.lease, self.max_deaths = lease, max_deaths
        self.launchers = launchers.configured(dir)
        self.stopping = False
        self._active: dict[str, _Active] = {}
        self._renew_at = 0.0
        self._clerk = Clerk(dir)
        self._threads = max(1, cores() // max(1, len(self.slots)))
        self._devices: dict[str, tuple[str, ...]] = {"cuda": ("cuda", "auto"), "cpu": ("cpu", "auto")}
        if any(slot.startswith("cuda") for slot in self.slots):
            self._devices["cpu"] = ("cpu",)  # a run that could use the GPU waits for it
        self._devices[PIPELINE] = ("none",)
        # What a cluster is given waits there for its place, not here.
        self._clusters = [name for name, launcher in self.launchers.items() if launcher.places]
        for name in self._clusters:
            self._devices[name] = ("auto", "cpu", "cuda")

    def run_forever(self) -> None:
        """Work until SIGTERM or SIGINT; then put the running runs back, with a checkpoint each."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while self._active or not self.stopping:
            self._step()
        self._leave()

    def run_until_done(self, run: str) -> None:
        """Work until that run has ended; on Ctrl-C the running runs are put back."""
        try:
            while not self._ended(run):
                self._step()
        finally:
            self.stopping = True
            while self._active:
                self._step()
            self._leave()

    def _ended(self, run: str) -> bool:
        row = self.dir.connection.execute("SELECT state FROM runs WHERE id = ?", (run,)).fetchone()
        return row is None or row["state"] in queue.FINISHED

    def _step(self) -> None:
        try:
            self.tick()
        except (StoreError, sqlite3.OperationalError) as error:  # a full disk: nothing is lost by waiting
            logger.warning("%s", error)
        time.sleep(POLL)

    def _leave(self) -> None:
        with self.dir.write() as db:
            db.execute("DELETE FROM workers WHERE id = ?", (self.id,))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def tick(self) -> None:
        """One look at everything."""
        self._keep_leases()
        held = queue.held(self.dir, self.id)
        for run in list(self._active.values()):
            if run.id not in held:
                logger.warning("lost the lease of run %s", run.id)
                self._drop(run)
            else:
                self._keep_leases()
                self._follow(run, cancel=held[run.id])
        if not self.stopping:
            self._clerk.tick()
            self._take_over()
            self._start_more()

    def _keep_leases(self) -> None:
        """Renew the leases when it is time; within whatever may take long, lest others take the runs over."""
        if time.monotonic() >= self._renew_at:
            self._beat()

    def _beat(self) -> None:
        queue.renew(self.dir, self.id, lease=self.lease)
        with self.dir.write() as db:
            row = (
                self.id,
                os.getpid(),
                json.dumps([*self.slots, *self._clusters]),
                time.time(),
                queue.boot_id(),
                queue.boot_clock(),
            )
            db.execute(
                "INSERT OR IGNORE INTO workers (id, pid, slots, started, boot, beat) VALUES (?,?,?,?,?,?)",
                row,
            )
            db.execute(
                "DELETE FROM workers WHERE boot <> ? OR beat < ?",
                (queue.boot_id(), queue.boot_clock() - 3 * self.lease),
            )
        self._renew_at = time.monotonic() + self.lease / 5

    def _start_more(self) -> None:
        # Pipelines have places of their own, or they could fill the slots that their steps wait for.
        places = [*self.slots, *[PIPELINE] * PIPELINES]
        for name in self._clusters:
            places += [name] * self.launchers[name].places
        free = Counter(places) - Counter(run.slot for run in self._active.values())
        nothing: set[str] = set()  # kinds of slots for which nothing waits
        for slot in sorted(free.elements(), key=lambda name: not name.startswith("cuda")):
            if slot in nothing:
                continue
            self._keep_leases()
            row = queue.claim(
                self.dir,
                self.id,
                slot,
                self._devices[slot.partition(":")[0]],
                lease=self.lease,
                launchers=(slot,) if slot in self._clusters else ("local",),
            )
            if row is not None:
                self._start(self._activate(row), row["attempt"])
            elif not slot.startswith("cuda"):
                nothing.add(slot)

    def _activate(self, row: Any) -> _Active:
        run = _Active(
            id=row["id"],
            folder=self.dir.runs / row["id"],
            slot=row["slot"],
            launcher=self.launchers[row["launcher"]],
            offset=row["events_offset"],
        )
        self._active[run.id] = run
        return run

    def _start(self, run: _Active, attempt: int) -> None:
        try:
            run.job = run.launcher.start(run.folder, slot=run.slot, threads=self._threads, attempt=attempt)
        except OSError as error:
            self._end(run, "failed", error=_cannot_start(run, error))
        else:
            queue.set_job(self.dir, run.id, self.id, run.job)

    def _take_over(self) -> None:
        known = tuple(self.launchers)
        while (row := queue.claim_expired(self.dir, self.id, lease=self.lease, launchers=known)) is not None:
            logger.warning("taking over run %s", row["id"])
            self._keep_leases()
            run = self._activate(row)
            if run.launcher.attach(row["job"], run.folder):
                run.job = row["job"]
                continue
            self._settle(run, code=-signal.SIGKILL, cancel=bool(row["cancel"]))

    def _follow(self, run: _Active, *, cancel: bool) -> None:
        # Without a job it was taken over, and only its end has still to be written.
        code = run.launcher.poll(run.job) if run.job else -signal.SIGKILL
        gone = not (run.folder / "spec.json").exists()
        if code is None and gone:
            run.launcher.stop(run.job, force=True)
        elif code is None and self.stopping and run.launcher.lasting and not cancel:
            self._drop(run)  # it goes on, and another worker takes it over
            return
        elif code is None and (cancel or self.stopping):
            self._ask_to_stop(run)
        if not gone:
            self._ingest(run)
        if code is not None:
            self._settle(run, code=code, cancel=cancel)

    def _ask_to_stop(self, run: _Active) -> None:
        if run.kill_at is None:
            run.launcher.stop(run.job)
            run.kill_at = time.monotonic() + GRACE
        elif time.monotonic() > run.kill_at:
            run.launcher.stop(run.job, force=True)

    def _settle(self, run: _Active, *, code: int, cancel: bool) -> None:
        """Decide what becomes of a run whose processes have ended."""
        while self._ingest(run):
            pass
        result = read_result(run.folder)
        if result is not None:
            self._end(run, **result)
        elif not (run.folder / "spec.json").exists():
            self._end(
                run, "failed", error="The folder of the run was deleted while it ran: submit the run again."
            )
        elif cancel:
            self._end(run, "cancelled")
        elif code == os.EX_IOERR:
            self._end(run, "failed", error="The disk is full: free some space, then retry the run.")
        elif (
            0 <= code != os.EX_TEMPFAIL
            and not self.stopping
            and run.kill_at is None
            and code != 128 + signal.SIGTERM
        ):
            self._end(
                run, "failed", error=f"The run's process ended early with code {code}: its log says why."
            )
        else:
            died = run.kill_at is None and code != os.EX_TEMPFAIL
            mark = _newest_checkpoint(run.folder)
            if queue.release(
                self.dir, run.id, self.id, died=died, checkpoint=mark, max_deaths=self.max_deaths
            ):
                del self._active[run.id]
            else:
                self._end(run, "failed", error=_given_up(self.max_deaths, code))

    def _end(self, run: _Active, state: str, **result: Any) -> None:
        queue.finish(self.dir, run.id, self.id, state, **result)
        del self._active[run.id]

    def _drop(self, run: _Active) -> None:
        if run.job:
            run.launcher.abandon(run.job)
        del self._active[run.id]

    def _ingest(self, run: _Active) -> bool:
        """Enter the next events; False when there are none."""
        try:
            with open(run.folder / "events.jsonl", "rb") as file:
                file.seek(run.offset)
                block = file.read(CHUNK)
        except FileNotFoundError:
            return False
        block = block[: block.rfind(b"\n") + 1]  # the rest of a line may still be on its way
        if not block:
            return False
        metrics, state = read_events(block)
        end = run.offset + len(block)
        moved = queue.ingest(
            self.dir, run.id, self.id, start=run.offset, end=end, metrics=metrics, state=state
        )
        if moved:
            run.offset = end
        return moved


def default_slots(cpu: int | None = None) -> list[str]:
    """Every GPU, and `cpu` CPU slots (by default one per four cores)."""
    return [*find_gpus(), *["cpu"] * (cpu if cpu is not None else max(1, cores() // 4))]


def any_alive(dir: StoreDir) -> bool:
    """Whether a worker is looking after the store."""
    row = dir.connection.execute(
        "SELECT 1 FROM workers WHERE boot = ? AND beat > ?", (queue.boot_id(), queue.boot_clock() - LEASE)
    ).fetchone()
    return row is not None


def _newest_checkpoint(folder: Path) -> str:
    """A mark that changes with every new checkpoint."""
    times = [path.stat().st_mtime_ns for path in folder.glob("checkpoint/**/*") if path.is_file()]
    return str(max(times, default=""))


def _given_up(deaths: int, code: int) -> str:
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"code {code}"
    return (
        f"The run was killed {deaths} times in a row without getting on (last by {name}), "
        "perhaps for want of memory."
    )


def _cannot_start(run: _Active, error: OSError) -> str:
    if not run.folder.exists():
        return "The folder of the run was deleted before it started: submit the run again."
    return f"The run's process cannot be started: {error.strerror or error}."
