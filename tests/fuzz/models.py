"""Targets that load saved estimators. What was loaded is used once: it may fail then, but not crash."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

Made = tuple[Sequence[bytes], Callable[[bytes], object]]


def plain(folder: Path) -> Made:
    """An estimator of ours: JSON, and arrays as safetensors."""
    from workbench import models
    from workbench.timeseries import CSL

    fitted = CSL(n_epochs=2)
    fitted.classes_ = np.array(["a", "b"])
    fitted.state_ = {"w": np.arange(6.0).reshape(2, 3), "n": np.int64(3)}
    fitted.history_ = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": float("nan")}]
    fitted.range_ = (0.5, None)
    models.save(fitted, folder / "saved")
    files = {path.name: path.read_bytes() for path in (folder / "saved").iterdir()}

    def take(content: bytes) -> None:
        name, _, data = content.partition(b"\n")
        for file, whole in files.items():
            (folder / "saved" / file).write_bytes(data if file.encode() == name else whole)
        models.load(folder / "saved")

    return [name.encode() + b"\n" + data for name, data in files.items()], take


def linear(folder: Path) -> Made:
    """A pipeline of scikit-learn's, as skops."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _skops(folder, [make_pipeline(StandardScaler(), LogisticRegression())])


def trees(folder: Path) -> Made:
    """Trees, whose nodes compiled code follows."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeRegressor

    boosted = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2, early_stopping=False)
    forest = RandomForestClassifier(n_estimators=2, max_depth=3, random_state=0)
    return _skops(folder, [boosted, forest, DecisionTreeRegressor(max_depth=3, random_state=0)])


def _skops(folder: Path, estimators: Sequence[Any]) -> Made:
    """Each case is a member of one of the archives: its number, its name, and its damaged content."""
    from workbench import models

    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    archives, seeds = [], []
    for number, estimator in enumerate(estimators):
        saved = models.save(estimator.fit(X, y), folder / str(number))
        path = saved / "estimator.skops"
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        archives.append((path, members))
        seeds += [f"{number} {name}\n".encode() + data for name, data in members.items()]

    def take(content: bytes) -> None:
        head, _, data = content.partition(b"\n")
        number, _, name = head.decode(errors="replace").partition(" ")
        if not (number.isascii() and number.isdigit() and len(number) < 5 and int(number) < len(archives)):
            return
        path, members = archives[int(number)]
        with zipfile.ZipFile(path, "w") as archive:
            for member, whole in members.items():
                archive.writestr(member, data if member == name else whole)
        loaded = models.load(path.parent)
        with suppress(Exception):
            loaded.predict(X[:5])

    return seeds, take
