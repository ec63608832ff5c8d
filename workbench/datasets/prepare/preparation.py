"""An ordered list of steps: previewed, applied as a new version, shown as SQL and Python, replayed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.datasets.files import Build, Column, first_sentence
from workbench.datasets.importers import Imported
from workbench.datasets.names import identifier, literal
from workbench.datasets.prepare.logs import LabelWindow, NegativeSampling, Sessions
from workbench.datasets.prepare.recordings import AggregateDuplicates, FillGaps, Resample, Windows
from workbench.datasets.prepare.splitting import SplitRows
from workbench.datasets.prepare.step import CodeStep, SQLStep, Step, Table
from workbench.datasets.prepare.text import Unpack, Vectorise
from workbench.datasets.reading import connect
from workbench.datasets.roles import Roles, check
from workbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.datasets.dataset import Dataset, DatasetFile

__all__ = ["STEPS", "Preparation", "Preview"]

#: Steps by their kind.
STEPS: dict[str, type[Step]] = {
    step.kind: step
    for step in (
        AggregateDuplicates, Resample, FillGaps, Windows, SplitRows, Sessions, NegativeSampling, LabelWindow,
        Unpack, Vectorise,
    )
}  # fmt: skip
_FORMAT = 1  # of the JSON
_SCRATCH = "scratch"


@dataclass(frozen=True)
class Preview:
    """Rows before and after a preparation of a part of a data set.

    Attributes
    ----------
    before, after : DataFrame
        Rows of the same series (users, or first rows).
    roles : dict
        Those of `after`.
    steps : tuple of Step
        As they were taken, with what they learned.
    """

    before: pd.DataFrame
    after: pd.DataFrame
    roles: Roles
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Preparation:
    """Steps in their order.

    Parameters
    ----------
    steps : sequence of Step

    Raises
    ------
    UsageError, DatasetError
        Where a step's parameters cannot be, or the order of steps would leak from test to train.
    """

    steps: tuple[Step, ...]

    def __init__(self, steps: Sequence[Step]) -> None:
        object.__setattr__(self, "steps", tuple(steps))
        if not self.steps:
            raise UsageError("A preparation has at least one step.")
        for place, step in enumerate(self.steps):
            step.check(self.steps[:place])

    # -- JSON ----------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The recipe as JSON; :meth:`from_json` reads it."""
        steps = []
        for step in self.steps:
            values = {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}
            steps.append({"step": step.kind} | {k: v for k, v in values.items() if v is not None})
        return json.dumps({"format": _FORMAT, "steps": steps}, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Preparation:
        """Read a recipe.

        Raises
        ------
        UsageError
            In one sentence that names the step.
        """
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise UsageError(
                f"The recipe is not JSON (line {error.lineno}, column {error.colno})."
            ) from error
        except (
            ValueError,
            RecursionError,
        ) as error:  # thousands of digits, or of brackets
            raise UsageError("The recipe is not JSON that can be read.") from error
        listed = found.get("steps") if isinstance(found, Mapping) else found
        if not isinstance(listed, list) or not all(isinstance(step, Mapping) for step in listed):
            raise UsageError('The recipe must be {"steps": [{"step": "resample", …}, …]}.')
        if isinstance(found, Mapping) and found.get("format", _FORMAT) != _FORMAT:
            raise UsageError(f"The recipe has the format {found['format']}; this workbench reads {_FORMAT}.")
        steps = [_step(dict(step), place) for place, step in enumerate(listed, 1)]
        try:
            return cls(steps)
        except (
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
        ) as error:  # of a kind that a step did not expect
            raise UsageError(f"The recipe's steps do not take these values: {error}.") from error

    @classmethod
    def load(cls, path: str | Path) -> Preparation:
        """Read a recipe from a file."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
            ) from error

    @classmethod
    def of(cls, dataset: Dataset) -> Preparation:
        """The preparation that made `dataset`.

        Raises
        ------
        DatasetError
            If none did.
        """
        if dataset.importer != "prepare" or not dataset.recipe:
            raise DatasetError(f"{dataset.ref} was not made by a preparation: there is no recipe to replay.")
        return cls.from_json(dataset.recipe)

    # -- what it does --------------------------------------------------------------------------

    def to_python(self, ref: str = "name", name: str = "prepared") -> str:
        """The Python that does the same."""
        kinds = sorted({type(step).__name__ for step in self.steps})
        lines = [f"    {_call(step)}," for step in self.steps]
        return "\n".join(
            [
                "import workbench as wb",
                f"from workbench.datasets.prepare import {', '.join(['Preparation', *kinds])}",
                "",
                "preparation = Preparation([",
                *lines,
                "])",
                f"prepared = preparation.apply(wb.open().dataset({ref!r}), {name!r})",
                "",
            ]
        )

    def to_sql(self, dataset: DatasetFile) -> str:
        """The SQL that does the same to `dataset`; steps that are not SQL are named in a comment."""
        with _Workshop(dataset) as shop:
            shop.run(self.steps)
            return shop.script

    def preview(self, dataset: DatasetFile, n: int = 3, max_rows: int = 5000) -> Preview:
        """What becomes of `n` series (or users); of the first `max_rows` rows where there are neither."""
        with _Workshop(dataset) as shop:
            shop.narrow(n, max_rows)
            before = shop.frame(max_rows)
            roles = shop.run(self.steps)
            return Preview(before, shop.frame(max_rows), roles, tuple(shop.steps))

    def apply(self, dataset: Dataset, name: str) -> Dataset:
        """Publish the result as the next version of `name`, with its lineage and its recipe.

        Raises
        ------
        DatasetError
            In one sentence; nothing is kept.
        """
        from workbench.datasets.library import Datasets

        learned: list[Step] = []

        def fill(build: Build) -> Imported:
            with _Workshop(dataset, build) as shop:
                roles = shop.run(self.steps)
                learned.extend(shop.steps)
                if not shop.publish():
                    raise DatasetError("The preparation leaves no rows: preview it step by step.")
                return Imported(roles)

        def recipe() -> tuple[str, str]:
            done = Preparation(learned)
            return done.to_json(), self.to_sql(dataset) if not _has_code(self.steps) else ""

        return Datasets(dataset._store).publish_build(
            name, fill, importer="prepare", parent=dataset.ref, recipe=recipe
        )


def _has_code(steps: Sequence[Step]) -> bool:
    return any(isinstance(step, CodeStep) for step in steps)


def _step(values: dict[str, Any], place: int) -> Step:
    kind = values.pop("step", None)
    if not isinstance(kind, str) or kind not in STEPS:
        raise UsageError(
            f"Step {place} of the recipe: there is no step {kind!r}; there are {', '.join(STEPS)}."
        )
    known = [field.name for field in dataclasses.fields(STEPS[kind])]
    for name in values:
        if name not in known:
            raise UsageError(
                f"Step {place} of the recipe: {kind} has no {name!r}; it has {', '.join(known)}."
            )
    try:
        return STEPS[kind](**values)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"Step {place} of the recipe: {kind} does not take its values: {error}.") from error


def _call(step: Step) -> str:
    values = []
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        if value != field.default:
            values.append(f"{field.name}={value!r}")
    return f"{type(step).__name__}({', '.join(values)})"


class _Workshop:
    """A connection on which a data set's rows go through the steps: each a view over the one before.

    Parameters
    ----------
    dataset : DatasetFile
    build : Build, optional
        Whose connection to use, to publish the result; else one in memory.
    """

    def __init__(self, dataset: DatasetFile, build: Build | None = None) -> None:
        self._dataset, self._build = dataset, build
        self._connection = connect() if build is None else build.connection
        self.steps: list[Step] = []  # with what they learned
        self._parts: list[str] = []
        self._table = Table(f"{_SCRATCH}.step_0", list(dataset.columns), dict(dataset.roles))

    def __enter__(self) -> _Workshop:
        self._do(f"ATTACH {literal(self._dataset.path)} AS origin (READ_ONLY)")
        # In memory, so that nothing of it stays in a build's file; attached, so that cursors see it too.
        self._do(f"ATTACH ':memory:' AS {_SCRATCH}")
        self._do(f"CREATE VIEW {_SCRATCH}.step_0 AS SELECT * FROM origin.data")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._build is None:
            self._connection.close()
            return
        self._connection.execute("DETACH origin").fetchall()
        self._connection.execute(f"DETACH {_SCRATCH}").fetchall()

    @property
    def script(self) -> str:
        """The steps as one query over the data set."""
        first = f"step_0 AS (\n  SELECT * FROM {identifier(self._dataset.ref)}\n)"
        return "WITH " + ",\n".join([first, *self._parts]) + f"\nSELECT * FROM step_{len(self._parts)}"

    def narrow(self, n: int, max_rows: int) -> None:
        """Go on with a part of the rows only."""
        owner = self._table.optional("series_id") or self._table.optional("user")
        part = f"LIMIT {int(max_rows)}"
        if owner is not None:
            name = identifier(owner)
            part = (
                f"WHERE {name} IN (SELECT {name} FROM (SELECT {name}, min(rowid) AS first FROM origin.data "
                f"GROUP BY 1 ORDER BY first LIMIT {int(n)}))"
            )
        self._do(f"CREATE OR REPLACE VIEW {_SCRATCH}.step_0 AS SELECT * FROM origin.data {part}")

    def run(self, steps: Sequence[Step]) -> Roles:
        """Take the steps; returns the roles of the result."""
        for number, step in enumerate(steps, 1):
            shown, target = f"step_{number}", f"{_SCRATCH}.step_{number}"
            of = f"step_{number - 1}"
            if isinstance(step, SQLStep):
                sql, roles = step.sql(self._table)
                self._do(f"CREATE VIEW {target} AS {sql}", step)
                self._parts.append(f"{shown} AS (\n  {step.sql(replace(self._table, name=of))[0]}\n)")
            elif isinstance(step, CodeStep):
                step, roles = step.run(self._connection, self._table, target)
                self._parts.append(
                    f"{target} AS (\n  SELECT * FROM {self._table.name} -- and {step.kind}, not SQL\n)"
                )
            self.steps.append(step)
            columns = [
                Column(row[0], row[1])
                for row in self._do(f"SELECT name, type FROM pragma_table_info('{target}')", step)
            ]
            self._table = Table(target, columns, check(roles, columns))
        return self._table.roles

    def frame(self, max_rows: int) -> pd.DataFrame:
        try:
            with self._connection.cursor() as cursor:
                return cursor.execute(
                    f"SELECT * FROM {self._table.name} {self._order()} LIMIT {int(max_rows)}"
                ).df()
        except duckdb.Error as error:
            raise _plain(error) from error

    def publish(self) -> int:
        """Write the result into the build's table; returns its number of rows."""
        assert self._build is not None  # noqa: S101
        try:
            self._build.run(
                f"CREATE TABLE data AS SELECT * FROM {self._table.name} {self._order()}", None, "preparing"
            )
        except (
            duckdb.InvalidInputException,
            duckdb.ConversionException,
            duckdb.OutOfRangeException,
        ) as error:
            raise _plain(error) from error
        return self._build.n_rows()

    def _order(self) -> str:
        """Series lie together, in the order of time, so that one is read without the others."""
        # A log stays in the order of time, whoever's event it is.
        names = [
            name for role in ("series_id", "time", "channel") for name in self._table.roles.get(role, [])
        ]
        rest = [name for name in self._table.names if name not in names] if names else []
        return f"ORDER BY {', '.join(identifier(name) for name in [*names, *rest[:5]])}" if names else ""

    def _do(self, sql: str, step: Step | None = None) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise _plain(error, step) from error


def _plain(error: duckdb.Error, step: Step | None = None) -> DatasetError:
    sentence = first_sentence(str(error))
    return DatasetError(sentence if step is None else f"{step.kind}: {sentence}")
