"""Damaged content for every parser: is anything but a sentence ever the answer?

::

    python benchmarks/fuzz.py --cases 1000000        # of every target: hours; it goes on where it stopped
    python benchmarks/fuzz.py --cases 100000 --target cron  # of the targets whose names hold a word
    python benchmarks/fuzz.py --show                 # what was found so far

A case is a whole file (address, header, …) changed at one to six places by draws that its number seeds, so
that a failure is told by target and number. Each target runs in a process of its own on a core of its own,
which is watched: a crash, a case that takes a minute, and memory that grows by 1.5 GB are failures, as is any
exception but a :class:`WorkbenchError`. The exit code is 1 if there was one.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import command, commit, machine, table
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import watch
from workbench.runs.launchers import cores

RESULTS = Path(__file__).resolve().parent / "results" / "fuzz.json"
STRIDE = 100.0  # seconds after which what was found is kept, about
FIRST = 500  # cases that tell how long one takes
WRITING = threading.Lock()


def cells() -> dict[str, Any]:
    """What has been found, by target."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def extend(name: str, cases: int, keep: bool, core: int = 0) -> dict[str, Any]:
    """Take the cases of a target that have not been taken at this commit, up to `cases`."""
    now = commit()
    found = cells().get(name, {})
    if not found or found["commit"] != now:
        found = {"cases": 0, "taken": 0, "failures": [], "seconds": 0.0, "peak_mb": 0, "commit": now}
    while found["cases"] < cases:
        stride = int(STRIDE * found["cases"] / found["seconds"]) if found["cases"] else FIRST
        stop = min(cases, found["cases"] + max(FIRST, stride))
        outcome = watch(name, found["cases"], stop, core)
        found["cases"], found["taken"] = stop, found["taken"] + outcome.taken
        found["failures"] += outcome.failures
        found["seconds"] = round(found["seconds"] + outcome.seconds, 1)
        found["peak_mb"] = max(found["peak_mb"], outcome.peak >> 20)
        found |= {"machine": machine(1), "command": command()}
        if keep:
            with WRITING:
                RESULTS.write_text(json.dumps(cells() | {name: found}, indent=1, sort_keys=True) + "\n")
    return found


def show(found: dict[str, Any]) -> str:
    """The table."""
    rows = [
        [name, f"{cell['cases']:,}", f"{cell['taken']:,}", str(len(cell["failures"])),
         f"{1000 * cell['seconds'] / max(1, cell['cases']):.2f}", str(cell["peak_mb"]), cell["commit"]]
        for name, cell in found.items()
    ]  # fmt: skip
    if not rows:
        return "not run"
    header = ["target", "cases", "taken as they are", "failures", "ms a case", "growth (MB)", "commit"]
    return f"{table(header, rows)}\n\n{next(iter(found.values()))['machine']}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--target", default="", help="a part of the names of the targets that are meant")
    parser.add_argument("--jobs", type=int, default=cores(), help="targets at the same time")
    parser.add_argument("--show", action="store_true", help="print what the results file holds")
    arguments = parser.parse_args()
    if arguments.show:
        print(show(cells()))
        return 0
    free = SimpleQueue[int]()
    for core in range(arguments.jobs):
        free.put(core)

    def look(name: str) -> dict[str, Any]:
        core = free.get()
        try:
            cell = extend(name, arguments.cases, arguments.cases >= 10_000, core)
        finally:
            free.put(core)
        lines = [f"{name}: {cell['cases']:,} cases, {cell['seconds']} s", *map(str, cell["failures"])]
        print("\n  ".join(lines), flush=True)
        return cell

    names = [name for name in TARGETS if arguments.target in name]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        found = dict(zip(names, pool.map(look, names), strict=True))
    print(show(found))
    return int(any(cell["failures"] for cell in found.values()))


if __name__ == "__main__":
    sys.exit(main())
