"""Progress of the whole run, time remaining, and torn lines."""

import json
from contextlib import closing

import pytest

from workbench.runs import reporter as module
from workbench.runs.events import read_events, read_result
from workbench.runs.reporter import RunReporter


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


NONSENSE = [
    "5", "[]", "null", '"metric"', "{}", '{"event": "metric"}', '{"event": ["metric"]}', "[" * 5000,
    '{"event": "metric", "name": "a", "step": 1e400, "value": 1, "time": 1}',
    '{"event": "metric", "name": "a", "step": 99999999999999999999, "value": 1, "time": 1}',
    '{"event": "metric", "name": "a", "step": 1, "value": "x", "time": 1}',
    '{"event": "metric", "name": "a", "step": 1, "value": 1, "time": NaN}',
    '{"event": "progress", "progress": {}}', '{"event": "progress", "progress": "a", "stage": 3}',
]  # fmt: skip


def test_what_is_no_event_stops_nobody(tmp_path):
    good = {"event": "metric", "name": "a", "step": 1, "value": 0.5, "time": 2.0}
    odd = {"event": "metric", "name": "half \ud800", "step": "2", "value": None, "time": 3}
    lines = [*NONSENSE, json.dumps(good), json.dumps(odd)]
    metrics, state = read_events("\n".join([*lines, ""]).encode())
    assert metrics == [("a", 1, 0.5, 2.0), ("half ?", 2, None, 3.0)]
    assert state == {}
    for text in (*NONSENSE, '{"state": "queued", "error": "", "headline": "", "scores": {}}'):
        (tmp_path / "result.json").write_text(text)
        assert read_result(tmp_path) is None
    result = {"state": "done", "error": "", "headline": "half \ud800", "scores": {"a": 1, "b": None}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert read_result(tmp_path) == {**result, "headline": "half ?"}
