"""What a pipeline function is given: it asks for steps, which go on beside one another, and waits for them.

A step starts as soon as the steps whose outputs it takes have ended well. There is one thread, and the loop
turns whenever the function waits for something; so the function itself should not compute, but leave that
to steps. After a crash the function is called again from its top: every step that had finished with the
same inputs is there already.
"""

from __future__ import annotations

import inspect
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import PipelineError, WorkbenchError
from workbench.naming import check_name
from workbench.pipelines import table
from workbench.pipelines.inputs import Output, Pins, digest, needs, resolved, unresolved
from workbench.pipelines.jobs import Job, Outcome, ProcessJob, RunJob
from workbench.pipelines.python import clear

if TYPE_CHECKING:
    from workbench.arrays import Split
    from workbench.facade import Store
    from workbench.runs.reporter import RunReporter

__all__ = ["Flow", "Step"]

PROCESSES = 2  # Python steps of one pipeline at once
MOST_DEATHS = 2  # a step's process that was killed is begun anew so often, beside its retries
PAUSE = 0.2  # seconds between two looks at what goes on


@dataclass(eq=False)
class Step(Output):
    """A step that was asked for. Given to another step, it stands for its output; ``step["scores"]`` for a
    part.

    Attributes
    ----------
    name : str
    kind : {"run", "python"}
    state : {"waiting", "running", "done", "failed", "cancelled", "skipped"}
    error : str
        Why it failed, in one sentence.
    """

    name: str
    kind: str
    flow: Flow = field(repr=False)
    task: Any = field(repr=False)
    needs: list[Step] = field(repr=False)
    retries: int
    delay: float
    timeout: float | None
    reuse: bool
    state: str = "waiting"
    key: str = ""
    attempt: int = 0
    child: str | None = None
    error: str = ""
    value: Any = field(default=None, repr=False)
    job: Job | None = field(default=None, repr=False)
    begin_at: float = 0.0
    deaths: int = 0

    @property
    def step(self) -> Step:
        return self

    @property
    def is_ended(self) -> bool:
        return self.state in table.ENDED

    def result(self) -> Any:
        """Wait for the step and return its output.

        Raises
        ------
        PipelineError
            If it has failed.
        """
        self.flow.wait(self)
        if self.state != "done":
            raise PipelineError(f"The step {self.name!r} {_why(self)}")
        return self.value


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
        self.store, self.run_id, self.folder = store, run, folder
        self.date = date.fromisoformat(spec["date"])
        self.due = datetime.fromisoformat(spec["due"]) if spec.get("due") else None
        self.steps: dict[str, Step] = {}
        self._spec, self._reporter = spec, reporter
        self._pins = Pins(folder / "pins.json")

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
        priority: int = 0,
        name: str | None = None,
        after: Sequence[Step] = (),
        retries: int = 0,
        delay: float = 0.0,
        timeout: float | None = None,
        reuse: bool = True,
    ) -> Step:
        """Ask for a run, as :meth:`workbench.facade.Store.submit` takes it.

        Its output is ``{"run": id, "headline": …, "scores": {…}}``. `data`, `params` and `estimator` may be
        steps or hold some; a parameter ``{"$model": "name@version"}`` is the saved model, frozen. `timeout`
        counts from when a worker has started the run. The others are as in :meth:`step`.
        """
        policy = {"retries": retries, "delay": delay, "timeout": timeout, "reuse": reuse}
        task = {
            "estimator": estimator, "data": data, "params": params or {}, "recipe": recipe, "split": split,
            "seed": seed, "device": device, "launcher": launcher, "priority": priority,
        }  # fmt: skip
        given = estimator if isinstance(estimator, str) else type(estimator).__name__
        return self._ask("run", name or given.rpartition(".")[2].rpartition(":")[2], task, after, policy)

    def latest(self, data: str) -> str:
        """``name@version`` of a data set: for this run always the same, also when it is carried on later."""
        return self._pins.get(data, lambda: self.store.dataset(data).ref)

    def wait(self, *steps: Step) -> None:
        """Wait until these steps have ended, well or not; without any, all that were asked for."""
        wanted = steps or tuple(self.steps.values())
        while not all(step.is_ended for step in wanted):
            if not self._turn():
                time.sleep(PAUSE)

    def log(self, text: str) -> None:
        """A line for the run's log."""
        print(text, flush=True)

    def close(self) -> None:
        """End the processes that this one has started; runs go on, they are the worker's."""
        for step in self.steps.values():
            if step.kind == "python" and step.job is not None:
                step.job.stop()

    def check(self) -> None:
        """Wait for everything, and fail if a step has.

        Raises
        ------
        PipelineError
        """
        self.wait()
        failed = [step for step in self.steps.values() if step.state in ("failed", "cancelled")]
        if failed:
            others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            raise PipelineError(f"The step {failed[0].name!r} {_why(failed[0])}{others}")

    # -- asking -------------------------------------------------------------------------------------

    def _ask(self, kind: str, name: str, task: Any, after: Sequence[Step], policy: dict[str, Any]) -> Step:
        name = check_name(name)
        if name in self.steps:
            name = next(f"{name}-{i}" for i in range(2, 10**6) if f"{name}-{i}" not in self.steps)
        wanted = list(dict.fromkeys([*needs(task), *after]))
        step = Step(name, kind, self, task, wanted, **policy)
        before = table.declare(
            self.store.dir, self.run_id, name, len(self.steps), kind, [each.name for each in wanted]
        )
        step.key, step.attempt, step.child = before["key"], before["attempt"], before["child"]
        step.state = "running" if before["state"] == "running" else "waiting"
        self.steps[name] = step
        self._turn()
        return step

    # -- going on -----------------------------------------------------------------------------------

    def _turn(self) -> bool:
        """One look at every step; whether anything has changed."""
        changed = False
        for step in self.steps.values():
            if not step.is_ended:
                changed |= self._follow(step) if step.job is not None else self._begin(step)
        if changed:
            ended = [step for step in self.steps.values() if step.is_ended]
            at = next((step.name for step in self.steps.values() if step.state == "running"), "")
            self._reporter.whole(at, len(ended) / len(self.steps))
        return changed

    def _begin(self, step: Step) -> bool:
        if any(need.state in ("failed", "cancelled", "skipped") for need in step.needs):
            self._end(step, "skipped", error="A step before it has failed.")
            return True
        if not all(need.state == "done" for need in step.needs) or time.monotonic() < step.begin_at:
            return False
        busy = sum(s.job is not None and not s.is_ended for s in self.steps.values() if s.kind == "python")
        if step.kind == "python" and busy >= PROCESSES:
            return False
        try:
            task = resolved(step.task)
            if step.kind == "run":
                task["data"] = self.latest(unresolved(task["data"]))
            key = digest(step.kind, task, self.folder / self._spec["source"])
            if self._is_done(step, key):
                return True
            if step.key != key or step.state != "running":  # else the attempt that a crash cut short
                step.attempt, step.child = step.attempt + 1 if step.key == key else 1, None
                clear(self.folder, step.name)
            step.key = key
            step.job = self._python_job(step, task) if step.kind == "python" else self._run_job(step, task)
        except WorkbenchError as error:
            self._end(step, "failed", error=str(error))
        return True

    def _is_done(self, step: Step, key: str) -> bool:
        row = self.store.dir.connection.execute(
            "SELECT * FROM steps WHERE run = ? AND name = ? AND key = ? AND state = 'done'",
            (self.run_id, step.name, key),
        ).fetchone()
        reused = None
        if row is None and step.reuse and self._spec.get("reuse", True):
            row = table.finished(self.store.dir, key)
            reused = row and (row["reused"] or row["run"])
        if row is None:
            return False
        if reused:
            print(f"step {step.name}: the same as in run {reused}, taken from there", flush=True)
            made = self.store.dir.runs / row["run"] / "steps" / row["name"]
            if made.is_dir():
                shutil.copytree(made, self.folder / "steps" / step.name, dirs_exist_ok=True)
            table.update(
                self.store.dir, self.run_id, step.name, state="done", key=key, child=row["child"],
                output=row["output"], reused=reused, started=row["started"], finished=row["finished"],
                error="",
            )  # fmt: skip
        step.key, step.child, step.state = key, row["child"], "done"
        step.value = table.output_of(row)
        return True

    def _python_job(self, step: Step, task: dict[str, Any]) -> Job:
        function = task["function"]
        source = self._spec["source"]
        own = function.__module__ == f"workbench_pipeline_{Path(source).stem}"
        told = {
            "file": source if own else "", "module": function.__module__, "function": function.__qualname__,
            "args": [*task["args"]], "kwargs": task["kwargs"], "key": step.key, "attempt": step.attempt,
        }  # fmt: skip
        self._started(step)
        return ProcessJob(self.folder, step.name, told, step.timeout)

    def _run_job(self, step: Step, task: dict[str, Any]) -> Job:
        from workbench.runs import new_id

        # Its id is written down before there is such a run: after a crash it is found, or submitted under
        # that id.
        step.child = step.child or new_id()
        self._started(step)
        known = self.store.dir.connection.execute("SELECT 1 FROM runs WHERE id = ?", (step.child,)).fetchone()
        if known is None:
            self.store.submit(
                task["estimator"], task["data"], params=task["params"], recipe=task["recipe"],
                split=task["split"], seed=task["seed"], device=task["device"], launcher=task["launcher"],
                priority=task["priority"],
                name=f"{self._spec['pipeline']}: {step.name}", owner=self._spec.get("owner", ""),
                parent=self.run_id, id=step.child,
            )  # fmt: skip
        return RunJob(self.store, step.child, step.timeout)

    def _started(self, step: Step) -> None:
        step.state = "running"
        again = f", attempt {step.attempt}" if step.attempt > 1 else ""
        print(f"step {step.name}{again}{f': run {step.child}' if step.child else ''}", flush=True)
        table.update(
            self.store.dir, self.run_id, step.name, state="running", key=step.key, attempt=step.attempt,
            child=step.child, reused=None, output=None, error="", started=time.time(), finished=None,
        )  # fmt: skip

    def _follow(self, step: Step) -> bool:
        outcome = step.job.poll() if step.job is not None else None
        if outcome is None:
            return False
        if not outcome.error:
            step.value = outcome.output
            self._end(step, "done")
        elif outcome.died and step.deaths < MOST_DEATHS:
            step.deaths += 1
            self._try_again(step, outcome)
        elif outcome.final or step.attempt - step.deaths > step.retries:
            self._end(step, "failed", error=outcome.error)
        else:
            self._try_again(step, outcome)
        return True

    def _try_again(self, step: Step, outcome: Outcome) -> None:
        pause = step.delay * 2 ** (step.attempt - 1)
        print(f"step {step.name} failed: {outcome.error} It is tried again in {pause:g} seconds.", flush=True)
        step.state, step.job, step.begin_at = "waiting", None, time.monotonic() + pause
        table.update(self.store.dir, self.run_id, step.name, state="waiting", error=outcome.error)

    def _end(self, step: Step, state: str, error: str = "") -> None:
        step.state, step.error, step.job = state, error, None
        if error:
            print(f"step {step.name} {state}: {error}", flush=True)
        table.update(
            self.store.dir, self.run_id, step.name, state=state, error=error, finished=time.time(),
            output=table.to_json(step.value) if state == "done" else None,
        )  # fmt: skip
        if state == "done":
            # A death after this one begins the count of deaths anew, as after a checkpoint.
            (self.folder / "checkpoint").mkdir(exist_ok=True)
            (self.folder / "checkpoint" / "steps").write_text(step.name)


def _why(step: Step) -> str:
    return f"{step.state}: {step.error}" if step.error else f"{step.state}."
