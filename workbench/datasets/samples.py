"""Real data sets that installed packages ship, read at run time; nothing is downloaded or copied here.

The packages are looked up on disk and not imported, so that registering takes seconds.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from workbench.datasets.dataset import Dataset
    from workbench.datasets.library import Datasets

__all__ = ["SAMPLES", "package_folder", "register"]

_log = logging.getLogger(__name__)


def register(datasets: Datasets, names: Iterable[str] | None = None) -> list[Dataset]:
    """Publish every sample whose package is installed and that is not there yet; returns all of them.

    With `names`, only those. What is missing is logged, with the package that would bring it.
    """
    found = []
    for name in SAMPLES if names is None else names:
        package, publish = SAMPLES[name]
        if name in datasets:
            found.append(datasets.get(name))
            continue
        folder = package_folder(package)
        try:
            if folder is None:
                raise FileNotFoundError(f"the package {package} is not installed")
            found.append(publish(datasets, name, folder))
        except FileNotFoundError as error:
            _log.warning("The sample %s is left out: %s.", name, error)
    return found


def package_folder(package: str) -> Path | None:
    """Where an installed package lies, found without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _aeon(stem: str, datasets: Datasets, name: str, folder: Path) -> Dataset:
    paths = [folder / "datasets" / "data" / name / f"{stem}_{part}.ts" for part in ("TRAIN", "TEST")]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"this version of aeon does not ship {path.name}")
    return datasets.import_files(paths, name)


def _tslearn(datasets: Datasets, name: str, folder: Path) -> Dataset:
    path = folder / ".cached_datasets" / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(f"this version of tslearn does not ship {path.name}")
    return datasets.import_files(path, name)


def _digits(datasets: Datasets, name: str, folder: Path) -> Dataset:
    with gzip.open(folder / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",")
    pixels = [f"pixel_{i}_{j}" for i in range(8) for j in range(8)]
    return datasets.publish_arrays(
        rows[:, :-1].astype(np.int16),
        rows[:, -1].astype(np.int16),
        name=name,
        channels=pixels,
        source="digits.csv.gz (scikit-learn)",
    )


def _sklearn_table(
    stem: str, features: list[str] | None, datasets: Datasets, name: str, folder: Path
) -> Dataset:
    """A table whose first line is ``rows,columns,class names…`` and whose last column is the class."""
    path = folder / "datasets" / "data" / f"{stem}.csv"
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    classes = np.array(header[2:])
    X = np.array([row[:-1] for row in rows], dtype=float)
    y = classes[np.array([int(row[-1]) for row in rows])]
    return datasets.publish_arrays(X, y, name=name, channels=features, source=f"{path.name} (scikit-learn)")


_WINE = [
    "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
    "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280_od315", "proline",
]  # fmt: skip
_CELL = [
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave_points",
    "symmetry", "fractal_dimension",
]  # fmt: skip

#: Name → (package, what publishes it), in the order in which they are registered.
SAMPLES: dict[str, tuple[str, Callable[[Datasets, str, Path], Dataset]]] = {
    "BasicMotions": ("aeon", partial(_aeon, "BasicMotions")),
    "JapaneseVowels": ("aeon", partial(_aeon, "JapaneseVowels")),
    "GunPoint": ("aeon", partial(_aeon, "GunPoint")),
    "ItalyPowerDemand": ("aeon", partial(_aeon, "ItalyPowerDemand")),
    "ArrowHead": ("aeon", partial(_aeon, "ArrowHead")),
    "Trace": ("tslearn", _tslearn),
    "digits": ("sklearn", _digits),
    "breast_cancer": (
        "sklearn",
        partial(
            _sklearn_table,
            "breast_cancer",
            [f"{part} {name}".replace(" ", "_") for part in ("mean", "error", "worst") for name in _CELL],
        ),
    ),
    "wine": ("sklearn", partial(_sklearn_table, "wine_data", _WINE)),
}
