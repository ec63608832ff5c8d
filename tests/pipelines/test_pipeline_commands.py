"""``workbench pipelines`` and ``workbench schedule``: what they print, and their exit codes."""

import json

import pytest

from workbench.cli import main


@pytest.fixture
def call(store, capsys):
    """Run a command; what it printed, or what it complained of."""

    def run(*arguments, code=0):
        assert main([*arguments, "--store", str(store.root)]) == code
        printed = capsys.readouterr()
        if code:
            (line,) = printed.err.strip().splitlines()
            assert line.startswith("workbench: ")
            return line
        return json.loads(printed.out) if "--json" in arguments else printed.out

    return run


def test_list_and_show(call):
    names = {row["name"] for row in call("pipelines", "list", "--json")}
    assert {
        "nightly",
        "pretrain_tune",
        "select_retrain",
        "bidding_sweep",
        "modality_report",
        "remedy_race",
        "quick",
    } <= names
    shown = call("pipelines", "show", "nightly", "--json")
    assert {row["parameter"]: row["required"] for row in shown["parameters"]}["name"] is True
    assert "drift_limit" in call("pipelines", "show", "nightly")


def test_run_and_backfill(call, store):
    run = call("pipelines", "run", "quick", "--param", "file=x", "--date", "2026-03-01").strip()
    assert store.run(run).spec["date"] == "2026-03-01"
    shown = call("pipelines", "show", run, "--json")
    assert (shown["state"], shown["params"]["file"], shown["steps"]) == ("queued", "x", [])
    rows = call("pipelines", "backfill", "quick", "--from", "2026-03-01", "--to", "2026-03-03", "--json")
    assert [row["date"] for row in rows] == ["2026-03-01", "2026-03-02", "2026-03-03"]


def test_a_run_that_is_waited_for(call, store):
    assert "Quick, for 2026-03-01." in call("pipelines", "run", "quick", "--date", "2026-03-01", "--wait")
    assert "given '' for 2026-03-01" in store.pipelines.runs()[0].log()


def test_schedules_from_add_to_delete(call):
    added = call(
        "schedule", "add", "night", "quick", "--cron", "30 2 * * *", "--zone", "Europe/Berlin", "--json"
    )
    assert added["when"] == "At 02:30 every day, Europe/Berlin time"
    assert len(added["upcoming"]) == 5
    assert len(call("schedule", "next", "night", "-n", "3", "--json")) == 3
    assert "02:30" in call("schedule", "next", "night").splitlines()[0]
    call("schedule", "pause", "night")
    assert call("schedule", "list", "--json")[0]["paused"] is True
    assert "is paused" in call("schedule", "next", "night", code=1)
    assert call("schedule", "resume", "night", "--json") == {"name": "night", "did": "resumed"}
    assert call("schedule", "show", "night", "--json")["ticks"] == []
    assert "At 02:30" in call("schedule", "show", "night")
    call("schedule", "delete", "night")
    assert call("schedule", "list", "--json") == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pipelines", "show", "nothing"), 1, "no pipeline 'nothing'"),
        (("pipelines", "run", "quick", "--param", "file"), 2, "NAME=VALUE"),
        (("pipelines", "run", "quick", "--param", "fil=x"), 2, "did you mean 'file'"),
        (("pipelines", "run", "quick", "--date", "tomorrow"), 2, "not a date"),
        (("pipelines", "run", "diamond"), 2, "needs a value"),
        (("schedule", "show", "nothing"), 1, "no schedule"),
        (("schedule", "pause", "nothing"), 1, "no schedule"),
        (("schedule", "add", "s", "quick", "--cron", "x"), 2, "not a cron time"),
    ],
)
def test_mistakes_are_one_sentence_and_an_exit_code(call, arguments, code, words):
    assert words in call(*arguments, code=code)
