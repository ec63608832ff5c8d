"""What a step takes: other steps' outputs in their places, and a hash of all that its own depends on."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import PipelineError

if TYPE_CHECKING:
    from workbench.pipelines.step import Step

__all__ = ["Output", "Pins", "digest", "needs", "resolved", "unresolved"]


class Output(ABC):
    """Stands for what a step will have returned; ``output["scores"]`` for a part of it."""

    @property
    @abstractmethod
    def step(self) -> Step:
        """The step itself."""

    value: Any

    def __getitem__(self, key: str | int) -> Output:
        return _Part(self, key)

    def __iter__(self) -> Iterator[Any]:
        raise PipelineError("A step's output is not known yet: call result() to go through it.")


class _Part(Output):
    def __init__(self, whole: Output, key: str | int) -> None:
        self.whole, self.key = whole, key

    @property
    def step(self) -> Step:
        return self.whole.step

    @property
    def value(self) -> Any:
        try:
            return self.whole.value[self.key]
        except (KeyError, IndexError, TypeError):
            raise PipelineError(f"The output of the step {self.step.name!r} has no {self.key!r}.") from None


def needs(value: Any) -> list[Step]:
    """The steps whose outputs `value` holds."""
    if isinstance(value, Output):
        return [value.step]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [step for item in value for step in needs(item)]
    return []


def resolved(value: Any) -> Any:
    """`value` with the outputs in place of their steps, all of which have ended."""
    if isinstance(value, Output):
        return value.value
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(resolved(item) for item in value)
    return value


def unresolved(data: Any) -> str:
    """The name that `data` is, or that a step which published something has returned."""
    ref = data.get("ref") if isinstance(data, dict) else getattr(data, "ref", data)
    if not isinstance(ref, str):
        raise PipelineError(f"A run needs the name of a data set, not {data!r}.")
    return ref


def digest(kind: str, task: dict[str, Any], source: Path) -> str:
    """What names a step's inputs: equal ones give equal outputs.

    For a Python step the code is the whole text of the pipeline's file, or the version of the package that
    the function comes from; for a run it is the versions of the packages.
    """
    from workbench.runs import spec as specs

    if kind == "python":
        function = task["function"]
        own = function.__module__ == f"workbench_pipeline_{source.stem}"
        code = hashlib.sha256(source.read_bytes()).hexdigest() if own else specs.version_of(function)
        inputs = {
            "code": code,
            "function": function.__qualname__,
            "args": task["args"],
            "kwargs": task["kwargs"],
        }
    else:
        inputs = {name: task[name] for name in ("params", "recipe", "data", "seed", "device")} | {
            "estimator": specs.encode(task["estimator"], "estimator"),
            "params": specs.encode(task["params"], "params"),
            "split": None if task["split"] is None else asdict(task["split"]),
            "versions": specs.versions(),
        }
    try:
        text = json.dumps([kind, inputs], sort_keys=True)
    except TypeError:
        raise PipelineError(
            f"The step {task.get('function', task.get('estimator'))!r} is given something that is not JSON: "
            "give it numbers, text, lists, dictionaries or other steps; a table by the name of its data set."
        ) from None
    return hashlib.sha256(text.encode()).hexdigest()


class Pins:
    """Names and what they meant when a run first asked, so that it means the same after a crash."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, name: str, look_up: Callable[[], str]) -> str:
        """What `name` means."""
        from workbench.runs.child import write_atomically

        if name not in self._known:
            self._known[name] = look_up()
            write_atomically(self._file, json.dumps(self._known))
        return self._known[name]
