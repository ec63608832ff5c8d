"""Imports keep to what their process may allocate, whoever set the limit."""

from __future__ import annotations

import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.datasets.conftest import leftovers
from workbench.datasets.files import _memory
from workbench.datasets.memory import _container_limits, is_capped, spare_bytes

MEGABYTE = 1 << 20


@contextmanager
def capped(limit, spare):
    """Leave this process so many bytes."""
    name = {resource.RLIMIT_AS: "VmSize", resource.RLIMIT_DATA: "VmData"}[limit]
    with open("/proc/self/status") as status:
        used = next(int(line.split()[1]) << 10 for line in status if line.startswith(name))
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (used + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(limit, (soft, hard))


@pytest.mark.parametrize("limit", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
def test_limits_of_the_process_are_kept_to(limit):
    assert not is_capped()
    free = spare_bytes()
    with capped(limit, 600 * MEGABYTE):
        assert is_capped()
        assert 500 * MEGABYTE < spare_bytes() <= 600 * MEGABYTE
        settings = _memory(0)
    assert int(settings["memory_limit"].rstrip("B")) <= 300 * MEGABYTE
    assert int(settings["threads"]) <= 2
    assert not is_capped()
    assert spare_bytes() > free // 2


def test_a_very_wide_table_gets_more():
    narrow, wide = (int(_memory(n)["memory_limit"].rstrip("B")) for n in (10, 20_000))
    assert narrow < wide or wide == spare_bytes() // 2


@pytest.mark.parametrize(
    ("groups", "files", "found"),
    [
        ("0::/a/b\n", {"a/memory.max": "2000\n", "a/b/memory.max": "max\n"}, [2000]),
        (
            "5:cpu,memory:/job\n1:name=systemd:/\n",
            {"memory/job/memory.limit_in_bytes": "700", "memory/memory.limit_in_bytes": "900"},
            [700, 900],
        ),
        ("0::/\n", {}, []),
    ],
)
def test_limits_of_containers(tmp_path, groups, files, found):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert list(_container_limits(groups, tmp_path)) == found


def test_a_file_is_read_again_with_less_where_memory_was_short(datasets, tmp_path, monkeypatch):
    import duckdb

    from workbench.datasets.files import Build

    run, tried = Build.run, []

    def short_once(self, sql, parameters=None, message="reading"):
        tried.append(self.connection.execute("SELECT current_setting('threads')").fetchall()[0][0])
        if len(tried) == 1:
            raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate")
        run(self, sql, parameters, message)

    monkeypatch.setattr(Build, "run", short_once)
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n")
    assert datasets.import_files(tmp_path / "a.csv").n_rows == 2
    assert tried[1:] == [1]
    assert leftovers(datasets) == []


_IMPORT = """
import resource, sys
limit, size = getattr(resource, sys.argv[1]), int(sys.argv[2]) << 20
resource.setrlimit(limit, (size, size))
from workbench.datasets import Datasets
from workbench.store import StoreDir
print(Datasets(StoreDir(sys.argv[3])).import_files(sys.argv[4], "a").n_rows)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "megabytes"), [("RLIMIT_DATA", 800), ("RLIMIT_AS", 1500)])
def test_a_large_file_in_a_capped_process(tmp_path, limit, megabytes):
    import duckdb

    path = tmp_path / "large.csv"
    duckdb.sql(
        "SELECT i AS id, 'user_' || hash(i) % 200000 AS who, hash(i + 1) % 1000 / 7.0 AS x, "
        "TIMESTAMP '2024-01-01' + to_seconds(i) AS time FROM range(4000000) t(i)"
    ).write_csv(str(path))
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, limit, str(megabytes), tmp_path / "store", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "4000000", done.stderr
