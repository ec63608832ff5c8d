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
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import RunNotFound, UsageError
from workbench.runs import orders, queue, requests
from workbench.runs.launchers import NAMES
from workbench.runs.requests import Request
from workbench.runs.run import COLUMNS, Run, from_row
from workbench.store import StoreDir

if TYPE_CHECKING:
    import pandas as pd

    from workbench.arrays import Split

__all__ = ["Run", "Runs", "new_id"]

STATES = ("queued", "running", *queue.FINISHED)


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
        processes: int = 1,
        owner: str = "",
        parent: str | None = None,
        id: str | None = None,
        request: Request | None = None,
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
        name : str, optional
            By default estimator and data set.
        priority : int
            Higher goes first.
        device : {"auto", "cpu", "cuda"}
            ``"auto"`` takes a GPU where there is one and the estimator has a parameter ``device``.
        launcher : {"local", "ray", "slurm"}
            Where it runs: beside the worker, or on the cluster that the worker was told of. There, a GPU is
            asked for with ``device="cuda"``.
        processes : int
            More than one train together, each on its share of every batch, started by torchrun. On a cluster,
            each has a GPU of its own where the device is "cuda".
        owner : str
            Who it is listed under.
        parent : str, optional
            The pipeline run for which it is done, and with which it is cancelled.
        id : str, optional
            One that :func:`new_id` gave, where the caller must know it beforehand.
        request : Request, optional
            What was carried out before gives the run it led to, and queues nothing.

        Returns
        -------
        Run
            Queued; it is done by a worker.

        Raises
        ------
        EstimatorNotFound, RunError, UsageError
            In one sentence, before anything is queued.
        """
        from workbench.arrays import Split
        from workbench.runs import spec as specs

        if launcher not in NAMES:
            raise UsageError(f"There is no launcher {launcher!r}; there are {', '.join(NAMES)}.")
        if processes != 1 and launcher == "local":
            if device == "cuda":
                raise UsageError(
                    "Beside the worker a run has one GPU, which processes cannot share: take "
                    "launcher='ray' or 'slurm', or device='cpu'."
                )
            device = "cpu"
        if request is not None and (earlier := requests.find(self._dir, request)) is not None:
            return self.get(earlier)
        self._dir.check_writable()
        run = id or new_id()
        draft = self._dir.tmp / f"run-{run}"
        if id is not None:  # what a kill left of an earlier attempt to submit it
            for rest in (draft, self._dir.runs / run):
                shutil.rmtree(rest, ignore_errors=True)
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
                processes=processes,
            )
            run = queue.submit(
                self._dir,
                spec,
                draft,
                request=request,
                priority=priority,
                device=spec["device"],
                launcher=launcher,
                parent=parent,
                schedule=None,
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
        return from_row(self._dir, rows[0])

    def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive: ``id``, ``pid``, ``slots``, ``started``."""
        rows = self._dir.connection.execute(
            "SELECT id, pid, slots, started FROM workers WHERE boot = ? AND beat > ? ORDER BY started",
            (queue.boot_id(), queue.boot_clock() - 15),
        )
        return [{**dict(row), "slots": json.loads(row["slots"])} for row in rows]

    def launchers(self) -> list[str]:
        """Where a run can be done just now: "local", and the clusters that a worker was told of."""
        offered = {slot for worker in self.workers() for slot in worker["slots"]}
        return [name for name in NAMES if name == "local" or name in offered]

    def list(
        self,
        state: str | None = None,
        dataset: str | None = None,
        text: str = "",
        limit: int | None = 1000,
        offset: int = 0,
    ) -> list[Run]:
        """Runs, the newest first.

        Parameters
        ----------
        state : {"queued", "running", "done", "failed", "cancelled"}, optional
        dataset : str, optional
            ``name`` or ``name@version``.
        text : str
            What the run's id, name, estimator or data set must contain; case does not matter.
        limit, offset : int
            So many, after leaving out so many.

        Returns
        -------
        list of Run
            The newest first.
        """
        rows = self._dir.connection.execute(
            f"SELECT * FROM runs WHERE {_WHERE} ORDER BY created DESC, rowid DESC"  # noqa: S608
            " LIMIT :limit OFFSET :offset",
            _wanted(state, dataset, text) | {"limit": -1 if limit is None else limit, "offset": offset},
        )
        return [from_row(self._dir, row) for row in rows]

    def count(self, state: str | None = None, dataset: str | None = None, text: str = "") -> int:
        """How many runs :meth:`list` would give without a limit."""
        wanted = _wanted(state, dataset, text)
        row = self._dir.connection.execute(
            f"SELECT count(*) FROM runs WHERE {_WHERE}",  # noqa: S608
            wanted,
        ).fetchone()
        return int(row[0])

    def frame(self, **filters: Any) -> pd.DataFrame:
        """Runs as a table, with a column ``params.<name>`` or ``scores.<name>`` for each of those."""
        import pandas as pd

        columns = [name for name in COLUMNS if name not in ("spec", "scores")]
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

    def cancel(self, ids: Iterable[str] | str, *, request: Request | None = None) -> None:
        """Cancel runs: queued ones at once, running ones as soon as their checkpoint is saved."""
        orders.cancel(self._dir, _ids(ids), request=request)

    def retry(self, ids: Iterable[str] | str, fresh: bool = False) -> None:
        """Queue finished runs again, from their checkpoint or, when `fresh`, from the start."""
        orders.retry(self._dir, _ids(ids), fresh=fresh)

    def delete(self, ids: Iterable[str] | str) -> None:
        """Delete runs with their folders; refused while one of them is running."""
        orders.delete(self._dir, _ids(ids))

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
                    orders.delete(self._dir, [row["id"]])
                else:
                    orders.drop_checkpoint(self._dir, row["id"])
        return freed


# A constant; what is looked for goes in as parameters.
_WHERE = (
    "(:state IS NULL OR state = :state)"
    " AND (:dataset IS NULL OR dataset = :dataset"
    " OR substr(dataset, 1, length(:dataset) + 1) = :dataset || '@')"
    " AND (:text = '' OR instr(lower(id || ' ' || name || ' ' || estimator || ' ' || dataset), lower(:text)))"
)


def _wanted(state: str | None, dataset: str | None, text: str) -> dict[str, Any]:
    if state is not None and state not in STATES:
        raise UsageError(f"State {state!r} is not one of {', '.join(STATES)}.")
    return {"state": state, "dataset": dataset, "text": text}


def new_id() -> str:
    """An id that no run has."""
    return secrets.token_hex(5)


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
