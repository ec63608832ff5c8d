"""Importing a large CSV beside DuckDB's own reader; reading single series; stopping a long query.

::

    python benchmarks/datasets.py                      # 2 million rows, about 165 MB
    python benchmarks/datasets.py --gigabytes 5        # a file of 5 GB, removed afterwards

The CSV is made by a seeded generator: ten columns of whole numbers, measures, time stamps and text, one
cell in ten of one column missing. Both sides read it in a process of their own, one after the other, with the
same threads and memory limit, on the same disk: DuckDB's ``CREATE TABLE AS SELECT * FROM read_csv`` and a
checkpoint; and ``Datasets.import_files``, which also checks every cell, profiles the table, takes the file's
checksum and waits for the disk. ``RLIMIT_DATA`` caps what the workbench's process may allocate (mapped files
apart; DuckDB's runs free); the peak is the process's own ``VmHWM``. Where a machine is shared, processor
seconds tell more than seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import command, commit, table

RESULTS = Path(__file__).resolve().parent / "results" / "datasets.txt"
_ROW_BYTES = 82.5  # of the generator's rows, measured
_MAKE = """
COPY (
    SELECT i AS id, TIMESTAMP '2024-01-01' + to_seconds(i % 31536000) AS time,
        'user_' || (hash(i) % 200000) AS "user", hash(i + 1) % 5000 AS item,
        (hash(i + 2) % 1000000) / 1000.0 AS price, (hash(i + 3) % 100000) / 7.0 AS score,
        hash(i + 4) % 50 AS hour, ['red', 'green', 'blue'][(hash(i + 5) % 3)::INT + 1] AS colour,
        CASE WHEN hash(i + 6) % 10 > 0 THEN (hash(i + 7) % 1000) / 10.0 END AS x, hash(i + 8) % 2 AS click
    FROM range($rows) t(i)
) TO '{path}' (FORMAT csv, HEADER)
"""


def make(path: Path, rows: int) -> None:
    """Write the CSV."""
    import duckdb

    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        connection.execute(_MAKE.format(path=path), {"rows": rows})


def plain(path: Path, folder: Path) -> int:
    """DuckDB alone."""
    import duckdb

    with duckdb.connect(str(folder / "a.duckdb"), config={"memory_limit": "1GB"}) as connection:
        connection.execute("CREATE TABLE data AS SELECT * FROM read_csv(?)", [str(path)])
        connection.execute("CHECKPOINT")
        return connection.execute("SELECT count(*) FROM data").fetchall()[0][0]


def ours(path: Path, folder: Path) -> int:
    """The workbench's importer."""
    from workbench.datasets import Datasets
    from workbench.store import StoreDir

    return Datasets(StoreDir(folder)).import_files(path, "a").n_rows


def series(path: Path, folder: Path) -> dict[str, float]:
    """One series of 10,000, a hundred times at random; and all of them."""
    import numpy as np

    from workbench.datasets import Datasets
    from workbench.store import StoreDir

    rng = np.random.default_rng(0)
    dataset = Datasets(StoreDir(folder)).publish_arrays(rng.normal(size=(10_000, 200, 3)), name="s")
    dataset.series([0])
    seconds = []
    for one in rng.integers(0, 10_000, 100).tolist():
        started = time.perf_counter()
        dataset.series([one])
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    dataset.to_series()
    return {"one": float(np.median(seconds)), "all": time.perf_counter() - started}


def stopped(path: Path, folder: Path) -> float:
    """Seconds from the cancel button to the end of a query over 50 million rows."""
    from workbench.datasets.sql import run_query
    from workbench.errors import QueryRefused

    cancel, pressed = threading.Event(), []

    def press() -> None:
        pressed.append(time.perf_counter())
        cancel.set()

    threading.Timer(2.0, press).start()
    try:
        run_query(
            "SELECT md5(a.range::VARCHAR) AS h, count(*) FROM range(50000000) a GROUP BY h", {}, cancel=cancel
        )
    except QueryRefused:
        return time.perf_counter() - pressed[0]
    raise SystemExit("the query ended before it was cancelled: take more rows")


def child(kind: str, path: Path, cap: int) -> dict[str, Any]:
    """One measurement in a process of its own."""
    words = [sys.executable, __file__, "--child", kind, "--file", str(path), "--cap", str(cap)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(kind: str, path: Path, cap: int) -> None:
    """What a child does: measure, and print JSON."""
    if cap:
        resource.setrlimit(resource.RLIMIT_DATA, (cap << 20, cap << 20))
    folder = Path(tempfile.mkdtemp(prefix="workbench-bench-", dir=path.parent))
    import duckdb  # noqa: F401 - loading it is not part of the import

    try:
        started, cpu = time.perf_counter(), time.process_time()
        value = {"plain": plain, "ours": ours, "series": series, "stopped": stopped}[kind](path, folder)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    finally:
        shutil.rmtree(folder)
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) >> 10
    print(json.dumps({"value": value, "seconds": seconds, "cpu": cpu, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=0.165, help="size of the CSV (default 0.165)")
    parser.add_argument("--cap", type=int, default=1500, help="MB the workbench may allocate (0: no cap)")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many (default 3)")
    parser.add_argument("--folder", type=Path, help="for the CSV and the stores (default: a temporary one)")
    parser.add_argument("--import-only", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        measure(arguments.child, arguments.file, arguments.cap)
        return
    folder = Path(tempfile.mkdtemp(prefix="workbench-bench-", dir=arguments.folder))
    try:
        lines = run(folder / "big.csv", arguments)
    finally:
        shutil.rmtree(folder)
    text = "\n".join(lines) + "\n"
    print(text)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def run(path: Path, arguments: argparse.Namespace) -> list[str]:
    """Make the file, measure, and word the results."""
    import duckdb

    rows = int(arguments.gigabytes * 1e9 / _ROW_BYTES)
    make(path, rows)
    best: dict[str, dict[str, Any]] = {}
    for _ in range(arguments.repeat):
        for kind in ("plain", "ours"):
            found = child(kind, path, arguments.cap if kind == "ours" else 0)
            assert found["value"] == rows, found
            if kind not in best or found["cpu"] < best[kind]["cpu"]:
                best[kind] = found
    lines = [
        f"commit {commit()}; {command()}",
        f"DuckDB {duckdb.__version__}; {path.stat().st_size / 1e9:.2f} GB, {rows:,} rows, 10 columns; "
        f"the workbench capped at {arguments.cap} MB (RLIMIT_DATA); best of {arguments.repeat}",
        "",
        table(
            ["import", "seconds", "CPU seconds", "peak MB"],
            [
                [name, f"{best[kind]['seconds']:.1f}", f"{best[kind]['cpu']:.1f}", str(best[kind]["peak"])]
                for name, kind in (("DuckDB's read_csv", "plain"), ("workbench", "ours"))
            ]
            + [["ratio", *(f"{best['ours'][k] / best['plain'][k]:.2f}" for k in ("seconds", "cpu", "peak"))]],
        ),
        "",
    ]
    if not arguments.import_only:
        read, stop = child("series", path, 0), child("stopped", path, 0)
        lines += [
            f"one series of 10,000 (200 steps, 3 channels): {read['value']['one'] * 1000:.1f} ms; "
            f"all: {read['value']['all'] * 1000:.0f} ms",
            f"from cancelling a query over 50,000,000 rows to its end: {stop['value'] * 1000:.0f} ms",
        ]
    return lines


if __name__ == "__main__":
    main()
