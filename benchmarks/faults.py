"""Kills with SIGKILL of every kind of process over one store: is anything lost, is anything done twice?

::

    python benchmarks/faults.py --kills 500          # minutes: every kind is killed at its own pace
    python benchmarks/faults.py --kills 60 --seed 1  # a shorter one
    python benchmarks/faults.py --show               # what was found the last time

The page server, two workers, their runs, the scheduler, an importer and a publisher work on the same store
and are killed at random moments side by side, as many of each kind. Then all that was begun is brought
to an end, and counted:

* web: of every request that was sent until it was answered, one run came;
* worker, run: every run ended well, its curve is whole, and no two processes were at work on it at once;
* scheduler: every minute was decided once, and started one run;
* import: every file became one data set, with every cell;
* publish: every piece of work became one version of the data set and one of the model.

Last, ``python -m workbench check`` must find the store whole. The exit code is 1 if anything was lost or done
twice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import command, commit, machine
from benchmarks._common import table as markdown
from benchmarks._faults_actors import LEDGER, added, published
from benchmarks._faults_actors import table as content
from benchmarks._faults_siege import KINDS, Siege, intervals

RESULTS = Path(__file__).resolve().parent / "results" / "faults.json"
POINTS = 5  # of each run's curve

Row = dict[str, int]


def besiege(
    folder: Path, kills: int, seed: int, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Kill, settle and count.

    Returns
    -------
    dict
        ``"rows"``: for each kind, ``kills``, ``work`` (pieces of it), ``again`` (that were cut off and taken
        up again), ``lost`` and ``twice``. ``"findings"``: what the check of the store found. ``"seconds"``.
    """
    started = time.time()
    siege = Siege(folder, seed)
    try:
        siege.kill(kills, say)
        siege.settle(say)
    finally:
        siege.close()
    count = {
        "web": _requests,
        "worker": _runs,
        "run": _curves,
        "scheduler": _ticks,
        "import": _imports,
        "publish": _publications,
    }
    rows = {kind: {"kills": siege.kills[kind]} | count[kind](siege) for kind in KINDS}
    words = ["-m", "workbench", "check", "--json", "--store", str(siege.store.root)]
    told = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    return {"rows": rows, "findings": json.loads(told.stdout), "seconds": round(time.time() - started)}


def _requests(siege: Siege) -> Row:
    runs = [run for run in siege.store.runs(limit=None) if run.name.startswith("key-")]
    names = Counter(run.name for run in runs)
    ids = {run.id for run in runs}
    lost = sum(names[key] == 0 or id_ not in ids for key, id_ in siege.client.told.items())
    return _row(len(siege.client.told), siege.client.resent, lost, sum(n - 1 for n in names.values()))


def _runs(siege: Siege) -> Row:
    runs = siege.store.runs(limit=None)
    lost = sum(run.state != "done" for run in runs)
    twice = sum(
        any(earlier[1] >= later[0] for earlier, later in pairwise(intervals(run.folder))) for run in runs
    )
    return _row(len(runs), sum(run.attempt > 1 for run in runs), lost, twice)


def _curves(siege: Siege) -> Row:
    runs = [run for run in siege.store.runs(limit=None) if run.name.startswith("key-")]
    lost = twice = 0
    for run in runs:
        steps = run.metrics()["step"].tolist()
        lost += len(set(range(POINTS)) - set(steps))
        twice += len(steps) - len(set(steps))
    return _row(POINTS * len(runs), sum(run.attempt - 1 for run in runs), lost, twice)


def _ticks(siege: Siege) -> Row:
    ticks = siege.store.schedules.ticks("tick", 1_000_000)
    minutes = {int(time.mktime(time.strptime(due, "%Y-%m-%dT%H:%M:%SZ"))) // 60 for due in ticks["due"]}
    started = Counter(run.spec["due"] for run in siege.store.runs(limit=None) if run.spec.get("due"))
    lost = max(minutes) - min(minutes) + 1 - len(minutes) + sum(ticks["outcome"] != "started")
    lost += len(set(ticks["run"]) - {run.id for run in siege.store.runs(limit=None)})
    late = sum(ticks["note"] == "Made up for.")
    return _row(len(ticks), late, lost, sum(n - 1 for n in started.values()))


def _imports(siege: Siege) -> Row:
    datasets = siege.store.datasets
    begun, lost, twice = siege.told("import", "begin"), 0, 0
    for n in set(begun):
        versions = datasets.versions(f"import-{n:04}") if f"import-{n:04}" in datasets else []
        whole = bool(versions) and versions[0].frame().equals(content(n))
        lost += not whole
        twice += max(0, len(versions) - 1)
    return _row(len(set(begun)), len(begun) - len(set(begun)), lost, twice)


def _publications(siege: Siege) -> Row:
    begun = siege.told("publish", "begin")
    last = max(begun, default=0)
    lost = twice = 0
    for found in (published(siege.store), added(siege.store)):
        lost += len(set(range(1, last + 1)) - set(found))
        twice += len(found) - len(set(found))
    versions = siege.store.datasets.versions(LEDGER) if last else []
    for version in versions:
        n = int(version.source.removeprefix("payload "))
        lost += not version.frame().equals(content(n, 2000))
    return _row(2 * last, len(begun) - last, lost, twice)


def _row(work: int, again: int, lost: int, twice: int) -> Row:
    return {"work": work, "again": again, "lost": lost, "twice": twice}


def show(cell: dict[str, Any]) -> str:
    """What came of it, as Markdown."""
    names = ("kills", "work", "again", "lost", "twice")
    rows = [[kind, *(f"{row[name]:,}" for name in names)] for kind, row in cell["rows"].items()]
    rows.append(["all", *(f"{sum(row[name] for row in cell['rows'].values()):,}" for name in names)])
    header = ["killed", "kills", "pieces of work", "cut off, taken up again", "lost", "twice"]
    whole = "the store is whole" if not cell["findings"] else f"{len(cell['findings'])} findings"
    lines = [markdown(header, rows), f"check: {whole}; {cell['seconds']} s"]
    if "machine" in cell:
        lines.append(f"{cell['machine']}; commit {cell['commit']}; {cell['command']}")
    return "\n\n".join(lines)


def is_clean(cell: dict[str, Any]) -> bool:
    """Whether nothing was lost, nothing twice, and the store is whole."""
    return not cell["findings"] and not any(row["lost"] or row["twice"] for row in cell["rows"].values())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print what the results file holds")
    arguments = parser.parse_args()
    if arguments.show:
        print(show(json.loads(RESULTS.read_text())) if RESULTS.exists() else "not run")
        return 0
    with tempfile.TemporaryDirectory(prefix="workbench-faults-") as folder:
        cell = besiege(Path(folder), arguments.kills, arguments.seed, partial(print, flush=True))
    cell |= {"machine": machine(2), "commit": commit(), "command": command(), "seed": arguments.seed}
    if arguments.kills >= 500:
        RESULTS.write_text(json.dumps(cell, indent=1, sort_keys=True) + "\n")
    print(show(cell))
    for finding in cell["findings"]:
        print(finding)
    return 0 if is_clean(cell) else 1


if __name__ == "__main__":
    sys.exit(main())
