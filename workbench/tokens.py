"""Tokens with which programs use a store over HTTP: created in the command line, kept as keyed hashes only.

A token reads ``wb_<id>_<secret>``; the secret has 256 random bits and is shown once. The store keeps its
HMAC-SHA256 under a key that lies beside the database, readable by the owner only, so that neither the
database nor a copy of it tells a token.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import StoreError, UsageError
from workbench.store import StoreDir

__all__ = ["KEY_FILE", "Token", "Tokens", "is_key", "run_of_token", "run_token"]

KEY_FILE = "token.key"
_PREFIX = "wb"
_RUN_PREFIX = "wbn"  # of the tokens of nodes
_KEY_BYTES = 32
_USED_EVERY = 60.0  # seconds; a write for every request would be too many


@dataclass(frozen=True)
class Token:
    """What is known of a token; not the token itself.

    Attributes
    ----------
    id, name : str
        The name is the owner of the runs that it submits.
    scope : {"read", "write"}
    created, expires, used, revoked : float or None
        Unix seconds.
    """

    id: str
    name: str
    scope: str
    created: float
    expires: float | None
    used: float | None
    revoked: float | None

    @property
    def may_write(self) -> bool:
        """Whether it may change something."""
        return self.scope == "write"

    def is_valid(self, now: float) -> bool:
        """Whether it is neither revoked nor out of date."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class Tokens:
    """The tokens of a store.

    Parameters
    ----------
    dir : StoreDir
    """

    def __init__(self, dir: StoreDir) -> None:
        self._dir = dir

    def create(self, name: str, *, write: bool = False, days: float | None = None) -> tuple[Token, str]:
        """A new token and its text, which cannot be had again.

        Raises
        ------
        UsageError
            If the name is empty or has a valid token already, or `days` is not positive.
        """
        name = name.strip()
        if not name or len(name) > 100 or not name.isprintable():
            raise UsageError("A token's name has 1 to 100 printable characters.")
        if days is not None and not days > 0:
            raise UsageError("A token is valid for more than 0 days.")
        now = time.time()
        id_, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        with self._dir.write() as db:
            if any(token.name == name and token.is_valid(now) for token in self._all(db)):
                raise UsageError(
                    f"There is a valid token {name!r} already: revoke it or choose another name."
                )
            db.execute(
                "INSERT INTO tokens (id, name, scope, digest, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    id_,
                    name,
                    "write" if write else "read",
                    self._digest(secret),
                    now,
                    None if days is None else now + days * 86400,
                ),
            )
        return next(token for token in self.list() if token.id == id_), f"{_PREFIX}_{id_}_{secret}"

    def list(self) -> Sequence[Token]:
        """Every token, the newest first."""
        return self._all(self._dir.connection)

    def revoke(self, which: str) -> Token:
        """Make the token with that id or name invalid at once."""
        with self._dir.write() as db:
            found = [t for t in self._all(db) if which in (t.id, t.name) and t.revoked is None]
            if not found:
                raise UsageError(f"There is no token {which!r} that could be revoked.")
            for token in found:
                db.execute("UPDATE tokens SET revoked = ? WHERE id = ?", (time.time(), token.id))
        return next(token for token in self.list() if token.id == found[0].id)

    def check(self, text: str) -> Token | None:
        """The valid token that `text` is, or None; takes the same time for every wrong secret."""
        prefix, _, rest = text.partition("_")
        id_, _, secret = rest.partition("_")
        row = self._dir.connection.execute("SELECT * FROM tokens WHERE id = ?", (id_,)).fetchone()
        expected = row["digest"] if row is not None else "0" * 64
        same = hmac.compare_digest(self._digest(secret), expected)
        now = time.time()
        if not same or row is None or prefix != _PREFIX:
            return None
        token = _token(row)
        if not token.is_valid(now):
            return None
        due = token.used is None or now - token.used > _USED_EVERY
        if due and not self._dir.read_only:
            with self._dir.write() as db:
                db.execute("UPDATE tokens SET used = ? WHERE id = ?", (now, token.id))
        return token

    @staticmethod
    def _all(db: sqlite3.Connection) -> Sequence[Token]:
        rows = db.execute("SELECT * FROM tokens ORDER BY created DESC, rowid DESC")
        return [_token(row) for row in rows]

    def _digest(self, secret: str) -> str:
        return hmac.new(_key(self._dir.root / KEY_FILE), secret.encode(), hashlib.sha256).hexdigest()


def run_token(dir: StoreDir, run: str, attempt: int) -> str:
    """What lets a node of a cluster do one attempt of one run; it is not kept anywhere."""
    return f"{_RUN_PREFIX}_{run}_{attempt}_{_sign(dir, run, attempt)}"


def run_of_token(dir: StoreDir, text: str) -> str | None:
    """The run that `text` opens: one whose token it is, which is running, in that attempt."""
    prefix, run, attempt, signature = (text.split("_") + [""] * 4)[:4]
    if prefix != _RUN_PREFIX or not (text.isascii() and attempt.isdigit() and len(attempt) < 10):
        return None
    if not hmac.compare_digest(_sign(dir, run, int(attempt)), signature):
        return None
    row = dir.connection.execute(
        "SELECT 1 FROM runs WHERE id = ? AND attempt = ? AND state = 'running'", (run, int(attempt))
    ).fetchone()
    return None if row is None else run


def is_key(path: Path) -> bool:
    """Whether the file holds a whole key."""
    return path.is_file() and path.stat().st_size == _KEY_BYTES


def _sign(dir: StoreDir, run: str, attempt: int) -> str:
    key = _key(dir.root / KEY_FILE)
    return hmac.new(key, f"node {run} {attempt}".encode(), hashlib.sha256).hexdigest()


def _token(row: sqlite3.Row) -> Token:
    return Token(**{name: row[name] for name in Token.__dataclass_fields__})


def _key(path: Path) -> bytes:
    """The store's key, made on first use: whole or not at all, by one of several processes."""
    while True:
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            part = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
                os.fsync(descriptor)
                os.link(part, path)
            except FileExistsError:
                pass  # another process was first
            finally:
                os.close(descriptor)
                part.unlink()
            continue
        if len(key) != _KEY_BYTES:
            raise StoreError(f"{path} is damaged: delete it and create new tokens.")
        return key
