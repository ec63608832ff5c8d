"""What carries the steps of a pipeline on: starts those whose needs are met, follows them, tries again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.pipelines import table
from workbench.pipelines.inputs import Pins, digest, resolved, unresolved
from workbench.pipelines.jobs import Job, Outcome, ProcessJob, RunJob
from workbench.pipelines.python import clear
from workbench.pipelines.step import Step

if TYPE_CHECKING:
    from workbench.facade import Store
    from workbench.runs.reporter import RunReporter

__all__ = ["Engine"]

PROCESSES = 2  # Python steps of one pipeline at once
MOST_DEATHS = 2  # a step's process that was killed is begun anew so often, beside its retries


class Engine:
    """The steps of one pipeline run, in the order in which they were asked for, and the jobs that do them.

    Attributes
    ----------
    steps : dict of str to Step
    """

    def __init__(
        self, store: Store, run: str, folder: Path, spec: dict[str, Any], reporter: RunReporter
    ) -> None:
        self.steps: dict[str, Step] = {}
        self._store, self._run, self._folder = store, run, folder
        self._spec, self._reporter = spec, reporter
        self._pins = Pins(folder / "pins.json")

    def latest(self, data: str) -> str:
        """``name@version`` of a data set, the same however often this run is carried on."""
        return self._pins.get(data, lambda: self._store.dataset(data).ref)

    def add(self, step: Step) -> None:
        """Take a step up, as far as it had come before a crash."""
        needs = [need.name for need in step.needs]
        before = table.declare(self._store.dir, self._run, step.name, len(self.steps), step.kind, needs)
        step.key, step.attempt, step.child = before["key"], before["attempt"], before["child"]
        step.state = "running" if before["state"] == "running" else "waiting"
        self.steps[step.name] = step
        self.turn()

    def close(self) -> None:
        """End the processes that this one has started; runs go on, they are the worker's."""
        for step in self.steps.values():
            if step.kind == "python" and step.job is not None:
                step.job.stop()

    def turn(self) -> bool:
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
            key = digest(step.kind, task, self._folder / self._spec["source"])
            if self._is_done(step, key):
                return True
            if step.key != key or step.state != "running":  # else the attempt that a crash cut short
                step.attempt, step.child = step.attempt + 1 if step.key == key else 1, None
                clear(self._folder, step.name)
            step.key = key
            step.job = self._python_job(step, task) if step.kind == "python" else self._run_job(step, task)
        except WorkbenchError as error:
            self._end(step, "failed", error=str(error))
        return True

    def _is_done(self, step: Step, key: str) -> bool:
        row = self._store.dir.connection.execute(
            "SELECT * FROM steps WHERE run = ? AND name = ? AND key = ? AND state = 'done'",
            (self._run, step.name, key),
        ).fetchone()
        reused = None
        if row is None and step.reuse and self._spec.get("reuse", True):
            row = table.finished(self._store.dir, key)
            reused = row and (row["reused"] or row["run"])
        if row is None:
            return False
        if reused:
            print(f"step {step.name}: the same as in run {reused}, taken from there", flush=True)
            made = self._store.dir.runs / row["run"] / "steps" / row["name"]
            if made.is_dir():
                shutil.copytree(made, self._folder / "steps" / step.name, dirs_exist_ok=True)
            table.update(
                self._store.dir, self._run, step.name, state="done", key=key, child=row["child"],
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
        return ProcessJob(self._folder, step.name, told, step.timeout)

    def _run_job(self, step: Step, task: dict[str, Any]) -> Job:
        from workbench.runs import new_id

        # Its id is written down before there is such a run: after a crash it is found, or submitted under
        # that id.
        step.child = step.child or new_id()
        self._started(step)
        known = self._store.dir.connection.execute(
            "SELECT 1 FROM runs WHERE id = ?", (step.child,)
        ).fetchone()
        if known is None:
            self._store.submit(
                task["estimator"], task["data"], params=task["params"], recipe=task["recipe"],
                split=task["split"], seed=task["seed"], device=task["device"], launcher=task["launcher"],
                priority=task["priority"], processes=task["processes"],
                name=f"{self._spec['pipeline']}: {step.name}", owner=self._spec.get("owner", ""),
                parent=self._run, id=step.child,
            )  # fmt: skip
        return RunJob(self._store, step.child, step.timeout)

    def _started(self, step: Step) -> None:
        step.state = "running"
        again = f", attempt {step.attempt}" if step.attempt > 1 else ""
        print(f"step {step.name}{again}{f': run {step.child}' if step.child else ''}", flush=True)
        table.update(
            self._store.dir, self._run, step.name, state="running", key=step.key, attempt=step.attempt,
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
        table.update(self._store.dir, self._run, step.name, state="waiting", error=outcome.error)

    def _end(self, step: Step, state: str, error: str = "") -> None:
        step.state, step.error, step.job = state, error, None
        if error:
            print(f"step {step.name} {state}: {error}", flush=True)
        table.update(
            self._store.dir, self._run, step.name, state=state, error=error, finished=time.time(),
            output=table.to_json(step.value) if state == "done" else None,
        )  # fmt: skip
        if state == "done":
            # A death after this one begins the count of deaths anew, as after a checkpoint.
            (self._folder / "checkpoint").mkdir(exist_ok=True)
            (self._folder / "checkpoint" / "steps").write_text(step.name)
