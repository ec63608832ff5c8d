"""Bidding: speed, the tables of the DCMAB paper on a calibrated log, and off-policy estimates on real ones.

    python benchmarks/bidding.py                    print what has been run
    python benchmarks/bidding.py --run table1 fig5  run the missing cells whose names begin so
    python benchmarks/bidding.py --run speed/       speed cells
    python benchmarks/bidding.py --run ope/ --data DIR
    python benchmarks/bidding.py --again NAME       run one cell anew

Every finished cell is kept in benchmarks/results/bidding.json: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import _bidding_experiments as experiments
import _bidding_ope as ope
import _bidding_speed as speed
from _common import commit, machine, table

RESULTS = Path(__file__).parent / "results" / "bidding.json"
TUNED = [*experiments.RULES, *experiments.STEPWISE, *experiments.LEARNERS]
EPISODES = (1, 5, 10, 15, 20, 25, experiments.EPISODES, 60, 100)
#: Table 1 and 2 of the paper, the least first.
PAPER_ORDER = ["Manual", "Bandit-self", "A2C-self", "DDPG-self", "DCMAB-self", "DCMAB-coord"]
Cells = dict[str, dict[str, Any]]


def load() -> Cells:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(name: str, cell: dict[str, Any]) -> None:
    """Add a finished cell to the file as it is now: another process may run other cells."""
    results = {**load(), name: cell}
    RESULTS.parent.mkdir(exist_ok=True)
    temporary = RESULTS.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, RESULTS)


def names() -> list[str]:
    """Every cell; seeds of the experiments run in turn, so that an unfinished sweep has some of each."""
    cells = [f"speed/{name}" for name in speed.CELLS] + [f"tune/{name}" for name in TUNED]
    seeded = sorted(experiments.specs(), key=lambda n: n.rsplit("/", 1)[-1] if n[-1].isdigit() else "")
    return [*cells, *(f"ope/{name}" for name in ope.FILES), *seeded]


def run_cell(name: str, results: Cells, data: Path | None) -> dict[str, Any]:
    kind, _, rest = name.partition("/")
    if kind == "speed":
        start = time.perf_counter()
        found: dict[str, Any] = dict(speed.CELLS[rest]())
        found["seconds"] = time.perf_counter() - start
    elif kind == "tune":
        found = experiments.tune(rest)
    elif kind == "ope":
        if data is None:
            raise SystemExit(f"{name} needs the folder of real logs: --data DIR.")
        found = ope.run(rest, data)
    else:
        spec = experiments.specs()[name]
        found = experiments.run(spec, results[f"tune/{spec['bidder']}"]["best"])
    found = {k: (None if isinstance(v, float) and math.isnan(v) else v) for k, v in found.items()}
    # Long work may begin at one commit and end at another; what counts is the code that was loaded.
    command = f"python benchmarks/bidding.py --again {name}" + (" --data DIR" if kind == "ope" else "")
    return {**found, "commit": STARTED, "command": command, "machine": machine(1), "load": os.getloadavg()[0]}


def run(wanted: list[str], results: Cells, data: Path | None, minutes: float) -> None:
    """Run cells, the tuning of their bidders first, keeping each as soon as it is done."""
    start, specs = time.monotonic(), experiments.specs()
    for name in wanted:
        needed = [f"tune/{specs[name]['bidder']}"] if name in specs else []
        for cell in (n for n in [*needed, name] if n not in results):
            if time.monotonic() - start > 60 * minutes:
                return
            results[cell] = run_cell(cell, results, data)
            keep(cell, results[cell])
            print(f"{cell}: {results[cell].get('gmv', '')} in {results[cell]['seconds']:.1f} s", flush=True)


def mean(done: list[dict[str, Any]], key: str, digits: int = 2) -> str:
    """Mean, and standard deviation where there are several seeds."""
    values = [r[key] for r in done if r.get(key) is not None]
    if not values:
        return ""
    text = f"{np.mean(values):,.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):,.{digits}f}" if len(values) > 1 else text


def groups() -> dict[str, list[str]]:
    """Cells of the experiments by setting, seeds together."""
    found: dict[str, list[str]] = {}
    for name in experiments.specs():
        head, _, seed = name.rpartition("/")
        found.setdefault(head if seed.isdigit() and head.count("/") else name, []).append(name)
    return found


def experiment_table(results: Cells) -> str:
    head = ["setting", "seeds", "GMV", "of unlimited", "GMV of clusters 1 / 2 / …", "platform revenue", "ROI"]
    head += ["budget use", "depth", "Gini", "CPU s", "commit"]
    rows = []
    for group, cells in sorted(groups().items()):
        done = [results[c] for c in cells if c in results]
        if not done:
            rows.append([group, f"0 of {len(cells)}", "not run"] + [""] * (len(head) - 3))
            continue
        share = np.mean([r["gmv"] / r["unlimited_manual"] for r in done])
        clusters = sorted((key for key in done[0] if key.startswith("gmv_")), key=lambda key: int(key[4:]))
        by = " / ".join(mean(done, key, 0) for key in clusters)
        row = [group, f"{len(done)} of {len(cells)}", mean(done, "gmv", 1), f"{share:.3f}", by]
        row += [mean(done, "platform_revenue", 1), mean(done, "roi"), mean(done, "budget_use")]
        row += [mean(done, "depth", 1), mean(done, "gini"), mean(done, "cpu_seconds", 0)]
        rows.append([*row, done[-1]["commit"]])
    return table(head, rows)


def tuning_table(results: Cells) -> str:
    rows = []
    for name in TUNED:
        cell = results.get(f"tune/{name}")
        tried = len(experiments.GRID.get(name, [{}]))
        if cell is None:
            rows.append([name, str(tried), "not run", "", ""])
            continue
        chosen = ", ".join(f"{k}={v}" for k, v in cell["best"].items()) or "nothing to set"
        spread = " / ".join(f"{gmv:,.0f}" for gmv, _ in cell["tried"])
        rows.append([name, str(tried), chosen, spread, cell["commit"]])
    return table(["bidder", "settings", "chosen on the validation day", "GMV of each", "commit"], rows)


def curve_table(results: Cells) -> str:
    """GMV of the training day in some episodes (figure 6)."""
    rows = []
    for name in experiments.LEARNERS:
        curves = [results[c]["curve"] for c in groups()[f"table1/{name}-self"] if c in results]
        cells = []
        for episode in EPISODES:
            values = [curve[episode - 1] for curve in curves if len(curve) >= episode]
            spread = f" ± {np.std(values, ddof=1):,.0f}" if len(values) > 1 else ""
            missing = "" if curves else "not run"
            cells.append(f"{np.mean(values):,.0f}{spread}" if values else missing)
        rows.append([name, *cells])
    return table(["learner", *(f"episode {e}" for e in EPISODES)], rows)


def verdicts(results: Cells) -> list[str]:
    """For each setting in which DCMAB ran: whether it beats the uniform scale of the same setting."""
    lines = []
    for group, cells in sorted(groups().items()):
        done = [results[c]["gmv"] for c in cells if c in results]
        if not done or not ("DCMAB" in group or group.startswith(("fig5a", "table3"))):
            continue
        room = group.rpartition("/")[0]
        own = room.startswith(("reserve", "positions", "spread", "fig5b"))
        beside = f"{room}/UniformScale" if own else "table1/UniformScale"
        if beside not in results:
            continue
        uniform, low = results[beside]["gmv"], min(done)
        if low > uniform:
            text = f"beats UniformScale's {uniform:,.0f} with every seed"
        elif np.mean(done) > uniform:
            text = f"beats UniformScale's {uniform:,.0f} on average, not with every seed (least {low:,.0f})"
        else:
            text = f"DOES NOT BEAT UniformScale's {uniform:,.0f}"
        lines.append(f"- {group}: {np.mean(done):,.0f} over {len(done)} seeds {text}.")
    return lines


def settled(results: Cells, group: str) -> list[float]:
    """GMV of every seed of a group that has run."""
    return [results[c]["gmv"] for c in groups().get(group, []) if c in results]


def order(results: Cells) -> str:
    """Bidders of tables 1 and 2 by mean GMV, and whether the paper's order of its six is among them."""
    found = {}
    for group in groups():
        done = settled(results, group)
        if done and group.startswith(("table1/", "table2/")):
            found[group.partition("/")[2]] = float(np.mean(done))
    if not found:
        return "not run"
    ranked = sorted(found.items(), key=lambda pair: pair[1])
    lines = [" < ".join(f"{name} ({gmv:,.0f})" for name, gmv in ranked)]
    missing = [name for name in PAPER_ORDER if name not in found]
    if missing:
        lines.append(f"The paper's order needs {', '.join(missing)}: not run.")
    else:
        here = [name for name, _ in ranked if name in PAPER_ORDER]
        verdict = "is found" if here == PAPER_ORDER else f"IS NOT FOUND: here {' < '.join(here)}"
        lines.append(f"The paper's order {' < '.join(PAPER_ORDER)} {verdict}.")
    return "\n\n".join(lines)


def rooms_table(results: Cells) -> str:
    """GMV over that of the uniform scale in the same room: what a reserve and position effects change."""
    rooms = {"as in table 1": "table1", "with a reserve": "reserve", "with position effects": "positions"}
    rows = []
    for name in (*experiments.RULES, "DCMAB-coord"):
        row = [name]
        for room in rooms.values():
            group = "table2/DCMAB-coord" if (name, room) == ("DCMAB-coord", "table1") else f"{room}/{name}"
            done, uniform = settled(results, group), results.get(f"{room}/UniformScale")
            row.append(f"{np.mean(done) / uniform['gmv']:.3f}" if done and uniform else "not run")
        rows.append(row)
    return table(["bidder", *rooms], rows)


def ope_table(results: Cells) -> str:
    rows = []
    for campaign in ope.FILES:
        cell = results.get(f"ope/{campaign}")
        for what in ("value", "clicks"):
            if cell is None:
                rows.append([campaign, what, "not run", "", "", "", "", ""])
                continue
            row = [
                campaign,
                what,
                f"{1e3 * cell[f'{what}_logging']:.4f}",
                f"{1e3 * cell[f'{what}_truth']:.4f}",
            ]
            for name in ("IPS", "SNIPS", "DR"):
                e = cell[f"{what}_{name}"]
                value = f"{1e3 * e['value']:.4f} ± {1e3 * e['half_width']:.4f}"
                row.append(f"{value}, {e['covered']} of {len(ope.SEEDS)}")
            rows.append([*row, cell["commit"]])
    head = [
        "campaign",
        "of 1,000 auctions",
        "logging bidder",
        "truth",
        "IPS ± 95 %, covered",
        "SNIPS",
        "DR",
        "commit",
    ]
    return table(head, rows)


def speed_table(results: Cells) -> str:
    rows = []
    for name in speed.CELLS:
        cell = results.get(f"speed/{name}")
        figures = ("auctions_per_second", "plain_per_second", "ratio", "wall_seconds", "cpu_seconds")
        text = "not run" if cell is None else ", ".join(f"{k} {cell[k]:,.4g}" for k in figures if k in cell)
        rows.append(
            [name, text, "" if cell is None else f"{cell['load']:.1f}", (cell or {}).get("commit", "")]
        )
    return table(["what", "figures", "load of the machine", "commit"], rows)


def report(results: Cells) -> None:
    parts: list[tuple[str, Callable[[Cells], str]]] = [
        ("Speed, one thread, process seconds", speed_table),
        (f"Tuning: {experiments.TRIALS} settings each, or as many as there are", tuning_table),
        (
            f"A calibrated day of {experiments.REQUESTS:,} requests and three slots, learners trained for "
            f"{experiments.EPISODES} episodes, A2C for {experiments.EFFORT['A2C']['n_episodes']}",
            experiment_table,
        ),
        ("Order found", order),
        ("Against the uniform scale", lambda r: "\n".join(verdicts(r)) or "not run"),
        ("GMV over the uniform scale's in three rooms", rooms_table),
        ("Learning, self-interest: the training day without noise", curve_table),
        ("Off-policy estimates on real logs, against the replay's truth", ope_table),
    ]
    for title, make in parts:
        print(f"\n### {title}\n\n{make(results)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", metavar="PREFIX", nargs="+", help="run the missing cells whose names begin so, in this order"
    )
    parser.add_argument("--again", metavar="NAME", help="run one cell anew")
    parser.add_argument("--list", action="store_true", help="name every cell")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of real logs")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no cell after so many")
    args = parser.parse_args()
    results = {name: cell for name, cell in load().items() if name in set(names())}
    if args.list:
        print("\n".join(names()))
        return
    if args.again and args.again not in names():
        parser.error(f"there is no cell {args.again!r}; see --list")
    wanted = [args.again] if args.again else []
    results.pop(args.again, None)
    if args.run is not None:
        missing = [n for n in names() if n not in results]
        wanted = list(dict.fromkeys(n for prefix in args.run for n in missing if n.startswith(prefix)))
    if args.data is None and not args.again:
        wanted = [n for n in wanted if not n.startswith("ope/")]
    run(wanted, results, args.data, args.minutes)
    report(results)


STARTED = commit()

if __name__ == "__main__":
    main()
