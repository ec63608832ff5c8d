"""Publishing: a build is filled, its roles found, its profile computed, its file sealed and entered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.datasets import catalog
from workbench.datasets.dataset import Dataset
from workbench.datasets.files import Build, Column, Progress, plain_failures
from workbench.datasets.importers import Imported
from workbench.datasets.names import identifier
from workbench.datasets.profile import profile
from workbench.datasets.roles import Roles, complete
from workbench.errors import ImportFailed
from workbench.naming import check_name

if TYPE_CHECKING:
    from workbench.store import StoreDir

__all__ = ["publish"]


def publish(
    store: StoreDir,
    name: str,
    fill: Callable[[Build], Imported],
    *,
    importer: str,
    source: str = "",
    roles: Mapping[str, str | Sequence[str]] | None = None,
    parent: str | None = None,
    sql: str | None = None,
    recipe: Callable[[], tuple[str, str]] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Publish what `fill` writes into the table ``data`` of a build as the next version of `name`.

    Parameters
    ----------
    store : StoreDir
    name : str
    fill : callable
    importer, source : str
        How and from what it was made.
    roles : mapping, optional
        What `fill` says, else guessed, if not given. Roles of single columns alone (label, time, user, …)
        are put on top of the guesses; with features among them they are all there is.
    parent : str, optional
        References of what it was made of, apart by ``", "``.
    sql : str, optional
    recipe : callable, optional
        Called when the table is made; returns the recipe as JSON and as SQL.
    progress : callable, optional

    Returns
    -------
    Dataset
        The published version.

    Raises
    ------
    ImportFailed, DatasetError, StoreError, UsageError
        In one sentence; nothing is kept.
    """
    check_name(name)
    store.check_writable()
    with plain_failures(source or name), Build(store, progress) as build:
        imported = fill(build)
        notes = [*imported.notes, *_put_in_utc(build)]
        columns = build.columns()
        n_rows = build.n_rows() if columns else 0
        if n_rows == 0:
            raise ImportFailed("There are no rows.", file=source or None)
        chosen = _roles(build, roles, imported.roles, columns, source)
        kept, shown = recipe() if recipe is not None else (None, sql)
        build.say(1.0, "profiling")
        facts = profile(build.connection, columns, n_rows, chosen)
        if notes:
            facts["notes"] = notes
        n_bytes, checksum = build.seal()
        version = catalog.publish(
            store,
            build.path,
            name,
            roles=chosen,
            columns=columns,
            profile=facts,
            n_rows=n_rows,
            n_bytes=n_bytes,
            checksum=checksum,
            importer=importer,
            source=source,
            parent=parent or None,
            sql=shown or None,
            recipe=kept,
        )
    return Dataset(store, catalog.entry(store, f"{name}@{version}"))


def _put_in_utc(build: Build) -> list[str]:
    """Points in time become time stamps in UTC, which mean the same on every machine; says so."""
    notes = []
    for column in build.columns():
        if column.type == "TIMESTAMP WITH TIME ZONE":
            name = identifier(column.name)
            utc = f"make_timestamp(epoch_us({name}))"
            build.run(f"ALTER TABLE data ALTER {name} SET DATA TYPE TIMESTAMP USING {utc}")
            notes.append(f"The times in {column.name!r} are in UTC.")
    return notes


def _roles(
    build: Build,
    given: Mapping[str, str | Sequence[str]] | None,
    known: Mapping[str, str | Sequence[str]] | None,
    columns: Sequence[Column],
    source: str,
) -> Roles:
    """The roles as given, known or guessed, checked against the columns and the labels."""
    chosen = complete(given, columns, known)
    if known is None:
        _drop_varying(build, chosen, given or {})
    types = {column.name: column.type for column in columns}
    if "label" in chosen and types[chosen["label"][0]] in ("FLOAT", "DOUBLE"):
        name = identifier(chosen["label"][0])
        row = build.connection.execute(f"SELECT min(rowid) FROM data WHERE isinf({name})").fetchone()
        if row is not None and row[0] is not None:
            raise ImportFailed(
                f"The label {name} is infinite in row {row[0] + 1}: a label is finite, or missing.",
                file=source or None,
            )
    return chosen


def _drop_varying(build: Build, roles: Roles, given: Mapping[str, object]) -> None:
    """A guessed label or split that changes within a series belongs to its steps, not to the series."""
    if "time" not in roles or "value" not in roles:
        return
    by = f"GROUP BY {identifier(roles['series_id'][0])}" if "series_id" in roles else ""
    for role in ("label", "split"):
        if role in roles and role not in given:
            column = identifier(roles[role][0])
            varying = build.connection.execute(
                f"SELECT 1 FROM data {by} HAVING min({column}) IS DISTINCT FROM max({column}) "
                f"OR count({column}) NOT IN (0, count(*)) LIMIT 1"
            ).fetchone()
            if varying is not None:
                del roles[role]
