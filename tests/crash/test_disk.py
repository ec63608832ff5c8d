"""A full disk and a folder that goes away: the run fails with one sentence, its worker goes on."""

import shutil
import subprocess
import time
from contextlib import contextmanager, suppress

import numpy as np
import pandas as pd
import pytest
from rig import Workers, publish_table, until
from sklearn.linear_model import LogisticRegression

import workbench as wb
from workbench.errors import StoreError, of_system
from workbench.models import save
from workbench.upkeep import check

pytestmark = pytest.mark.crash

FULL = "The disk is full: free some space, then retry the run."


@contextmanager
def small_disk(folder, megabytes):
    """Put `folder` on a file system of its own; skips the test where that is not allowed."""
    folder.mkdir(exist_ok=True, parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_runs_on_a_full_disk_fail_and_the_next_run_works(store, monkeypatch):
    table = publish_table(store)
    with small_disk(store.dir.runs, 3):
        # A folder cannot be renamed into another file system.
        monkeypatch.setattr(type(store.dir), "tmp", property(lambda self: self.runs))
        run = store.submit("probes:Failing", table, params={"how": "fill"})
        with Workers(store) as workers:
            workers.start()
            failed = run.wait(60)
            assert (failed.state, failed.error) == ("failed", FULL)
            assert "attempt 1" in failed.log()
            (run.folder / "filler.bin").unlink()
            assert store.submit("probes:Sleeper", table).wait(60).state == "done"


def test_a_whole_store_on_a_full_disk_loses_nothing(tmp_path):
    with small_disk(tmp_path / "small", 8):
        store = wb.open(tmp_path / "small" / "store")
        table = publish_table(store)
        run = store.submit("probes:Failing", table, params={"how": "fill"})
        filler = run.folder / "filler.bin"
        with Workers(store) as workers:
            worker = workers.start(lease=1.0)
            until(lambda: shutil.disk_usage(store.root).free == 0)
            time.sleep(4)  # several leases, none of which can be renewed
            assert worker.poll() is None
            filler.unlink()
            failed = run.wait(60)
            assert (failed.state, failed.error) == ("failed", FULL)
            assert store.submit("probes:Sleeper", table).wait(60).state == "done"
        store.dir.close()


def test_a_run_folder_deleted_while_it_runs_and_before(store):
    table = publish_table(store)
    running = store.submit("probes:Sleeper", table, params={"seconds": 60})
    waiting = store.submit("probes:Sleeper", table)
    with Workers(store) as workers:
        workers.start()
        until(lambda: (running.folder / "beats.txt").exists())
        shutil.rmtree(waiting.folder)
        shutil.rmtree(running.folder, ignore_errors=True)
        for run in (running, waiting):
            ended = run.wait(30)
            assert ended.state == "failed"
            assert "folder of the run was deleted" in ended.error
        assert store.submit("probes:Sleeper", table).wait(60).state == "done"


def test_imports_and_models_on_a_full_disk_keep_nothing_and_lose_nothing(tmp_path):
    with small_disk(tmp_path / "small", 8):
        store = wb.open(tmp_path / "small" / "store")
        table = publish_table(store)
        save(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "fitted")
        numbers = np.random.default_rng(0).random((300_000, 4))  # 9.6 MB that cannot be packed
        pd.DataFrame(numbers, columns=list("abcd")).to_csv(tmp_path / "more.csv", index=False)
        with pytest.raises(StoreError, match="disk is full"):
            store.datasets.import_files(tmp_path / "more.csv", "more")
        filler = store.root / "filler.bin"
        with suppress(OSError), filler.open("wb") as file:
            file.write(bytes(16 << 20))
        changes = [
            lambda: store.datasets.publish_frame(table.frame(), "table"),
            lambda: store.models.add(tmp_path / "fitted", "line"),
            lambda: store.submit("probes:Sleeper", table),
        ]
        for change in changes:
            with pytest.raises((StoreError, OSError)) as failure:
                change()
            said = of_system(failure.value) or failure.value
            assert "disk is full" in str(said)
        assert len(table.frame()) == table.n_rows  # what is there can be read
        filler.unlink()
        assert store.datasets.publish_frame(table.frame(), "table").ref == "table@2"
        assert store.models.add(tmp_path / "fitted", "line").ref == "line@1"
        store.datasets.sweep()
        assert check(store.dir) == []
        store.dir.close()
