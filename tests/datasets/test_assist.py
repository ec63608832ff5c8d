"""Completion, history, plans and exports of queries; the box as an unprivileged user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

from tests.datasets.test_sql import TRICKS
from workbench.datasets import assist, files
from workbench.errors import QueryRefused, UsageError


@pytest.fixture(scope="module")
def datasets(shared):
    shared.publish_frame(pd.DataFrame({"alcohol": [1.5, 2], "a b": ["x", "=1+1"], "order": [1, 2]}), "wine")
    shared.publish_frame(pd.DataFrame({"a": [1]}), "my wines")
    return shared


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("SELECT * FROM w", ["wine"]),
        ("SELECT * FROM m", ['"my wines"']),
        ('SELECT * FROM "m', ['"my wines"']),
        ("SELECT * FROM wine JOIN ", ['"my wines"', "wine"]),
        ("FROM wine SELECT alc", ["alcohol"]),
        ("FROM wine SELECT wine.o", ['"order"']),
        ("FROM wine SELECT a", ["alcohol", '"a b"']),
        ('SELECT 1 AS "one", alc FROM wine WHERE alc', ["alcohol"]),
        ("SEL", ["SELECT"]),
        ("SELECT appr", ["approx_count_distinct"]),
        ("SELECT geten", []),
    ],
)
def test_completion(datasets, text, first):
    assert datasets.complete(text)[: max(1, len(first))] == first


def test_completion_in_the_middle(datasets):
    assert datasets.complete("SELECT al FROM wine", 9)[0] == "alcohol"


def test_history(datasets, monkeypatch):
    monkeypatch.setattr(assist, "HISTORY", 3)
    for number in range(4):
        with assist.recorded(datasets.store, f"SELECT {number}", "ann") as facts:
            facts["n_rows"] = len(datasets.sql(f"SELECT {number}"))
    with pytest.raises(QueryRefused), assist.recorded(datasets.store, "DROP TABLE wine", "ann"):
        datasets.sql("DROP TABLE wine")
    with assist.recorded(datasets.store, "SELECT 'b'", "bob"):
        pass
    frame = assist.history(datasets.store, "ann")
    assert frame["sql"].tolist() == ["DROP TABLE wine", "SELECT 3", "SELECT 2"]
    assert "only read" in frame["error"][0]
    assert frame["n_rows"].tolist()[1:] == [1, 1]
    assert assist.history(datasets.store, "ann", search="drop")["sql"].tolist() == ["DROP TABLE wine"]
    assist.forget(datasets.store, [int(frame["id"][1])], "ann")
    assist.forget(datasets.store, owner="bob")
    assert len(assist.history(datasets.store, "ann")) == 2
    assert len(assist.history(datasets.store, "bob")) == 0


def test_plan(datasets):
    assert "Scan" in datasets.explain("SELECT alcohol FROM wine WHERE alcohol > 1")
    with pytest.raises(QueryRefused):
        datasets.explain("COPY wine TO '/tmp/x'")


def test_export_of_a_result(datasets, tmp_path):
    path = datasets.export_query('SELECT "a b" AS b, alcohol FROM wine ORDER BY alcohol', tmp_path / "r.csv")
    assert path.read_text() == "b,alcohol\nx,1.5\n'=1+1,2.0\n"
    datasets.export_query("FROM range(200000)", tmp_path / "r.parquet")
    assert len(pd.read_parquet(tmp_path / "r.parquet")) == 200_000
    with pytest.raises(UsageError, match=r"must end in \.csv or \.parquet"):
        datasets.export_query("SELECT 1", tmp_path / "r.xls")
    with pytest.raises(QueryRefused, match="Could not convert"):
        datasets.export_query("SELECT x::INTEGER FROM (VALUES ('a')) v(x)", tmp_path / "bad.csv")
    assert sorted(os.listdir(tmp_path)) == ["r.csv", "r.parquet"]


def test_a_large_query_is_cancelled_soon(datasets):
    cancel = threading.Event()
    stopped: list[float] = []

    def stop():
        stopped.append(time.monotonic())
        cancel.set()

    threading.Timer(0.5, stop).start()
    with pytest.raises(QueryRefused, match="cancelled"):
        datasets.sql(
            "SELECT md5(a.range::VARCHAR) AS h, count(*) FROM range(50000000) a GROUP BY h", cancel=cancel
        )
    assert stopped  # it was running when the button was pressed


_AS_NOBODY = """
import json, os, sys
import duckdb, numpy, pandas, pyarrow
from workbench.datasets.sql import QueryBox, run_query
from workbench.errors import QueryRefused
path, out, tricks = sys.argv[1], sys.argv[2], json.loads(sys.stdin.read())
names = {"wine": path}
run_query("FROM wine", names)  # everything is imported before the privileges go
os.setgroups([]); os.setgid(65534); os.setuid(65534)
done = []
for trick in tricks:
    try:
        run_query(trick.format(out=out, file=path), names)
        done.append(trick)
    except QueryRefused:
        pass
try:
    open(path, "r+b")
    done.append("open for writing")
except PermissionError:
    pass
# Past the walk over the tree, the locked connection and the file's mode are the walls.
for trick in ("WITH t AS (COPY (SELECT 1) TO '{out}') SELECT * FROM t",
              "WITH t AS (DELETE FROM d0.data RETURNING *) SELECT * FROM t",
              "DETACH d0; ATTACH '{file}' AS d0; DELETE FROM d0.data"):
    with QueryBox("FROM wine", names) as box:
        try:
            box._connection.execute(trick.format(out=out, file=path)).fetchall()
            done.append("raw: " + trick)
        except duckdb.Error:
            pass
print(json.dumps({"uid": os.getuid(), "done": done, "rows": len(run_query("FROM wine", names))}))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests ran as an unprivileged user already")
def test_tricks_as_nobody(datasets):
    """What root may do and nobody may not: the file's mode is a wall of its own."""
    wine = datasets.get("wine")
    folder = datasets.store.root.parent
    for path in (folder, datasets.store.root, datasets.store.datasets, wine.path.parent):
        os.chmod(path, 0o755)  # noqa: S103
    before = files.checksum(wine.path)
    found = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, wine.path, folder / "out"],
        input=json.dumps(TRICKS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[-1]) == {"uid": 65534, "done": [], "rows": 2}
    assert files.checksum(wine.path) == before
    assert not (folder / "out").exists()
