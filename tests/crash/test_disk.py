"""A full disk and a folder that goes away: the run fails with one sentence, its worker goes on."""

import shutil
import subprocess

import pytest
from rig import Workers, publish_table, until

pytestmark = pytest.mark.crash


@pytest.fixture
def small_disk(store):
    """Put the runs' folders on a file system of 3 MB, or limit the size of files where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(store.dir.runs)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        yield "ulimit -f 3072"
        return
    yield ""
    subprocess.run(["umount", "-l", str(store.dir.runs)], check=True)


def test_a_full_disk(store, small_disk, monkeypatch):
    if not small_disk:  # a rename does not cross file systems
        monkeypatch.setattr(type(store.dir), "tmp", property(lambda self: self.runs))
    table = publish_table(store)
    full = store.submit("probes:Failing", table, params={"how": "fill"})
    with Workers(store) as workers:
        workers.start()
        failed = full.wait(60)
        assert failed.state == "failed"
        assert failed.error == "The disk is full: free some space, then retry the run."
        assert "attempt 1" in failed.log()
        (full.folder / "filler.bin").unlink(missing_ok=True)
        after = store.submit("probes:Sleeper", table)
        assert after.wait(60).state == "done"


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
