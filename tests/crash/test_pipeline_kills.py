"""kill -9 of pipelines, their steps and their workers: no step lost or done again, no due time twice."""

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from rig import Workers, publish_table, until

from workbench.runs.launchers.local import MARK

pytestmark = pytest.mark.crash

PIPELINES = Path(__file__).parent.parent / "pipelines" / "support"

# A worker whose clerk lives 300 times as fast: a minute is due every fifth of a second. It starts no run,
# so that nothing but the clerks is at work.
FAST = """
import sys, time
from workbench.store import StoreDir
from workbench.runs.clerk import Clerk
from workbench.runs import worker as module
began, noon = float(sys.argv[2]), 1767268800.0
dir = StoreDir(sys.argv[1])
module.PIPELINES, module.POLL = 0, 0.01
worker = module.Worker(dir, ["cpu"], lease=2.0)
worker._clerk = Clerk(dir, lambda: noon + 300 * (time.time() - began))
worker._clerk.tick = worker._clerk.work
worker.run_forever()
"""
NOON = 1767268800.0


@pytest.fixture(autouse=True)
def pipelines(monkeypatch, tmp_path):
    counts = tmp_path / "counts"
    counts.mkdir()
    monkeypatch.setenv("WORKBENCH_PIPELINES", str(PIPELINES))
    monkeypatch.setenv("PROBE_COUNTS", str(counts))
    return counts


def marked(run):
    """Every living process of a run: the pipeline's own and those of its steps."""
    mark, found = f"{MARK}={run.folder}".encode(), []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def test_a_pipeline_that_is_killed_again_and_again_does_no_finished_step_again(store, pipelines):
    rng = random.Random(7)
    run = store.pipelines.run("chain", {"links": 8, "seconds": 0.5})
    done: dict[str, tuple[float, str]] = {}
    kills = {"process": 0, "worker": 0}
    with Workers(store) as workers:
        options = {"lease": 1.5, "max_deaths": 10_000}
        worker = workers.start(**options)
        while sum(kills.values()) < 12 and not run.refresh().is_finished:
            time.sleep(rng.uniform(0.5, 2.5))
            for row in store.pipelines.steps(run.id).to_dict("records"):
                if row["state"] == "done":
                    # What was once seen to be done is never begun anew.
                    assert done.setdefault(row["name"], (row["finished"], row["output"])) == (
                        row["finished"],
                        row["output"],
                    )
            alive = marked(run)
            if rng.random() < 0.7 and alive:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(alive), 9)
                kills["process"] += 1
            else:
                worker.kill()
                worker.wait()
                worker = workers.start(**options)
                kills["worker"] += 1
        # A step that was killed three times has failed: go on as a user would.
        while (ended := run.wait(120)).state != "done":
            assert "Its process was killed (SIGKILL)" in ended.error
            store.queue.retry(run.id)
    assert ended.headline == "8 links."
    final = store.pipelines.steps(run.id).set_index("name")
    assert {name: (final.loc[name, "finished"], final.loc[name, "output"]) for name in done} == done
    outputs = [final.loc[name, "output"] for name in final.index if name.startswith("link")]
    assert outputs == [str(i) for i in range(1, 9)]
    assert marked(run) == []


def test_a_killed_pipeline_finds_the_run_that_it_had_submitted(store):
    publish_table(store)
    run = store.pipelines.run("diamond", {"data": "table", "seconds": 4.0})
    with Workers(store) as workers:
        workers.start(slots=("cpu", "cpu"), lease=1.5)

        def children():
            return [r for r in store.runs() if r.parent == run.id]

        until(lambda: len(children()) == 2 and all(r.state == "running" for r in children()))
        before = {r.id for r in children()}
        row = store.dir.connection.execute("SELECT job FROM runs WHERE id = ?", (run.id,)).fetchone()
        os.kill(int(row["job"]), 9)
        done = run.wait(120)
    assert (done.state, done.attempt) == ("done", 2)
    assert {r.id for r in children()} == before
    assert {r.attempt for r in children()} == {1}


def test_four_workers_killed_at_random_start_each_due_time_once(store):
    rng = random.Random(3)
    store.schedules.add("s", "quick", cron="* * * * *", overlap="allow", catch_up="all", now=NOON)
    began = time.time()

    def start():
        return subprocess.Popen([sys.executable, "-c", FAST, str(store.root), str(began)])

    workers = [start() for _ in range(4)]
    try:
        for _ in range(15):
            before = len(store.runs(limit=None))
            until(lambda n=before: len(store.runs(limit=None)) > n)
            time.sleep(rng.uniform(0.0, 0.3))
            victim = rng.randrange(4)
            workers[victim].kill()
            workers[victim].wait()
            workers[victim] = start()
        store.schedules.pause("s")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    ticks = store.schedules.ticks("s", 10_000)
    assert (ticks["outcome"] == "started").all()
    runs = {run.id: run for run in store.runs(limit=None)}
    assert set(ticks["run"]) == runs.keys()
    assert len(ticks) == len(runs) >= 15
    times = sorted(run.spec["due"] for run in runs.values())
    minutes = [f"2026-01-01T{12 + i // 60:02}:{i % 60:02}:00+00:00" for i in range(1, len(times) + 1)]
    assert times == minutes  # none twice, and none left out
    assert {path.name for path in store.dir.runs.iterdir()} >= runs.keys()
