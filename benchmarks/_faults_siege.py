"""Killing the processes of one store at random moments, while all of them are at work."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import workbench as wb
from benchmarks._common import ROOT
from benchmarks._faults_actors import MINUTE, NOON, be, clock, table
from benchmarks._faults_client import Client
from workbench.facade import Store
from workbench.serving import free_port
from workbench.tokens import Tokens

__all__ = ["KINDS", "Siege"]

KINDS = ("web", "worker", "run", "scheduler", "import", "publish")
PLUGIN = Path(__file__).with_name("_faults_plugin")
IMPORTED = [  # by the process that the others are forked from
    "benchmarks._faults_actors", "sklearn.base", "workbench.cli", "workbench.gui.server",
    "workbench.runs.worker", "workbench.serving", "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
]  # fmt: skip
PATIENCE = 300.0  # seconds for what must come to pass


class Siege:
    """A store with a page server, two workers, a scheduler, an importer and a publisher, all to be killed.

    The processes are forked from one that has imported what they need: what is to be killed is their work,
    and not, most of the time, their imports.

    Parameters
    ----------
    folder : Path
        Empty; the store and what the processes write beside it.
    seed : int
        Of how long each process is left to live; what it is doing then is chance.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.store: Store = wb.open(folder / "store")
        self.kills: Counter[str] = Counter()
        self._rng = {kind: random.Random(f"{seed} {kind}") for kind in KINDS}
        self._environment = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(PLUGIN), os.environ.get("PYTHONPATH", "")]),
            "WORKBENCH_PIPELINES": str(PLUGIN / "pipelines"),
            "OMP_NUM_THREADS": "1",
        }
        self._log = folder / "processes.txt"
        self._processes: list[BaseProcess] = []
        self._replacing = threading.Lock()  # held while a process that must be there is not
        self._over = threading.Event()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(IMPORTED)
        self._prepare()
        self.began = time.time()
        self._port = free_port("127.0.0.1", 18_600)
        _, token = Tokens(self.store.dir).create("client", write=True)
        self.client = Client(f"http://127.0.0.1:{self._port}", token, seed)
        self._workers = [self._start("worker"), self._start("worker")]
        self._web, self._answers = self._start("web", str(self._port)), 0
        self._scheduler, self._scheduled = self._start("scheduler", str(self.began)), time.monotonic()
        self.client.start()

    def _prepare(self) -> None:
        from sklearn.linear_model import LogisticRegression

        from workbench.models import save

        self.store.datasets.publish_frame(table(0, 50), "table")
        save(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), self.folder / "model")
        os.environ["WORKBENCH_PIPELINES"] = self._environment["WORKBENCH_PIPELINES"]
        self.store.schedules.add("tick", "tick", cron="* * * * *", overlap="allow", catch_up="all", now=NOON)

    # -- processes ----------------------------------------------------------------------------------

    def _start(self, kind: str, *words: str) -> BaseProcess:
        arguments = (kind, self._log, self._environment, str(self.store.root), *words)
        process = self._context.Process(target=be, args=arguments, daemon=True)
        process.start()
        self._processes.append(process)
        return process

    def diary(self, kind: str) -> Path:
        """Where an importer or publisher writes what it begins and what is done."""
        return self.folder / f"{kind}.txt"

    def told(self, kind: str, word: str) -> list[int]:
        """The pieces of work of which a diary says that they were begun, or done."""
        path = self.diary(kind)
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(f"{word} ")]

    # -- killing ------------------------------------------------------------------------------------

    def kill(self, kills: int, say: Callable[[str], None] = lambda line: None) -> None:
        """Kill `kills` processes, as many of each kind, every kind at its own pace."""
        plan = Counter(KINDS[i % len(KINDS)] for i in range(kills))
        with ThreadPoolExecutor(len(KINDS)) as pool:
            going = {pool.submit(self._kill_many, kind, number, say) for kind, number in plan.items()}
            try:
                while going:
                    done, going = wait(going, 0.5, return_when=FIRST_EXCEPTION)
                    for one in done:
                        one.result()
                    self._look_after()
            finally:
                self._over.set()

    def _kill_many(self, kind: str, number: int, say: Callable[[str], None]) -> None:
        for _ in range(number):
            self._until(lambda: self._is_ready(kind), f"a process to kill: {kind}")
            getattr(self, f"_kill_{kind}")()
            self.kills[kind] += 1
        if kind == "scheduler":
            self.store.schedules.pause("tick")  # what it would start now nobody would look at
        say(f"{kind}: {number} kills, {time.time() - self.began:.0f} s")

    def _until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something that must come to pass, as long as nothing else has failed."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self._over.is_set() or time.monotonic() > deadline:
                raise SystemExit(f"waited in vain for {what}: see {self._log}")
            time.sleep(0.02)

    def _look_after(self) -> None:
        """Nothing may end by itself, and no request be refused."""
        if self.client.refused:
            raise SystemExit(self.client.refused)
        with self._replacing:
            kept = {"page server": [self._web], "worker": self._workers, "scheduler": [self._scheduler]}
            for name, processes in kept.items():
                if not all(process.is_alive() for process in processes):
                    raise SystemExit(f"the {name} ended by itself: see {self._log}")

    def _is_ready(self, kind: str) -> bool:
        """Whether a process of that kind is at work, so that its death is worth something."""
        if kind == "web":
            return self.client.answers > self._answers
        if kind in ("worker", "run"):
            return bool(self._at_work())
        if kind == "scheduler":
            return time.monotonic() - self._scheduled > MINUTE / 4 and self._until_due() < MINUTE / 8
        return True

    def _at_work(self, deep: bool = False) -> dict[int, int]:
        """The living processes of runs, each with the worker that started it.

        Whose worker was killed dies with it, and whose row says that it runs may be dead. `deep`: only those
        that are past their imports, at the estimator's work.
        """
        rows = self.store.dir.connection.execute(
            "SELECT runs.id, runs.job, workers.pid FROM runs JOIN workers ON runs.worker = workers.id"
            " WHERE runs.state = 'running' AND runs.job <> ''"
        ).fetchall()
        numbers = {worker.pid: number for number, worker in enumerate(self._workers)}
        return {
            int(row["job"]): numbers[row["pid"]]
            for row in rows
            if row["pid"] in numbers
            and row["id"].encode() in _command_line(row["job"])
            and (not deep or (self.store.dir.runs / row["id"] / "beats.txt").exists())
        }

    def _strike(self, kind: str, wait: float) -> tuple[int, int]:
        """A run's process and its worker, both alive after a moment of at most `wait` seconds."""
        deep = self._rng[kind].random() < 0.5
        while True:
            self._until(lambda: self._at_work(deep), "a run to be at work")
            time.sleep(self._rng[kind].uniform(0, wait))
            if living := self._at_work():
                return self._rng[kind].choice(sorted(living.items()))

    def _until_due(self) -> float:
        """Seconds until the schedule is due next."""
        return MINUTE - (clock(self.began) % 60) / 60 * MINUTE

    def _kill_web(self) -> None:
        if self._rng["web"].random() < 0.5:  # while it enters a run
            self._until(lambda: self.client.asking, "a run to be asked for")
            time.sleep(self._rng["web"].uniform(0, 0.1))
        else:
            time.sleep(self._rng["web"].uniform(0, 1.0))
        with self._replacing:
            _kill(self._web)
            self._web, self._answers = self._start("web", str(self._port)), self.client.answers

    def _kill_worker(self) -> None:
        _, victim = self._strike("worker", 0.5)
        with self._replacing:
            _kill(self._workers[victim])
            self._workers[victim] = self._start("worker")

    def _kill_run(self) -> None:
        job, _ = self._strike("run", 0.3)
        with suppress(ProcessLookupError):
            os.kill(job, 9)

    def _kill_scheduler(self) -> None:
        time.sleep(max(0.0, self._until_due() + self._rng["scheduler"].uniform(-0.02, 0.3)))
        with self._replacing:
            _kill(self._scheduler)
            self._scheduler, self._scheduled = self._start("scheduler", str(self.began)), time.monotonic()

    def _kill_import(self) -> None:
        self._kill_at_work("import")

    def _kill_publish(self) -> None:
        self._kill_at_work("publish")

    def _kill_at_work(self, kind: str) -> None:
        begun, done = len(self.told(kind, "begin")), len(self.told(kind, "done"))
        actor = self._start(kind, str(self.diary(kind)))
        self._until(lambda: len(self.told(kind, "begin")) > begun, f"the {kind} process to begin")
        if self._rng[kind].random() < 0.5:  # every other one gets on
            self._until(lambda: len(self.told(kind, "done")) > done, f"the {kind} process to get on")
        time.sleep(self._rng[kind].uniform(0, 0.5))
        _kill(actor)

    # -- and then -----------------------------------------------------------------------------------

    def settle(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Let everything be finished that was begun, then stop all processes."""
        self._over.clear()
        self.client.end()
        self.store.schedules.pause("tick")
        last = {kind: max(self.told(kind, "begin"), default=0) for kind in ("import", "publish")}
        rest = {kind: self._start(kind, str(self.diary(kind)), str(n)) for kind, n in last.items()}
        for kind, process in rest.items():
            process.join()
            if process.exitcode != 0:
                raise SystemExit(f"the {kind} process failed: see {self._log}")
        say(f"imports and publications ended, {time.time() - self.began:.0f} s")
        self._until(self._is_idle, "every run to end")
        say(f"settled, {time.time() - self.began:.0f} s")
        self.close()
        self.store.datasets.sweep()  # what every worker does when it starts

    def _is_idle(self) -> bool:
        (open_,) = self.store.dir.connection.execute(
            "SELECT count(*) FROM runs WHERE state IN ('queued', 'running')"
        ).fetchone()
        return open_ == 0

    def close(self) -> None:
        """End what is left of the processes."""
        living = [process for process in self._processes if process.is_alive()]
        for process in living:
            process.terminate()
        for process in living:
            process.join(20)
            _kill(process)


def _command_line(pid: str) -> bytes:
    """Of a living process; of one that is dead, or waits to be buried, nothing."""
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return b""


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join()


def intervals(folder: Path) -> Sequence[tuple[float, float]]:
    """When each process was at work on the run in `folder`, in seconds of the boot clock, in order."""
    found: dict[str, tuple[float, float]] = {}
    beats = folder / "beats.txt"
    for line in beats.read_text().splitlines() if beats.exists() else []:
        pid, _, moment = line.partition(" ")
        with suppress(ValueError):  # torn by a kill
            first, last = found.get(pid, (float(moment), float(moment)))
            found[pid] = min(first, float(moment)), max(last, float(moment))
    return sorted(found.values())
