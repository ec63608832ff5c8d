"""A store that may only be looked at: everything can be read, and what would change it is one sentence."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd
import pytest

import workbench as wb
from workbench.cli import main
from workbench.errors import StoreError
from workbench.facade import Store
from workbench.gui.config import PAGES
from workbench.runs import Run
from workbench.upkeep import backup, check


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write below `folder`: by a mount where this is root, whom modes do not hold back."""
    if os.geteuid() == 0:
        bind = ["mount", "--bind", folder, folder]
        if subprocess.run(bind, capture_output=True).returncode != 0:
            pytest.skip("root needs the right to mount")
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
            yield
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
        return
    paths = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    try:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode & 0o555)
        yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@pytest.fixture
def copy(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store like that of a finished run, the one that the pages open."""
    shutil.copytree(finished.folder.parents[1], tmp_path / "store")
    monkeypatch.setenv("WORKBENCH_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def looked_at(copy: Path) -> Iterator[Store]:
    """That store, mounted read-only."""
    with read_only(copy):
        yield wb.open(copy)


def test_all_of_it_is_read(looked_at: Store, finished: Run) -> None:
    assert looked_at.dir.read_only
    run = looked_at.run(finished.id)
    assert (run.state, run.scores) == ("done", finished.scores)
    assert run.report().headline == finished.headline
    [dataset] = looked_at.datasets.list()
    assert len(dataset.frame()) == dataset.n_rows
    assert looked_at.datasets.sql("SELECT count(*) AS n FROM GunPoint")["n"].tolist() == [dataset.n_rows]
    assert check(looked_at.dir) == []


def test_what_would_change_it_is_refused_in_one_sentence(looked_at: Store, finished: Run) -> None:
    frame = pd.DataFrame({"x": [1, 2]})
    changes = [
        lambda: looked_at.datasets.publish_frame(frame, "a"),
        lambda: looked_at.datasets.delete("GunPoint@1"),
        lambda: looked_at.submit("timeseries.CSL", "GunPoint"),
        lambda: looked_at.start_run("a"),
        lambda: looked_at.queue.delete(finished.id),
        lambda: looked_at.models.add(looked_at.root, "m"),
        lambda: looked_at.pipelines.run("again", {"data": "GunPoint"}),
        lambda: looked_at.queue.retry(finished.id, fresh=True),
        lambda: check(looked_at.dir, repair=True),
    ]
    for change in changes:
        with pytest.raises(StoreError, match=r"^The store .* is read-only: nothing in it can be changed"):
            change()


def test_the_worker_says_so_and_ends(looked_at: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", str(looked_at.root), "worker"]) == 1
    assert capsys.readouterr().err.startswith(f"workbench: The store {looked_at.root} is read-only")


def test_a_copy_of_it_can_be_made(looked_at: Store, tmp_path: Path) -> None:
    assert backup(looked_at.dir, tmp_path / "b").n_files > 5


@pytest.mark.parametrize("page", sorted(path.stem for path in PAGES.glob("*.py")))
def test_every_page_opens(looked_at: Store, finished: Run, open_page, page: str) -> None:
    app = open_page(page, run=finished.id, data="GunPoint@1")
    assert not [error.value for error in app.error]


def test_a_query_is_answered_and_not_remembered(looked_at: Store, open_page) -> None:
    app = open_page("sql", sql="SELECT count(*) AS n FROM GunPoint")
    assert app.dataframe[0].value["n"].tolist() == [looked_at.dataset("GunPoint").n_rows]
    assert looked_at.datasets.history().empty


def test_an_earlier_schema_cannot_be_brought_forward_there(copy: Path) -> None:
    with closing(sqlite3.connect(copy / "workbench.sqlite")) as connection:
        connection.execute("PRAGMA user_version=1")
    with read_only(copy), pytest.raises(StoreError, match="made by an earlier workbench"):
        wb.open(copy)


def test_there_is_no_store_where_none_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with read_only(tmp_path / "empty"), pytest.raises(StoreError, match=r"cannot be created: \w.*\.$"):
        wb.open(tmp_path / "empty" / "store")
