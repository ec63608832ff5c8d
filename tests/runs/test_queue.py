"""The queue as a data structure: one claim a run, order, slots, leases, every change of state."""

import json
import subprocess
import sys
import time

import pytest

from workbench.errors import RunError, RunNotFound
from workbench.runs import queue

CLAIM_ALL = """
import sys
from workbench.runs import queue
from workbench.store import StoreDir
dir, me = StoreDir(sys.argv[1]), sys.argv[2]
input()
while (row := queue.claim(dir, me, "cpu", ("cpu", "auto"), lease=60)) is not None:
    print(row["id"])
"""


@pytest.fixture
def submit(store, table):
    def submit(**options):
        return store.submit("probes:Sleeper", table, **options).id

    return submit


def claim(store, worker="w", slot="cpu", devices=("cpu", "auto"), lease=60):
    row = queue.claim(store.dir, worker, slot, devices, lease=lease)
    return None if row is None else row["id"]


def test_many_processes_claim_each_run_once(store, submit):
    ids = [submit() for _ in range(40)]
    command = [sys.executable, "-c", CLAIM_ALL, str(store.root)]
    claimers = [
        subprocess.Popen([*command, f"w{i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(4)
    ]
    for claimer in claimers:
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    claimed = [line for claimer in claimers for line in claimer.communicate(timeout=60)[0].split()]
    assert sorted(claimed) == sorted(ids)


def test_higher_priority_first_then_older(store, submit):
    low, high, later = submit(priority=-1), submit(priority=5), submit(priority=5)
    middle = submit()
    assert [claim(store) for _ in range(5)] == [high, later, middle, low, None]


def test_age_is_the_order_of_submission_even_if_the_wall_clock_stood_still(store, submit, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1e9)
    ids = [submit() for _ in range(5)]
    assert [claim(store) for _ in range(5)] == ids


def test_a_gpu_is_given_once_on_the_host_but_cpu_slots_are_the_workers_own(store, submit):
    ids = [submit(device="cuda") for _ in range(2)]
    cuda = ("cuda", "auto")
    assert claim(store, "w1", "cuda:0", cuda) == ids[0]
    assert claim(store, "w2", "cuda:0", cuda) is None
    assert claim(store, "w2", "cuda:1", cuda) == ids[1]
    free = [submit(device="cpu") for _ in range(2)]
    assert [claim(store, "w1"), claim(store, "w2")] == free


def test_a_run_that_asks_for_a_gpu_does_not_get_a_cpu(store, submit):
    submit(device="cuda")
    assert claim(store) is None


def test_only_an_estimator_with_a_device_waits_for_a_gpu(store, table):
    assert store.submit("probes:Sleeper", table).device == "auto"
    assert store.submit("probes:Failing", table).device == "cpu"


def test_a_lease_runs_out_on_the_boot_clock_and_is_taken_once(store, submit, monkeypatch):
    run = submit()
    claim(store, "dead", lease=5)
    monkeypatch.setattr(time, "time", lambda: 5e9)  # the wall clock leaps decades
    assert queue.claim_expired(store.dir, "w", lease=5) is None
    now = queue.boot_clock()
    monkeypatch.setattr(queue, "boot_clock", lambda: now + 6)
    assert queue.claim_expired(store.dir, "w", lease=5)["id"] == run
    assert queue.claim_expired(store.dir, "w2", lease=5) is None
    assert not queue.finish(store.dir, run, "dead", "done")
    assert store.run(run).state == "running"


def test_a_lease_of_an_earlier_boot_counts_for_nothing(store, submit, monkeypatch):
    run = submit()
    claim(store, "before", lease=1e9)
    monkeypatch.setattr(queue, "boot_id", lambda: "another boot")
    assert queue.claim_expired(store.dir, "after", lease=5)["id"] == run


def test_renewing_keeps_a_lease_even_if_it_had_run_out_unnoticed(store, submit):
    run = submit()
    claim(store, "w", lease=-1)
    queue.renew(store.dir, "w", lease=60)
    assert queue.claim_expired(store.dir, "w2", lease=60) is None
    assert queue.held(store.dir, "w") == {run: False}


def test_deaths_count_only_while_there_is_no_newer_checkpoint(store, submit):
    run = submit()

    def die(checkpoint):
        claim(store)
        return queue.release(store.dir, run, "w", died=True, checkpoint=checkpoint)

    assert die("")
    assert die("a")  # it got on: the count starts again
    assert die("a")
    assert die("a")
    assert not die("a")
    assert store.run(run).state == "running"  # for its worker to finish


def test_cancel_ends_a_queued_run_and_asks_a_running_one(store, submit):
    first, second = submit(), submit()
    claim(store)
    store.queue.cancel([first, second])
    assert store.run(first).state == "running"
    assert queue.held(store.dir, "w") == {first: True}
    assert store.run(second).state == "cancelled"
    assert claim(store) is None


def test_retry_queues_what_has_ended_and_nothing_else(store, submit):
    run = submit()
    with pytest.raises(RunError, match="is queued"):
        store.queue.retry(run)
    claim(store)
    queue.ingest(
        store.dir, run, "w", start=0, end=10, metrics=[("loss", 0, 1.0, 0.0)], state={"progress": 0.5}
    )
    queue.finish(store.dir, run, "w", "failed", error="It broke.")
    folder = store.run(run).folder
    (folder / "result.json").write_text("{}")
    (folder / "checkpoint").mkdir()
    store.queue.retry(run)
    again = store.run(run)
    assert (again.state, again.error, again.progress) == ("queued", "", 0.5)
    assert not (folder / "result.json").exists()
    assert (folder / "checkpoint").exists()
    assert len(again.metrics()) == 1
    claim(store)
    queue.finish(store.dir, run, "w", "done")
    with pytest.raises(RunError, match="fresh"):
        store.queue.retry(run)
    store.queue.retry(run, fresh=True)
    assert not (folder / "checkpoint").exists()
    assert len(store.run(run).metrics()) == 0


def test_delete_refuses_all_if_one_is_running(store, submit):
    running, queued = submit(), submit()
    claim(store)
    with pytest.raises(RunError, match="is running"):
        store.queue.delete([queued, running])
    assert store.run(queued).folder.exists()
    store.queue.delete(queued)
    with pytest.raises(RunNotFound):
        store.run(queued)
    assert not (store.dir.runs / queued).exists()


def test_events_are_entered_once_and_only_by_the_holder_of_the_lease(store, submit):
    run = submit()
    claim(store)
    point = [("loss", 0, 1.0, 0.0)]
    enter = {"start": 0, "end": 40, "state": {"progress": 0.25, "stage": "fit", "remaining": 9.0}}
    assert queue.ingest(store.dir, run, "w", metrics=point, **enter)
    assert not queue.ingest(store.dir, run, "w", metrics=[("loss", 0, 2.0, 0.0)], **enter)
    assert not queue.ingest(store.dir, run, "thief", metrics=point, start=40, end=50, state={})
    now = store.run(run)
    assert now.metrics()["value"].tolist() == [1.0]
    assert (now.progress, now.stage, now.remaining) == (0.25, "fit", 9.0)


def test_a_submission_that_fails_leaves_nothing(store, table, monkeypatch):
    monkeypatch.setattr("os.rename", lambda *paths: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        store.submit("probes:Sleeper", table)
    assert store.runs() == []
    assert list(store.dir.runs.iterdir()) == list(store.dir.tmp.iterdir()) == []


def test_the_table_and_the_folder_hold_the_same_specification(store, submit):
    run = store.run(submit(params={"seconds": 1.5}, seed=7, name="mine"))
    assert run.spec == json.loads((run.folder / "spec.json").read_text())
    assert (run.name, run.spec["seed"], run.spec["params"]) == ("mine", 7, {"seconds": 1.5})


def test_lists_and_prefixes(store, submit, table):
    ids = [submit() for _ in range(3)]
    assert [run.id for run in store.runs(limit=2)] == ids[:0:-1]
    assert len(store.runs(dataset="table")) == len(store.runs(dataset=table.ref)) == 3
    assert store.runs(dataset="tab") == []
    assert [run.id for run in store.runs(text=ids[1][:9].upper())] == [ids[1]]
    assert [run.id for run in store.runs(limit=1, offset=2)] == [ids[0]]
    assert store.runs(text="no such words") == []
    assert store.queue.count() == store.queue.count(dataset="table") == 3
    assert store.queue.count(text=ids[0]) == 1
    assert store.queue.count(text="%") == 0  # looked for as it stands
    assert store.run(ids[0][:7]).id == ids[0]
    with pytest.raises(RunNotFound, match="no run"):
        store.run("zzz")
    frame = store.queue.frame()
    assert set(frame["id"]) == set(ids)


def test_a_run_of_nobody_in_particular_is_of_the_user(store, table, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    queue.user.cache_clear()
    logistic = "sklearn.linear_model:LogisticRegression"
    with store.start_run("by hand") as recorded:
        pass
    owners = [store.submit(logistic, table, **named).owner for named in ({}, {"owner": "ben"})]
    assert [*owners, store.run(recorded.id).owner] == ["ann", "ben", "ann"]
    queue.user.cache_clear()
    monkeypatch.setattr("getpass.getuser", lambda: {}["nobody"])  # a user without a name, as in a container
    assert store.submit(logistic, table).owner == ""
    queue.user.cache_clear()
