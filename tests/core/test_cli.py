"""The command line as a Unix user expects it: exit codes, one sentence on stderr, real processes.

A process of its own shows what only a process has, its exit code, its pipes and its environment; the other
commands are called as ``main``.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

import workbench as wb
from workbench.cli import main

GUNPOINT = "GunPoint"


@pytest.fixture
def workbench(tmp_path, third_party):
    """Run ``python -m workbench`` on a store of its own."""

    def call(*arguments, check=None, timeout=180):
        done = subprocess.run(
            [sys.executable, "-m", "workbench", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=os.environ | {"WORKBENCH_STORE": str(tmp_path / "store")},
        )
        if check is not None:
            assert done.returncode == check, done.stderr
        return done

    return call


@pytest.fixture
def call(tmp_path, third_party, capsys):
    """Run a command in this process on the same store; it has to go well. Returns what it printed."""

    def run(*arguments):
        assert main(["--store", str(tmp_path / "store"), *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def gunpoint(tmp_path_factory):
    """Folder of a store with GunPoint, for commands that must leave it as it is."""
    store = wb.open(tmp_path_factory.mktemp("gunpoint") / "store")
    store.dataset(GUNPOINT)
    return store.root


@pytest.fixture
def ts_files():
    from workbench.datasets import samples

    folder = samples.package_folder("aeon") / "datasets" / "data" / GUNPOINT
    return [folder / f"{GUNPOINT}_TRAIN.ts", folder / f"{GUNPOINT}_TEST.ts"]


def sentence(stderr: str) -> str:
    """The one line on stderr; anything more is a defect."""
    (line,) = stderr.strip().splitlines()
    assert line.startswith("workbench: ")
    return line


def test_import_list_show_sql_export_delete(workbench, call, ts_files, tmp_path):
    made = json.loads(workbench("data", "import", *ts_files, "--name", "Gun", "--json", check=0).stdout)
    assert (made["ref"], made["rows"]) == ("Gun@1", 200 * 150)
    (row,) = json.loads(workbench("data", "list", "--json", check=0).stdout)
    assert row["name"] == "Gun"
    shown = json.loads(call("data", "show", "Gun", "--json"))
    assert set(shown["roles"]) >= {"series_id", "time", "value", "label", "split"}
    query = 'SELECT split, count(DISTINCT series_id) AS n FROM "Gun" GROUP BY split ORDER BY split'
    assert json.loads(call("data", "sql", query, "--json")) == [
        {"split": "test", "n": 150},
        {"split": "train", "n": 50},
    ]
    call("data", "export", "Gun", "-o", tmp_path / "gun.parquet")
    assert (tmp_path / "gun.parquet").stat().st_size > 1000
    call("data", "delete", "Gun")
    assert json.loads(call("data", "list", "--json")) == []


def test_submit_and_wait_without_a_worker_runs_and_prints_scores(workbench, call):
    done = workbench(
        *("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT),
        *("--param", "n_bands=6", "--wait", "--json"),
        check=0,
    )
    run = json.loads(done.stdout)
    assert run["state"] == "done"
    assert 0.5 < run["scores"]["test_accuracy"] <= 1
    (listed,) = json.loads(call("runs", "list", "--json"))
    assert listed["id"] == run["id"]
    assert "6 bands" in call("runs", "log", run["id"])
    shown = json.loads(call("runs", "show", run["id"], "--json"))
    assert shown["spec"]["params"]["n_bands"] == 6


def test_a_queued_run_is_cancelled_retried_and_deleted(workbench, call):
    run = call("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT).strip()
    for change, state in (("cancel", "cancelled"), ("retry", "queued"), ("cancel", "cancelled")):
        call("runs", change, run)
        assert json.loads(call("runs", "show", run, "--json"))["state"] == state
    call("runs", "delete", run)
    gone = workbench("runs", "show", run)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert run in sentence(gone.stderr)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("data", "show", "nothing"), 1, "nothing"),
        (("data", "import", "missing.ts"), 1, "missing.ts"),
        (("data", "sql", "DROP TABLE x"), 1, ""),
        (("submit", "--estimator", "timeseries.CLS", "--data", GUNPOINT), 1, "timeseries.CSL"),
        (("submit", "--estimator", "acme.BandPower", "--data", "x"), 1, "x"),
        (
            ("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT, "--param", "n_bands"),
            2,
            "NAME=VALUE",
        ),
        (("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT, "--param", "bands=1"), 2, "n_bands"),
        (("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT, "--param", "n_bands=x"), 2, "whole"),
        (("runs", "show", "nothing"), 1, "nothing"),
        (("runs", "cancel", "nothing"), 1, "nothing"),
        (("export", "nothing"), 1, "nothing"),
        (("models", "delete", "nothing@1"), 2, "nothing@1"),
    ],
)
def test_mistakes_are_one_sentence_and_an_exit_code(gunpoint, capsys, arguments, code, words):
    assert main(["--store", str(gunpoint), *arguments]) == code
    printed = capsys.readouterr()
    assert words in sentence(printed.err)
    assert printed.out == ""


@pytest.mark.parametrize(
    "arguments", [("data",), ("runs", "list", "--limit", "0"), ("--port", "0"), ("nonsense",), ("submit",)]
)
def test_wrong_usage_is_code_two_with_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: workbench" in capsys.readouterr().err


def test_the_process_ends_with_the_code_of_wrong_usage(workbench):
    done = workbench("nonsense", check=2)
    assert "usage: workbench" in done.stderr
    assert done.stdout == ""


def test_a_score_that_is_no_number_is_said_to_be_none(call, monkeypatch):
    def done(store, run):
        return replace(run, state="done", headline="Done.", scores={"test_auc": None, "test_accuracy": 0.5})

    monkeypatch.setattr("workbench.serving.wait_for", done)
    monkeypatch.setattr("workbench.commands._notes", lambda run: [])  # there is no report
    printed = call("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT, "--wait")
    assert [line.split() for line in printed.splitlines()[1:]] == [
        ["test_auc", "no", "number"],
        ["test_accuracy", "0.5"],
    ]


def test_a_failed_run_is_code_one_with_its_sentence(gunpoint, third_party, capsys):
    wrong = ("--estimator", "acme.BandPower", "--data", GUNPOINT, "--param", "n_bands=400", "--wait")
    assert main(["--store", str(gunpoint), "submit", *wrong]) == 1
    said = capsys.readouterr().err
    assert "n_bands" in said
    assert "Traceback" not in said


def test_a_listing_survives_a_closed_pipe(workbench, tmp_path):
    command = f"{sys.executable} -m workbench data list --json | true"
    env = os.environ | {"WORKBENCH_STORE": str(tmp_path / "s")}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env)
    assert "Traceback" not in done.stderr


def test_the_store_option_goes_before_or_after_the_command(tmp_path):
    for arguments in (
        ("--store", tmp_path / "a", "data", "list"),
        ("data", "list", "--store", tmp_path / "b"),
    ):
        assert main(list(map(str, arguments))) == 0
    assert (tmp_path / "a" / "workbench.sqlite").exists()
    assert (tmp_path / "b" / "workbench.sqlite").exists()
