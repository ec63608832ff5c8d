"""Classification and clustering by CSL's representations, beside published figures."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from _common import commit, load, table

from workbench.timeseries import CSL
from workbench.timeseries.evaluation import cluster_scores, fit_probe

SEEDS = (0, 1, 2)
RESULTS = Path(__file__).with_name("results") / "csl.json"
REFERENCE = Path(__file__).with_name("csl_reference.json")
METRICS = ("accuracy", "rand_index", "nmi")


def run(
    names: list[str] | None, seeds: tuple[int, ...], data: Path | None, threads: int, minutes: float
) -> None:
    """Fill the missing cells; with `names`, those of these data sets are computed anew."""
    torch.set_num_threads(threads)
    reference = json.loads(REFERENCE.read_text())["sets"]
    deadline = time.monotonic() + minutes * 60
    for name in names or reference:
        problem = None
        for row in ("untrained", "trained"):
            for seed in seeds:
                key = f"{name}/{row}/{seed}"
                if names is None and key in _cells():
                    continue
                if time.monotonic() > deadline:
                    return
                problem = problem or load(name, data)
                epochs = reference[name]["epochs"] if row == "trained" else 0
                start = time.perf_counter()
                csl = CSL(n_epochs=epochs, random_state=seed).fit(problem.X_train)
                seconds = time.perf_counter() - start
                train, test = csl.transform(problem.X_train), csl.transform(problem.X_test)
                probe = fit_probe(train, problem.y_train, random_state=seed)
                clusters = cluster_scores(test, problem.y_test, random_state=seed)
                cell = {
                    "accuracy": float(probe.model.score(test, problem.y_test)),
                    "rand_index": clusters.rand_index,
                    "nmi": clusters.nmi,
                    "C": probe.C,
                    "epochs": epochs,
                    "fit_seconds": round(seconds, 1),
                    "threads": threads,
                    "commit": commit(),
                    "command": f"python benchmarks/csl.py accuracy --data DIR --only {name} --seed {seed}",
                }
                cells = _cells() | {key: cell}
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(dict(sorted(cells.items())), indent=1) + "\n")


def show(names: list[str] | None) -> None:
    """Print the table; a row is a data set, untrained or trained, or the published figures for it."""
    reference = json.loads(REFERENCE.read_text())
    cells = _cells()
    rows = []
    for name in names or reference["sets"]:
        published = reference["sets"][name]
        for row in ("untrained", "trained"):
            runs = {key: cell for key, cell in cells.items() if key.startswith(f"{name}/{row}/")}
            official = published.get(row, ["–"] * 3)
            line = [name, row]
            for metric, figure in zip(METRICS, official, strict=True):
                line += [_spread([cell[metric] for cell in runs.values()]), str(figure)]
            some: dict[str, Any] = next(iter(runs.values()), {})
            line += [
                str(some.get("epochs", published["epochs"] if row == "trained" else 0)),
                ", ".join(key.rsplit("/", 1)[1] for key in runs) or "–",
                f"{mean(cell['fit_seconds'] for cell in runs.values()):.1f}" if runs else "–",
                ", ".join(sorted({cell["commit"] for cell in runs.values()})) or "–",
            ]
            rows.append(line)
    header = ["data set", "row", "accuracy", "official", "Rand index", "official", "NMI", "official"]
    print("\n" + table([*header, "epochs", "seeds", "fit s", "commit"], rows))
    print(f"\nofficial: {reference['note']}\n")
    peers = sorted({peer for name in reference["sets"] for peer in reference["sets"][name]["peers"]})
    lines = [
        [name, *(str(reference["sets"][name]["peers"].get(peer, "–")) for peer in peers)]
        for name in names or reference["sets"]
    ]
    print(table(["test accuracy, published", *peers], lines))
    print("\nOne row again: python benchmarks/csl.py accuracy --data DIR --only NAME --seed S")


def _cells() -> dict[str, dict[str, Any]]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def _spread(values: list[float]) -> str:
    if not values:
        return "not run"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
