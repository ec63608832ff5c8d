"""What is installed: estimators, recipes, plots and views, found through standard entry points.

Groups: ``workbench.estimators`` (name → class), ``workbench.recipes`` (name → function),
``workbench.plots`` (recipe name → ``figures(report) -> dict[str, Figure]``), ``workbench.views``
(recipe name → ``view(run, report)``, the result page's body) and ``workbench.live`` (recipe name →
``figures(metrics) -> dict[str, Figure]``, while it runs). Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.errors import EstimatorNotFound, RunError

__all__ = [
    "estimator",
    "estimator_names",
    "figures_of",
    "import_file",
    "live_of",
    "name_of",
    "recipe",
    "recipe_of",
    "view_of",
]

DEFAULT_RECIPE = "fit_score"


@cache
def _group(kind: str) -> dict[str, EntryPoint]:
    return {
        point.name: point for point in sorted(entry_points(group=f"workbench.{kind}"), key=lambda p: p.name)
    }


def estimator_names() -> list[str]:
    """Names of every installed estimator."""
    return list(_group("estimators"))


def estimator(name: str) -> type:
    """The estimator class called `name`: a registered name, or an import path ``package.module:Class``."""
    try:
        point = _group("estimators").get(name)
        if point is not None:
            return point.load()
        if ":" in name:
            return _imported(name)
    except (ImportError, AttributeError) as error:
        raise EstimatorNotFound(f"The estimator {name!r} cannot be imported: {error}.") from error
    near = get_close_matches(name, estimator_names(), n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else f" Installed: {', '.join(estimator_names())}."
    raise EstimatorNotFound(f"There is no estimator {name!r}.{hint}")


def name_of(cls: type) -> str:
    """The name under which `cls` can be asked for again: registered, or its import path."""
    for name, point in _group("estimators").items():
        # Compare without importing other packages' modules: the target names the class.
        same = point.attr == cls.__qualname__ and cls.__module__.startswith(point.module.split(".")[0])
        if same and point.load() is cls:
            return name
    return f"{cls.__module__}:{cls.__qualname__}"


def recipe(name: str) -> Callable[..., Any]:
    """The recipe called `name`: registered, or an import path ``package.module:function``."""
    point = _group("recipes").get(name)
    try:
        if point is not None:
            return point.load()
        if ":" in name:
            return _imported(name)
    except (ImportError, AttributeError) as error:
        raise RunError(f"The recipe {name!r} cannot be imported: {error}.") from error
    raise RunError(f"There is no recipe {name!r}. Installed: {', '.join(_group('recipes'))}.")


def recipe_of(cls: type) -> str:
    """The recipe an estimator asks for in its class attribute ``_recipe``, else ``"fit_score"``."""
    return getattr(cls, "_recipe", DEFAULT_RECIPE)


def figures_of(recipe_name: str) -> Callable[..., Any] | None:
    """The function that draws a report of that recipe, if there is one."""
    point = _group("plots").get(recipe_name)
    return None if point is None else point.load()


def live_of(recipe_name: str) -> Callable[..., Any] | None:
    """The function that draws the metrics of a running recipe, if it has one of its own."""
    point = _group("live").get(recipe_name)
    return None if point is None else point.load()


def view_of(recipe_name: str) -> Callable[..., Any] | None:
    """The result page's body for a report of that recipe, if it has one of its own."""
    point = _group("views").get(recipe_name)
    return None if point is None else point.load()


def import_file(file: Path) -> ModuleType:
    """Import the module in `file` under the file's name: an estimator that travels as its source."""
    name = file.stem
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.exists():
        raise EstimatorNotFound(f"The estimator's source {file} is missing.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        where = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        raise EstimatorNotFound(
            f"The estimator's source {file.name} cannot be imported: {where}{type(error).__name__}: {error}."
        ) from error
    return module


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found
