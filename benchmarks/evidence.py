"""One page of evidence: what is claimed, the command, the last figure, and the peer's of the same run.

::

    make evidence        # writes docs/evidence.md from benchmarks/results

Nothing is measured here. A figure that no results file holds is ``not run``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import table

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "evidence.md"

#: What times the encoders of series on more than the smallest data set.
LARGER = " --data DIR --set NATOPS --set Epilepsy --epochs 2 --repeat 2"
#: What each script prints when it is asked for what it has.
TABLES = {
    "Contrastive shapelet learning": "csl.py accuracy --show",
    "Series: six tasks over several encoders": "units.py show",
    "Features of click models": "selection.py",
    "Bidding": "bidding.py",
    "Modalities": "modality.py",
    "A large store": "load.py",
    "The threshold of an anomaly page": "slider.py --show",
    "Kills of every kind of process": "faults.py --show",
    "Damaged input": "fuzz.py --show",
    "Start": "startup.py --show",
}


@dataclass(frozen=True)
class Found:
    """A figure beside its peer's."""

    figure: str
    peer: str
    machine: str
    commit: str


@dataclass(frozen=True)
class Claim:
    """What is claimed, its target, the command that measures it, and where its last figure lies."""

    text: str
    target: str
    command: str
    find: Callable[[], Found | None]


def cells(name: str) -> dict[str, Any]:
    """A results file, empty if there is none."""
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def printed(name: str) -> tuple[dict[str, list[str]], str, str]:
    """The last table of a printed results file by its first column; the machine's line and the commit."""
    path = HERE / "results" / f"{name}.txt"
    if not path.exists():
        return {}, "", ""
    text = path.read_text()
    rows = {}
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("| -"):
            row = [cell.strip() for cell in line.strip("|").split("|")]
            rows[row[0]] = row[1:]
    commit = re.findall(r"commit (\w+\+?)", text)
    machines = [line for line in text.splitlines() if "Python" in line and "threads" in line]
    return rows, (machines or [""])[-1], (commit or [""])[-1]


def training_step(data: str) -> Callable[[], Found | None]:
    """Milliseconds of a training step of CSL."""

    def find() -> Found | None:
        rows, machine, commit = printed("csl_speed")
        for name, row in rows.items():
            if name.startswith(data):
                return Found(f"{row[2]} ms ({row[3]})", f"{row[1]} ms", machine, commit)
        return None

    return find


def csl_memory() -> Found | None:
    rows, machine, commit = printed("csl_speed")
    row = next((row for name, row in rows.items() if name.startswith("Cricket")), None)
    return row and Found(f"{row[8]} MB ({row[9]} less)", f"{row[7]} MB", machine, commit)


def csl_accuracy() -> Found | None:
    """Mean accuracy of the trained encoder over the data sets that ran with three seeds."""
    found = cells("csl")
    reference = json.loads((HERE / "csl_reference.json").read_text())["sets"]
    ours, theirs = [], []
    for name, published in reference.items():
        runs = [cell for key, cell in found.items() if key.startswith(f"{name}/trained/")]
        if len(runs) >= 3 and "trained" in published:
            ours.append(mean(cell["accuracy"] for cell in runs))
            theirs.append(float(published["trained"][0]))
    if not ours:
        return None
    commits = sorted({cell["commit"] for cell in found.values()})
    return Found(f"{mean(ours):.3f} on {len(ours)} data sets", f"{mean(theirs):.3f}", "", ", ".join(commits))


def epoch(name: str, data: str) -> Callable[[], Found | None]:
    """Seconds of an epoch of an encoder of series."""

    def find() -> Found | None:
        larger = "" if data == "BasicMotions" else "_larger"
        rows, machine, commit = printed(f"encoders_speed{larger}")
        row = rows.get(f"{name}, {data}")
        return row and Found(f"{row[1]} s ({row[2]})", f"{row[0]} s", machine, commit)

    return find


def slider() -> Found | None:
    """Milliseconds from the release of the threshold until the page has answered."""
    cell = cells("slider")
    if not cell:
        return None
    figure = f"{cell['median']:.0f} ms, {cell['points']} points of {cell['steps']:,}"
    return Found(figure, "", cell["machine"], cell["commit"])


def fused() -> Found | None:
    """Mean accuracy of fused, fine-tuned encoders over the sets on which MiniRocket ran too."""
    found = cells("units")
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    commits = set()
    for key, cell in found.items():
        what, name, encoders, seed = [*key.split("/"), "", ""][:4]
        beside = found.get(f"classify/{name}/peers/{seed}", {}).get("metrics", {}).get("accuracy", {})
        if what == "classify" and encoders == "CSL+TS2Vec" and "MiniRocket" in beside:
            ours.setdefault(name, []).append(cell["metrics"]["accuracy"]["fine-tuned"])
            theirs.setdefault(name, []).append(beside["MiniRocket"])
            commits.add(cell["commit"])
    if not ours:
        return None
    mine, other = (mean(mean(runs) for runs in part.values()) for part in (ours, theirs))
    return Found(f"{mine:.3f} on {len(ours)} data sets", f"{other:.3f}", "", ", ".join(sorted(commits)))


def auctions(name: str) -> Callable[[], Found | None]:
    """Auctions a second."""

    def find() -> Found | None:
        cell = cells("bidding").get(f"speed/{name}")
        if cell is None:
            return None
        rate, plain = (cell[key] / 1e6 for key in ("auctions_per_second", "plain_per_second"))
        return Found(
            f"{rate:.2f} M/s ({cell['ratio']:.1f}×)", f"{plain:.2f} M/s", cell["machine"], cell["commit"]
        )

    return find


def csv_import() -> Found | None:
    rows, machine, commit = printed("datasets")
    if "workbench" not in rows:
        return None
    (ours, _, peak), plain, ratio = rows["workbench"], rows["DuckDB's read_csv"], rows["ratio"]
    return Found(f"{ours} s ({ratio[0]}×), peak {peak} MB", f"{plain[0]} s", machine, commit)


def seeds_of(name: str, prefix: str, key: str) -> tuple[list[float], dict[str, Any]]:
    """A figure of every seed, and the last cell."""
    found = [cell for cell_name, cell in sorted(cells(name).items()) if cell_name.startswith(prefix)]
    return [cell[key] for cell in found], (found or [{}])[-1]


def adult() -> Found | None:
    ours, cell = seeds_of("selection", "adult/LPFS++ (defaults)/", "auc")
    plain, _ = seeds_of("selection", "adult/no gate, 23 fields/", "auc")
    noise, _ = seeds_of("selection", "adult/LPFS++ (defaults)/", "noise")
    if not ours or not plain:
        return None
    figure = f"{mean(ours):.4f} (least {min(ours):.4f}), {sum(noise):.0f} noise fields kept"
    return Found(figure, f"{mean(plain):.4f} without gates", cell.get("machine", ""), cell["commit"])


def shark() -> Found | None:
    ours, cell = seeds_of("selection", "shark-criteo/", "signed")
    first, _ = seeds_of("selection", "shark-criteo/", "signed, first order")
    faster, _ = seeds_of("selection", "shark-criteo/", "ratio of times")
    if not ours:
        return None
    figure = f"{mean(ours):.2f} (least {min(ours):.2f}), {min(faster):.0f}× less time"
    return Found(figure, f"{mean(first):.2f}, the published first order", cell["machine"], cell["commit"])


def training_rate(pair: str) -> Callable[[], Found | None]:
    """Rows a second of training a click model."""

    def find() -> Found | None:
        cell = cells("selection").get(f"speed/{pair}")
        if cell is None:
            return None
        figure = f"{cell['rows_per_second']:,.0f} rows/s ({cell['ratio']:.1f}×)"
        return Found(figure, f"{cell['peer']:,.0f} rows/s", cell["machine"], cell["commit"])

    return find


def dcmab() -> Found | None:
    cell = cells("bidding").get("speed/dcmab_training")
    return cell and Found(f"{cell['wall_seconds']:.0f} s", "", cell["machine"], cell["commit"])


def htad() -> Found | None:
    cell = cells("modality").get("htad/analysis")
    return cell and Found(f"{cell['cpu_seconds']} s of one core", "", cell["machine"], cell["commit"])


def kills() -> Found | None:
    cell = cells("faults")
    if not cell:
        return None
    total = {name: sum(row[name] for row in cell["rows"].values()) for name in ("kills", "lost", "twice")}
    figure = f"{total['lost']} lost, {total['twice']} twice, {len(cell['findings'])} findings"
    return Found(f"{total['kills']} kills: {figure}", "", cell["machine"], cell["commit"])


def damaged() -> Found | None:
    found = cells("fuzz")
    if not found:
        return None
    failures = sum(len(cell["failures"]) for cell in found.values())
    least = min(cell["cases"] for cell in found.values())
    commits = ", ".join(sorted({cell["commit"] for cell in found.values()}))
    machine = next(iter(found.values()))["machine"]
    return Found(f"{failures} failures, {len(found)} targets, {least:,} cases or more", "", machine, commits)


def startup() -> Found | None:
    cell = cells("startup")
    if not cell:
        return None
    ours, peer = (cell["figures"][f"import {name}"][0] for name in ("workbench", "numpy"))
    return Found(f"{ours:.0f} ms", f"{peer:.0f} ms", cell["machine"], cell["commit"])


def large_store() -> Found | None:
    cell = cells("load").get("pages")
    if not cell:
        return None
    slowest = {kind: max(page[kind] for page in cell["pages"].values()) for kind in ("cold", "warm", "rerun")}
    preview = max(cell["preview"].values())
    told = f"{slowest['cold']:.0f}, {slowest['warm']:.0f}, {slowest['rerun']:.0f}, {preview:.0f} ms"
    return Found(told, "", cell["machine"], cell["commit"])


def crowd() -> Found | None:
    cell = cells("load").get("crowd")
    if not cell:
        return None
    memory = f"{cell['web_memory_mb_early']:.0f} MB, later {cell['web_memory_mb_late']:.0f} MB"
    told = f"{cell['faults']} errors, {cell['locked_in_logs']} locks in {cell['minutes']:.0f} min, {memory}"
    return Found(told, "", cell["machine"], cell["commit"])


CLAIMS = [
    Claim(
        "The slowest page over 500 data sets, 5,000 runs, 10 M metric rows and a table of 50 M rows: opened, "
        "opened again, run again; a query with LIMIT",
        "3000, 1000, 300, 300 ms",
        "python benchmarks/load.py pages --store DIR",
        large_store,
    ),
    Claim(
        "20 browser sessions and 4 workers over that store",
        "no error, no lock, memory flat, 10 min",
        "python benchmarks/load.py crowd --store DIR",
        crowd,
    ),
    Claim(
        "`import workbench`, beside `import numpy`",
        "150 ms",
        "python benchmarks/startup.py",
        startup,
    ),
    Claim(
        "500 kills of servers, workers, runs, schedulers, imports and publications over one store",
        "nothing lost, nothing twice, the store whole",
        "python benchmarks/faults.py --kills 500",
        kills,
    ),
    Claim(
        "Damaged content for every parser",
        "a sentence at most; a million cases each",
        "python benchmarks/fuzz.py --cases 1000000",
        damaged,
    ),
    Claim(
        "A CSV of 5 GB imported and profiled in a process of 1.5 GB, against DuckDB's read_csv alone",
        "1.2×",
        "python benchmarks/datasets.py --gigabytes 5 --import-only",
        csv_import,
    ),
    Claim(
        "AUC on Adult with 10 noise fields, pruned by LPFS++, three seeds",
        ".911, each .905, no noise",
        "python benchmarks/selection.py --data DIR --only adult",
        adult,
    ),
    Claim(
        "SHARK's signed scores against permutation with 5 shuffles, Criteo, 39 fields, Spearman",
        ".7, 20×",
        "python benchmarks/selection.py --data DIR --only shark-criteo",
        shark,
    ),
    *(
        Claim(
            f"Training {model} on 2 threads, beside {peer}"
            + (" fed a data frame, as by its examples" if peer == "torch-rechub" else ""),
            target,
            "python benchmarks/selection.py --speed --peers DIR",
            training_rate(f"{model} | {peer}"),
        )
        for model, peer, target in (
            ("DeepFM", "deepctr-torch", "3.5×"),
            ("DeepFM", "torch-rechub", "25×"),
            ("DCNv2", "deepctr-torch", "1.5×"),
            ("DIN, history 50", "deepctr-torch", "3×"),
            ("DLRM", "plain transcription", "2×"),
        )
    ),
    Claim(
        "A DCMAB training of 250 episodes on 200,000 impressions",
        "300 s on 2 cores",
        "python benchmarks/bidding.py --again speed/dcmab_training",
        dcmab,
    ),
    Claim(
        "The whole analysis of modality competition on HTAD, three seeds",
        "60 s on 2 cores",
        "python benchmarks/modality.py --data DIR --cell htad/analysis --again",
        htad,
    ),
    *(
        Claim(
            f"A training step of CSL on {data}, against a plain transcription of the published one",
            target,
            "python benchmarks/csl.py speed --data DIR",
            training_step(data),
        )
        for data, target in (("BasicMotions", "8×"), ("UWaveGestureLibrary", "10×"), ("Cricket", "30×"))
    ),
    Claim("Memory of that step on Cricket", "1/10", "python benchmarks/csl.py speed --data DIR", csl_memory),
    Claim(
        "Accuracy of CSL, mean over UEA data sets, beside the authors' code",
        "as theirs",
        "python benchmarks/csl.py accuracy --data DIR",
        csl_accuracy,
    ),
    *(
        Claim(
            f"An epoch of {name} on {data}, against a plain transcription of its formulas",
            "2×",
            f"python benchmarks/encoders.py{options}",
            epoch(name, data),
        )
        for name in ("TLoss", "TS2Vec", "TNC", "TSTCC", "TST")
        for data, options in (("BasicMotions", ""), ("NATOPS", LARGER), ("Epilepsy", LARGER))
    ),
    Claim(
        "The threshold of an anomaly page over 100,000 steps, from its release to the answer",
        "200 ms, 4,000 points",
        "python benchmarks/slider.py",
        slider,
    ),
    Claim(
        "Accuracy of CSL and TS2Vec, fused and fine-tuned, mean over UEA data sets, beside MiniRocket",
        "not below",
        "python benchmarks/units.py run --data DIR",
        fused,
    ),
    *(
        Claim(
            f"{text}, against {peer}",
            target,
            f"python benchmarks/bidding.py --again speed/{name}",
            auctions(name),
        )
        for text, name, target, peer in (
            (
                "Auctions with exact budgets, 10 bidders, one thread",
                "auctions_10",
                "8 M/s",
                "a plain numba loop",
            ),
            ("The same with 48 bidders", "auctions_48", "3 M/s", "a plain numba loop"),
            ("The whole loop with 48 PID agents", "auctionnet_loop", ".42 M/s, 20×", "a plain transcription"),
        )
    ),
]


def page() -> str:
    """The page as Markdown."""
    rows = []
    for claim in CLAIMS:
        found = claim.find()
        tail = (
            ["not run", "", "", ""]
            if found is None
            else [found.figure, found.peer, found.commit, found.machine]
        )
        rows.append([claim.text, claim.target, *tail, f"`{claim.command}`"])
    parts = [
        "# Evidence",
        "Written by `make evidence` from [benchmarks/results](../benchmarks/results): what is claimed, the"
        " peer's figure from the same run, and the command that measures both. Nothing else is claimed.",
        table(["what", "target", "last figure", "peer's", "commit", "machine", "command"], rows),
    ]
    for title, words in TABLES.items():
        answer = subprocess.run(
            [sys.executable, str(HERE / words.split()[0]), *words.split()[1:]],
            capture_output=True,
            text=True,
            check=True,
            cwd=HERE.parent,
        )
        parts += [f"## {title}", f"`python benchmarks/{words}`", _fenced(answer.stdout.strip())]
    return "\n\n".join(parts) + "\n"


def _fenced(text: str) -> str:
    """Tables as they are; what is not Markdown in a block."""
    return text if "\n| " in f"\n{text}" else f"```\n{text}\n```"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(HERE.parent)} written")
