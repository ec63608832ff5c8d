"""The interfaces between a recipe and everything around it: `Report`, `Reporter` and `Recipe`.

A *recipe* is what a run does: ``recipe(estimator, data, split, seed, reporter) -> Report``. It knows
nothing of stores, runs or pages. A *report* is plain data (numbers and frames), so that the page, a
notebook and a test read one thing; plots are drawn from it afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from workbench.arrays import Data, Split
from workbench.errors import RunError

__all__ = ["IMPORTANCE_COLUMNS", "LANDED", "NullReporter", "Recipe", "Report", "Reporter"]

#: Columns of the table ``"importance"``, the binding view of every method.
IMPORTANCE_COLUMNS = ("component", "kind", "score", "cost", "kept")

#: Begins the name of what is no curve but the score of a peer that has ended: ``_peer/<name>/<metric>``.
LANDED = "_peer/"


@dataclass
class Report:
    """The result of a run.

    Attributes
    ----------
    recipe : str
        Registered name of the recipe; plots and views are looked up by it.
    headline : str
        The result in one plain sentence.
    scores : dict of str to float
        Flat numbers that runs are compared by, e.g. ``test_accuracy`` and ``untrained_test_accuracy``.
    tables : dict of str to DataFrame
        Everything the plots draw. ``"importance"``, where present, has :data:`IMPORTANCE_COLUMNS`.
    estimator : object
        The fitted estimator, saved as the run's model; not part of the saved report.
    """

    recipe: str
    headline: str
    scores: dict[str, float]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    estimator: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = self.tables.get("importance")
        if table is not None and not set(IMPORTANCE_COLUMNS) <= set(table.columns):
            raise RunError(f"The importance table must have the columns {', '.join(IMPORTANCE_COLUMNS)}.")

    def save(self, folder: str | Path) -> None:
        """Write ``report.json`` and one Parquet file a table into `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            table.to_parquet(folder / f"{name}.parquet", index=False)
        scores = {k: (None if math.isnan(v) else float(v)) for k, v in self.scores.items()}
        head = {
            "recipe": self.recipe,
            "headline": self.headline,
            "scores": scores,
            "tables": list(self.tables),
        }
        (folder / "report.json").write_text(json.dumps(head, indent=1))

    @classmethod
    def load(cls, folder: str | Path) -> Report:
        """Read what :meth:`save` wrote."""
        folder = Path(folder)
        try:
            head = json.loads((folder / "report.json").read_text())
            files = {name: folder / f"{name}.parquet" for name in head["tables"]}
            if any(path.parent != folder for path in files.values()):  # a cluster's node may have sent it
                raise ValueError("a table's name leads out of it")
            tables = {name: pd.read_parquet(path) for name, path in files.items()}
            scores = {k: (math.nan if v is None else float(v)) for k, v in head["scores"].items()}
            return cls(str(head["recipe"]), str(head["headline"]), scores, tables)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise RunError(f"The report in {folder} is missing or damaged: {error}") from error


class Reporter(Protocol):
    """How a recipe tells the world what it is doing."""

    def stage(self, name: str, *, weight: float = 1.0) -> AbstractContextManager[None]:
        """Name a part of the run.

        Any estimator fitted inside shows its epochs and losses live, obeys cancel, and is checkpointed
        under `name`: after a crash it continues, or is restored if it had finished. `weight` is the
        stage's expected share of the run's time, against the other stages'.
        """

    def plan(self, stages: dict[str, float]) -> None:
        """Announce the stages to come and their weights, so that progress is of the whole run."""

    def progress(self, done: float, total: float) -> None:
        """How much of the current stage is done."""

    def metric(self, name: str, value: float, step: int) -> None:
        """One point of the curve `name`."""

    def log(self, text: str) -> None:
        """A line for the run's log."""


class NullReporter:
    """Reports to nobody: recipes called in a notebook or a test."""

    def stage(self, name: str, *, weight: float = 1.0) -> AbstractContextManager[None]:
        return nullcontext()

    def plan(self, stages: dict[str, float]) -> None: ...

    def progress(self, done: float, total: float) -> None: ...

    def metric(self, name: str, value: float, step: int) -> None: ...

    def log(self, text: str) -> None: ...


#: ``recipe(estimator, data, split, seed, reporter) -> Report``
Recipe = Callable[[Any, Data, Split, int, Reporter], Report]
