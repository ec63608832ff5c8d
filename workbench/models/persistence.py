"""A fitted estimator as one folder that is safe to load: JSON, safetensors and skops, never pickle.

::

    estimator.json        class, parameters, learned attributes, versions, schema of the input
    weights.safetensors   every numeric array, by its path in the JSON
    <path>.skops          scikit-learn parts, read with an allow-list
    <module>.py           source of a class that was defined in a notebook or script

An estimator written for the workbench keeps what it learned in attributes ending in ``_`` that hold
numbers, strings, arrays, and lists, tuples or dicts of them, or further estimators; so one walk over
the attributes saves any of them, and nothing but data is ever read back.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from workbench import registry
from workbench.errors import EstimatorNotFound, ModelError
from workbench.models import trees

__all__ = ["TRUSTED_TYPES", "load", "save"]

FORMAT = 1
PACKAGES = ("workbench", "numpy", "scikit-learn", "torch", "python")

#: Types beyond skops' own defaults that a saved scikit-learn part may hold.
TRUSTED_TYPES: frozenset[str] = trees.TYPES | {
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",  # plain numbers and arrays
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    # How boosting with categories checks its input; a partial of anything else names that as well.
    "functools.partial",
    "sklearn.utils.validation.check_array",
}


def save(estimator: Any, folder: str | os.PathLike[str], *, source: Path | None = None, **card: Any) -> Path:
    """Save a fitted estimator as a folder.

    Parameters
    ----------
    estimator : estimator
        Fitted; anything with ``get_params``.
    folder : path-like
        Must not exist yet. It appears whole or not at all.
    source : Path, optional
        The module of a class that is not installed anywhere; kept with the estimator. Loading imports it
        only when its class is named as trusted.
    **card : JSON values
        Kept in ``estimator.json`` under ``"card"``: where it came from, its scores.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If an attribute holds something that cannot be stored as plain data; the sentence names it.
    """
    target = Path(folder)
    if target.exists():
        raise ModelError(f"{target} exists already; save to a new folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        arrays: dict[str, np.ndarray] = {}
        head = {
            "format": FORMAT,
            **_Writer(temporary, arrays).estimator(estimator, "estimator"),
            "schema": _schema(estimator),
            "versions": _versions(),
            "card": card,
        }
        if arrays:
            from safetensors.numpy import save_file

            save_file(arrays, temporary / "weights.safetensors")
        if source is not None:
            shutil.copy(source, temporary / source.name)
        (temporary / "estimator.json").write_text(json.dumps(head, indent=1, allow_nan=False))
        temporary.chmod(0o755)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def load(folder: str | os.PathLike[str], *, trusted: Mapping[str, type] | Iterable[str] = ()) -> Any:
    """Load an estimator that :func:`save` wrote.

    Parameters
    ----------
    folder : path-like
    trusted : names, or mapping of name to class
        Classes that may be built besides the registered ones: import paths ``package.module:Class``, or
        a mapping where the class is at hand already (one defined in a notebook).

    Returns
    -------
    object
        The fitted estimator.

    Raises
    ------
    ModelError
        If the folder is damaged, or names a class or type that is not allowed.
    """
    folder = Path(folder)
    try:
        head = json.loads((folder / "estimator.json").read_text())
        arrays: dict[str, np.ndarray] = {}
        if (folder / "weights.safetensors").exists():
            from safetensors.numpy import load_file

            arrays = load_file(folder / "weights.safetensors")
    except FileNotFoundError:
        raise ModelError(f"{folder} holds no saved estimator (estimator.json is missing).") from None
    except Exception as error:
        raise ModelError(f"The saved estimator in {folder} is damaged: {error}.") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ModelError(
            f"{folder}/estimator.json is not of format {FORMAT}; it was made by another version."
        )
    try:
        return _Reader(folder, arrays, trusted).estimator(head)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ModelError(f"The saved estimator in {folder} is damaged: {error!r}.") from error


class _Writer:
    """Turns values into JSON trees, moving arrays and scikit-learn parts into files beside it."""

    def __init__(self, folder: Path, arrays: dict[str, np.ndarray]) -> None:
        self.folder, self.arrays = folder, arrays

    def estimator(self, estimator: Any, path: str) -> dict[str, Any]:
        cls = type(estimator)
        if cls.__module__.startswith("sklearn.frozen"):  # around one of ours, which skops would not load
            inner = self.estimator(estimator.estimator, f"{path}.estimator")
            return {"class": "sklearn.frozen:FrozenEstimator", "frozen": inner}
        if cls.__module__.split(".")[0] == "sklearn":
            return {"class": f"{cls.__module__}:{cls.__qualname__}", "skops": self._skops(estimator, path)}
        learned = {
            name: value
            for name, value in vars(estimator).items()
            if name.endswith("_") and not name.startswith("__")
        }
        return {
            "class": registry.name_of(cls),
            "params": {
                name: self.value(value, f"{path}.{name}")
                for name, value in estimator.get_params(deep=False).items()
            },
            "state": {name: self.value(value, f"{path}.{name}") for name, value in learned.items()},
        }

    def value(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (np.bool_, np.integer, np.floating)):
            self.arrays[path] = np.asarray(value)
            return {"scalar": path}
        if isinstance(value, int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, np.ndarray):
            return self._array(value, path)
        if isinstance(value, (list, tuple)):
            items = [self.value(item, f"{path}.{i}") for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, dict):
            pairs = [
                [self.value(key, f"{path}.key{i}"), self.value(item, f"{path}.{i}")]
                for i, (key, item) in enumerate(value.items())
            ]
            return {"dict": pairs}
        if hasattr(value, "get_params") and not isinstance(value, type):
            return {"estimator": self.estimator(value, path)}
        raise ModelError(
            f"{path.removeprefix('estimator.')} is a {type(value).__name__}, which cannot be saved as plain "
            "data; keep learned attributes as numbers, strings, arrays, or lists and dicts of them."
        )

    def _array(self, array: np.ndarray, path: str) -> dict[str, Any]:
        if array.dtype.kind in "biuf":
            self.arrays[path] = np.ascontiguousarray(array)
            return {"array": path}
        if array.dtype.kind in "OU":
            items = [self.value(item, f"{path}.{i}") for i, item in enumerate(array.ravel().tolist())]
            return {"items": items, "shape": list(array.shape), "dtype": array.dtype.str}
        raise ModelError(
            f"{path.removeprefix('estimator.')} is an array of {array.dtype}, which cannot be saved."
        )

    def _skops(self, estimator: Any, path: str) -> str:
        skops = _import_skops()
        name = f"{path}.skops"
        skops.dump(estimator, self.folder / name)
        unknown = set(skops.get_untrusted_types(file=self.folder / name)) - TRUSTED_TYPES
        if unknown:
            raise ModelError(
                f"{path} holds types that are not safe to load again: {', '.join(sorted(unknown))}."
            )
        return name


class _Reader:
    """Turns JSON trees back into values; every class it builds has been checked first."""

    def __init__(
        self, folder: Path, arrays: dict[str, np.ndarray], trusted: Mapping[str, type] | Iterable[str]
    ) -> None:
        self.folder, self.arrays, self.trusted = folder, arrays, trusted

    def estimator(self, head: dict[str, Any]) -> Any:
        if "frozen" in head:
            from sklearn.frozen import FrozenEstimator

            return FrozenEstimator(self.estimator(head["frozen"]))
        if "skops" in head:
            return self._skops(str(head["skops"]))
        cls = self._class(str(head["class"]))
        params = {name: self.value(value) for name, value in head["params"].items()}
        estimator = cls(**params)
        for name, value in head["state"].items():
            if not name.endswith("_") or name.startswith("__"):
                raise ModelError(f"{name!r} is not the name of a learned attribute.")
            setattr(estimator, name, self.value(value))
        return estimator

    def value(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.value(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        if "array" in tree:
            return self.arrays[tree["array"]]
        if "scalar" in tree:
            return self.arrays[tree["scalar"]][()]
        if "float" in tree:
            return float(tree["float"])
        if "tuple" in tree:
            return tuple(self.value(item) for item in tree["tuple"])
        if "dict" in tree:
            return {self.value(key): self.value(item) for key, item in tree["dict"]}
        if "items" in tree:
            return self._items(tree)
        return self.estimator(tree["estimator"])

    def _items(self, tree: dict[str, Any]) -> np.ndarray:
        items = [self.value(item) for item in tree["items"]]
        if tree["dtype"][1:2] == "U":
            # As wide as the items are: a width that a file names could ask for any amount of memory.
            return np.array(items, dtype=str).reshape(tree["shape"])
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array.reshape(tree["shape"])

    def _class(self, name: str) -> type:
        if isinstance(self.trusted, Mapping) and name in self.trusted:
            return self.trusted[name]
        if name not in registry.estimator_names() and name not in set(self.trusted):
            raise EstimatorNotFound(
                f"The saved estimator is a {name}, which is not installed as a workbench estimator; "
                "if you trust it, name it in `trusted`."
            )
        source = self.folder / f"{name.partition(':')[0]}.py"
        if source.is_file():  # a class that travels as its source
            registry.import_file(source)
        return registry.estimator(name)

    def _skops(self, name: str) -> Any:
        path = (self.folder / name).resolve()
        if path.parent != self.folder.resolve() or path.suffix != ".skops":
            raise ModelError(f"{name!r} is not a file of the saved estimator.")
        try:
            loaded = _import_skops().load(path, trusted=sorted(TRUSTED_TYPES))
        except Exception as error:
            reason = re.sub(r" at 0x[0-9a-f]+", "", " ".join(str(error).split()))
            raise ModelError(f"{name} cannot be loaded safely: {reason}") from error
        trees.check(loaded)
        return loaded


def _import_skops() -> ModuleType:
    """``skops.io``, imported without the seconds that torch takes.

    It walks through every package of scikit-learn for the names of its estimators, and one of them, which
    holds none, imports torch; that one is stood in for while it looks.
    """
    adapter = "sklearn.externals.array_api_compat.torch"
    if "skops.io" in sys.modules or adapter in sys.modules:
        return importlib.import_module("skops.io")
    sys.modules[adapter] = ModuleType(adapter)
    try:
        return importlib.import_module("skops.io")
    finally:
        del sys.modules[adapter]


def _schema(estimator: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if hasattr(estimator, "n_features_in_"):
        schema["n_features_in"] = int(estimator.n_features_in_)
    if hasattr(estimator, "feature_names_in_"):
        schema["feature_names_in"] = [str(name) for name in estimator.feature_names_in_]
    return schema


def _versions() -> dict[str, str]:
    import platform

    found = {}
    for package in PACKAGES:
        try:
            found[package] = platform.python_version() if package == "python" else version(package)
        except PackageNotFoundError:
            continue
    return found
