"""Whole pipelines through real workers: order, reuse, retries, time limits, cancel, slots."""

import json
import signal
from itertools import pairwise

import numpy as np
import pytest
from rig import is_alive, until

from workbench.runs.worker import Worker


def work(store, run, slots=("cpu",), **options):
    Worker(store.dir, list(slots), **options).run_until_done(run.id)
    return run.refresh()


def calls(probes, run, what):
    """How often each step of a run called a counted function."""
    return {
        path.name.rpartition("~")[2]: len(path.read_text().splitlines())
        for path in sorted(probes.glob(f"{run.id}~{what}~*"))
    }


def steps(store, run):
    return store.pipelines.steps(run.id).set_index("name")


def test_steps_feed_one_another_and_a_rerun_with_the_same_inputs_does_none_again(store, table, probes):
    one = work(store, store.pipelines.run("diamond", {"data": "table"}, date="2026-03-01"))
    assert (one.state, one.headline, one.scores) == ("done", "Both are done.", {"sum": 1.0})
    done = steps(store, one)
    assert done["state"].tolist() == ["done"] * 4
    assert done.loc["last", "needs"] == ["left", "right"]
    assert json.loads(done.loc["note", "output"]) == "first of 2026-03-01"
    children = [run for run in store.runs() if run.parent == one.id]
    assert {run.id for run in children} == set(done["child"].dropna())
    assert {run.dataset for run in children} == {"table@1"}
    ended = {name: done.loc[name, "finished"] for name in done.index}
    assert max(ended["left"], ended["right"]) <= done.loc["last", "started"]
    assert one.artifacts["files/note/note.txt"].read_text() == "first"

    two = work(store, store.pipelines.run("diamond", {"data": "table"}, date="2026-03-01"))
    assert two.scores == one.scores
    assert set(steps(store, two)["reused"]) == {one.id}
    assert two.artifacts["files/note/note.txt"].read_text() == "first"
    assert calls(probes, two, "note") == {}
    assert len([run for run in store.runs() if run.recipe != "pipeline"]) == 2

    # Another date is another input of the first step, but not of the runs, which are not told of it.
    three = work(store, store.pipelines.run("diamond", {"data": "table"}, date="2026-03-02"))
    assert steps(store, three)["reused"].isna().to_dict() == {
        "note": True, "left": False, "right": False, "last": False
    }  # fmt: skip


def test_a_failed_step_is_tried_again_and_then_its_followers_are_left_out(store, probes):
    good = work(store, store.pipelines.run("shaky", {"failures": 2, "retries": 2}))
    assert good.state == "done"
    assert calls(probes, good, "stumble") == {"stumble": 3}
    # Without reuse, what went well there is done again.
    bad = work(store, store.pipelines.run("shaky", {"failures": 2, "retries": 1}, reuse=False))
    assert bad.state == "failed"
    assert bad.error.startswith("The step 'stumble' failed: ValueError: not yet")
    assert "\n" not in bad.error
    assert "Traceback" in bad.log()
    assert steps(store, bad)["state"].to_dict() == {"stumble": "failed", "note": "skipped", "beside": "done"}
    assert calls(probes, bad, "note") == {"beside": 1}
    store.queue.retry(bad.id)
    again = work(store, bad)
    assert again.state == "done"
    assert calls(probes, bad, "stumble") == {"stumble": 3}
    assert calls(probes, bad, "note") == {"beside": 1, "note": 1}


def test_a_step_that_takes_too_long_is_ended(store, table):
    run = work(store, store.pipelines.run("slow", {"data": "table"}))
    assert run.state == "failed"
    found = steps(store, run)
    assert (found["error"] == "It took longer than 1 seconds.").all()
    assert store.run(found.loc["Sleeper", "child"]).state == "cancelled"
    assert not is_alive(int((run.folder / "steps" / "sleep" / "pid").read_text()))


@pytest.mark.slow
def test_a_step_by_two_processes(store):
    X = np.random.default_rng(0).normal(size=(20, 30, 1))
    store.datasets.publish_arrays(X, np.arange(20) % 2, name="waves")
    done = work(store, store.pipelines.run("pair", {"data": "waves"}))
    assert done.state == "done", done.log()
    (child,) = (run for run in store.runs() if run.parent == done.id)
    assert child.spec["processes"] == 2


@pytest.mark.slow
def test_more_pipelines_than_slots_end_with_one_slot(store, table):
    runs = [
        store.pipelines.run("diamond", {"data": "table"}, date=f"2026-01-{day:02}", reuse=False)
        for day in range(1, 4)
    ]
    worker = Worker(store.dir, ["cpu"])
    until(lambda: worker.tick() or all(run.refresh().is_finished for run in runs))
    assert [run.refresh().state for run in runs] == ["done"] * 3


@pytest.mark.slow
def test_cancel_ends_the_runs_and_processes_of_its_steps(store, table, workers):
    run = store.pipelines.run("slow", {"data": "table", "timeout": 600.0})
    workers.start()
    pid = run.folder / "steps" / "sleep" / "pid"
    until(lambda: pid.exists() and pid.read_text())
    until(lambda: any(r.state == "running" for r in store.runs() if r.parent == run.id))
    run.cancel()
    assert run.wait(30).state == "cancelled"
    (child,) = (r for r in store.runs() if r.parent == run.id)
    assert child.wait(30).state == "cancelled"
    assert steps(store, run)["state"].tolist() == ["cancelled"] * 2
    assert not is_alive(int(pid.read_text()))


@pytest.mark.slow
def test_a_worker_that_is_stopped_puts_the_pipeline_back_and_it_goes_on(store, workers, probes):
    run = store.pipelines.run("chain", {"links": 4, "seconds": 1.0})
    worker = workers.start()
    until(lambda: "link-2" in calls(probes, run, "link"))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert run.refresh().state == "queued"
    done = work(store, run)
    assert (done.state, done.headline) == ("done", "4 links.")
    # The second was cut short and is done again; the first, which was finished, is not.
    assert calls(probes, run, "link") == {"link": 1, "link-2": 2, "link-3": 1, "link-4": 1}


@pytest.mark.slow
def test_a_pipeline_that_runs_alone_waits_for_itself(store, probes):
    runs = store.pipelines.backfill("alone", "2026-01-01", "2026-01-03", {"seconds": 0.3})
    worker = Worker(store.dir, ["cpu"])
    until(lambda: worker.tick() or all(run.refresh().is_finished for run in runs))
    beats = [line.split() for line in (probes / "beats").read_text().splitlines()]
    assert [day for *_, day in beats] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert all(float(a[1]) < float(b[0]) for a, b in pairwise(beats))


def test_backfill_leaves_out_what_is_there(store):
    days = [run.spec["date"] for run in store.pipelines.backfill("quick", "2026-02-27", "2026-03-02")]
    assert days == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    assert [r.spec["date"] for r in store.pipelines.backfill("quick", "2026-03-01", "2026-03-03")] == [
        "2026-03-03"
    ]
    other = store.pipelines.backfill("quick", "2026-03-01", "2026-03-01", {"file": "other"})
    again = store.pipelines.backfill("quick", "2026-03-01", "2026-03-01", again=True)
    assert len(other) == len(again) == 1


def test_the_function_may_wait_for_an_output_and_a_step_may_tell_somebody_once(store):
    run = work(store, store.pipelines.run("decide"))
    assert run.state == "done"
    (notice,) = store.dir.connection.execute("SELECT * FROM notices").fetchall()
    assert (notice["kind"], notice["title"], notice["text"]) == ("drift", "It has drifted", "one of day")


def test_no_run_is_started_for_a_pipeline_that_has_ended(store, table):
    run = store.pipelines.run("diamond", {"data": "table"})
    run.cancel()
    with pytest.raises(Exception, match="has ended"):
        store.submit("probes:Sleeper", table, parent=run.id)
