"""Data sets: the catalogue against the files."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

import duckdb

from workbench.datasets import catalog
from workbench.datasets import files as version_files
from workbench.datasets.files import Column
from workbench.datasets.profile import profile
from workbench.datasets.reading import TABLE, Reader, connect
from workbench.datasets.roles import guess
from workbench.errors import DatasetError
from workbench.store import StoreDir
from workbench.upkeep._common import SET_ASIDE, Fault, Faults, inner, is_name, set_aside

__all__ = ["files", "rows"]


def rows(dir: StoreDir) -> Faults:
    rows = dir.connection.execute(
        "SELECT name, version, checksum FROM dataset_versions ORDER BY name, version"
    )
    for name, version, checksum in [tuple(row) for row in rows]:
        path = catalog.path_of(dir, name, version)
        ref = f"{name}@{version}"
        if not path.is_file():
            if _is_version(dir, name, version):  # else it was deleted while we looked
                yield Fault(
                    f"dataset {ref}",
                    f"Its file {inner(dir, path)} is missing: copy it back, or import it again.",
                    "Take it out of the catalogue.",
                    partial(_forget_version, dir, name, version),
                )
        elif version_files.checksum(path) != checksum:
            yield Fault(
                f"dataset {ref}",
                f"Its file {inner(dir, path)} is not the one that was made: it was cut off or changed.",
                f"Set the file aside in {SET_ASIDE}/ and take the version out of the catalogue.",
                partial(_set_version_aside, dir, name, version, path),
            )
        elif not dir.connection.execute(
            "SELECT 1 FROM role_revisions WHERE name = ? AND version = ?", (name, version)
        ).fetchone():
            yield Fault(
                f"dataset {ref}",
                "Its roles are missing.",
                "Guess them anew; look at them before the next run.",
                partial(_guess_roles, dir, name, version),
            )


def files(dir: StoreDir) -> Faults:
    for path in sorted(dir.datasets.glob("*/*")):
        name, stem = path.parent.name, path.name.removesuffix(".duckdb")
        is_number = stem.isdecimal() and path.suffix == ".duckdb" and is_name(name)
        known = is_number and _is_version(dir, name, int(stem))
        if known or dir.is_noted(path) or not path.exists():
            continue
        if is_number and _columns_of(path):
            yield Fault(
                f"dataset {name}@{stem}",
                f"Its file {inner(dir, path)} is there, but the catalogue does not know it.",
                "Enter it again, with guessed roles; look at them before the next run.",
                partial(_enter_version, dir, name, int(stem), path),
            )
        else:
            yield Fault(
                f"file {inner(dir, path)}",
                "It belongs to no version in the catalogue, and cannot be read as one.",
                f"Set it aside in {SET_ASIDE}/.",
                partial(set_aside, dir, path),
            )


def _columns_of(path: Path) -> list[Column]:
    """The columns of a version's file; none if it is no such file."""
    try:
        with closing(Reader(path)) as reader:
            rows = reader.rows(f"SELECT column_name, column_type FROM (DESCRIBE {TABLE})")  # noqa: S608
    except (DatasetError, duckdb.Error):
        return []
    return [Column(name, type_) for name, type_ in rows]


def _enter_version(dir: StoreDir, name: str, version: int, path: Path) -> None:
    """Make a version's row from its file: what it holds is described anew, what it came from is not known."""
    columns = _columns_of(path)
    roles = guess(columns)
    with closing(connect(str(path), access_mode="read_only")) as connection:
        [(n_rows,)] = connection.execute("SELECT count(*) FROM data").fetchall()
        facts = profile(connection, columns, n_rows, roles)
    row = {
        "name": name,
        "version": version,
        "created": path.stat().st_mtime,
        "n_rows": n_rows,
        "n_bytes": path.stat().st_size,
        "checksum": version_files.checksum(path),
        "importer": "check",
        "source": inner(dir, path),
        "columns": json.dumps([asdict(column) for column in columns]),
        "profile": json.dumps(facts, allow_nan=False),
    }
    with dir.write() as db:
        db.execute("INSERT OR IGNORE INTO datasets (name, created) VALUES (:name, :created)", row)
        db.execute("UPDATE datasets SET last_version = max(last_version, :version) WHERE name = :name", row)
        db.execute(
            "INSERT INTO dataset_versions (name, version, created, n_rows, n_bytes, checksum, importer,"
            " source, columns, profile) VALUES (:name, :version, :created, :n_rows, :n_bytes, :checksum,"
            " :importer, :source, :columns, :profile)",
            row,
        )
        db.execute(
            "INSERT INTO role_revisions VALUES (?, ?, 1, ?, ?)",
            (name, version, json.dumps(roles), time.time()),
        )


def _is_version(dir: StoreDir, name: str, version: int) -> bool:
    found = dir.connection.execute(
        "SELECT 1 FROM dataset_versions WHERE name = ? AND version = ?", (name, version)
    )
    return found.fetchone() is not None


def _set_version_aside(dir: StoreDir, name: str, version: int, path: Path) -> None:
    set_aside(dir, path)
    _forget_version(dir, name, version)


def _forget_version(dir: StoreDir, name: str, version: int) -> None:
    with dir.write() as db:
        db.execute("DELETE FROM dataset_versions WHERE name = ? AND version = ?", (name, version))


def _guess_roles(dir: StoreDir, name: str, version: int) -> None:
    roles = guess(catalog.entry(dir, f"{name}@{version}").columns)
    with dir.write() as db:
        db.execute(
            "INSERT INTO role_revisions VALUES (?, ?, 1, ?, ?)",
            (name, version, json.dumps(roles), time.time()),
        )
