"""How long it takes until the package is there: the import alone, and the command line.

::

    python benchmarks/startup.py            # measures, and keeps the figures
    python benchmarks/startup.py --show     # what was measured last

Each figure is the median over fresh processes of what ``python -X importtime`` sums up for the module, or
of the whole process for a command. Its peer is ``import numpy`` in the same way: about what any library of
the field costs at least.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import ROOT, command, commit, machine, table

RESULTS = Path(__file__).resolve().parent / "results" / "startup.json"
MODULES = ("workbench", "numpy")
COMMANDS = (("-m", "workbench", "--help"), ("-c", "pass"))


def import_ms(module: str) -> float:
    """Milliseconds of one import, all that it imports included."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(rf"\|\s+(\d+) \| {module}$", ran.stderr, re.MULTILINE)
    return int(found[-1]) / 1000


def process_ms(words: tuple[str, ...]) -> float:
    """Milliseconds of a whole process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True)
    return 1000 * (time.perf_counter() - began)


def measure(times: int) -> dict[str, Any]:
    """Every figure, the processes taken in turn so that a busy second meets all alike."""
    found: dict[str, list[float]] = {}
    for _ in range(times + 1):  # the first of each warms the disk's cache
        for module in MODULES:
            found.setdefault(f"import {module}", []).append(import_ms(module))
        for words in COMMANDS:
            found.setdefault(f"python {' '.join(words)}", []).append(process_ms(words))
    figures = {
        name: [round(median(values[1:]), 1), round(max(values[1:]), 1)] for name, values in found.items()
    }
    return {
        "figures": figures, "times": times, "machine": machine(1), "commit": commit(), "command": command(),
    }  # fmt: skip


def show(cell: dict[str, Any]) -> str:
    """The table."""
    if not cell:
        return "not run"
    rows = [[name, f"{middle:.0f}", f"{most:.0f}"] for name, (middle, most) in cell["figures"].items()]
    said = table(["what", "median (ms)", "most (ms)"], rows)
    return f"{said}\n\n{cell['times']} processes each; commit {cell['commit']}; {cell['machine']}"


def cells() -> dict[str, Any]:
    """What was measured last."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=21)
    parser.add_argument("--show", action="store_true", help="print what the results file holds")
    arguments = parser.parse_args()
    if not arguments.show:
        RESULTS.write_text(json.dumps(measure(arguments.times), indent=1, sort_keys=True) + "\n")
    print(show(cells()))


if __name__ == "__main__":
    main()
