"""Data sets: the catalogue against the files."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

from workbench.datasets import catalog
from workbench.datasets import files as version_files
from workbench.store import StoreDir
from workbench.upkeep._common import SET_ASIDE, Fault, Faults, inner, set_aside

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
        known = stem.isdigit() and path.suffix == ".duckdb" and _is_version(dir, name, int(stem))
        if not known and path.exists():
            yield Fault(
                f"file {inner(dir, path)}",
                "It belongs to no version in the catalogue.",
                f"Set it aside in {SET_ASIDE}/; what is sound in it can be imported again.",
                partial(set_aside, dir, path),
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
    from workbench.datasets.roles import guess

    roles = guess(catalog.entry(dir, f"{name}@{version}").columns)
    with dir.write() as db:
        db.execute(
            "INSERT INTO role_revisions VALUES (?, ?, 1, ?, ?)",
            (name, version, json.dumps(roles), time.time()),
        )
