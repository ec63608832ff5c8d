"""The real tables on which selectors are compared, with planted noise, their columns in a random order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.ctr import DeepFMClassifier, FieldEncoder, splits

__all__ = ["Table", "adult", "beauty", "criteo", "host", "madelon", "table"]

ADULT = [
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
    *("relationship", "race", "gender", "capital-gain", "capital-loss", "hours-per-week"),
    *("native-country", "income"),
]
NOISE = [(f"noise {i}", size) for i, size in enumerate((2, 10, 50, 200, 1000) * 2)]
SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Table:
    """A data set as selectors see it; `useful` are the fields that a ranking should put first."""

    X: pd.DataFrame
    y: np.ndarray
    useful: frozenset[str]
    model: DeepFMClassifier
    ks: tuple[int, ...]


def _with_noise(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return frame.assign(**{name: rng.integers(size, size=len(frame)).astype(str) for name, size in NOISE})


def adult(data: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The 32,561 training rows of Adult, 13 fields, with ten fields of noise."""
    frame = pd.read_csv(data / "ctr" / "adult_train.csv", header=None, names=ADULT, skipinitialspace=True)
    y = frame.pop("income").str.contains(">50K").to_numpy(int)
    return _with_noise(frame.drop(columns="fnlwgt").astype(str)), y


def criteo(data: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The first 10,000 rows of Criteo Kaggle: 13 numbers and 26 categories."""
    names = ["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    frame = pd.read_csv(data / "ctr" / "criteo_10k.tsv", sep="\t", header=None, names=names)
    return frame, frame.pop("label").to_numpy(int)


def madelon(data: Path) -> tuple[pd.DataFrame, np.ndarray, frozenset[str]]:
    """500 numbers; useful are the columns whose correlation with another one is above a half."""
    frame = pd.read_csv(data / "ctr" / "madelon.csv")
    y = frame.pop("decision")
    numbers = frame.select_dtypes("number")
    related = np.abs(np.corrcoef(numbers.to_numpy().T)) - np.eye(numbers.shape[1])
    useful = frozenset(numbers.columns[related.max(axis=1) > 0.5])
    return numbers, pd.factorize(y, sort=True)[0], useful


def beauty(data: Path, seed: int, longest: int = 20) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Amazon Beauty: each user's last but one item to train on, the last to test; a random negative each.

    Returns
    -------
    frame : DataFrame with the columns user, item, category, history
    y : ndarray of 0 and 1
    test : ndarray of bool
    """
    rng = np.random.default_rng(seed)
    folder = data / "ctr"
    attributes = json.loads((folder / "beauty_item2attributes.json").read_text())
    sequences = [line.split() for line in (folder / "beauty_sequences.txt").read_text().splitlines()]
    items = sorted({item for _, *bought in sequences for item in bought})
    rows: list[tuple[str, str, list[str], int, bool]] = []
    for user, *bought in sequences:
        for place, is_test in ((len(bought) - 2, False), (len(bought) - 1, True)):
            history = bought[max(place - longest, 0) : place]
            wrong = items[rng.integers(len(items))]
            rows += [(user, bought[place], history, 1, is_test), (user, wrong, history, 0, is_test)]
    frame = pd.DataFrame(rows, columns=["user", "item", "history", "y", "test"])
    first = {item: str((attributes.get(item) or ["none"])[0]) for item in items}
    frame["category"] = frame["item"].map(first)
    return frame[["user", "item", "category", "history"]], frame["y"].to_numpy(), frame["test"].to_numpy()


def host(seed: int, columns: list[str]) -> DeepFMClassifier:
    """The network of Adult's recipe; all fields are categories, values seen twice or more."""
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


def table(name: str, data: Path, seed: int) -> Table:
    """A data set with its host model; the order of the columns is drawn, so that ties favour no field."""
    if name == "adult":
        X, y = adult(data)
        useful = frozenset(column for column in X if not column.startswith("noise"))
        model, ks = host(seed, list(X.columns)), (7, 13)
    elif name == "madelon":
        X, y, useful = madelon(data)
        encoder = FieldEncoder(numeric="bins", n_bins=8)
        model = host(seed, []).set_params(encoder=encoder, n_epochs=8, batch_size=64, learning_rate=5e-3)
        ks = (5, 20)
    else:
        X, y = criteo(data)
        X = _with_noise(X)
        useful = frozenset(column for column in X if not column.startswith("noise"))
        encoder = FieldEncoder(min_count=5)
        model, ks = host(seed, []).set_params(encoder=encoder, n_epochs=2), (10, 20)
    order = np.random.default_rng(seed).permutation(X.shape[1])
    return Table(X.iloc[:, order], y, useful, model, ks)


def parts(n: int) -> list[np.ndarray]:
    """Training, validation and test rows; the same for every method and seed."""
    return splits.split_at_random(n, SHARES, random_state=1)
