"""Any script's work as a run of the store: ``with wb.start_run("name") as run: run.log(loss=0.3)``.

The script is its own process: no worker starts it. It holds its run by a lease like a worker's, so that a
script that was killed is found out: the worker that takes the run over reads the ``result.json`` that was
written at the start, which says so.
"""

from __future__ import annotations

import json
import math
import platform
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from workbench.errors import RunError, StoreError, UsageError
from workbench.naming import check_name
from workbench.runs import queue, usage
from workbench.runs.run import RECORDED
from workbench.store import StoreDir

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from workbench.runs.reporter import RunReporter

__all__ = ["ActiveRun", "RunCancelled"]

LEASE = 60.0  # seconds for which a silent script is thought alive
BEAT = 2.0  # seconds between two looks at the table
ABANDONED = "The script ended without closing its run: it was killed, or the machine went down."
_SCRIPT_BYTES = 1 << 20  # a larger file is not the script, or nobody reads it


class RunCancelled(RunError):
    """Somebody cancelled the run; raised in the script by its next ``log``."""


class ActiveRun:
    """A run that this script is doing; made by :func:`workbench.start_run`.

    Leaving the ``with`` block ends it: done, or failed with the exception's sentence, which goes on. The
    scores of the run are the last values that were logged.

    Attributes
    ----------
    id : str
    folder : Path
        The run's folder.
    headline : str
        The result in one sentence; set it before the end if the scores do not say it.
    """

    def __init__(
        self,
        dir: StoreDir,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: str = "",
        seed: int | None = None,
        owner: str = "",
    ) -> None:
        self.id, self.headline = secrets.token_hex(5), ""
        self._dir, self._holder = dir, f"script-{secrets.token_hex(4)}"
        self._spec = _specification(self.id, name, params or {}, data, seed)
        self._scores: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        self._tables: dict[str, pd.DataFrame] = {}
        self._offset, self._cancelled, self._state = 0, False, "running"
        dir.check_writable()
        draft = dir.tmp / f"run-{self.id}"
        draft.mkdir()
        try:
            _write_json(draft / "spec.json", self._spec)
            _write_json(draft / "result.json", _result("failed", error=ABANDONED))
            _keep_script(draft / "artifacts.part")
            queue.record(dir, self._spec, draft, self._holder, lease=LEASE, owner=owner)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._events = open(self.folder / "events.jsonl", "a", encoding="utf-8")  # noqa: SIM115
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._pulse = threading.Thread(target=self._beat, name=f"run-{self.id}", daemon=True)
        self._pulse.start()

    def __repr__(self) -> str:
        return f"<{self._state} run {self.id}: {self._spec['name']}>"

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self._dir.runs / self.id

    @cached_property
    def reporter(self) -> RunReporter:
        """For a recipe, or around a training loop (``with run.reporter.stage("fit")``), to show it live."""
        from workbench.runs.reporter import RunReporter

        return RunReporter(self.folder)

    def log(
        self,
        metrics: Mapping[str, float] | None = None,
        /,
        *,
        step: int | None = None,
        time: float | None = None,
        **named: float,
    ) -> None:
        """Add a point to each of the curves that are named; the last values are the run's scores.

        Parameters
        ----------
        metrics, **named
            Numbers by name; one that is not finite is kept as missing.
        step : int, optional
            By default one more than the curve's last.
        time : float, optional
            When it was measured, in unix seconds; by default now.

        Raises
        ------
        RunCancelled
            If the run was cancelled on a page or in the command line.
        """
        self._check_open()
        if self._cancelled:
            raise RunCancelled(f"Run {self.id} was cancelled.")
        for name, given in {**(metrics or {}), **named}.items():
            try:
                value = float(given)
            except (TypeError, ValueError):
                raise UsageError(f"The metric {name!r} is a {type(given).__name__}, not a number.") from None
            at = self._steps.get(name, 0) + 1 if step is None else int(step)
            self._steps[name], self._scores[name] = at, value
            finite = value if math.isfinite(value) else None
            event = {"event": "metric", "time": time or _now(), "name": name, "step": at, "value": finite}
            with self._lock:
                self._events.write(json.dumps(event) + "\n")
                self._events.flush()

    def log_params(self, params: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Add parameters: numbers, text, lists and dictionaries."""
        self._check_open()
        added = {**(params or {}), **named}
        self.mark({"params": self._spec["params"] | {n: _plain(v, n) for n, v in added.items()}})

    def mark(self, facts: Mapping[str, Any]) -> None:
        """Change what the run's specification says."""
        self._spec.update(facts)
        _write_json(self.folder / "spec.json", self._spec)
        with self._dir.write() as db:
            db.execute("UPDATE runs SET spec = ? WHERE id = ?", (json.dumps(self._spec), self.id))

    def log_table(self, name: str, table: pd.DataFrame) -> None:
        """Keep a frame, shown with the run's report; one of the same name is replaced."""
        self._check_open()
        self._tables[check_name(name)] = table.copy()

    def log_figure(self, name: str, figure: go.Figure) -> None:
        """Keep a plotly figure, shown on the run's page."""
        self._check_open()
        self._part("figures", f"{check_name(name)}.json").write_text(figure.to_json())

    def log_artifact(self, path: str | Path, name: str | None = None) -> None:
        """Keep a copy of a file among the run's artifacts."""
        self._check_open()
        path = Path(path)
        if not path.is_file():
            raise UsageError(f"There is no file {path}.")
        shutil.copy(path, self._part("files", check_name(name or path.name)))

    def finish(self, state: str = "done", error: str = "") -> None:
        """End the run; leaving the ``with`` block does it."""
        if self._state != "running":
            return
        self._ended.set()
        self._pulse.join()
        self._events.close()
        if "reporter" in self.__dict__:
            self.reporter.close()
        scores = {name: (value if math.isfinite(value) else None) for name, value in self._scores.items()}
        headline = (self.headline or _headline(self._scores)) if state == "done" else ""
        self._keep_artifacts(headline)
        usage.write(self.folder)
        self._ingest()
        result = _result(state, error=error, headline=headline, scores=scores)
        _write_json(self.folder / "result.json", result)
        end = {**result, "scores": scores}
        if not queue.finish(self._dir, self.id, self._holder, **end):
            # A worker thought the script dead, which a suspended machine can make it: it is not.
            queue.retake(self._dir, self.id, self._holder)
            self._ingest()
            queue.finish(self._dir, self.id, self._holder, **end)
        self._state = state

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        elif isinstance(error, RunCancelled | KeyboardInterrupt):
            self.finish("cancelled")
        else:
            text = " ".join(str(error).split())[:500]
            self.finish("failed", f"{type(error).__name__}: {text}" if text else type(error).__name__)

    # --- behind the scenes ----------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._state != "running":
            raise RunError(f"Run {self.id} has ended: start another.")

    def _part(self, *parts: str) -> Path:
        path = self.folder.joinpath("artifacts.part", *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _keep_artifacts(self, headline: str) -> None:
        from workbench.report import Report

        Report(RECORDED, headline, self._scores, self._tables).save(self._part("report"))
        shutil.rmtree(self.folder / "artifacts", ignore_errors=True)
        self._part().rename(self.folder / "artifacts")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                queue.renew(self._dir, self._holder, lease=LEASE)
                self._cancelled = queue.held(self._dir, self._holder).get(self.id, False)
                self._ingest()
            except StoreError:
                continue  # a full disk or a long lock: the next beat may get through
        self._dir.close()  # this thread's connection

    def _ingest(self) -> None:
        """Enter the points that the table does not have yet."""
        from workbench.runs.events import read_events

        with (self.folder / "events.jsonl").open("rb") as file:
            file.seek(self._offset)
            block = file.read()
        block = block[: block.rfind(b"\n") + 1]
        if not block:
            return
        metrics, state = read_events(block)
        end = self._offset + len(block)
        if queue.ingest(
            self._dir, self.id, self._holder, start=self._offset, end=end, metrics=metrics, state=state
        ):
            self._offset = end


def _specification(
    run: str, name: str, params: Mapping[str, Any], data: str, seed: int | None
) -> dict[str, Any]:
    from workbench.runs.spec import git_commit, versions

    if not name.strip():
        raise UsageError("A run needs a name.")
    return {
        "id": run,
        "name": name,
        "estimator": RECORDED,
        "source": None,
        "params": {key: _plain(value, key) for key, value in params.items()},
        "recipe": RECORDED,
        "dataset": {"ref": data},
        "split": {},
        "seed": seed,
        "device": "auto",
        "python": platform.python_version(),
        "versions": versions(),
        "git_commit": git_commit(),
        "created": time.time(),
    }


def _now() -> float:
    return time.time()


def _plain(value: Any, name: str) -> Any:
    try:
        return json.loads(json.dumps(value, default=_scalar))
    except (TypeError, ValueError):
        raise UsageError(
            f"The parameter {name!r} is a {type(value).__name__}: give it as numbers, text, lists or dicts."
        ) from None


def _scalar(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()  # a numpy scalar
    if isinstance(value, Path):
        return str(value)
    raise TypeError


def _headline(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in list(scores.items())[:3])


def _result(state: str, *, error: str = "", headline: str = "", scores: Any = None) -> dict[str, Any]:
    return {"state": state, "error": error, "headline": headline, "scores": scores or {}}


def _write_json(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1), encoding="utf-8")
    part.replace(path)


def _keep_script(folder: Path) -> None:
    """A copy of the script that runs, where there is one."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if file and file.endswith(".py") and Path(file).is_file() and Path(file).stat().st_size < _SCRIPT_BYTES:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / "script.py")
