"""Progress of the whole run, time remaining, and torn lines."""

import json
from contextlib import closing

import pytest

from workbench.runs import reporter as module
from workbench.runs.reporter import RunReporter
from workbench.runs.worker import read_events


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    return clock


def events(folder, kind="progress"):
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [event for line in lines if line and (event := json.loads(line))["event"] == kind]


def test_progress_is_of_the_whole_plan_and_never_goes_back(tmp_path, clock):
    with closing(RunReporter(tmp_path)) as reporter:
        reporter.plan({"a": 1.0, "b": 3.0})
        for name in ("a", "b"):
            with reporter.stage(name):
                for done in (5, 2, 10):
                    clock.now += 1
                    reporter.progress(done, 10)
    told = [event["progress"] for event in events(tmp_path)]
    assert told == sorted(told)
    assert 0.125 in told  # half of the first quarter
    assert 0.625 in told  # half of the rest
    assert told[-1] == 1.0


def test_remaining_time_is_the_pace_since_the_restored_part_over_all_stages(tmp_path, clock):
    with closing(RunReporter(tmp_path)) as reporter, reporter.stage("a"):
        reporter.plan({"a": 1.0, "b": 2.0})
        clock.now += 1
        reporter.progress(60, 100)  # a checkpoint brought 60 of 100 back at once
        clock.now += 10
        reporter.progress(70, 100)  # ten in ten seconds: 30 more here, then twice a hundred
    assert events(tmp_path)[-3]["remaining"] is None
    assert events(tmp_path)[-2]["remaining"] == pytest.approx(30 + 200)


def test_a_torn_line_costs_only_itself(tmp_path):
    first = RunReporter(tmp_path)
    first.metric("loss", 1.0, 0)
    first.close()
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('{"event": "metric", "name": "lo')
    second = RunReporter(tmp_path)
    second.metric("loss", 2.0, 1)
    second.close()
    metrics, _ = read_events((tmp_path / "events.jsonl").read_bytes())
    assert [(name, step, value) for name, step, value, _ in metrics] == [("loss", 0, 1.0), ("loss", 1, 2.0)]
