"""The pipelines of a store: list them, start one, do a range of dates after the fact."""

from __future__ import annotations

import json
import platform
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.pipelines import declare, table
from workbench.pipelines.declare import Pipeline
from workbench.store import StoreDir

if TYPE_CHECKING:
    import pandas as pd

    from workbench.runs import Run

__all__ = ["Draft", "Pipelines"]

MOST_DATES = 3660


@dataclass(frozen=True)
class Draft:
    """A pipeline run that is ready to be entered into the run table."""

    spec: dict[str, Any]
    folder: Path
    lane: str | None

    def enter(self, db: sqlite3.Connection, dir: StoreDir, *, schedule: str | None = None) -> str:
        """Queue it, within the transaction `db`; returns its id."""
        from workbench.runs import queue

        queue.enter(
            db, dir, self.spec, self.folder, priority=0, device="none", launcher="local", parent=None,
            schedule=schedule, owner=self.spec["owner"], lane=self.lane,
        )  # fmt: skip
        return self.spec["id"]


class Pipelines:
    """The pipelines that are declared, and their runs in a store.

    Parameters
    ----------
    dir : StoreDir
    """

    def __init__(self, dir: StoreDir) -> None:
        self._dir = dir

    def list(self) -> list[Pipeline]:
        """Every pipeline that can be read, by name."""
        found, _ = declare.find_all()
        return [found[name] for name in sorted(found)]

    def broken(self) -> dict[Path, str]:
        """Files that cannot be read, and why."""
        return declare.find_all()[1]

    def get(self, name: str) -> Pipeline:
        """The pipeline called `name`.

        Raises
        ------
        PipelineError
        """
        return declare.find(name)

    def run(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        date: date | str | None = None,
        owner: str = "",
        reuse: bool = True,
    ) -> Run:
        """Queue a run of a pipeline.

        Parameters
        ----------
        name : str
        params : mapping, optional
            By name; what is missing has its default.
        date : date or str, optional
            The logical date; today (UTC) if not given.
        owner : str
            Who it is listed under.
        reuse : bool
            Take the outputs of earlier runs' steps that had the same inputs.

        Returns
        -------
        Run
            Queued; it is done by a worker.

        Raises
        ------
        PipelineError, UsageError
        """
        from workbench.runs import Runs

        drafting = self.draft(name, params or {}, date=_day(date), owner=owner, reuse=reuse)
        with drafting as draft, self._dir.write() as db:
            run = draft.enter(db, self._dir)
        return Runs(self._dir).get(run)

    def backfill(
        self,
        name: str,
        start: date | str,
        end: date | str,
        params: Mapping[str, Any] | None = None,
        *,
        again: bool = False,
        owner: str = "",
    ) -> Sequence[Run]:
        """Queue a run for every date from `start` to `end`, both included, the earliest first.

        Dates for which a run with the same parameters is done, queued or running are left out, unless
        `again`.
        """
        first, last = _day(start), _day(end)
        if last < first:
            raise UsageError(f"The range of dates ends ({last}) before it begins ({first}).")
        days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
        if len(days) > MOST_DATES:
            raise UsageError(f"{len(days)} dates are more than {MOST_DATES}: choose a shorter range.")
        checked = self.get(name).check(params or {})
        done = set() if again else self._dates(name, checked)
        return [self.run(name, checked, date=d, owner=owner) for d in days if d.isoformat() not in done]

    def runs(self, name: str | None = None, limit: int = 100) -> Sequence[Run]:
        """Runs of pipelines (of that one), the newest first."""
        from workbench.runs.run import from_row

        rows = self._dir.connection.execute(
            "SELECT * FROM runs WHERE recipe = 'pipeline' AND (?1 IS NULL OR estimator = 'pipeline:' || ?1)"
            " ORDER BY created DESC, rowid DESC LIMIT ?2",
            (name, limit),
        )
        return [from_row(self._dir, row) for row in rows]

    def steps(self, run: str) -> pd.DataFrame:
        """The steps of a pipeline run; see :func:`workbench.pipelines.table.frame`."""
        return table.frame(self._dir, run)

    @contextmanager
    def draft(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        date: date,
        due: datetime | None = None,
        owner: str = "",
        reuse: bool = True,
        lane: str | None = None,
    ) -> Iterator[Draft]:
        """A run's folder and specification, for a transaction that enters it; removed if none does."""
        from workbench.runs import new_id
        from workbench.runs import spec as specs

        self._dir.check_writable()
        declared = self.get(name)
        checked = declared.check(params)
        run = new_id()
        folder = self._dir.tmp / f"run-{run}"
        folder.mkdir()
        try:
            # The run carries the file as it is now: what is changed later does not change what is being done.
            source = f"{name}_{run}.py"
            shutil.copy(declared.file, folder / source)
            spec = {
                "id": run, "name": f"{name}, {date}", "estimator": f"pipeline:{name}", "recipe": "pipeline",
                "pipeline": name, "source": source, "import_roots": [], "params": checked,
                "dataset": {"ref": ""}, "split": {"kind": "auto", "test_size": 0.3},
                "seed": 0, "device": "none", "date": date.isoformat(),
                "due": due and due.isoformat(), "owner": owner, "reuse": reuse,
                "python": platform.python_version(), "versions": specs.versions(),
                "git_commit": specs.git_commit(), "created": time.time(),
            }  # fmt: skip
            (folder / "spec.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")
            yield Draft(spec, folder, f"pipeline:{name}" if declared.one_at_a_time else lane)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _dates(self, name: str, params: Mapping[str, Any]) -> set[str]:
        rows = self._dir.connection.execute(
            "SELECT spec FROM runs WHERE estimator = 'pipeline:' || ?"
            " AND state IN ('queued', 'running', 'done')",
            (name,),
        )
        specs = [json.loads(row["spec"]) for row in rows]
        return {spec["date"] for spec in specs if spec["params"] == params}


def _day(value: date | str | None) -> date:
    if value is None:
        return datetime.now(UTC).date()
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise UsageError(f"{value!r} is not a date: write it as 2026-03-29.") from None
