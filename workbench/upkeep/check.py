"""Whether a store is whole, and putting right what a half copy or a crash broke.

Everything the database refers to must be there as it was made, and all that is there must be known. What can
be made again from what is left is made again: a run's row from its folder, its ``spec.json`` from its row, a
model's row from its folder. What cannot is set aside in ``set-aside/``; only a crash's rubbish is deleted.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from workbench import tokens
from workbench.datasets.names import identifier
from workbench.errors import StoreError, WorkbenchError
from workbench.store import StoreDir
from workbench.tokens import Tokens
from workbench.upkeep import _datasets, _models, _runs
from workbench.upkeep._common import Fault, Faults, inner

__all__ = ["Finding", "check"]

_OLD = 3600.0  # seconds after which a draft of a run or a model under tmp/ is nobody's any more
_PASSES = 3  # what is put right may show what else is wrong: of a run that is entered again, its report


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    what : str
        ``database``, ``dataset name@version``, ``run id``, ``model name@version`` or ``file path``.
    problem : str
        In one sentence.
    remedy : str
        What was done, or would be done by a repair, or why it could not be done.
    repaired : bool
    """

    what: str
    problem: str
    remedy: str
    repaired: bool = False


def check(dir: StoreDir, *, repair: bool = False) -> list[Finding]:
    """Look at everything in a store; with `repair`, put right what can be.

    May be used while the store is in use. Data-set files are read whole, to compare their checksums.

    Raises
    ------
    StoreError
        If the database itself is damaged.
    """
    if not repair:
        return _pass(dir, repair=False)
    dir.check_writable()
    findings: dict[tuple[str, str], Finding] = {}
    for _ in range(_PASSES):
        found = _pass(dir, repair=True)
        findings |= {(finding.what, finding.problem): finding for finding in found}
        if not any(finding.repaired for finding in found):
            break
    return [*findings.values()]


def _pass(dir: StoreDir, *, repair: bool) -> list[Finding]:
    findings = []
    for part in (
        _database,
        _datasets.rows,
        _datasets.files,
        _runs.rows,
        _runs.folders,
        _models.rows,
        _models.folders,
        _tokens,
        _rubbish,
    ):
        # The faults of a part are collected before any is mended, as mending changes what is looked at.
        for fault in [*part(dir)]:
            done, remedy = False, fault.remedy
            if repair:
                try:
                    fault.mend()
                    done = True
                except (WorkbenchError, OSError, sqlite3.Error) as error:
                    remedy = f"The repair failed: {' '.join(str(error).split())}"
            findings.append(Finding(fault.what, fault.problem, remedy, done))
    return findings


def _database(dir: StoreDir) -> Faults:
    try:
        told = [row[0] for row in dir.connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.DatabaseError as error:
        told = [str(error)]
    if told != ["ok"]:
        raise StoreError(
            f"{dir.database} is damaged ({told[0]}): restore a backup with `python -m workbench restore`."
        )
    orphans: dict[str, list[int]] = {}
    for row in dir.connection.execute("PRAGMA foreign_key_check"):
        orphans.setdefault(row[0], []).append(row[1])
    for table in orphans:
        count = len(orphans[table])
        yield Fault(
            "database",
            f"{count} row{'s' * (count != 1)} of {table} belong to nothing.",
            "Remove them.",
            partial(_remove_orphans, dir, table, orphans[table]),
        )


#: The rows of a table that belong to nothing are removed by this; where nothing is said, by their number.
_REMOVE = {
    "metrics": "DELETE FROM metrics WHERE run NOT IN (SELECT id FROM runs)",
    "role_revisions": "DELETE FROM role_revisions AS r WHERE NOT EXISTS"
    " (SELECT 1 FROM dataset_versions AS v WHERE v.name = r.name AND v.version = r.version)",
    # The files of versions may be sound: what they lack is made instead.
    "dataset_versions": "INSERT INTO datasets (name, created, last_version)"
    " SELECT name, min(created), max(version) FROM dataset_versions"
    " WHERE name NOT IN (SELECT name FROM datasets) GROUP BY name",
}


def _remove_orphans(dir: StoreDir, table: str, rows: list[int]) -> None:
    with dir.write() as db:
        if table in _REMOVE:
            db.execute(_REMOVE[table])
        else:
            marks = [(row,) for row in rows]
            db.executemany(f"DELETE FROM {identifier(table)} WHERE rowid = ?", marks)  # noqa: S608


def _tokens(dir: StoreDir) -> Faults:
    key = dir.root / tokens.KEY_FILE
    if not tokens.is_key(key) and (key.exists() or any(t.revoked is None for t in Tokens(dir).list())):
        yield Fault(
            f"file {inner(dir, key)}",
            "The key by which tokens are known is missing or cut off.",
            "Make a new one and revoke the tokens: create others for whoever used them.",
            partial(_new_key, dir, key),
        )


def _new_key(dir: StoreDir, key: Path) -> None:
    key.unlink(missing_ok=True)
    for token in Tokens(dir).list():
        if token.revoked is None:
            Tokens(dir).revoke(token.id)


def _rubbish(dir: StoreDir) -> Faults:
    for path in dir.left_in_place():
        yield Fault(
            f"file {inner(dir, path)}",
            "A crash left it in place before it was entered, or after it was deleted.",
            "Delete it.",
            dir.sweep,
        )
    now = time.time()
    for path in sorted(dir.tmp.iterdir()):
        ours = path.name.startswith(("run-", "model-"))
        if ours and path.exists() and now - path.stat().st_mtime > _OLD:
            yield Fault(
                f"file {inner(dir, path)}",
                "A crash left it half made.",
                "Delete it.",
                partial(_delete, path),
            )
    active = {row[0] for row in dir.connection.execute("SELECT id FROM runs WHERE state = 'running'")}
    for path in sorted(dir.runs.glob("*/*.part")):
        if path.parent.name not in active and path.exists() and now - path.stat().st_mtime > _OLD:
            yield Fault(
                f"file {inner(dir, path)}",
                "A crash left it half written.",
                "Delete it.",
                partial(_delete, path),
            )


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
