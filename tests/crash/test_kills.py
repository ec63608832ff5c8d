"""kill -9 of run processes, workers and a web-like process at random moments: nothing lost, nothing twice."""

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from rig import Workers, is_alive, publish_table, until

from workbench.runs import queue
from workbench.runs.launchers.local import MARK

pytestmark = pytest.mark.crash

KILLS = 60

# Does what pages do: lists, submits, cancels. It writes down what it was told, after it was told.
WEB = """
import random, sys, time
import workbench as wb
store, out, rng = wb.open(sys.argv[1]), open(sys.argv[2], "a"), random.Random(int(sys.argv[3]))
table = store.dataset("table")
print("up", file=out, flush=True)
while True:
    runs = store.runs()
    waiting = [run for run in runs if not run.is_finished]
    if len(waiting) < 10:
        run = store.submit("probes:Sleeper", table, params={"seconds": rng.uniform(0.2, 2.0)},
                           recipe="probes:beat_and_count", priority=rng.randrange(3))
        print("submitted", run.id, file=out, flush=True)
    if waiting and rng.random() < 0.02:
        run = rng.choice(waiting)
        run.cancel()
        print("cancelled", run.id, file=out, flush=True)
    for run in runs[:3]:
        run.metrics(), run.log(5)
    time.sleep(0.05)
"""


def start_web(workers, out, seed):
    web = subprocess.Popen([sys.executable, "-c", WEB, str(workers.store.root), str(out), str(seed)])
    workers.processes.append(web)
    return web


def said(out, word):
    lines = out.read_text().splitlines() if out.exists() else []
    return {line.split()[1] for line in lines if line.startswith(f"{word} ") and len(line.split()) == 2}


def run_processes(store):
    """Leaders of the process groups of what is running now."""
    rows = store.dir.connection.execute("SELECT job FROM runs WHERE state = 'running' AND job <> ''")
    return [int(row["job"]) for row in rows]


def intervals(folder):
    """When each process was at work on the run, on the host's boot clock."""
    found = {}
    beats = folder / "beats.txt"
    for line in beats.read_text().splitlines() if beats.exists() else []:
        pid, _, moment = line.partition(" ")
        if not moment:
            continue  # torn by the kill
        first, last = found.get(pid, (float(moment), float(moment)))
        found[pid] = min(first, float(moment)), max(last, float(moment))
    return sorted(found.values())


def marked_processes(store):
    mark = f"{MARK}={store.dir.runs}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                found.append(folder.name)
        except OSError:
            continue
    return found


def test_sixty_kills_lose_no_run_and_run_none_twice_at_once(store, tmp_path):
    rng = random.Random(20)
    publish_table(store)
    out = tmp_path / "web.txt"
    kills = {"run": 0, "worker": 0, "web": 0}
    with Workers(store) as workers:
        # Here a run may die as often as it happens to: another test proves that it is given up.
        options = {"lease": 1.5, "max_deaths": 10_000}
        alive = [workers.start(**options) for _ in range(2)]
        web = start_web(workers, out, 0)
        until(out.exists)
        while sum(kills.values()) < KILLS:
            time.sleep(rng.uniform(0.2, 2.0))
            target = rng.choice(["run", "run", "worker", "worker", "web"])
            if target == "run":
                jobs = [pid for pid in run_processes(store) if is_alive(pid)]
                if not jobs:
                    continue
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(jobs), 9)
            elif target == "worker":
                victim = rng.randrange(2)
                alive[victim].kill()
                alive[victim].wait()
                alive[victim] = workers.start(**options)
            else:
                web.kill()
                web.wait()
                web = start_web(workers, out, sum(kills.values()))
            kills[target] += 1
        web.kill()
        web.wait()
        runs = store.runs(limit=None)
        until(lambda: all(run.is_finished for run in store.runs(limit=None)), timeout=300)

    assert min(kills.values()) >= 5
    runs = {run.id: run for run in store.runs(limit=None)}
    told, cancelled = said(out, "submitted"), said(out, "cancelled")
    assert len(told) >= 10
    assert told <= runs.keys()
    for run in runs.values():
        assert run.state == "done" or (run.state == "cancelled" and run.id in cancelled), (run, run.log())
        if run.state == "done":
            metrics = run.metrics()
            assert metrics["step"].tolist() == metrics["value"].tolist() == list(range(10))
        worked = intervals(run.folder)
        assert all(earlier[1] < later[0] for earlier, later in pairwise(worked)), worked
        assert len(worked) <= run.attempt
    assert any(run.attempt > 1 for run in runs.values())
    assert {path.name for path in store.dir.runs.iterdir()} == runs.keys()
    assert store.dir.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert marked_processes(store) == []


def test_a_run_that_always_dies_is_given_up_with_one_sentence(store):
    table = publish_table(store)
    run = store.submit("probes:Failing", table, params={"how": "killed"})
    with Workers(store) as workers:
        workers.start()
        ended = run.wait(60)
    assert (ended.state, ended.attempt) == ("failed", queue.MAX_DEATHS)
    assert ended.error.startswith("The run was killed 3 times in a row without getting on")
    assert ended.log().count("--- attempt") == queue.MAX_DEATHS


def test_a_frozen_worker_is_replaced_and_harms_nothing_when_it_thaws(store):
    table = publish_table(store)
    run = store.submit("probes:Sleeper", table, params={"seconds": 12})
    with Workers(store) as workers:
        frozen = workers.start(lease=4.0)
        until(lambda: intervals(run.folder))
        first = run.refresh()
        frozen.send_signal(19)  # SIGSTOP: alive to the kernel, dead to the store
        workers.start(lease=4.0)
        until(lambda: run.refresh().attempt == first.attempt + 1)
        frozen.send_signal(18)
        done = run.wait(120)
        assert frozen.poll() is None
    assert (done.state, done.attempt) == ("done", 2)
    worked = intervals(run.folder)
    assert len(worked) == 2
    assert worked[0][1] < worked[1][0]


def test_four_workers_on_one_store_do_each_run_once(store):
    table = publish_table(store)
    submitted = {
        store.submit("probes:Sleeper", table, params={"seconds": 0.2}, recipe="probes:beat_and_count").id
        for _ in range(24)
    }
    with Workers(store) as workers:
        for _ in range(4):
            workers.start()
        until(lambda: all(run.is_finished for run in store.runs(limit=None)))
    runs = store.runs(limit=None)
    assert {run.id for run in runs} == submitted
    for run in runs:
        assert (run.state, run.attempt) == ("done", 1)
        assert len(intervals(run.folder)) == 1
        assert run.log().count("--- attempt") == 1
        assert run.metrics()["step"].tolist() == list(range(10))


def test_nothing_of_a_run_outlives_a_killed_run_process(store):
    table = publish_table(store)
    run = store.submit("probes:Sleeper", table, params={"seconds": 3, "children": 2})
    with Workers(store) as workers:
        workers.start()
        children = run.folder / "children.txt"
        until(lambda: children.exists() and len(children.read_text().split()) == 2)
        until(lambda: intervals(run.folder))
        pids = [int(pid) for pid in children.read_text().split()]
        os.kill(run_processes(store)[0], 9)
        until(lambda: run.refresh().attempt == 2)
        assert not any(is_alive(pid) for pid in pids)
        assert run.wait(60).state == "done"
