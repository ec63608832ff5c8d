"""The clock on the wall is set forward and back under workers, runs and schedules."""

import random
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from rig import Workers, publish_table, until
from test_kills import intervals

pytestmark = pytest.mark.crash

HOUR, DAY = 3600.0, 86400.0
PIPELINES = Path(__file__).parent.parent / "pipelines" / "support"


@pytest.fixture
def set_clock(monkeypatch, tmp_path):
    """``set_clock(seconds)`` puts the clock of every process that is started so far ahead of ours."""
    ahead = tmp_path / "ahead.txt"
    ahead.write_text("0")
    monkeypatch.setenv("WORKBENCH_TEST_CLOCK", str(ahead))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "clock"), prepend=":")

    def set_(seconds):
        part = ahead.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(ahead)

    return set_


def test_no_run_is_taken_over_or_ended_by_a_jump(store, set_clock):
    """Leases, and how long a run takes, go by the boot clock."""
    rng = random.Random(5)
    table = publish_table(store)
    runs = [
        store.submit("probes:Sleeper", table, params={"seconds": 2.0}, recipe="probes:beat_and_count")
        for _ in range(4)
    ]
    with Workers(store) as workers:
        for _ in range(2):
            workers.start(lease=2.0)
        until(lambda: any(intervals(run.folder) for run in runs))
        while not all(run.is_finished for run in store.runs()):
            set_clock(rng.choice([-400 * DAY, -HOUR, -3.0, 3.0, HOUR, 400 * DAY]))
            time.sleep(0.3)
    for run in store.runs():
        assert (run.state, run.attempt) == ("done", 1)
        assert run.metrics()["step"].tolist() == list(range(10))
        assert len(intervals(run.folder)) == 1
        assert run.seconds >= 0


def test_a_worker_that_dies_while_the_clock_is_wrong_is_replaced_all_the_same(store, set_clock):
    table = publish_table(store)
    run = store.submit("probes:Sleeper", table, params={"seconds": 4.0})
    with Workers(store) as workers:
        first = workers.start(lease=2.0)
        until(lambda: intervals(run.folder))
        set_clock(-DAY)  # by which its lease would have a day to go
        first.kill()
        workers.start(lease=2.0)
        until(lambda: run.refresh().attempt == 2)
        assert run.wait(60).state == "done"
    worked = intervals(run.folder)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(worked))


def test_a_schedule_goes_on_after_the_clock_ran_weeks_ahead(store, set_clock, monkeypatch, tmp_path):
    """When the clock is right again, the next minute starts a run as if nothing had been."""
    (tmp_path / "counts").mkdir()
    monkeypatch.setenv("WORKBENCH_PIPELINES", str(PIPELINES))
    monkeypatch.setenv("PROBE_COUNTS", str(tmp_path / "counts"))
    store.schedules.add("s", "quick", cron="* * * * *", overlap="allow", catch_up="last")
    with Workers(store) as workers:
        for _ in range(2):
            workers.start(slots=())
        set_clock(20 * DAY)
        until(lambda: store.runs())
        set_clock(0)
        now = time.time()
        until(lambda: store.schedules.get("s").next_due < now + 120)
        # The clock comes to the end of this minute by itself; no need to wait for it.
        set_clock(60 - now % 60 + 1)
        until(lambda: due_before(store, now + HOUR))
    ticks = store.schedules.ticks("s", 10_000)
    assert ticks["due"].is_unique
    dues = [run.spec["due"] for run in store.runs()]
    assert len(dues) == len(set(dues))


def due_before(store, moment):
    """The due times before a moment for which a run was started."""
    last = datetime.fromtimestamp(moment, UTC).isoformat()
    return {run.spec["due"] for run in store.runs() if run.spec["due"] < last}
