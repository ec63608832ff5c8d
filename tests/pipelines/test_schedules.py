"""Schedules by a clock that the test moves: what is started, missed and made up, and by whom."""

import os
import threading
import time
from datetime import datetime

import pytest
from rig import publish_table

from workbench.errors import PipelineError, UsageError
from workbench.runs import notices
from workbench.runs.clerk import Clerk
from workbench.runs.schedules import GRACE, choose

NOON = datetime.fromisoformat("2026-03-28T12:00:00+00:00").timestamp()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock(NOON)


@pytest.fixture
def clerk(store, clock):
    return Clerk(store.dir, clock)


def outcomes(store, name):
    return store.schedules.ticks(name, 10_000)["outcome"].value_counts().to_dict()


def end_all(store):
    """Have every queued run done, as a worker would."""
    with store.dir.write() as db:
        db.execute("UPDATE runs SET state = 'done', finished = 0 WHERE state = 'queued'")


def test_each_due_time_starts_one_run_with_its_own_date(store, clock, clerk):
    added = store.schedules.add(
        "nightly", "quick", {"file": "x"}, cron="30 2 * * *", zone="Europe/Berlin", overlap="allow", now=NOON
    )
    assert added.words == "At 02:30 every day, Europe/Berlin time"
    for _ in range(4 * 24 * 2):
        clock.now += HOUR / 2
        clerk.work()
        clerk.work()
    runs = sorted(store.runs(), key=lambda run: run.spec["due"])
    assert [run.spec["due"] for run in runs] == [
        "2026-03-29T03:00:00+02:00",  # the clock went from two to three
        "2026-03-30T02:30:00+02:00",
        "2026-03-31T02:30:00+02:00",
        "2026-04-01T02:30:00+02:00",
    ]
    assert [run.spec["date"] for run in runs] == ["2026-03-29", "2026-03-30", "2026-03-31", "2026-04-01"]
    assert all(run.schedule == "nightly" and run.spec["params"]["file"] == "x" for run in runs)
    assert outcomes(store, "nightly") == {"started": 4}


@pytest.mark.parametrize(("rule", "started", "missed"), [("none", 0, 5), ("last", 1, 4), ("all", 5, 0)])
def test_what_was_missed_is_made_up_as_the_rule_says_and_told(store, clock, clerk, rule, started, missed):
    store.schedules.add("s", "quick", cron="0 * * * *", overlap="allow", catch_up=rule, now=NOON)
    clock.now += 5 * HOUR + 30 * MINUTE
    clerk.work()
    found = store.schedules.ticks("s")
    assert (found["outcome"] == "started").sum() == started
    assert (found["outcome"] == "missed").sum() == missed
    told = notices.recent(store.dir)
    assert [notice["kind"] for notice in told] == ["missed"] * (missed > 0)
    if missed:
        assert told[0]["title"] == f"The schedule s was missed {missed} times"
    # Afterwards it goes on as if nothing had been.
    clock.now = NOON + 6 * HOUR + 5
    clerk.work()
    assert (store.schedules.ticks("s")["outcome"] == "started").sum() == started + 1


def test_with_a_due_time_in_hand_the_last_missed_is_not_made_up_beside_it(store, clock, clerk):
    store.schedules.add("s", "quick", cron="0 * * * *", overlap="allow", catch_up="last", now=NOON)
    clock.now += 3 * HOUR + 5
    clerk.work()
    assert outcomes(store, "s") == {"missed": 2, "started": 1}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("skip", {"started": 1, "skipped": 2}), ("queue", {"started": 3}), ("allow", {"started": 3})],
)
def test_overlap(store, clock, clerk, rule, expected):
    store.schedules.add("s", "quick", cron="* * * * *", overlap=rule, now=NOON)
    for _ in range(3):
        clock.now += MINUTE
        clerk.work()
    assert outcomes(store, "s") == expected
    lanes = {row[0] for row in store.dir.connection.execute("SELECT lane FROM runs")}
    assert lanes == ({"schedule:s"} if rule == "queue" else {None})
    end_all(store)
    clock.now += MINUTE
    clerk.work()
    assert outcomes(store, "s")["started"] == expected["started"] + 1


def test_all_that_is_made_up_waits_for_one_another_where_it_may_not_overlap(store, clock, clerk):
    store.schedules.add("s", "quick", cron="0 * * * *", overlap="skip", catch_up="all", now=NOON)
    clock.now += 3 * HOUR + 30 * MINUTE
    clerk.work()
    assert outcomes(store, "s") == {"started": 3}
    assert {row[0] for row in store.dir.connection.execute("SELECT lane FROM runs")} == {"schedule:s"}


def test_a_long_time_away_leaves_a_history_that_can_be_read(store, clock, clerk):
    store.schedules.add("s", "quick", cron="* * * * *", catch_up="none", now=NOON)
    clock.now += 30 * DAY + MINUTE / 2 + GRACE
    clerk.work()
    found = store.schedules.ticks("s", 10_000)
    assert len(found) == 101
    assert found["note"].str.extract(r"And (\d+)").dropna().astype(int).sum().item() + 101 == 30 * 24 * 60 + 1
    clock.now += MINUTE
    clerk.work()
    assert store.runs()


def test_pause_and_resume(store, clock, clerk):
    store.schedules.add("s", "quick", cron="* * * * *", overlap="allow", catch_up="all", now=NOON)
    store.schedules.pause("s")
    clock.now += HOUR
    clerk.work()
    assert store.schedules.get("s").upcoming() == []
    assert store.runs() == []
    store.schedules.resume("s", now=clock.now)
    clerk.work()
    assert store.runs() == []  # what came during the pause is not made up
    clock.now += MINUTE
    clerk.work()
    assert len(store.runs()) == 1
    store.schedules.delete("s")
    clock.now += HOUR
    clerk.work()
    assert len(store.runs()) == 1


def test_a_clock_that_is_set_back_starts_nothing_twice(store, clock, clerk):
    store.schedules.add("s", "quick", cron="* * * * *", overlap="allow", now=NOON)
    for step in (1, 1, -2, 1, 1, 1):
        clock.now += step * MINUTE
        clerk.work()
    assert len(store.runs()) == 3
    assert store.schedules.ticks("s")["due"].is_unique


def test_many_at_once_start_each_due_time_once(store):
    store.schedules.add("s", "quick", cron="* * * * *", overlap="allow", catch_up="all", now=NOON)
    clocks = [Clock(NOON) for _ in range(4)]
    faults = []

    def work(clock):
        try:
            clerk = Clerk(store.dir, clock)
            for _ in range(20):
                clock.now += MINUTE
                clerk.work()
        except Exception as error:
            faults.append(error)
        finally:
            store.dir.close()

    threads = [threading.Thread(target=work, args=(clock,)) for clock in clocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(store.runs()) == 20
    assert len({run.spec["due"] for run in store.runs()}) == 20
    assert {run.id for run in store.runs()} == set(store.schedules.ticks("s")["run"])


def test_a_new_version_of_a_data_set_starts_a_run_that_is_given_it(store, clerk, clock):
    publish_table(store)
    store.schedules.add("s", "diamond", dataset="table", fills="data")
    clock.now = time.time() + 1
    clerk.work()
    assert store.runs() == []  # the one that is there is none
    publish_table(store)
    clerk.work()
    clerk.work()
    (run,) = store.runs()
    assert run.spec["params"]["data"] == "table@2"


def test_a_new_file_in_a_folder_starts_a_run_when_it_is_complete(store, clerk, clock, tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.runs.schedules.SETTLED", 0.3)
    folder = tmp_path / "inbox"
    folder.mkdir()

    def put(name, text, age=10.0):
        (folder / name).write_text(text)
        os.utime(folder / name, (time.time() - age,) * 2)

    put("old.csv", "a")
    time.sleep(0.4)  # a file counts once it has not been touched for a while
    store.schedules.add("s", "quick", folder=str(folder), fills="file", overlap="allow")
    put("one.csv", "a")
    put("two.csv.part", "a")
    put(".hidden", "a")
    clock.now = time.time() + 1
    clerk.work()
    assert store.runs() == []
    time.sleep(0.4)
    clerk.work()
    clerk.work()
    (run,) = store.runs()
    assert run.spec["params"]["file"] == str(folder / "one.csv")
    put("one.csv", "changed", age=5)
    time.sleep(0.4)
    clerk.work()
    assert len(store.runs()) == 2


def test_a_pipeline_that_is_gone_is_written_down_and_told(store, clock, clerk, tmp_path, monkeypatch):
    store.schedules.add("s", "quick", cron="* * * * *", now=NOON)
    monkeypatch.setenv("WORKBENCH_PIPELINES", str(tmp_path))
    clock.now += MINUTE
    clerk.work()
    (tick,) = store.schedules.ticks("s").to_dict("records")
    assert (tick["outcome"], tick["run"]) == ("failed", None)
    assert "no pipeline 'quick'" in tick["note"]
    assert notices.recent(store.dir)[0]["kind"] == "failure"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"cron": "* * * * *", "dataset": "x"}, UsageError, "one of"),
        ({}, UsageError, "one of"),
        ({"cron": "x"}, UsageError, "not a cron time"),
        ({"cron": "* * * * *", "zone": "Nowhere"}, UsageError, "no time zone"),
        ({"cron": "* * * * *", "overlap": "both"}, UsageError, "overlap rule"),
        ({"cron": "* * * * *", "fills": "nothing"}, UsageError, "no parameter 'nothing'"),
        ({"cron": "* * * * *", "params": {"files": "x"}}, UsageError, "did you mean 'file'"),
        ({"cron": "* * * * *", "pipeline": "quik"}, PipelineError, "Did you mean 'quick'"),
        ({"folder": "/nonexistent"}, UsageError, "no folder"),
        ({"dataset": "nothing"}, Exception, "no data set"),
    ],
)
def test_a_schedule_that_cannot_be_is_one_sentence(store, arguments, error, words):
    with pytest.raises(error, match=words):
        store.schedules.add("s", **({"pipeline": "quick"} | arguments))
    assert store.schedules.list() == []


def test_two_schedules_of_one_name_are_refused(store):
    store.schedules.add("s", "quick", cron="@daily")
    with pytest.raises(UsageError, match="already"):
        store.schedules.add("s", "quick", cron="@daily")


@pytest.mark.parametrize(
    ("rule", "ages", "expected"),
    [
        ("none", [300, 200, 100], [False, False, False]),
        ("none", [300, 30], [False, True]),
        ("last", [300, 200], [False, True]),
        ("last", [300, 30, 10], [False, True, True]),
        ("all", [300, 30], [True, True]),
    ],
)
def test_choose(rule, ages, expected):
    assert choose([1000.0 - age for age in ages], 1000.0, rule) == expected


@pytest.mark.parametrize("rule", ["none", "last", "all"])
@pytest.mark.parametrize("ahead", [30 * MINUTE, 3 * HOUR, 2 * DAY])
def test_a_clock_that_ran_ahead_and_is_set_right_loses_no_time_and_starts_none_twice(
    store, clock, clerk, ahead, rule
):
    store.schedules.add("s", "quick", cron="*/15 * * * *", overlap="allow", catch_up=rule, now=NOON)
    for jump in (15 * MINUTE, ahead):
        clock.now += jump
        clerk.work()
    early = {run.spec["due"] for run in store.runs(limit=None)}
    clock.now -= ahead
    clerk = Clerk(store.dir, clock)  # whose memory holds nothing of it
    for _ in range(8):
        clock.now += 15 * MINUTE
        clerk.work()
    found = [run.spec["due"] for run in store.runs(limit=None)]
    assert len(found) == len(set(found))
    times = {f"2026-03-28T{12 + i // 4:02}:{i % 4 * 15:02}:00+00:00" for i in range(1, 10)}
    assert times <= set(found)
    assert set(found) <= times | early
    ticks = store.schedules.ticks("s", 10_000)
    assert set(ticks["outcome"]) <= {"started", "missed"}
    assert ticks["due"].is_unique


def test_a_clock_that_is_set_back_a_little_starts_nothing_again(store, clock, clerk):
    store.schedules.add("s", "quick", cron="* * * * *", overlap="allow", catch_up="all", now=NOON)
    moves = [MINUTE, MINUTE, -0.5, MINUTE, -2 * MINUTE, *[MINUTE / 2] * 14]
    for move in moves:
        clock.now += move
        clerk.work()
    dues = sorted(run.spec["due"] for run in store.runs(limit=None))
    assert dues == [f"2026-03-28T12:{minute:02}:00+00:00" for minute in range(1, 8)]


def test_a_file_from_the_future_is_taken_at_once(store, clock, clerk, tmp_path):
    """Its time is of a clock that has been set right since."""
    box = tmp_path / "box"
    box.mkdir()
    store.schedules.add("s", "quick", folder=str(box), fills="file", overlap="allow", now=NOON)
    (box / "new.csv").write_text("x")
    os.utime(box / "new.csv", (time.time() + DAY, time.time() + DAY))
    clerk.work()
    assert [run.spec["params"]["file"] for run in store.runs()] == [str(box / "new.csv")]
