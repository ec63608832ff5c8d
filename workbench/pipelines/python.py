"""The process of one Python step: ``python -m workbench step RUN_DIR NAME``.

The pipeline's process writes ``steps/<name>.task.json`` and starts it; it writes what came of it to
``steps/<name>.json``, atomically, and whatever files it makes into ``steps/<name>/``. A process of its own
can be ended when its time is up, gives its memory back, and takes nobody else with it when it dies.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import PipelineError, RunError
from workbench.pipelines.declare import load_file

if TYPE_CHECKING:
    from workbench.facade import Store

__all__ = ["Here", "clear", "main", "read_outcome", "write_task"]


@dataclass(frozen=True)
class Here:
    """What every Python step is given first: where it is.

    Attributes
    ----------
    run, step : str
        The pipeline run, and the step's own name in it.
    root : Path
        The store's directory.
    folder : Path
        Files that the step writes here are kept with the run.
    """

    run: str
    step: str
    root: Path
    folder: Path

    @cached_property
    def store(self) -> Store:
        """The store."""
        from workbench.facade import Store

        return Store(self.root)

    def notify(self, kind: str, title: str, text: str) -> None:
        """Have somebody told, once: `kind` is ``"drift"`` or ``"failure"``."""
        from workbench.runs import notices

        with self.store.dir.write() as db:
            notices.give(db, f"{kind}:{self.run}:{self.step}", kind, title, text, run=self.run)


def write_task(folder: Path, name: str, task: dict[str, Any]) -> None:
    """Leave what a step is to do where its process looks for it."""
    (folder / "steps").mkdir(exist_ok=True)
    (folder / "steps" / f"{name}.task.json").write_text(json.dumps(task))


def clear(folder: Path, name: str) -> None:
    """Remove what an earlier attempt of a step left."""
    (folder / "steps" / f"{name}.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "steps" / name, ignore_errors=True)


def read_outcome(folder: Path, name: str, key: str, attempt: int) -> dict[str, Any] | None:
    """What came of that attempt: ``{"output": …}`` or ``{"error": …}``; None if nothing yet."""
    try:
        outcome: dict[str, Any] = json.loads((folder / "steps" / f"{name}.json").read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return outcome if (outcome.get("key"), outcome.get("attempt")) == (key, attempt) else None


def main(run_dir: str, name: str) -> int:
    """Carry out one step and return the exit code: 0 where it has an output, 1 where it failed."""
    from workbench.runs.child import die_with_parent, print_traceback, sentence, write_atomically

    die_with_parent()
    folder = Path(run_dir).resolve()
    task = json.loads((folder / "steps" / f"{name}.task.json").read_text())
    outcome: dict[str, Any] = {"key": task["key"], "attempt": task["attempt"]}
    try:
        function = _function(folder, task)
        place = folder / "steps" / name
        place.mkdir(exist_ok=True)
        here = Here(folder.name, name, folder.parent.parent, place)
        output = function(here, *task["args"], **task["kwargs"])
        outcome["output"] = _plain(name, output)
    except Exception as error:
        print_traceback()
        outcome["error"] = sentence(error, folder)
    outcome["time"] = time.time()
    write_atomically(folder / "steps" / f"{name}.json", json.dumps(outcome))
    return 0 if "output" in outcome else 1


def _function(folder: Path, task: dict[str, Any]) -> Any:
    if task["file"]:
        load_file(folder / task["file"])  # puts the module where the next line finds it
    module = sys.modules.get(task["module"]) or import_module(task["module"])
    found: Any = module
    for part in task["function"].split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise PipelineError(
            f"The step calls {task['function']!r}, which is no function of the file's top level."
        )
    return found


def _plain(name: str, output: Any) -> Any:
    try:
        return json.loads(json.dumps(output, allow_nan=True, default=_number))
    except (TypeError, ValueError) as error:
        raise RunError(
            f"The step {name!r} returned a {type(output).__name__} that is not JSON ({error}): return "
            "numbers, text, lists or dictionaries, and publish tables as data sets."
        ) from error


def _number(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return value.item()
    raise TypeError(type(value).__name__)
