"""Runs: submit an estimator and a data set, follow it, and read what came of it.

::

    runs = Runs(StoreDir("data/store"))
    run = runs.submit("timeseries.CSL", dataset, params={"n_epochs": 20})
    run.wait().report().headline
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import ModelError, RunError, RunNotFound, UsageError
from workbench.runs import queue
from workbench.store import StoreDir

if TYPE_CHECKING:
    import pandas as pd

    from workbench.arrays import Split
    from workbench.models import Model
    from workbench.report import Report

__all__ = ["Run", "Runs"]

STATES = ("queued", "running", *queue.FINISHED)


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
    scores: dict[str, float]
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
        return self.state in queue.FINISHED

    @property
    def seconds(self) -> float | None:
        """How long the latest attempt took, or has taken so far."""
        if self.started is None:
            return None
        return max(0.0, (self.finished or time.time()) - self.started)

    def refresh(self) -> Run:
        """The run as it is now."""
        return Runs(self._dir).get(self.id)

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
        queue.cancel(self._dir, [self.id])

    def metrics(self) -> pd.DataFrame:
        """Every point of every curve: columns ``name``, ``step``, ``value``, ``time``."""
        import pandas as pd

        rows = self._dir.connection.execute(
            "SELECT name, step, value, time FROM metrics WHERE run = ? ORDER BY name, step", (self.id,)
        ).fetchall()
        frame = pd.DataFrame([tuple(row) for row in rows], columns=["name", "step", "value", "time"])
        return frame.astype({"step": "int64", "value": "float64", "time": "float64"})

    def log(self, tail: int | None = None) -> str:
        """What the run printed, or its last `tail` lines."""
        from workbench.runs.launchers import LocalLauncher

        return LocalLauncher().logs(self.folder, tail)

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
        card = {"scores": self.scores, "headline": self.headline, "params": self.spec["params"]}
        return Models(self._dir).add(
            self.folder / "artifacts" / "model",
            name,
            run=self.id,
            estimator=self.estimator_name,
            dataset=self.dataset,
            card=card,
        )

    def _model_error(self) -> str:
        try:
            return str(json.loads((self.folder / "result.json").read_text())["model_error"])
        except (OSError, ValueError, KeyError):
            return ""


_COLUMNS = [f.name for f in fields(Run) if f.name != "_dir"]


def _run(dir: StoreDir, row: sqlite3.Row) -> Run:
    values = {
        **dict(row),
        "estimator_name": row["estimator"],
        "cancelling": bool(row["cancel"]),
        "scores": json.loads(row["scores"]),
        "spec": json.loads(row["spec"]),
    }
    return Run(**{name: values[name] for name in _COLUMNS}, _dir=dir)


class Runs:
    """The runs of a store.

    Parameters
    ----------
    dir : StoreDir
    """

    def __init__(self, dir: StoreDir) -> None:
        self._dir = dir

    def submit(
        self,
        estimator: Any,
        data: Any,
        *,
        params: dict[str, Any] | None = None,
        recipe: str | None = None,
        split: Split | None = None,
        seed: int = 0,
        name: str | None = None,
        priority: int = 0,
        device: str = "auto",
        launcher: str = "local",
        owner: str = "",
        parent: str | None = None,
        schedule: str | None = None,
    ) -> Run:
        """Queue a run.

        Parameters
        ----------
        estimator : str, class or estimator
            A registered name, an import path ``package.module:Class``, a class, or an unfitted instance
            whose parameters are taken. A class of a notebook or script is carried by its source.
        data : Dataset
        params : dict, optional
            Parameters by name; they win over the instance's.
        recipe : str, optional
            What to do; by default what the estimator asks for.
        split : Split, optional
        seed : int
            Given to every ``random_state`` that is None, and to the recipe.
        priority : int
            Higher goes first.
        device : {"auto", "cpu", "cuda"}
            ``"auto"`` takes a GPU where there is one and the estimator has a parameter ``device``.

        Raises
        ------
        EstimatorNotFound, RunError, UsageError
            In one sentence, before anything is queued.
        """
        from workbench.arrays import Split
        from workbench.runs import spec as specs

        if launcher != "local":
            raise UsageError(f"There is no launcher {launcher!r}. Installed: local.")
        run = secrets.token_hex(5)
        draft = self._dir.tmp / f"run-{run}"
        draft.mkdir()
        try:
            spec = specs.build(
                run,
                draft,
                estimator,
                _dataset(data, self._dir.runs / run),
                params=params,
                recipe=recipe,
                split=split or Split(),
                seed=seed,
                name=name,
                device=device,
            )
            queue.submit(
                self._dir,
                spec,
                draft,
                priority=priority,
                device=spec["device"],
                launcher=launcher,
                parent=parent,
                schedule=schedule,
                owner=owner,
            )
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return self.get(run)

    def get(self, id: str) -> Run:
        """The run with that id, or the only one whose id begins so."""
        rows = self._dir.connection.execute(
            "SELECT * FROM runs WHERE id = ? OR (? <> '' AND substr(id, 1, length(?)) = ?) LIMIT 2",
            (id, id, id, id),
        ).fetchall()
        if len(rows) != 1:
            raise RunNotFound(
                f"There is no run {id!r}." if not rows else f"More than one run begins with {id!r}."
            )
        return _run(self._dir, rows[0])

    def list(
        self, state: str | None = None, dataset: str | None = None, limit: int | None = 1000
    ) -> list[Run]:
        """Runs, the newest first; `dataset` is ``name`` or ``name@version``."""
        if state is not None and state not in STATES:
            raise UsageError(f"State {state!r} is not one of {', '.join(STATES)}.")
        rows = self._dir.connection.execute(
            "SELECT * FROM runs WHERE (:state IS NULL OR state = :state)"
            " AND (:dataset IS NULL OR dataset = :dataset"
            " OR substr(dataset, 1, length(:dataset) + 1) = :dataset || '@')"
            " ORDER BY created DESC, rowid DESC LIMIT :limit",
            {"state": state, "dataset": dataset, "limit": -1 if limit is None else limit},
        )
        return [_run(self._dir, row) for row in rows]

    def frame(self, **filters: Any) -> pd.DataFrame:
        """Runs as a table, with a column ``params.<name>`` or ``scores.<name>`` for each of those."""
        import pandas as pd

        columns = [name for name in _COLUMNS if name not in ("spec", "scores")]
        records = [
            {
                **{name: getattr(run, name) for name in columns},
                "seconds": run.seconds,
                "seed": run.spec["seed"],
                **{f"params.{key}": value for key, value in run.spec["params"].items()},
                **{f"scores.{key}": value for key, value in run.scores.items()},
            }
            for run in self.list(**filters)
        ]
        return pd.DataFrame(records, columns=None if records else [*columns, "seconds", "seed"])

    def cancel(self, ids: Iterable[str] | str) -> None:
        """Cancel runs: queued ones at once, running ones as soon as their checkpoint is saved."""
        queue.cancel(self._dir, _ids(ids))

    def retry(self, ids: Iterable[str] | str, fresh: bool = False) -> None:
        """Queue finished runs again, from their checkpoint or, when `fresh`, from the start."""
        queue.retry(self._dir, _ids(ids), fresh=fresh)

    def delete(self, ids: Iterable[str] | str) -> None:
        """Delete runs with their folders; refused while one of them is running."""
        queue.delete(self._dir, _ids(ids))

    def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive: ``id``, ``pid``, ``slots``, ``started``."""
        rows = self._dir.connection.execute(
            "SELECT id, pid, slots, started FROM workers WHERE boot = ? AND beat > ? ORDER BY started",
            (queue.boot_id(), queue.boot_clock() - 15),
        )
        return [{**dict(row), "slots": json.loads(row["slots"])} for row in rows]

    def prune(
        self, *, keep_last: int | None = None, older_than: float | None = None, whole: bool = False
    ) -> int:
        """Make room: remove the checkpoints of finished runs, or `whole` runs.

        Parameters
        ----------
        keep_last : int, optional
            The newest so many finished runs are spared.
        older_than : float, optional
            Runs that ended less than so many seconds ago are spared.
        whole : bool
            Delete the runs themselves, except those from which a model was registered.

        Returns
        -------
        int
            Bytes freed.
        """
        if keep_last is None and older_than is None:
            raise UsageError("Say what to keep: keep_last, older_than or both.")
        before = time.time() - (older_than or 0.0)
        rows = self._dir.connection.execute(
            "SELECT id, finished, id IN (SELECT run FROM models WHERE run IS NOT NULL) AS registered"
            " FROM runs WHERE state IN ('done', 'failed', 'cancelled')"
            " ORDER BY finished DESC LIMIT -1 OFFSET ?",
            (keep_last or 0,),
        ).fetchall()
        freed = 0
        for row in rows:
            if row["finished"] <= before and not (whole and row["registered"]):
                folder = self._dir.runs / row["id"]
                freed += _size(folder if whole else folder / "checkpoint")
                if whole:
                    queue.delete(self._dir, [row["id"]])
                else:
                    queue.drop_checkpoint(self._dir, row["id"])
        return freed


def _ids(ids: Iterable[str] | str) -> Sequence[str]:
    return (ids,) if isinstance(ids, str) else tuple(ids)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _dataset(data: Any, folder: Path) -> dict[str, Any]:
    """What the run process needs to find and check the data set; its path relative to the run's folder."""
    return {
        "ref": data.ref,
        "path": os.path.relpath(Path(data.path).resolve(), folder),
        "checksum": data.checksum,
        "roles": data.roles,
        "role_revision": data.role_revision,
    }
