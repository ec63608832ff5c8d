"""The check finds what is broken, says it, and a repair leaves a whole store."""

import json
import random
import shutil
import sqlite3
import time

import pandas as pd
import pytest

import workbench as wb
from workbench.cli import main
from workbench.errors import StoreError
from workbench.schema import MIGRATIONS, statements
from workbench.store import StoreDir
from workbench.tokens import Tokens
from workbench.upkeep import check


def done(store):
    return next(run for run in store.runs() if run.name == "kept")


def waiting(store):
    return next(run for run in store.runs() if run.name == "waiting")


def sql(store, statement, *values):
    """Change the database behind the store's back."""
    store.dir.connection.execute("PRAGMA foreign_keys=OFF")
    store.dir.connection.execute(statement, values)
    store.dir.connection.execute("PRAGMA foreign_keys=ON")


def cut(path):
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-100])


def put(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


BREAKS = {
    "a version's file is gone": (
        lambda s: s.dataset("points@1").path.unlink(),
        "dataset points@1",
        "missing",
    ),
    "a version's file is cut": (lambda s: cut(s.dataset("points@1").path), "dataset points@1", "cut off"),
    "a file without a version": (lambda s: put(s.dir.datasets / "points" / "9.duckdb"), "file", "no version"),
    "a half copied file": (lambda s: put(s.dir.datasets / "points" / "1.duckdb.tmp"), "file", "no version"),
    "the roles are gone": (
        lambda s: sql(s, "DELETE FROM role_revisions WHERE version = 1"),
        "dataset points@1",
        "roles",
    ),
    "the data set's row is gone": (lambda s: sql(s, "DELETE FROM datasets"), "database", "belong to nothing"),
    "curves of no run": (
        lambda s: sql(s, "INSERT INTO metrics VALUES ('none', 'a', 1, 1.0, 0.0)"),
        "database",
        "belong to nothing",
    ),
    "steps of no run": (
        lambda s: sql(
            s,
            "INSERT INTO steps (run, name, position, kind, needs, state)"
            " VALUES ('x', 'a', 1, 'run', '[]', 'done')",
        ),
        "database",
        "belong to nothing",
    ),
    "an alias of no model": (
        lambda s: sql(s, "INSERT INTO aliases VALUES ('none', 'champion', 1, 0.0)"),
        "database",
        "belong to nothing",
    ),
    "a run's folder is gone": (lambda s: shutil.rmtree(waiting(s).folder), "run", "spec.json"),
    "a specification is cut": (lambda s: cut(done(s).folder / "spec.json"), "run", "spec.json"),
    "a report is gone": (lambda s: shutil.rmtree(done(s).folder / "artifacts"), "run", "report"),
    "a report is nothing but brackets": (
        lambda s: put(done(s).folder / "artifacts" / "report" / "report.json", "[" * 100_000),
        "run",
        "report.json",
    ),
    "a model is nothing but brackets": (
        lambda s: put(s.models.get("line").path / "estimator.json", "[" * 100_000),
        "model line@1",
        "estimator.json",
    ),
    "a table is cut": (
        lambda s: cut(done(s).folder / "artifacts" / "report" / "t.parquet"),
        "run",
        "t.parquet",
    ),
    "a run's row is gone": (
        lambda s: sql(s, "DELETE FROM runs WHERE id = ?", done(s).id) or sql(s, "DELETE FROM metrics"),
        "run",
        "does not know it",
    ),
    "a folder that is no run": (lambda s: put(s.dir.runs / "stray" / "a.txt"), "file", "no run"),
    "a model's folder is gone": (
        lambda s: shutil.rmtree(s.models.get("line").path),
        "model line@1",
        "missing",
    ),
    "a model is cut": (
        lambda s: cut(s.models.get("line").path / "estimator.skops"),
        "model line@1",
        "bytes",
    ),
    "a model's row is gone": (lambda s: sql(s, "DELETE FROM models"), "model line@1", "does not know it"),
    "a folder that is no model": (
        lambda s: put(s.dir.models / "stray" / "1" / "a.txt"),
        "file",
        "no saved model",
    ),
}


def test_a_whole_store_has_no_faults(filled):
    assert check(filled.dir) == []


@pytest.mark.parametrize("name", BREAKS)
def test_each_fault_is_found_said_and_repaired(filled, name):
    breaks, what, words = BREAKS[name]
    breaks(filled)
    found = check(filled.dir)
    assert any(finding.what.startswith(what) and words in finding.problem for finding in found), found
    assert not any(finding.repaired for finding in found)
    mended = check(filled.dir, repair=True)
    assert all(finding.repaired and finding.remedy.endswith(".") for finding in mended)
    assert check(filled.dir) == []


def test_a_check_alone_changes_nothing(filled):
    for breaks, *_ in (BREAKS["a run's row is gone"], BREAKS["a version's file is cut"]):
        breaks(filled)
    before = sorted(
        (path, path.stat().st_mtime_ns) for path in filled.root.rglob("*") if "sqlite" not in path.name
    )
    check(filled.dir)
    after = sorted(
        (path, path.stat().st_mtime_ns) for path in filled.root.rglob("*") if "sqlite" not in path.name
    )
    assert after == before
    assert len(filled.runs()) == 1


def test_a_run_whose_row_is_gone_comes_back_with_result_and_curves(filled):
    run = done(filled)
    BREAKS["a run's row is gone"][0](filled)
    check(filled.dir, repair=True)
    back = filled.run(run.id)
    assert (back.state, back.headline, back.scores) == ("done", run.headline, run.scores)
    assert (back.dataset, back.spec) == (run.dataset, run.spec)
    assert back.metrics()["value"].tolist() == [0.5]
    assert back.report().tables["t"].shape == (40, 3)


def test_a_queued_run_whose_row_is_gone_does_not_start_by_itself(filled):
    run = waiting(filled)
    sql(filled, "DELETE FROM runs WHERE id = ?", run.id)
    check(filled.dir, repair=True)
    assert filled.run(run.id).state == "cancelled"
    filled.queue.retry(run.id)
    assert filled.run(run.id).state == "queued"


def test_a_specification_is_written_again_from_the_database(filled):
    run = waiting(filled)
    shutil.rmtree(run.folder)
    check(filled.dir, repair=True)
    assert json.loads((run.folder / "spec.json").read_text()) == run.spec
    assert filled.run(run.id).state == "queued"


def test_nothing_is_thrown_away(filled):
    path = filled.dataset("points@1").path
    cut(path)
    content = path.read_bytes()
    check(filled.dir, repair=True)
    assert (filled.root / "set-aside" / "datasets" / "points" / "1.duckdb").read_bytes() == content
    assert [version.ref for version in filled.datasets.versions("points")] == ["points@2"]


def test_a_model_whose_row_is_gone_comes_back(filled):
    sql(filled, "DELETE FROM models")
    check(filled.dir, repair=True)
    model = filled.models.get("line@1")
    assert (model.dataset, model.run) == ("points@2", done(filled).id)
    assert model.load().classes_.tolist() == ["down", "up"]


def test_a_half_copy_is_mended(filled, tmp_path):
    """A copy of the folder in which the database is older than the rest."""
    copy = tmp_path / "copy"
    filled.dir.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(filled.root, copy)
    run = done(filled)
    db = sqlite3.connect(copy / "workbench.sqlite")
    with db:
        db.execute("DELETE FROM runs")
        db.execute("DELETE FROM metrics")
        db.execute("DELETE FROM models")
        db.execute("DELETE FROM dataset_versions WHERE version = 2")
    db.close()
    store = wb.open(copy)
    kinds = {finding.what.split()[0] for finding in check(store.dir)}
    assert kinds == {"database", "dataset", "run", "model"}
    store.datasets.sweep()  # what a worker does at its start touches none of it
    check(store.dir, repair=True)
    assert check(store.dir) == []
    assert store.run(run.id).scores == run.scores
    back, before = store.dataset("points@2"), filled.dataset("points@2")
    pd.testing.assert_frame_equal(back.frame(), before.frame())
    assert (back.checksum, back.n_rows, back.columns) == (before.checksum, before.n_rows, before.columns)


@pytest.mark.parametrize("seed", range(9))
def test_any_half_copy_is_a_whole_store_after_a_repair(filled, tmp_path, seed, capsys):
    """Files left out or cut anywhere: what is sound is kept, the rest said, and everything can be used."""
    _, token = Tokens(filled.dir).create("ann")
    filled.dir.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    filled.dir.close()
    rng, copy, sound = random.Random(seed), tmp_path / "copy", set()
    for path in sorted(filled.root.rglob("*")):
        inner = path.relative_to(filled.root)
        if path.is_dir():
            (copy / inner).mkdir(parents=True)
            continue
        content, fate = path.read_bytes(), rng.random()
        if path.name == "workbench.sqlite":
            if seed % 3:
                (copy / inner).write_bytes(content)
        elif fate < 0.15:
            (copy / inner).write_bytes(content[: rng.randrange(len(content) + 1)])
        elif fate < 0.9:
            (copy / inner).write_bytes(content)
            sound.add(inner.as_posix())
    at = ["--store", str(copy), "check"]
    main([*at, "--repair"])
    assert main(at) == 0, capsys.readouterr().out
    store = wb.open(copy)
    refs = {version.ref for version in store.datasets.versions("points")} if store.datasets.list() else set()
    assert refs >= {f"points@{n}" for n in (1, 2) if f"datasets/points/{n}.duckdb" in sound}
    for ref in refs:
        assert len(store.dataset(ref).frame()) == 40
    for run in store.runs(limit=None):
        if run.state == "done":
            assert run.report().scores == {"test_accuracy": 0.9}
        assert run.state in ("done", "failed", "cancelled", "queued")
    for model in store.models.list():
        assert model.load().classes_.tolist() == ["down", "up"]
    assert Tokens(store.dir).check(token) is None or "token.key" in sound


def test_what_a_copy_brought_is_not_overwritten_by_what_comes_next(filled):
    """The database of the copy is older than its files: new versions take numbers beyond them."""
    frame = filled.dataset("points@2").frame()
    sql(filled, "DELETE FROM dataset_versions WHERE version = 2")
    sql(filled, "UPDATE datasets SET last_version = 1")
    sql(filled, "DELETE FROM models")
    saved = filled.models.add(filled.dir.models / "line" / "1", "line")
    assert filled.datasets.publish_frame(frame.head(3), "points").ref == "points@3"
    assert saved.ref == "line@2"
    check(filled.dir, repair=True)
    assert check(filled.dir) == []
    assert [len(version.frame()) for version in filled.datasets.versions("points")] == [3, 40, 40]
    assert filled.models.get("line@1").load().classes_.tolist() == ["down", "up"]


def test_rubbish_of_crashes_is_deleted_once_it_is_old(filled):
    import os

    old = time.time() - 7200
    for path in (
        filled.dir.tmp / "run-1",
        filled.dir.tmp / "model-x-1",
        waiting(filled).folder / "artifacts.part",
    ):
        path.mkdir()
    young = filled.dir.tmp / "run-2"
    young.mkdir()
    assert check(filled.dir) == []
    for path in (
        filled.dir.tmp / "run-1",
        filled.dir.tmp / "model-x-1",
        waiting(filled).folder / "artifacts.part",
    ):
        os.utime(path, (old, old))
    assert len(check(filled.dir, repair=True)) == 3
    assert [path.name for path in filled.dir.tmp.iterdir()] == ["run-2"]


def test_a_damaged_database_is_said_and_left_alone(filled):
    filled.dir.close()
    for path in filled.root.glob("workbench.sqlite-*"):
        path.unlink()
    content = bytearray((filled.root / "workbench.sqlite").read_bytes())
    content[4096:12288] = b"\xff" * 8192
    (filled.root / "workbench.sqlite").write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|cannot"):
        check(StoreDir(filled.root))


def test_the_command_tells_and_repairs(filled, capsys):
    filled.dataset("points@1").path.unlink()
    at = ["--store", str(filled.root), "check"]
    assert main(at) == 1
    told = capsys.readouterr()
    assert "dataset points@1" in told.out
    assert "to repair: Take it out of the catalogue." in told.out
    assert "--repair" in told.err
    assert main([*at, "--repair"]) == 0
    assert "repaired: " in capsys.readouterr().out
    assert main([*at, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_store_of_the_first_schema_opens_and_keeps_its_rows(tmp_path):
    root = tmp_path / "s"
    root.mkdir()
    old = sqlite3.connect(root / "workbench.sqlite")
    for statement in statements(MIGRATIONS[0]):
        old.execute(statement)
    old.execute("PRAGMA user_version=1")
    old.execute(
        "INSERT INTO runs (id, name, state, estimator, recipe, dataset, spec, created)"
        " VALUES ('r1', 'old', 'failed', 'e', 'fit_score', 'd@1', '{}', 1.0)"
    )
    old.execute("INSERT INTO metrics VALUES ('r1', 'loss', 1, 0.25, 2.0)")
    old.commit()
    old.close()
    store = wb.open(root)
    run = store.run("r1")
    assert (run.name, run.state) == ("old", "failed")
    assert run.metrics()["value"].tolist() == [0.25]
    assert store.dir.connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert store.dir.connection.execute("SELECT count(*) FROM tokens").fetchone()[0] == 0


def test_a_copy_without_its_database_is_made_a_store_again(filled, tmp_path, capsys):
    run = done(filled)
    copy = tmp_path / "copy"
    shutil.copytree(filled.root, copy, ignore=shutil.ignore_patterns("workbench.sqlite*"))
    at = ["--store", str(copy), "check"]
    assert main(at) == 1
    assert "has lost its database" in capsys.readouterr().err
    assert not (copy / "workbench.sqlite").exists()
    assert main([*at, "--repair"]) == 0
    assert main(at) == 0
    store = wb.open(copy)
    assert [version.ref for version in store.datasets.versions("points")] == ["points@2", "points@1"]
    assert store.run(run.id).report().tables["t"].shape == (40, 3)
    assert store.models.get("line@1").load().classes_.tolist() == ["down", "up"]
