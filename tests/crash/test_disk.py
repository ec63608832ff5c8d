"""A full disk and a folder that goes away: the run fails with one sentence, its worker goes on."""

import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest
from rig import Workers, publish_table, until

import workbench as wb

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
