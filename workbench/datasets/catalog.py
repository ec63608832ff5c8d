"""The catalogue: which versions there are, what is known of them, and their roles.

A version's file is put into place within the transaction that enters it (:meth:`StoreDir.place`), so whoever
holds the write lock sees either both or neither; that is what makes :func:`sweep` safe at any time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from workbench.datasets import files
from workbench.datasets.files import Column
from workbench.errors import DatasetError, DatasetNotFound
from workbench.naming import split_ref
from workbench.store import StoreDir, highest, inside

__all__ = ["Entry", "add_roles", "delete", "entry", "latest", "publish", "roles_of", "sweep", "versions"]

Roles = dict[str, list[str]]
_RUNS_NAMED = 3  # in the sentence that refuses to delete a version


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of one version."""

    name: str
    version: int
    created: float
    n_rows: int
    n_bytes: int
    checksum: str
    importer: str
    source: str
    parent: str | None
    sql: str | None
    recipe: str | None
    columns: tuple[Column, ...]
    profile_json: str

    @property
    def ref(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @cached_property
    def profile(self) -> dict[str, Any]:
        """See :func:`workbench.datasets.profile.profile`; long, and wanted of few."""
        found: dict[str, Any] = json.loads(self.profile_json)
        return found


def path_of(store: StoreDir, name: str, version: int) -> Path:
    return _path_of(store.root, name, version)


@lru_cache(maxsize=10_000)
def _path_of(root: Path, name: str, version: int) -> Path:
    # To follow every link of a path takes longer than all else that a list of data sets asks.
    return inside(root, "datasets", name, f"{version}.duckdb")


def publish(
    store: StoreDir,
    built: Path,
    name: str,
    *,
    roles: Roles,
    columns: Sequence[Column],
    profile: dict[str, Any],
    **facts: Any,
) -> int:
    """Give the sealed file `built` the next version of `name`, and enter it; returns the version."""
    now = time.time()
    # A committed version must survive a power cut as its fsynced file does.
    store.connection.execute("PRAGMA synchronous=FULL")
    try:
        with store.write() as connection:
            same = connection.execute(
                "SELECT name FROM datasets WHERE name = ? COLLATE NOCASE", [name]
            ).fetchone()
            if same is not None and same["name"] != name:
                raise DatasetError(
                    f"There is a data set {same['name']!r} already, which SQL cannot tell from {name!r}: "
                    "use that spelling or another name."
                )
            connection.execute("INSERT OR IGNORE INTO datasets (name, created) VALUES (?, ?)", [name, now])
            # A file that lies there and is not known may come from a copy: a check will enter it.
            version: int = connection.execute(
                "UPDATE datasets SET last_version = max(last_version, ?) + 1 WHERE name = ?"
                " RETURNING last_version",
                [highest(store.datasets / name), name],
            ).fetchone()[0]
            record = {
                "name": name,
                "version": version,
                "created": now,
                "columns": json.dumps([asdict(column) for column in columns]),
                "profile": json.dumps(profile, allow_nan=False),
                **facts,
            }
            fields = ", ".join(record)
            marks = ", ".join("?" * len(record))
            connection.execute(
                f"INSERT INTO dataset_versions ({fields}) VALUES ({marks})",
                list(record.values()),
            )
            connection.execute(
                "INSERT INTO role_revisions VALUES (?, ?, 1, ?, ?)", [name, version, json.dumps(roles), now]
            )
            target = path_of(store, name, version)
            store.place(built, target)
            _sync(target.parent)
            _sync(store.datasets)
    finally:
        store.connection.execute("PRAGMA synchronous=NORMAL")
    return version


def entry(store: StoreDir, ref: str) -> Entry:
    """The version `ref` names, the latest one where it names none."""
    name, version = split_ref(ref)
    row = store.connection.execute(
        "SELECT * FROM dataset_versions WHERE name = ? AND version = coalesce(?, version) "
        "ORDER BY version DESC LIMIT 1",
        [name, version],
    ).fetchone()
    if row is None:
        raise DatasetNotFound(_missing(store, name, version))
    return _entry(row)


def latest(store: StoreDir) -> list[Entry]:
    """The latest version of every data set, by name."""
    return [
        _entry(row)
        for row in store.connection.execute(
            "SELECT * FROM dataset_versions AS v WHERE version = "
            "(SELECT max(version) FROM dataset_versions WHERE name = v.name) ORDER BY name COLLATE NOCASE"
        )
    ]


def names(store: StoreDir) -> list[str]:
    """The names of all data sets that have a version."""
    return [row[0] for row in store.connection.execute("SELECT DISTINCT name FROM dataset_versions")]


def versions(store: StoreDir, name: str) -> list[Entry]:
    """All versions of a data set, the newest first."""
    name, _ = split_ref(name)
    rows = store.connection.execute(
        "SELECT * FROM dataset_versions WHERE name = ? ORDER BY version DESC", [name]
    ).fetchall()
    if not rows:
        raise DatasetNotFound(_missing(store, name, None))
    return [_entry(row) for row in rows]


def roles_of(store: StoreDir, name: str, version: int, revision: int | None = None) -> tuple[int, Roles]:
    """A revision of the roles, the newest where none is named, and its number."""
    row = store.connection.execute(
        "SELECT revision, roles FROM role_revisions WHERE name = ? AND version = ? "
        "AND revision = coalesce(?, revision) ORDER BY revision DESC LIMIT 1",
        [name, version, revision],
    ).fetchone()
    if row is None:
        raise DatasetNotFound(f"{name}@{version} has no role revision {revision}.")
    return row["revision"], json.loads(row["roles"])


def add_roles(store: StoreDir, name: str, version: int, roles: Roles) -> int:
    """Write the next revision of the roles; returns its number."""
    with store.write() as connection:
        found = connection.execute(
            "SELECT max(revision) FROM role_revisions WHERE name = ? AND version = ?", [name, version]
        ).fetchone()[0]
        if found is None:
            raise DatasetNotFound(_missing(store, name, version))
        connection.execute(
            "INSERT INTO role_revisions VALUES (?, ?, ?, ?, ?)",
            [name, version, found + 1, json.dumps(roles), time.time()],
        )
    return int(found) + 1


def delete(store: StoreDir, ref: str) -> list[str]:
    """Remove one version, or all of them where `ref` names none; returns what was removed.

    Raises
    ------
    DatasetError
        If a run refers to any of them: nothing is removed then.
    """
    name, version = split_ref(ref)
    with store.write() as connection:
        found = [
            row[0]
            for row in connection.execute(
                "SELECT version FROM dataset_versions WHERE name = ? AND version = coalesce(?, version)",
                [name, version],
            )
        ]
        if not found:
            raise DatasetNotFound(_missing(store, name, version))
        for number in found:
            using = connection.execute(
                "SELECT name, id FROM runs WHERE dataset = ? ORDER BY created DESC", [f"{name}@{number}"]
            ).fetchall()
            if using:
                runs = "1 run uses" if len(using) == 1 else f"{len(using)} runs use"
                shown = ", ".join(f"{run['name']} ({run['id']})" for run in using[:_RUNS_NAMED])
                more = f" and {len(using) - _RUNS_NAMED} more" if len(using) > _RUNS_NAMED else ""
                raise DatasetError(
                    f"{name}@{number} cannot be deleted: {runs} it, {shown}{more}; delete them first."
                )
        # The row in datasets stays: a version's number is never given twice.
        connection.executemany(
            "DELETE FROM dataset_versions WHERE name = ? AND version = ?",
            [(name, number) for number in found],
        )
        for number in found:
            store.discard(path_of(store, name, number))
    return [f"{name}@{number}" for number in found]


def sweep(store: StoreDir) -> list[Path]:
    """Remove what crashed imports and deletes left; never what a live process is building.

    Other files that the catalogue does not know may be all that is left of a version: a copy in which the
    database is older than the files has them. They are the business of ``python -m workbench check``.
    """
    return [*store.sweep(), *files.sweep(store)]


def _entry(row: sqlite3.Row) -> Entry:
    facts = dict(row)
    facts["columns"] = _columns(facts["columns"])
    facts["profile_json"] = facts.pop("profile")
    return Entry(**facts)


@lru_cache(maxsize=1000)
def _columns(text: str) -> tuple[Column, ...]:
    return tuple(Column(**column) for column in json.loads(text))


def _missing(store: StoreDir, name: str, version: int | None) -> str:
    from difflib import get_close_matches

    if (
        version is not None
        and store.connection.execute("SELECT 1 FROM dataset_versions WHERE name = ?", [name]).fetchone()
    ):
        return f"The data set {name!r} has no version {version}."
    near = get_close_matches(name, names(store), n=1)
    return f"There is no data set {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
