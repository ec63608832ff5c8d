"""The command line as a Unix user expects it: real processes, exit codes, one sentence on stderr."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
def ts_files():
    from workbench.datasets import samples

    folder = samples.package_folder("aeon") / "datasets" / "data" / GUNPOINT
    return [folder / f"{GUNPOINT}_TRAIN.ts", folder / f"{GUNPOINT}_TEST.ts"]


def sentence(done) -> str:
    """The one line on stderr; anything more is a defect."""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("workbench: ")
    assert "Traceback" not in done.stderr
    return line


def test_import_list_show_sql_export_delete(workbench, ts_files, tmp_path):
    made = json.loads(workbench("data", "import", *ts_files, "--name", "Gun", "--json", check=0).stdout)
    assert (made["ref"], made["rows"]) == ("Gun@1", 200 * 150)
    (row,) = json.loads(workbench("data", "list", "--json", check=0).stdout)
    assert row["name"] == "Gun"
    shown = json.loads(workbench("data", "show", "Gun", "--json", check=0).stdout)
    assert set(shown["roles"]) >= {"series_id", "time", "value", "label", "split"}
    query = 'SELECT split, count(DISTINCT series_id) AS n FROM "Gun" GROUP BY split ORDER BY split'
    assert json.loads(workbench("data", "sql", query, "--json", check=0).stdout) == [
        {"split": "test", "n": 150},
        {"split": "train", "n": 50},
    ]
    workbench("data", "export", "Gun", "-o", tmp_path / "gun.parquet", check=0)
    assert (tmp_path / "gun.parquet").stat().st_size > 1000
    workbench("data", "delete", "Gun", check=0)
    assert json.loads(workbench("data", "list", "--json", check=0).stdout) == []


def test_submit_and_wait_without_a_worker_runs_and_prints_scores(workbench):
    done = workbench(
        *("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT),
        *("--param", "n_bands=6", "--wait", "--json"),
        check=0,
    )
    run = json.loads(done.stdout)
    assert run["state"] == "done"
    assert 0.5 < run["scores"]["test_accuracy"] <= 1
    (listed,) = json.loads(workbench("runs", "list", "--json", check=0).stdout)
    assert listed["id"] == run["id"]
    assert "6 bands" in workbench("runs", "log", run["id"], check=0).stdout
    shown = json.loads(workbench("runs", "show", run["id"], "--json", check=0).stdout)
    assert shown["spec"]["params"]["n_bands"] == 6


def test_a_queued_run_is_cancelled_retried_and_deleted(workbench):
    run = workbench("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT, check=0).stdout.strip()
    workbench("runs", "cancel", run, check=0)
    assert json.loads(workbench("runs", "show", run, "--json").stdout)["state"] == "cancelled"
    workbench("runs", "retry", run, check=0)
    assert json.loads(workbench("runs", "show", run, "--json").stdout)["state"] == "queued"
    workbench("runs", "cancel", run, check=0)
    workbench("runs", "delete", run, check=0)
    assert workbench("runs", "show", run).returncode == 1


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
def test_mistakes_are_one_sentence_and_an_exit_code(workbench, arguments, code, words):
    done = workbench(*arguments)
    assert words in sentence(done)
    assert done.returncode == code
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments", [("data",), ("runs", "list", "--limit", "0"), ("--port", "0"), ("nonsense",), ("submit",)]
)
def test_wrong_usage_is_code_two_with_the_usage(workbench, arguments):
    done = workbench(*arguments)
    assert done.returncode == 2
    assert "usage: workbench" in done.stderr


def test_a_failed_run_is_code_one_with_its_sentence(workbench):
    done = workbench(
        *("submit", "--estimator", "acme.BandPower", "--data", GUNPOINT, "--param", "n_bands=400", "--wait")
    )
    assert done.returncode == 1
    assert "n_bands" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_listing_survives_a_closed_pipe(workbench, tmp_path):
    command = f"{sys.executable} -m workbench data list --json | true"
    env = os.environ | {"WORKBENCH_STORE": str(tmp_path / "s")}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env)
    assert "Traceback" not in done.stderr


def test_the_store_option_goes_before_or_after_the_command(workbench, tmp_path):
    for arguments in (
        ("--store", tmp_path / "a", "data", "list"),
        ("data", "list", "--store", tmp_path / "b"),
    ):
        workbench(*arguments, check=0)
    assert (tmp_path / "a" / "workbench.sqlite").exists()
    assert (tmp_path / "b" / "workbench.sqlite").exists()
    assert not Path(tmp_path / "store").exists()
