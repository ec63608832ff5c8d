"""One run: a snapshot of its row, and readers of what it writes."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import ModelError, RunError, RunNotFound
from workbench.runs import orders, queue
from workbench.store import StoreDir

if TYPE_CHECKING:
    import pandas as pd

    from workbench.models import Model
    from workbench.report import Report

__all__ = ["COLUMNS", "RECORDED", "Run", "from_row"]

#: Recipe and estimator of a run that a script does by itself; see :mod:`workbench.runs.tracking`.
RECORDED = "script"


@dataclass(frozen=True)
class Run:
    """A run as it was when it was read, with readers of what it writes.

    Attributes
    ----------
    state : {"queued", "running", "done", "failed", "cancelled"}
    progress : float
        Share of the whole run that is done, 0 to 1.
    remaining : float or None
        Estimated seconds left, from the pace so far.
    created, started, finished : float or None
        Unix seconds; `started` is the latest attempt's.
    scores : dict of str to float
        None where the score is no number.
    error : str
        Why it failed, in one sentence.
    """

    id: str
    name: str
    state: str
    estimator_name: str
    recipe: str
    dataset: str
    priority: int
    device: str
    slot: str | None
    launcher: str
    parent: str | None
    schedule: str | None
    owner: str
    attempt: int
    failures: int
    cancelling: bool
    created: float
    started: float | None
    finished: float | None
    stage: str
    progress: float
    remaining: float | None
    scores: dict[str, float | None]
    headline: str
    error: str
    spec: dict[str, Any] = field(repr=False)
    _dir: StoreDir = field(repr=False, compare=False)

    @property
    def folder(self) -> Path:
        """The run's folder, ``runs/<id>`` of the store."""
        return self._dir.runs / self.id

    @property
    def is_finished(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in queue.FINISHED

    @property
    def seconds(self) -> float | None:
        """How long the latest attempt took, or has taken so far."""
        if self.started is None:
            return None
        return max(0.0, (self.finished or time.time()) - self.started)

    @property
    def is_recorded(self) -> bool:
        """Whether a script did the run and recorded it: nobody else can do it again."""
        return self.recipe == RECORDED

    @property
    def git_commit(self) -> str | None:
        """The commit of the project in whose folder the run was submitted."""
        return self.spec.get("git_commit")

    @property
    def usage(self) -> dict[str, Any]:
        """What its process used: device, GPU, peak memory; see :func:`workbench.runs.usage.measure`."""
        from workbench.runs import usage

        return usage.read(self.folder)

    def refresh(self) -> Run:
        """The run as it is now."""
        row = self._dir.connection.execute("SELECT * FROM runs WHERE id = ?", (self.id,)).fetchone()
        if row is None:
            raise RunNotFound(f"Run {self.id} has been deleted.")
        return from_row(self._dir, row)

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until the run has ended, and return it as it is then.

        Raises
        ------
        RunError
            If it has not ended after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (run := self.refresh()).is_finished:
            if deadline is not None and time.monotonic() > deadline:
                raise RunError(f"Run {self.id} is still {run.state} after {timeout:g} seconds.")
            time.sleep(0.1)
        return run

    def cancel(self) -> None:
        """Ask the run to end; it keeps its checkpoint."""
        orders.cancel(self._dir, [self.id])

    def metrics(self) -> pd.DataFrame:
        """Every point of every curve: columns ``name``, ``step``, ``value``, ``time``."""
        import pandas as pd

        from workbench.report import LANDED

        rows = self._dir.connection.execute(
            "SELECT name, step, value, time FROM metrics WHERE run = ? AND name NOT GLOB ? || '*'"
            " ORDER BY name, step",
            (self.id, LANDED),
        ).fetchall()
        frame = pd.DataFrame([tuple(row) for row in rows], columns=["name", "step", "value", "time"])
        return frame.astype({"step": "int64", "value": "float64", "time": "float64"})

    def landed(self) -> dict[str, dict[str, float]]:
        """Scores of the peers that have ended, by name, in the order in which they did."""
        from workbench.report import LANDED

        rows = self._dir.connection.execute(
            "SELECT name, value FROM metrics WHERE run = ? AND name GLOB ? || '*' ORDER BY time, name",
            (self.id, LANDED),
        ).fetchall()
        found: dict[str, dict[str, float]] = {}
        for name, value in rows:
            peer, _, metric = name.removeprefix(LANDED).rpartition("/")
            if value is not None:
                found.setdefault(peer, {})[metric] = float(value)
        return found

    def log(self, tail: int | None = None) -> str:
        """What the run printed, or its last `tail` lines."""
        from workbench.runs.launchers.base import read_log

        return read_log(self.folder, tail)

    @property
    def artifacts(self) -> dict[str, Path]:
        """Files the run left, by their path below ``artifacts/``."""
        root = self.folder / "artifacts"
        return {str(p.relative_to(root)): p for p in sorted(root.rglob("*")) if p.is_file()}

    def report(self) -> Report:
        """The result, as the recipe returned it (without the estimator)."""
        from workbench.report import Report

        if self.state != "done":
            raise RunError(f"Run {self.id} is {self.state} and has no report.")
        return Report.load(self.folder / "artifacts" / "report")

    def estimator(self) -> Any:
        """The fitted estimator.

        Raises
        ------
        ModelError
            If the run is not done, or the estimator could not be saved (the sentence says why).
        """
        from workbench import models, registry
        from workbench.runs import spec as specs

        if self.state != "done":
            raise ModelError(f"Run {self.id} is {self.state} and has no fitted estimator.")
        folder = self.folder / "artifacts" / "model"
        if not folder.exists():
            raise ModelError(self._model_error() or f"The recipe of run {self.id} keeps no estimator.")
        cls = specs.class_of(self.spec, self.folder)  # one that travels as source is defined by this
        return models.load(folder, trusted={registry.name_of(cls): cls})

    def save_model(self, name: str) -> Model:
        """Keep the fitted estimator as the next version of the model `name`."""
        from workbench.models import Models

        self.estimator()  # says in one sentence why there is none
        card = {
            "scores": self.scores,
            "headline": self.headline,
            **{name: self.spec[name] for name in ("params", "recipe", "seed", "split", "git_commit")},
            "owner": self.owner,
            "usage": self.usage,
        }
        return Models(self._dir).add(
            self.folder / "artifacts" / "model",
            name,
            run=self.id,
            dataset=self.dataset,
            card=card,
        )

    def _model_error(self) -> str:
        try:
            return str(json.loads((self.folder / "result.json").read_text())["model_error"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""


COLUMNS = [f.name for f in fields(Run) if f.name != "_dir"]


def from_row(dir: StoreDir, row: sqlite3.Row) -> Run:
    """A row of the runs table as a snapshot."""
    values = {
        **dict(row),
        "estimator_name": row["estimator"],
        "cancelling": bool(row["cancel"]),
        "scores": json.loads(row["scores"]),
        "spec": json.loads(row["spec"]),
    }
    return Run(**{name: values[name] for name in COLUMNS}, _dir=dir)
