"""Requests that carry an idempotency key: what a caller sends twice is done once.

A key is entered in the transaction that does what was asked, so that a crash between the two cannot happen.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from workbench.errors import RequestConflict
from workbench.store import StoreDir

__all__ = ["KEPT", "Request", "enter", "find"]

KEPT = 30 * 86400.0  # seconds for which a key is remembered


@dataclass(frozen=True)
class Request:
    """A request as its sender names it.

    Attributes
    ----------
    caller, key : str
        Who sent it, and the name that the sender gave it.
    fingerprint : str
        A hash of everything that was asked.
    """

    caller: str
    key: str
    fingerprint: str


def find(dir: StoreDir, request: Request) -> str | None:
    """The run that the request led to, if it was done before.

    Raises
    ------
    RequestConflict
        If the key was used for another request.
    """
    return _find(dir.connection, request)


def enter(db: sqlite3.Connection, request: Request, run: str) -> bool:
    """Enter the request in the transaction that carries it out; False if that has been done."""
    if _find(db, request) is not None:
        return False
    now = time.time()
    db.execute("DELETE FROM requests WHERE created < ?", (now - KEPT,))
    db.execute(
        "INSERT INTO requests (caller, key, fingerprint, run, created) VALUES (?, ?, ?, ?, ?)",
        (request.caller, request.key, request.fingerprint, run, now),
    )
    return True


def _find(db: sqlite3.Connection, request: Request) -> str | None:
    row = db.execute(
        "SELECT fingerprint, run FROM requests WHERE caller = ? AND key = ? AND created >= ?",
        (request.caller, request.key, time.time() - KEPT),
    ).fetchone()
    if row is None:
        return None
    if row["fingerprint"] != request.fingerprint:
        raise RequestConflict(
            f"The idempotency key {request.key!r} was used for another request: give this one its own."
        )
    return str(row["run"])
