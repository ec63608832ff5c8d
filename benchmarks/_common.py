"""What the benchmarks share: the archive's data sets, and the lines that say where a figure comes from."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Problem:
    """A data set of the UEA archive with the archive's own split; series are (n, T, d), NaN-padded."""

    name: str
    X_train: Series
    y_train: NDArray[Any]
    X_test: Series
    y_test: NDArray[Any]


def load(name: str, data: Path | None) -> Problem:
    """Read a data set below `data` (``uea/<name>/``); BasicMotions also from the copy that aeon ships."""
    if data is None:
        if name != "BasicMotions":
            raise SystemExit(
                f"{name} is not shipped with any package: name the folder of the data with --data."
            )
        from aeon.datasets import load_basic_motions

        parts = [(X.transpose(0, 2, 1), y) for X, y in map(load_basic_motions, ("train", "test"))]
    else:
        folder = data / "uea" / name
        if not folder.is_dir():
            raise SystemExit(f"{folder} is not there: --data must name a folder that holds uea/{name}.")
        read = _read_ts if any(folder.glob("*.ts")) else _read_arff
        parts = [read(folder, name, part) for part in ("TRAIN", "TEST")]
    return Problem(name, *parts[0], *parts[1])


def _read_ts(folder: Path, name: str, part: str) -> tuple[Series, NDArray[Any]]:
    from aeon.datasets import load_from_ts_file

    X, y = load_from_ts_file(str(folder / f"{name}_{part}.ts"))
    longest = max(series.shape[1] for series in X)
    padded = [np.pad(s, ((0, 0), (0, longest - s.shape[1])), constant_values=np.nan) for s in X]
    return np.stack(padded).transpose(0, 2, 1).astype(np.float64), y


def _read_arff(folder: Path, name: str, part: str) -> tuple[Series, NDArray[Any]]:
    """One file a variable, a series a line, the label last."""
    channels, labels = [], np.empty(0)
    for d in range(1, 1 + len(list(folder.glob(f"*_{part}.arff")))):
        lines = (folder / f"{name}Dimension{d}_{part}.arff").read_text().splitlines()
        rows = [line.split(",") for line in lines if line.strip() and line.lstrip()[0] not in "@%"]
        channels.append(np.array([row[:-1] for row in rows], dtype=np.float64))
        labels = np.array([row[-1].strip() for row in rows])
    return np.stack(channels, axis=2), labels


def commit() -> str:
    """The commit that is checked out, with a plus sign where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "workbench", "benchmarks/*.py")
    return (git("rev-parse", "--short", "HEAD") or "no commit") + ("+" if changed else "")


def command() -> str:
    """This command line, as it can be typed again from the repository's root; folders are DIR."""
    words = ("DIR" if word.startswith("/") else word for word in sys.argv[1:])
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def machine(threads: int) -> str:
    """Processor, threads and versions in a line."""
    info = Path("/proc/cpuinfo")
    models = [
        line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
    ]
    return (
        f"{models[0] if models else platform.processor()}, {threads} threads; "
        f"Python {platform.python_version()}, torch {version('torch')}, "
        f"numpy {version('numpy')}, scikit-learn {version('scikit-learn')}"
    )


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, the columns aligned."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
