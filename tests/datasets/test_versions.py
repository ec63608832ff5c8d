"""Versions are immutable, numbers are not used twice, and no crash leaves a trace."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.datasets.conftest import leftovers
from workbench.datasets import Datasets, catalog
from workbench.datasets.files import Build, sweep
from workbench.errors import DatasetError, DatasetNotFound, StoreError
from workbench.store import StoreDir

X = np.arange(24.0).reshape(4, 3, 2)

IMPORT = """
import sys
from workbench.datasets import Datasets
from workbench.store import StoreDir
print(Datasets(StoreDir(sys.argv[1])).import_files(sys.argv[2], "a").ref)
"""


def test_a_version_is_sealed(datasets):
    dataset = datasets.publish_arrays(X, name="a")
    assert stat.S_IMODE(dataset.path.stat().st_mode) == 0o444
    assert leftovers(datasets) == []
    dataset.verify()
    os.chmod(dataset.path, 0o644)
    with dataset.path.open("r+b") as file:
        file.seek(5000)
        file.write(b"x")
    with pytest.raises(DatasetError, match="has changed since"):
        dataset.verify()


def test_versions_and_delete(datasets):
    first, second = (datasets.publish_arrays(X + i, name="a") for i in range(2))
    assert [dataset.ref for dataset in datasets.versions("a")] == ["a@2", "a@1"]
    assert datasets.get("a").ref == "a@2"
    assert datasets.get("a@1").to_series().X[0, 0, 0] == 0
    with datasets.store.write() as connection:
        connection.execute(
            "INSERT INTO runs (id, name, state, estimator, recipe, dataset, spec, created) "
            "VALUES ('r', '', 'done', '', '', 'a@1', '{}', 0)"
        )
    with pytest.raises(DatasetError, match="a@1 cannot be deleted: 1 run uses it"):
        datasets.delete("a")
    assert first.path.exists()
    assert datasets.delete("a@2") == ["a@2"]
    assert not second.path.exists()
    assert datasets.publish_arrays(X, name="a").ref == "a@3"
    with pytest.raises(DatasetNotFound, match="has no version 2"):
        datasets.get("a@2")
    with pytest.raises(DatasetNotFound, match="Did you mean 'a'"):
        datasets.get("aa")


def test_two_processes_get_two_versions(datasets, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "1,2\n" * 1000)
    command = [sys.executable, "-c", IMPORT, datasets.store.root, tmp_path / "a.csv"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    refs = sorted(process.communicate()[0].strip() for process in running)
    assert refs == ["a@1", "a@2", "a@3"]
    assert leftovers(datasets) == []


def test_threads_read_at_once(datasets):
    dataset = datasets.publish_arrays(X, list("uvwx"), name="a")
    failures = []

    def read(number):
        try:
            for _ in range(20):
                np.testing.assert_array_equal(dataset.series([number % 4]).X[0], X[number % 4])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("moment", ["building", "renamed"])
def test_a_killed_import_leaves_nothing(datasets, tmp_path, moment):
    code = {
        "building": """
from workbench.datasets.files import Build
build = Build(store).__enter__()
build.append(pa.table({"x": [1, 2]}))
""",
        "renamed": """
import os
from workbench.datasets import Datasets
rename = os.rename
def slow(*args):
    rename(*args)
    print("ready", flush=True)
    time.sleep(60)
os.rename = slow
Datasets(store).publish_frame(pa.table({"x": [1, 2]}), "a")
""",
    }[moment]
    script = f"""
import sys, time, pyarrow as pa
from workbench.store import StoreDir
store = StoreDir(sys.argv[1])
{code}
print("ready", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, datasets.store.root], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        if moment == "building":
            datasets.sweep()  # its process lives: nothing of it may be touched
            assert len(leftovers(datasets)) == 2
        process.send_signal(signal.SIGKILL)
    assert leftovers(datasets) != []
    datasets.sweep()
    assert leftovers(datasets) == []
    assert datasets.list() == []
    assert datasets.publish_arrays(X, name="a").ref == "a@1"


@pytest.mark.crash
def test_kills_at_random_moments(datasets, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "1,2.5\n" * 200_000)
    command = [sys.executable, "-c", IMPORT, datasets.store.root, tmp_path / "a.csv"]
    for delay in (0.3, 0.6, 0.9):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
        datasets.sweep()
        assert leftovers(datasets) == []
    for dataset in datasets.list():  # one may have been published before its kill
        dataset.verify()


def test_a_full_disk_is_one_sentence(datasets, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "\n".join(f"{i},{i * 0.37}" for i in range(300_000)))
    code = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
from workbench.errors import StoreError
try:
    exec({IMPORT!r})
except StoreError as error:
    print(error)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", code, datasets.store.root, tmp_path / "a.csv"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "The disk is full: free some space and try again (nothing was kept)."
    assert leftovers(datasets) == []
    assert datasets.list() == []


def test_a_failure_in_the_catalogue_keeps_nothing(datasets, monkeypatch):
    def broken(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(catalog.os, "rename", broken)
    with pytest.raises(StoreError, match="disk is full"):
        datasets.publish_arrays(X, name="a")
    assert leftovers(datasets) == []
    assert datasets.list() == []


def test_progress_can_stop_an_import(datasets, tmp_path):
    class Stop(Exception):
        pass

    def progress(share, message):
        raise Stop

    (tmp_path / "a.ts").write_text("@univariate true\n@classLabel false\n@data\n1,2,3\n")
    with pytest.raises(Stop):
        datasets.import_files(tmp_path / "a.ts", progress=progress)
    assert leftovers(datasets) == []


def test_a_damaged_file_is_one_sentence(datasets):
    dataset = datasets.publish_arrays(X, name="a")
    os.chmod(dataset.path, 0o644)
    dataset.path.write_bytes(b"not a database" * 1000)
    with pytest.raises(DatasetError, match="damaged"):
        datasets.get("a").head()
    dataset.path.unlink()
    with pytest.raises(DatasetError, match="is gone"):
        datasets.get("a").head()


def test_build_is_private_to_its_process(tmp_path):
    store = StoreDir(tmp_path / "s")
    with Build(store) as build:
        Datasets(store).sweep()
        assert build.folder.exists()
    assert list(store.tmp.iterdir()) == []


def test_several_may_sweep_at_once(datasets):
    """Each finds what the others are removing."""
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for i in range(50):
                (datasets.store.tmp / f"import-{i:032}.lock").touch()
                (datasets.store.tmp / f"import-{i:032}").mkdir()
            for swept in [pool.submit(sweep, datasets.store) for _ in range(4)]:
                swept.result()
            assert not list(datasets.store.tmp.iterdir())
