"""The store: paths, transactions and migrations from every earlier version."""

import os
import sqlite3
import subprocess
import sys

import pytest

from workbench.errors import StoreError, UsageError
from workbench.schema import MIGRATIONS, statements
from workbench.store import StoreDir


def tables(connection):
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_new_store_has_every_table_and_the_current_schema(tmp_path):
    store = StoreDir(tmp_path / "s")
    assert {"datasets", "dataset_versions", "runs", "metrics", "models"} <= tables(store.connection)
    assert store.connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert store.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


#: What the columns of a row may hold where not every text will do.
ALLOWED = {
    ("runs", "state"): "done", ("steps", "kind"): "run", ("steps", "state"): "done",
    ("schedules", "trigger"): "cron", ("schedules", "overlap"): "skip", ("schedules", "catch_up"): "last",
    ("ticks", "outcome"): "started", ("notices", "kind"): "failure",
}  # fmt: skip


def fill(connection):
    """A row in every table, each referring to the others; returns them by table."""
    rows = {}
    for table in sorted(tables(connection)):
        columns = [(name, type_) for _, name, type_, *_ in connection.execute(f"PRAGMA table_info({table})")]
        plain = {"TEXT": "x", "INTEGER": 1, "REAL": 1.5}
        rows[table] = {name: ALLOWED.get((table, name), plain[type_]) for name, type_ in columns}
        names = ", ".join(rows[table])
        places = ", ".join("?" * len(columns))
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", [*rows[table].values()])
    return rows


@pytest.mark.parametrize("earlier", range(len(MIGRATIONS)))
def test_a_store_of_every_earlier_version_is_brought_forward_with_its_rows(tmp_path, earlier):
    root = tmp_path / "s"
    root.mkdir()
    old = sqlite3.connect(root / "workbench.sqlite")
    for script in MIGRATIONS[:earlier]:
        for statement in statements(script):
            old.execute(statement)
    old.execute(f"PRAGMA user_version={earlier}")
    rows = fill(old)
    old.commit()
    old.close()
    db = StoreDir(root).connection
    assert tables(db) == tables(StoreDir(tmp_path / "new").connection)
    for table, row in rows.items():
        kept = db.execute(f"SELECT {', '.join(row)} FROM {table}").fetchall()
        assert [dict(each) for each in kept] == [row], table
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert len(rows) == {0: 0, 1: 8, 2: 13}[earlier]


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    store = StoreDir(tmp_path / "s")
    store.connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="newer workbench"):
        StoreDir(tmp_path / "s")


def test_a_failed_write_leaves_nothing(tmp_path):
    store = StoreDir(tmp_path / "s")

    def half():
        with store.write() as connection:
            connection.execute("INSERT INTO datasets (name, created) VALUES ('a', 0)")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        half()
    assert store.connection.execute("SELECT count(*) FROM datasets").fetchone()[0] == 0


def test_several_processes_may_create_one_store_at_once(tmp_path):
    code = f"from workbench.store import StoreDir; StoreDir({str(tmp_path / 's')!r})"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    assert [process.communicate()[1] for process in started] == [""] * 6
    assert [process.returncode for process in started] == [0] * 6


@pytest.mark.parametrize("parts", [("..", "x"), ("runs", "../../x"), ("/etc/passwd",)])
def test_no_path_leaves_the_store(tmp_path, parts):
    with pytest.raises(UsageError, match="outside the store"):
        StoreDir(tmp_path / "s").inside(*parts)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        StoreDir(tmp_path / "file" / "s")


def test_the_environment_names_the_default_store(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STORE", os.fspath(tmp_path / "named"))
    assert StoreDir().root == tmp_path / "named"


def test_a_store_without_pipelines_keeps_its_runs_and_models(tmp_path):
    root = tmp_path / "s"
    root.mkdir()
    old = sqlite3.connect(root / "workbench.sqlite")
    for statement in statements(MIGRATIONS[0]):
        old.execute(statement)
    old.execute(
        "INSERT INTO runs (id, name, state, estimator, recipe, dataset, spec, created)"
        " VALUES ('a', 'first', 'done', 'E', 'fit_score', 'd@1', '{}', 1.0)"
    )
    old.execute("INSERT INTO models VALUES ('m', 1, 'a', 'E', 'd@1', '{}', 10, 1.0)")
    old.execute("PRAGMA user_version=1")
    old.commit()
    old.close()
    db = StoreDir(root).connection
    run = db.execute("SELECT id, state, lane FROM runs").fetchone()
    assert tuple(run) == ("a", "done", None)
    assert db.execute("SELECT count(*) FROM models").fetchone()[0] == 1
    assert db.execute("SELECT count(*) FROM schedules").fetchone()[0] == 0
