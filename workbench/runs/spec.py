"""``spec.json``: everything a run depends on, as JSON, and the estimator built from it.

::

    {id, name, estimator, source, import_roots, params, recipe,
     dataset: {ref, path, checksum, roles, role_revision}, split: {kind, test_size}, seed, device,
     python, versions: {package: version}, git_commit, created}

``estimator`` is a registered name or an import path; where ``source`` names a file of the run's folder,
the path leads into that file. A parameter that is itself an estimator (a step of a pipeline, say) is
``{"$estimator": name, "params": {...}}``, one that is a saved model, used as it is, ``{"$model": ref}``,
and a tuple is ``{"$tuple": [...]}``.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import math
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from workbench import registry
from workbench.arrays import Split
from workbench.errors import EstimatorNotFound, RunError, UsageError
from workbench.runs import source

__all__ = ["build", "build_estimator", "class_of", "encode", "git_commit", "load", "version_of", "versions"]

_PACKAGES = ("workbench", "numpy", "pandas", "scikit-learn", "scipy", "torch", "duckdb")
MODEL = "model:"  # estimator "model:name@version" is a saved model of the store
_DEVICES = ("auto", "cpu", "cuda")


def build(
    run: str,
    folder: Path,
    estimator: Any,
    dataset: dict[str, Any],
    *,
    params: dict[str, Any] | None,
    recipe: str | None,
    split: Split,
    seed: int,
    name: str | None,
    device: str,
    processes: int = 1,
) -> dict[str, Any]:
    """Check what was submitted and write ``spec.json`` (and the estimator's source) into `folder`.

    Raises
    ------
    EstimatorNotFound, RunError, UsageError
        In one sentence, before anything is queued.
    """
    if device not in _DEVICES:
        raise UsageError(f"Device {device!r} is not one of {', '.join(_DEVICES)}.")
    if not isinstance(processes, int) or isinstance(processes, bool) or not 1 <= processes <= 64:
        raise UsageError(f"A run is done by 1 to 64 processes, not {processes!r}.")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UsageError(f"The seed must be a whole number from 0, not {seed!r}.")
    if isinstance(estimator, str) and estimator.startswith(MODEL):
        cls, given = type(_model(estimator, folder.parent.parent)), {}
        if params:
            raise RunError(f"{estimator} is fitted: it takes no parameters.")
    else:
        cls = _class(registry.estimator(estimator) if isinstance(estimator, str) else estimator)
        given = {} if isinstance(estimator, str | type) else _changed_params(estimator)
        given.update({key: _made(value) for key, value in (params or {}).items()})
        given = _seeded(_checked(cls, given), given, seed)
    source_file, path = None, estimator if isinstance(estimator, str) else None
    if path is None and source.is_importable(cls):
        path = registry.name_of(cls)
    if path is None:
        module = f"estimator_{run}"
        source_file = f"{module}.py"
        (folder / source_file).write_text(source.collect(cls), encoding="utf-8")
        path = f"{module}:{cls.__name__}"
    recipe = recipe or registry.recipe_of(cls)
    registry.recipe(recipe)
    spec = {
        "id": run,
        "name": name or f"{cls.__name__} on {dataset['ref']}",
        "estimator": path,
        "source": source_file,
        "import_roots": sorted(_import_roots(cls, given)),
        "params": {key: encode(value, key) for key, value in given.items()},
        "recipe": recipe,
        "dataset": dataset,
        "split": asdict(split),
        "seed": seed,
        # Only an estimator that can use a GPU waits for one.
        "device": "cpu" if device == "auto" and "device" not in _param_names(cls, given) else device,
        **({"processes": processes} if processes > 1 else {}),
        "python": platform.python_version(),
        "versions": versions(cls),
        "git_commit": git_commit(),
        "created": time.time(),
    }
    (folder / "spec.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")
    return spec


def load(folder: Path) -> dict[str, Any]:
    """Read ``spec.json``."""
    try:
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        if not isinstance(spec, dict):
            raise TypeError("it is no JSON object")
        missing = {"id", "estimator", "params", "recipe", "dataset", "split", "seed"} - set(spec)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RunError(f"{folder / 'spec.json'} cannot be read: {error}.") from error
    if missing:
        raise RunError(f"{folder / 'spec.json'} lacks {', '.join(sorted(missing))}.")
    return spec


def class_of(spec: dict[str, Any], folder: Path) -> type:
    """The estimator's class, from its source where the run carries one."""
    if spec["estimator"].startswith(MODEL):
        return type(_model(spec["estimator"], folder.parent.parent))
    for root in spec.get("import_roots", ()):
        if root not in sys.path:
            sys.path.append(root)
    if spec.get("source"):
        registry.import_file(folder / spec["source"])
    return registry.estimator(spec["estimator"])


def build_estimator(spec: dict[str, Any], folder: Path) -> Any:
    """The estimator of a run: unfitted, or the saved model that ``model:name@version`` names."""
    if spec["estimator"].startswith(MODEL):
        return _model(spec["estimator"], folder.parent.parent)
    cls = class_of(spec, folder)
    root = folder.parent.parent
    return _construct(cls, {key: _decode(value, root) for key, value in spec["params"].items()})


def _model(ref: str, root: Path) -> Any:
    """A saved model, read from the store at `root` without its database."""
    from workbench import models
    from workbench.naming import split_ref

    name, version = split_ref(ref.removeprefix(MODEL))
    folder = root / "models" / name / str(version)
    try:
        trusted = [json.loads((folder / "estimator.json").read_text())["class"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        trusted = []  # load says what is wrong
    return models.load(folder, trusted=trusted)


def _class(estimator: Any) -> type:
    cls = estimator if isinstance(estimator, type) else type(estimator)
    if not hasattr(cls, "fit"):
        raise EstimatorNotFound(f"{cls.__name__} is not an estimator: it has no method fit.")
    return cls


def _changed_params(estimator: Any) -> dict[str, Any]:
    """An instance's parameters that differ from their defaults."""
    if not hasattr(estimator, "get_params"):
        raise RunError(
            f"{type(estimator).__name__} has no get_params: derive it from sklearn's BaseEstimator."
        )
    defaults = {k: p.default for k, p in inspect.signature(type(estimator)).parameters.items()}
    return {
        key: value
        for key, value in estimator.get_params(deep=False).items()
        if value is not defaults.get(key, ...)
        and encode(value, key) != _encode_or_none(defaults.get(key, ...))
    }


def _made(value: Any) -> Any:
    """What was submitted as JSON, with the registered estimators in it made and checked; see `encode`.

    Others, which an import path would name, are left as they are, and so refused: this may come from afar.
    """
    if isinstance(value, list):
        return [_made(item) for item in value]
    if not isinstance(value, dict) or not _is_registered(value):
        return value
    params = {key: _made(item) for key, item in value["params"].items()}
    return _checked(registry.estimator(value["$estimator"]), params)


def _is_registered(value: dict[str, Any]) -> bool:
    """Whether a dictionary stands for an estimator that is registered."""
    if set(value) != {"$estimator", "params"} or not isinstance(value["params"], dict):
        return False
    return value["$estimator"] in registry.estimator_names()


def _seeded(estimator: Any, given: dict[str, Any], seed: int) -> dict[str, Any]:
    """`given`, with `seed` for every ``random_state`` that is None, those of nested estimators included.

    The seeds stand in the specification, so that whoever builds the estimator from it gets the same result.
    """
    if not hasattr(estimator, "get_params"):
        return given
    from sklearn.base import clone

    unset = [
        key
        for key, value in estimator.get_params(deep=True).items()
        if value is None and (key == "random_state" or key.endswith("__random_state"))
    ]
    if not unset:
        return given
    estimator = clone(estimator).set_params(**dict.fromkeys(unset, seed))
    changed = {key.partition("__")[0] for key in unset}
    kept = {k: v for k, v in estimator.get_params(deep=False).items() if k in given or k in changed}
    return {**given, **_changed_params(estimator), **kept}


def _checked(cls: type, params: dict[str, Any]) -> Any:
    """The estimator made with `params`, which are known and valid."""
    names = [
        key
        for key, p in inspect.signature(cls).parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    for key in params:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names) or 'none'}."
            raise RunError(f"{cls.__name__} has no parameter {key!r}: {hint}")
    estimator = _construct(cls, params)
    if hasattr(estimator, "_validate_params") and hasattr(estimator, "_parameter_constraints"):
        try:
            estimator._validate_params()
        except ValueError as error:  # scikit-learn's InvalidParameterError says it all
            raise RunError(" ".join(str(error).split())) from error
    return estimator


def _param_names(cls: type, params: dict[str, Any]) -> set[str]:
    """Names of all parameters, those of nested estimators without their prefix."""
    estimator = _construct(cls, params)
    names = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return {name.rpartition("__")[2] for name in names}


def _construct(cls: type, params: dict[str, Any]) -> Any:
    try:
        return cls(**params)
    except TypeError as error:
        raise RunError(f"{cls.__name__} cannot be made with these parameters: {error}.") from error


def encode(value: Any, key: str) -> Any:
    """`value`, which belongs to the parameter `key`, as JSON.

    Raises
    ------
    RunError
        If it is nothing that a run can carry.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, tuple):
        return {"$tuple": [encode(item, key) for item in value]}
    if isinstance(value, list):
        return [encode(item, key) for item in value]
    if isinstance(value, dict) and set(value) == {"$model"}:
        return value
    if isinstance(value, dict) and _is_registered(value):
        params = {k: encode(item, f"{key}.{k}") for k, item in value["params"].items()}
        return {"$estimator": value["$estimator"], "params": params}
    if isinstance(value, dict) and all(isinstance(k, str) and not k.startswith("$") for k in value):
        return {k: encode(item, key) for k, item in value.items()}
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return encode(value.item(), key)
    if hasattr(value, "get_params") and not isinstance(value, type) and source.is_importable(type(value)):
        params = {k: encode(v, f"{key}.{k}") for k, v in _changed_params(value).items()}
        return {"$estimator": registry.name_of(type(value)), "params": params}
    raise RunError(
        f"The parameter {key!r} is a {type(value).__name__}, which a run cannot carry: "
        "give it as numbers, text, lists or dictionaries."
    )


def _encode_or_none(value: Any) -> Any:
    try:
        return encode(value, "")
    except RunError:
        return {"$other": None}


def _decode(value: Any, root: Path) -> Any:
    if isinstance(value, list):
        return [_decode(item, root) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tuple" in value:
        return tuple(_decode(item, root) for item in value["$tuple"])
    if "$float" in value:
        return float(value["$float"])
    if "$model" in value:
        from sklearn.frozen import FrozenEstimator

        return FrozenEstimator(_model(value["$model"], root))
    if "$estimator" in value:
        params = {k: _decode(v, root) for k, v in value["params"].items()}
        return _construct(registry.estimator(value["$estimator"]), params)
    return {k: _decode(item, root) for k, item in value.items()}


def _import_roots(cls: type, params: dict[str, Any]) -> set[str]:
    """Folders outside of any installation from which the run must be able to import."""
    roots: set[str] = set()
    for used in (cls, *(type(value) for value in params.values())):
        root = source.import_root(used)
        if root is not None:
            roots.add(root)
    return roots


def versions(cls: type | None = None) -> dict[str, str]:
    """The packages on which a run's numbers depend, the one of `cls` among them."""
    top = [] if cls is None else [cls.__module__.partition(".")[0]]
    found = {}
    for package in dict.fromkeys([*_PACKAGES, *top]):
        version = _version(package)
        if version is not None:
            found[package] = version
    return found


def version_of(function: Any) -> str:
    """The version of the package that a function comes from; its source's text where there is none."""
    found = _version(function.__module__.partition(".")[0])
    return found if found is not None else inspect.getsource(sys.modules[function.__module__])


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def git_commit() -> str | None:
    """The commit of the project in the current folder."""
    try:
        run = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None
