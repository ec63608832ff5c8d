"""What a pipeline function is given: it asks for steps, which go on beside one another, and waits for them.

A step starts as soon as the steps whose outputs it takes have ended well. There is one thread, and the loop
turns whenever the function waits for something; so the function itself should not compute, but leave that
to steps. After a crash the function is called again from its top: every step that had finished with the
same inputs is there already.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import PipelineError
from workbench.naming import check_name
from workbench.pipelines.engine import Engine
from workbench.pipelines.inputs import needs
from workbench.pipelines.step import Step

if TYPE_CHECKING:
    from workbench.arrays import Split
    from workbench.facade import Store
    from workbench.runs.reporter import RunReporter

__all__ = ["Flow"]

PAUSE = 0.2  # seconds between two looks at what goes on


class Flow:
    """A pipeline that is being carried out.

    Attributes
    ----------
    date : datetime.date
        The logical date: the day that the run is for, whenever it is carried out.
    due : datetime or None
        When the schedule wanted it, in the schedule's time zone.
    store : Store
        For looking things up; what is computed or changed belongs into steps.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        folder: Path,
        spec: dict[str, Any],
        reporter: RunReporter,
    ) -> None:
        self.store, self.run_id = store, run
        self.date = date.fromisoformat(spec["date"])
        self.due = datetime.fromisoformat(spec["due"]) if spec.get("due") else None
        self._engine = Engine(store, run, folder, spec, reporter)

    @property
    def steps(self) -> dict[str, Step]:
        """Name → step, in the order in which they were asked for."""
        return self._engine.steps

    def step(
        self,
        function: Callable[..., Any],
        *args: Any,
        name: str | None = None,
        after: Sequence[Step] = (),
        retries: int = 0,
        delay: float = 0.0,
        timeout: float | None = None,
        reuse: bool = True,
        **kwargs: Any,
    ) -> Step:
        """Ask for ``function(here, *args, **kwargs)`` in a process of its own.

        Parameters
        ----------
        function : callable
            Of a module's top level; it returns JSON values. What it reads besides its arguments should be
            named by them (a data set with its version, :meth:`latest`), or `reuse` be False.
        *args, **kwargs
            JSON values, and steps, in whose place their outputs are put.
        name : str, optional
            By default the function's, with a number where it comes again.
        after : sequence of Step
            Steps to wait for whose outputs are not taken.
        retries : int
            How often it is tried again after a failure.
        delay : float
            Seconds before the first further attempt, doubled with each.
        timeout : float, optional
            Seconds after which an attempt has failed.
        reuse : bool
            Take the output of an earlier run's step with the same code and inputs, where there is one.
            Within one run a finished step is never done again.

        Returns
        -------
        Step
            Stands for what the function will return.
        """
        if not inspect.isfunction(function) or "<" in function.__qualname__:
            raise PipelineError(
                f"A step calls a function of the file's top level, which {function!r} is not."
            )
        policy = {"retries": retries, "delay": delay, "timeout": timeout, "reuse": reuse}
        task = {"function": function, "args": args, "kwargs": kwargs}
        return self._ask("python", name or function.__name__, task, after, policy)

    def run(
        self,
        estimator: Any,
        data: Any,
        *,
        params: Any = None,
        recipe: str | None = None,
        split: Split | None = None,
        seed: int = 0,
        device: str = "auto",
        launcher: str = "local",
        processes: int = 1,
        priority: int = 0,
        name: str | None = None,
        after: Sequence[Step] = (),
        retries: int = 0,
        delay: float = 0.0,
        timeout: float | None = None,
        reuse: bool = True,
        may_fail: bool = False,
    ) -> Step:
        """Ask for a run, as :meth:`workbench.facade.Store.submit` takes it.

        Its output is ``{"run": id, "headline": …, "scores": {…}}``. `data`, `params` and `estimator` may be
        steps or hold some; a parameter ``{"$model": "name@version"}`` is the saved model, frozen. `timeout`
        counts from when a worker has started the run. With `may_fail` its failure, which its ``state`` tells,
        is none of the pipeline. The others are as in :meth:`step`.
        """
        policy: dict[str, Any] = {"retries": retries, "delay": delay, "timeout": timeout, "reuse": reuse}
        policy["may_fail"] = may_fail
        task = {
            "estimator": estimator, "data": data, "params": params or {}, "recipe": recipe, "split": split,
            "seed": seed, "device": device, "launcher": launcher, "processes": processes,
            "priority": priority,
        }  # fmt: skip
        given = estimator if isinstance(estimator, str) else type(estimator).__name__
        return self._ask("run", name or given.rpartition(".")[2].rpartition(":")[2], task, after, policy)

    def latest(self, data: str) -> str:
        """``name@version`` of a data set: for this run always the same, also when it is carried on later."""
        return self._engine.latest(data)

    def wait(self, *steps: Step) -> None:
        """Wait until these steps have ended, well or not; without any, all that were asked for."""
        wanted = steps or tuple(self.steps.values())
        while not all(step.is_ended for step in wanted):
            if not self._engine.turn():
                time.sleep(PAUSE)

    def wait_for_one(self, *steps: Step) -> None:
        """Wait until one of these steps has ended, well or not."""
        while not any(step.is_ended for step in steps):
            if not self._engine.turn():
                time.sleep(PAUSE)

    def log(self, text: str) -> None:
        """A line for the run's log."""
        print(text, flush=True)

    def close(self) -> None:
        """End the processes that this one has started; runs go on, they are the worker's."""
        self._engine.close()

    def check(self) -> None:
        """Wait for everything, and fail if a step has.

        Raises
        ------
        PipelineError
        """
        self.wait()
        failed = [
            step
            for step in self.steps.values()
            if step.state in ("failed", "cancelled") and not step.may_fail
        ]
        if failed:
            others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            raise PipelineError(failed[0].fate + others)

    def _ask(self, kind: str, name: str, task: Any, after: Sequence[Step], policy: dict[str, Any]) -> Step:
        name = check_name(name)
        if name in self.steps:
            name = next(f"{name}-{i}" for i in range(2, 10**6) if f"{name}-{i}" not in self.steps)
        step = Step(name, kind, self, task, list(dict.fromkeys([*needs(task), *after])), **policy)
        self._engine.add(step)
        return step
