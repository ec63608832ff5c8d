"""Data of the benchmarks of tasks on series: the archive, ETTh1, and labelled recordings of machines."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import Problem, load

from workbench.arrays import SeriesData
from workbench.timeseries.preprocessing import z_normalize

#: Hours of the 12 months of ETTh1 to train on, the 4 of validation and the 4 to test, months of 30 days.
ETT_PARTS = tuple(months * 30 * 24 for months in (12, 4, 4))

#: Who wears the watch in the target domain, one fold after another; the others are the source.
WEARERS = ((1, 2, 3), (4, 5, 6), (7, 8, 9, 10))
#: The watch tells 50 values a second; 4 are averaged, and 100 of these averages, 8 seconds, are a series.
_AVERAGED, _PIECE = 4, 100


class Memory:
    """Series held in memory, for recipes that ask for series."""

    def __init__(self, ref: str, X: Any, **more: Any) -> None:
        names = tuple(f"v{i}" for i in range(X.shape[2]))
        given = {"y": None, "split": None} | more
        self.ref, self.series = ref, SeriesData(X, ids=np.arange(len(X)).astype(str), channels=names, **given)

    def to_series(self) -> SeriesData:
        return self.series


def uea(name: str, data: Path | None) -> Problem:
    """A set of the archive with its own split, the two parts padded to one length."""
    one = load(name, data)
    steps = max(one.X_train.shape[1], one.X_test.shape[1])
    train, test = (
        np.pad(X, ((0, 0), (0, steps - X.shape[1]), (0, 0)), constant_values=np.nan)
        for X in (one.X_train, one.X_test)
    )
    return Problem(name, train, one.y_train, test, one.y_test)


def etth1(data: Path | None) -> np.ndarray:
    """The first 20 months, (1, T, 7), standardised by the first 12."""
    frame = pd.read_csv(needed(data) / "forecasting" / "ETTh1.csv").iloc[: sum(ETT_PARTS)]
    values = frame.drop(columns="date").to_numpy(float)
    train = values[: ETT_PARTS[0]]
    return ((values - train.mean(axis=0)) / train.std(axis=0))[None]


def nab(name: str, data: Path | None) -> Memory:
    """A recording of NAB's known causes, with the windows that people labelled."""
    folder = needed(data) / "anomaly" / "nab"
    frame = pd.read_csv(folder / f"{name}.csv")
    moment = pd.to_datetime(frame["timestamp"])
    windows = json.loads((folder / "combined_windows.json").read_text())[f"realKnownCause/{name}.csv"]
    marked = np.zeros(len(frame), dtype=bool)
    for begin, end in windows:
        marked |= (moment >= begin).to_numpy() & (moment <= end).to_numpy()
    return Memory(name, frame["value"].to_numpy(float)[None, :, None], anomaly=marked[None])


def server(kind: str, name: str, data: Path | None) -> Memory:
    """A machine of SMD or ASD: its training part, taken to be normal, and its labelled test part."""
    with np.load(next((needed(data) / "anomaly" / kind).glob(f"*{name}*.npz"))) as found:
        parts, labels = [found["train"], found["test"]], found["test_label"].ravel().astype(bool)
    steps = max(map(len, parts))
    X = np.stack([np.pad(p, ((0, steps - len(p)), (0, 0)), constant_values=np.nan) for p in parts])
    marked = np.zeros((2, steps), dtype=bool)
    marked[1, : len(labels)] = labels
    return Memory(f"{kind}-{name}", X.astype(float), split=np.array(["train", "test"]), anomaly=marked)


def labelled_windows(name: str, data: Path | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of the test part of a machine of SMD, each z-normalised, and whether any step is anomalous."""
    series = server("smd", name, data).series
    assert series.anomaly is not None
    one, marked = series.X[1], series.anomaly[1]
    end = int((~np.isnan(one).any(axis=1)).sum())
    first = np.arange(0, end - size + 1, size // 2)
    X = np.stack([one[at : at + size] for at in first])
    return z_normalize(X), np.array([str(marked[at : at + size].any()) for at in first])


def watch() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pieces of recordings of a wrist watch, z-normalised each, (n, 100, 6); exercise, wearer, recording."""
    package = importlib.util.find_spec("seglearn")
    if package is None or package.origin is None:
        raise SystemExit("The recordings come with a package: pip install --no-deps seglearn==1.2.5")
    # A dict, pickled by the authors of the package, whose code is trusted as soon as it is installed.
    file = Path(package.origin).with_name("data") / "watch_dataset.npy"
    found = np.load(file, allow_pickle=True).item()
    size = _AVERAGED * _PIECE
    pieces = [one[: len(one) // size * size].reshape(-1, _PIECE, _AVERAGED, 6).mean(2) for one in found["X"]]
    recording = np.repeat(np.arange(len(pieces)), [len(one) for one in pieces])
    exercise = np.asarray(found["y_labels"])[found["y"]]
    return z_normalize(np.concatenate(pieces)), exercise[recording], found["subject"][recording], recording


def needed(data: Path | None) -> Path:
    if data is None:
        raise SystemExit("This data set is not shipped with any package: name its folder with --data.")
    return data
