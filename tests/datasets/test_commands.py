"""``workbench data …``: what it prints, as JSON too, and its exit codes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from workbench.cli import main
from workbench.datasets.label_text import read_file
from workbench.errors import ImportFailed


@pytest.fixture
def call(datasets, capsys):
    """Run a command on the store of `datasets`; returns its output, and checks its exit code."""

    def run(*arguments, code=0):
        assert main(["--store", str(datasets.store.root), "data", *map(str, arguments)]) == code
        out = capsys.readouterr()
        if code:
            (line,) = [line for line in out.err.splitlines() if line.startswith("workbench: ")]
            return line
        return json.loads(out.out) if "--json" in arguments else out.out

    return run


@pytest.fixture
def wine(datasets):
    datasets.publish_frame(pd.DataFrame({"a": [1, 2, 3], "k": ["x", "y", "=x"]}), "wine")
    return datasets.publish_frame(pd.DataFrame({"a": [4, 5], "k": ["x", "y"]}), "wine")


def test_import_takes_what_the_format_has_to_be_told(call, datasets, tmp_path):
    (tmp_path / "a.csv").write_text("id^y\n017^1\n018^0\n")
    options = ("--option", "delimiter=^", "--type", "id=BIGINT", "--name", "numbers")
    call("import", tmp_path / "a.csv", *options)
    assert datasets.get("numbers").frame()["id"].tolist() == [17, 18]
    made = call("import", tmp_path / "a.csv", "--option", "delimiter=^", "--role", "label=y", "--json")
    assert made["ref"] == "a@1"
    assert made["notes"] == ["'id' is text, because of numbers with leading zeros or plus signs."]
    assert datasets.get("a").roles == {"label": ["y"], "field": ["id"]}
    changed = call("roles", "a", "field=id", "label=", "--json")
    assert changed == {"ref": "a@1", "revision": 2, "roles": {"field": ["id"]}}
    assert "id" in call("roles", "a")


def test_a_role_that_is_given_leaves_the_guesses_of_other_columns(datasets, tmp_path):
    (tmp_path / "log.csv").write_text("user_id,shop,click,outcome,day\nu1,a,0,1,2\nu2,b,1,0,3\n")
    guessed = datasets.import_files(tmp_path / "log.csv").roles
    assert guessed == {"label": ["click"], "user": ["user_id"], "field": ["shop", "outcome", "day"]}
    for given, expected in (
        (
            {"label": "outcome"},
            {"label": ["outcome"], "user": ["user_id"], "field": ["shop", "click", "day"]},
        ),
        ({"user": "shop"}, {"label": ["click"], "user": ["shop"], "field": ["user_id", "outcome", "day"]}),
        ({"time": "day"}, guessed | {"time": ["day"], "field": ["shop", "outcome"]}),
        ({"label": []}, {"user": ["user_id"], "field": ["shop", "click", "outcome", "day"]}),
        ({"label": "click", "field": "shop"}, {"label": ["click"], "field": ["shop"]}),
    ):
        assert datasets.import_files(tmp_path / "log.csv", roles=given).roles == expected


def test_a_label_that_is_given_stays_beside_series(datasets, tmp_path):
    (tmp_path / "s.csv").write_text("time,x,state\n0,1.5,a\n1,2.5,b\n2,2.0,b\n")
    made = datasets.import_files(tmp_path / "s.csv", roles={"label": "state"})
    assert made.roles == {"time": ["time"], "value": ["x"], "label": ["state"]}


def test_sql_prints_explains_publishes_and_writes(call, datasets, wine, tmp_path, monkeypatch):
    assert call("sql", "SELECT sum(a) AS s FROM wine") == "s\n9.0\n"
    assert "Scan" in call("sql", "SELECT a FROM wine WHERE a > 4", "--explain")
    made = call("sql", 'SELECT * FROM "wine@1"', "--into", "copy", "--json")
    assert (made["ref"], made["rows"]) == ("copy@1", 3)
    assert datasets.get("copy").parent == "wine@1"
    call("sql", 'SELECT k FROM "wine@1" WHERE a = 3', "-o", tmp_path / "k.csv")
    assert (tmp_path / "k.csv").read_text() == "k\n'=x\n"
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("SELECT 7 AS n"))
    assert call("sql", "-", "--json") == [{"n": 7}]
    assert "only read" in call("sql", "DROP TABLE wine", code=1)
    listed = call("history", "--json")
    assert [row["sql"] for row in listed][:2] == ["DROP TABLE wine", "SELECT 7 AS n"]
    assert listed[0]["n_rows"] is None
    assert listed[1]["n_rows"] == 1
    assert [row["sql"] for row in call("history", "--search", "sum(", "--json")] == [
        "SELECT sum(a) AS s FROM wine"
    ]
    assert call("history", "--clear", "--json") == []


def test_a_recipe_is_replayed_from_a_version(call, datasets, tmp_path):
    frame = pd.DataFrame({"time": np.arange(20), "x": np.arange(20.0)})
    for name in ("first", "second"):
        datasets.publish_frame(frame, name)
    (tmp_path / "steps.json").write_text('{"steps": [{"step": "windows", "length": 5}]}')
    call("prepare", "first", "--steps", tmp_path / "steps.json", "--name", "cut")
    made = call("prepare", "second", "--like", "cut", "--name", "again", "--json")
    assert made["rows"] == 20
    pd.testing.assert_frame_equal(datasets.get("again").frame(), datasets.get("cut").frame())
    assert json.loads(call("prepare", "second", "--like", "cut", "--show", "json"))["steps"][0]["length"] == 5
    assert "Windows(length=5)" in call("prepare", "second", "--like", "cut", "--show", "python")
    assert "no recipe to replay" in call("prepare", "second", "--like", "first", "--name", "n", code=1)
    assert "--name" in call("prepare", "second", "--like", "cut", code=2)


def test_labels(call, datasets, tmp_path):
    datasets.publish_arrays(np.zeros((3, 4, 1)), name="s")
    assert call("label", "set", "s", "--series", "0=up", "--series", "2=down", "--json")["ref"] == "s@2"
    assert datasets.get("s").to_series().y.tolist() == ["up", None, "down"]
    call("label", "clear", "s", "--series", "0")
    assert datasets.get("s").to_series().y.tolist() == [None, None, "down"]
    (tmp_path / "labels.csv").write_text("series,label\n0,up\n1,\n2,up\n")
    call("label", "set", "s", "--file", tmp_path / "labels.csv")
    assert datasets.get("s").to_series().y.tolist() == ["up", None, "up"]
    listed = call("label", "list", "s", "--json")
    assert [row["ref"] for row in listed] == ["s@4", "s@3", "s@2"]
    assert (listed[0]["labelled"], listed[0]["missing"], listed[0]["classes"]) == (8, 4, 1)
    datasets.publish_frame(
        pd.DataFrame({"time": pd.date_range("2024-01-01", periods=4, freq="h"), "x": 1.0}), "r"
    )
    call("label", "set", "r", "--interval", ",2024-01-01 01:00,2024-01-01 03:00=1")
    assert datasets.get("r").frame()["label"].fillna(0).tolist() == [0, 1, 1, 0]
    call("label", "set", "r", "--row", "3=2")
    assert datasets.get("r").frame()["label"].fillna(0).tolist() == [0, 1, 1, 2]
    for arguments, says in (
        (("set", "s", "--series", "0"), "must end in =LABEL"),
        (("set", "r", "--interval", "1,2=x"), "is not an interval"),
        (("set", "r", "--interval", ",a,b=x"), "is not a date or time"),
        (("set", "r", "--row", "x=1"), "is not the number of a row"),
    ):
        assert says in call("label", *arguments, code=2)
    assert "no series 9" in call("label", "set", "s", "--series", "9=up", code=1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,label\n1,a\n", "must have the column label"),
        ("row,label\n1\n", "not as many cells"),
        ("", "must"),
    ],
)
def test_files_of_labels_that_are_refused(tmp_path, content, says):
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(ImportFailed, match=says):
        read_file(tmp_path / "l.csv")


def test_care(call, datasets, wine):
    found = call("diff", "wine@1", "wine@2", "--json")
    assert found["rows"] == {"before": 3, "after": 2, "added": 2, "removed": 3}
    assert {row["column"] for row in found["drift"]} == {"a", "k"}
    assert "before: 3" in call("diff", "wine@1", "wine@2")
    call("sql", "SELECT a FROM wine", "--into", "child")
    assert [(row["parent"], row["child"]) for row in call("lineage", "--json")] == [("wine@2", "child@1")]
    assert {row["ref"] for row in call("sizes", "--json")} == {"wine@1", "wine@2", "child@1"}
    assert call("verify", "--json") == [
        {"ref": ref, "problem": None} for ref in ("child@1", "wine@2", "wine@1")
    ]
    assert call("retain", "--keep", "1", "--dry-run", "--json") == ["wine@1"]
    assert call("retain", "--keep", "1") == "deleted wine@1\n"
    datasets.get("wine").path.unlink()
    assert "1 of 1 files cannot be trusted" in call("verify", "wine", code=1)


def test_sources(call, datasets, tmp_path, monkeypatch):
    import sqlite3

    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS x")
    connection.close()
    url = f"sqlite:///{tmp_path / 'a.db'}"
    made = call("source", "add", url, "--query", "SELECT * FROM t", "--name", "t", "--json")
    assert (made["ref"], made["rows"]) == ("t@1", 1)
    assert call("source", "refresh", "t", "--json")["ref"] == "t@2"
    (row,) = call("source", "list", "--json")
    assert (row["kind"], row["url"], row["query"]) == ("database", url, "SELECT * FROM t")
    address = "postgresql://ann:pass-word@127.0.0.1/db"
    line = call("source", "add", address, "--query", "SELECT 1", "--name", "n", code=2)
    assert "Leave the password out" in line
    assert "pass-word" not in line
    assert "needs --query" in call("source", "add", url, code=2)
    assert "did not come from" in call("source", "refresh", _frame(datasets), code=1)
    monkeypatch.setenv("WORKBENCH_SOURCE_PASSWORD", "pass-word")
    refused = call("source", "add", "postgresql+psycopg://127.0.0.1:1/db", "--user", "ann",
                   "--query", "SELECT 1", "--name", "n", code=1)  # fmt: skip
    assert "pass-word" not in refused


def _frame(datasets):
    return datasets.publish_frame(pd.DataFrame({"a": [1]}), "frame").ref
