"""Bidding: speed, and the tables of the DCMAB paper on a calibrated log.

    python benchmarks/bidding.py                    print what has been run
    python benchmarks/bidding.py --run table1       run the missing cells whose names begin so
    python benchmarks/bidding.py --run speed/       speed cells
    python benchmarks/bidding.py --again NAME       run one cell anew

Every finished cell is kept in benchmarks/results/bidding.json: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import _bidding_experiments as experiments
import _bidding_speed as speed

RESULTS = Path(__file__).parent / "results" / "bidding.json"


def commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def load() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def save(results: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    temporary = RESULTS.with_suffix(".writing")
    temporary.write_text(json.dumps(results, indent=1, sort_keys=True))
    os.replace(temporary, RESULTS)


def run_cell(name: str) -> dict[str, Any]:
    if name.startswith("speed/"):
        start = time.perf_counter()
        found: dict[str, Any] = dict(speed.CELLS[name.removeprefix("speed/")]())
        found["seconds"] = time.perf_counter() - start
    else:
        found = experiments.run(experiments.specs()[name])
    load_now = os.getloadavg()[0]
    command = f"python benchmarks/bidding.py --again {name}"
    found = {k: (None if isinstance(v, float) and math.isnan(v) else v) for k, v in found.items()}
    return {
        **found,
        "commit": commit(),
        "command": command,
        "machine": platform.processor(),
        "load": load_now,
    }


def names() -> list[str]:
    return [*(f"speed/{n}" for n in speed.CELLS), *experiments.specs()]


def rows(results: dict[str, Any]) -> list[str]:
    """The printed table: one row a setting, seeds together."""
    groups: dict[str, list[str]] = {}
    for name in names():
        seeded = name.rsplit("/", 1)
        groups.setdefault(seeded[0] if seeded[-1].isdigit() else name, []).append(name)
    head = (
        "setting",
        "seeds",
        "GMV",
        "of unlimited",
        "platform",
        "ROI",
        "use",
        "depth",
        "Gini",
        "s",
        "commit",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for group, cells in groups.items():
        done = [results[c] for c in cells if c in results]
        if not done:
            lines.append(f"| {group} | 0 of {len(cells)} | not run |" + " |" * (len(head) - 3))
            continue
        if group.startswith("speed/"):
            text = ", ".join(
                f"{k} {v:,.4g}" for k, v in done[0].items() if isinstance(v, float) and k != "load"
            )
            lines.append(f"| {group} | 1 | {text} |" + " |" * (len(head) - 4) + f" {done[0]['commit']} |")
            continue

        def show(key: str, digits: int = 2, done: list[dict[str, Any]] = done) -> str:
            values = [r[key] for r in done if r.get(key) is not None]
            if not values:
                return ""
            text = f"{np.mean(values):,.{digits}f}"
            return f"{text} ± {np.std(values, ddof=1):,.{digits}f}" if len(values) > 1 else text

        share = np.mean([r["gmv"] / r["unlimited_manual"] for r in done])
        cellsof = f"{len(done)} of {len(cells)}"
        parts = [group, cellsof, show("gmv", 1), f"{share:.3f}", show("platform_revenue", 1), show("roi")]
        parts += [show("budget_use"), show("depth", 1), show("gini"), show("seconds", 0), done[-1]["commit"]]
        lines.append("| " + " | ".join(parts) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", metavar="PREFIX", help="run the missing cells whose names begin so")
    parser.add_argument("--again", metavar="NAME", help="run one cell anew")
    parser.add_argument("--list", action="store_true", help="name every cell")
    args = parser.parse_args()
    results = load()
    if args.list:
        print("\n".join(names()))
        return
    wanted = [args.again] if args.again else []
    if args.run is not None:
        wanted = [n for n in names() if n.startswith(args.run) and n not in results]
    for name in wanted:
        if name not in names():
            parser.error(f"there is no cell {name!r}; see --list")
        results[name] = run_cell(name)
        save(results)
        print(f"{name}: {results[name].get('gmv', '')} in {results[name]['seconds']:.1f} s", flush=True)
    print("\n".join(rows(results)))


if __name__ == "__main__":
    main()
