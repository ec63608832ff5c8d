"""Passwords, keys and tokens: used, and in no file, log, export or listing afterwards."""

from __future__ import annotations

import sqlite3

import pytest

from workbench.cli import main
from workbench.datasets.sources import import_database, refresh
from workbench.errors import WorkbenchError
from workbench.notebook import export
from workbench.runs.worker import Worker
from workbench.tokens import Tokens
from workbench.upkeep import backup

#: What a worker's environment may hold, each with a word to look for.
SECRETS = {
    "PGPASSWORD": "pg-s3cret-word",
    "AWS_SECRET_ACCESS_KEY": "aws-s3cret-word",
    "WORKBENCH_NOTIFY_WEBHOOK": "http://ann:hook-s3cret-word@127.0.0.1:9/x",
    "WORKBENCH_RAY_TOKEN": "ray-s3cret-word",
    "RAY_AUTH_TOKEN": "auth-s3cret-word",
}
IN_ADDRESS = "9876543.25"  # an option in a database's address, as passwords are


@pytest.fixture
def used(store, tmp_path, monkeypatch):
    """A store in which all of them were used: a token, an import by an address, a run, a failed import."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    _, token = Tokens(store.dir).create("ann", write=True)
    (tmp_path / "source").mkdir()
    with sqlite3.connect(tmp_path / "source" / "a.db") as connection:
        connection.execute("CREATE TABLE t (x REAL, label TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(i / 7, "ab"[i % 2]) for i in range(20)])
    connection.close()
    url = f"sqlite:///{tmp_path / 'source' / 'a.db'}?timeout={IN_ADDRESS}"
    import_database(store.datasets, url, "SELECT * FROM t", "t").set_roles(
        {"field": ["x"], "label": ["label"]}
    )
    refresh(store.datasets, "t", url=url)
    for query in ("SELECT * FROM none", "SELECT"):
        with pytest.raises(WorkbenchError) as refused:
            import_database(store.datasets, url, query, "never")
        assert IN_ADDRESS not in str(refused.value)
    run = store.submit("sklearn.dummy:DummyClassifier", "t")
    Worker(store.dir, ["cpu"]).run_until_done(run.id)
    assert run.refresh().state == "done", run.error
    return run, token.split("_", 2)[2]


def test_no_export_log_or_listing_holds_a_secret(store, used, tmp_path, capsys):
    run, token = used
    export(run, tmp_path / "exported")
    backup(store.dir, tmp_path / "copy.tar")
    at = ["--store", str(store.root)]
    for words in (["data", "list"], ["data", "show", "t"], ["runs", "list"], ["runs", "show", run.id],
                  ["runs", "log", run.id], ["token", "list"], ["check"]):  # fmt: skip
        assert main([*words, *at]) == 0, words
    printed = capsys.readouterr()
    words = [token, IN_ADDRESS, *(f"{kind}-s3cret-word" for kind in ("pg", "aws", "hook", "ray", "auth"))]
    for word in words:
        assert word not in printed.out + printed.err
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "source"]
    assert {"copy.tar", "reproduce.ipynb", "log.txt", "spec.json"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        for word in words:
            assert word.encode() not in content, (word, path)
