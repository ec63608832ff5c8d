"""A backup holds the whole store, restores it as it was, and trusts no damaged file."""

import io
import json
import shutil
import sqlite3
import tarfile
import threading

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.cli import main
from workbench.errors import StoreError, UsageError
from workbench.runs import queue
from workbench.schema import MIGRATIONS
from workbench.tokens import Tokens
from workbench.upkeep import backup, check, restore


@pytest.fixture(params=["folder", "all.tar", "all.tar.gz"])
def target(request, tmp_path):
    return tmp_path / "backups" / request.param


def test_everything_comes_back(filled, target, tmp_path):
    _, token = Tokens(filled.dir).create("me")
    summary = backup(filled.dir, target)
    assert summary.path == target
    assert restore(target, tmp_path / "new").n_files == summary.n_files
    back = wb.open(tmp_path / "new")
    pd.testing.assert_frame_equal(back.dataset("points@1").frame(), filled.dataset("points@1").frame())
    back.dataset("points@2").verify()
    assert back.dataset("points@1").path.stat().st_mode & 0o777 == 0o444
    (kept,) = back.runs(state="done")
    assert kept.report().tables["t"].shape == (40, 3)
    assert kept.metrics()["value"].tolist() == [0.5]
    assert [run.name for run in back.runs(state="queued")] == ["waiting"]
    X = np.array([[2.0, 0.0], [-2.0, 0.0]])
    assert back.models.get("line").load().predict(X).tolist() == ["up", "down"]
    assert Tokens(back.dir).check(token).name == "me"
    assert check(back.dir) == []


def test_a_run_in_progress_is_queued_in_the_copy(filled, tmp_path):
    queue.claim(filled.dir, "w", "cpu", ("cpu", "auto"), lease=60)
    (running,) = filled.runs(state="running")
    (running.folder / "checkpoint" / "fit").mkdir(parents=True)
    (running.folder / "checkpoint" / "fit" / "1").write_bytes(b"state")
    backup(filled.dir, tmp_path / "b")
    assert filled.run(running.id).state == "running"  # the store itself goes on
    restore(tmp_path / "b", tmp_path / "new")
    again = wb.open(tmp_path / "new").run(running.id)
    assert (again.state, again.slot) == ("queued", None)
    assert (again.folder / "checkpoint" / "fit" / "1").read_bytes() == b"state"


def test_nothing_is_overwritten(filled, target, tmp_path):
    backup(filled.dir, target)
    with pytest.raises(UsageError, match="exists already"):
        backup(filled.dir, target)
    with pytest.raises(UsageError, match="within the store"):
        backup(filled.dir, filled.root / "b.tar")
    with pytest.raises(UsageError, match="not empty"):
        restore(target, filled.root)
    (tmp_path / "empty").mkdir()
    restore(target, tmp_path / "empty")
    assert len(wb.open(tmp_path / "empty").runs()) == 2


def _unpacked(target, tmp_path):
    """The backup as a folder, to be damaged."""
    folder = tmp_path / "unpacked"
    if target.is_dir():
        shutil.copytree(target, folder)
    else:
        with tarfile.open(target) as tar:
            tar.extractall(folder, filter="data")
    return folder


def _packed(folder, target):
    """A damaged folder in the form it came in."""
    if target.is_dir():
        return folder
    packed = folder.with_name(f"damaged-{target.name}")
    with tarfile.open(packed, "w:gz" if target.name.endswith("gz") else "w") as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            tar.add(path, path.relative_to(folder).as_posix())
    return packed


@pytest.mark.parametrize("damage", ["changed", "missing", "added"])
def test_a_damaged_backup_restores_nothing(filled, target, tmp_path, damage):
    backup(filled.dir, target)
    folder = _unpacked(target, tmp_path)
    file = folder / "datasets" / "points" / "1.duckdb"
    file.chmod(0o644)
    if damage == "changed":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "missing":
        file.unlink()
    else:
        file.with_name("3.duckdb").write_bytes(b"x")
    with pytest.raises(StoreError, match="nothing was restored"):
        restore(_packed(folder, target), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new-*"))


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_an_archive_cannot_write_outside(tmp_path, name):
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(UsageError, match="no backup"):
        restore(archive, tmp_path / "a" / "new")
    assert not list(tmp_path.rglob("outside"))


def test_links_text_and_cut_archives_are_no_backups(filled, tmp_path):
    link = tmp_path / "link.tar"
    with tarfile.open(link, "w") as tar:
        info = tarfile.TarInfo("datasets")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(info)
    text = tmp_path / "text.tar"
    text.write_text("hello")
    whole = tmp_path / "whole.tar.gz"
    backup(filled.dir, whole)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:-2000])
    for bad in (link, text, cut, tmp_path):
        with pytest.raises((UsageError, StoreError)):
            restore(bad, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_a_missing_or_damaged_version_stops_the_backup(filled, tmp_path):
    path = filled.dataset("points@1").path
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StoreError, match="not the file that was made"):
        backup(filled.dir, tmp_path / "b")
    path.unlink()
    with pytest.raises(StoreError, match=r"1\.duckdb is missing"):
        backup(filled.dir, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert not list(tmp_path.glob(".b-*"))


def test_a_backup_of_a_newer_version_is_refused(filled, tmp_path):
    backup(filled.dir, tmp_path / "b")
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    manifest["schema"] = len(MIGRATIONS) + 1
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="newer workbench"):
        restore(tmp_path / "b", tmp_path / "new")


def test_a_store_in_use_is_copied_whole(filled, tmp_path):
    """Versions are published and deleted while backups are taken; each one restores to a sound store."""
    stop = threading.Event()
    frame = pd.DataFrame({"x": np.arange(50.0)})

    def busy():
        number = 0
        while not stop.is_set():
            number += 1
            filled.datasets.publish_frame(frame, f"d{number}")
            if number > 2:
                filled.datasets.delete(f"d{number - 2}")

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for i in range(3):
            backup(filled.dir, tmp_path / f"b{i}")
    finally:
        stop.set()
        thread.join()
    for i in range(3):
        restore(tmp_path / f"b{i}", tmp_path / f"n{i}")
        assert check(wb.open(tmp_path / f"n{i}").dir) == []


def test_an_older_backup_is_brought_forward(filled, tmp_path):
    backup(filled.dir, tmp_path / "b")
    with sqlite3.connect(tmp_path / "b" / "workbench.sqlite") as db:
        for table in ("tokens", "requests"):  # what the last schema added
            db.execute(f"DROP TABLE {table}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) - 1}")
    db.close()
    import hashlib

    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    content = (tmp_path / "b" / "workbench.sqlite").read_bytes()
    manifest["files"]["workbench.sqlite"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    manifest["schema"] = len(MIGRATIONS) - 1
    (tmp_path / "b" / "manifest.json").write_text(json.dumps(manifest))
    restore(tmp_path / "b", tmp_path / "new")
    back = wb.open(tmp_path / "new")
    assert back.dir.connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert len(back.runs()) == 2
    assert Tokens(back.dir).list() == []


def test_the_commands(filled, tmp_path, capsys):
    archive = str(tmp_path / "b.tar")
    assert main(["--store", str(filled.root), "backup", archive]) == 0
    assert "backed up to" in capsys.readouterr().out
    assert main(["--store", str(tmp_path / "new"), "restore", archive]) == 0
    assert main(["--store", str(tmp_path / "new"), "check"]) == 0
    assert "The store is whole." in capsys.readouterr().out
    assert main(["--store", str(tmp_path / "new"), "restore", archive]) == 2
    assert main(["--store", str(tmp_path / "none"), "check"]) == 2
    assert main(["--store", str(tmp_path / "none"), "backup", str(tmp_path / "c.tar")]) == 2
    assert not (tmp_path / "none").exists()
