"""A store on disk: its paths, its SQLite connection, and forward migrations.

A store is one directory::

    workbench.sqlite    catalogue, runs, metrics, models (WAL)
    datasets/<name>/<version>.duckdb
    runs/<id>/          spec.json log.txt events.jsonl checkpoint/ artifacts/
    models/<name>/<version>/
    tmp/                half-built files; swept at start

SQLite is opened on one host only. Everything here is plain ``sqlite3``: a connection per thread,
``BEGIN IMMEDIATE`` around every write, rows as :class:`sqlite3.Row`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import StoreError, UsageError

__all__ = ["MIGRATIONS", "StoreDir", "default_root"]

# Each entry brings a store from version i to i + 1 and is never edited after a release: add another.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE datasets (
        name         TEXT PRIMARY KEY,
        created      REAL NOT NULL,
        last_version INTEGER NOT NULL DEFAULT 0,      -- the highest ever given: numbers are not used twice
        description  TEXT NOT NULL DEFAULT ''
    ) STRICT;

    CREATE TABLE dataset_versions (
        name     TEXT NOT NULL REFERENCES datasets(name),
        version  INTEGER NOT NULL,
        created  REAL NOT NULL,
        n_rows   INTEGER NOT NULL,
        n_bytes  INTEGER NOT NULL,
        checksum TEXT NOT NULL,              -- sha256 of the DuckDB file
        importer TEXT NOT NULL,              -- 'csv', 'ts', 'sql', 'frame', ...
        source   TEXT NOT NULL DEFAULT '',   -- file names as the user gave them
        parent   TEXT,                       -- 'name@version' it was derived from
        sql      TEXT,                       -- the query that derived it
        recipe   TEXT,                       -- JSON, the preparation that derived it
        columns  TEXT NOT NULL,              -- JSON [{name, type}]
        profile  TEXT NOT NULL,              -- JSON, computed once at publish
        PRIMARY KEY (name, version)
    ) STRICT;

    CREATE TABLE role_revisions (
        name     TEXT NOT NULL,
        version  INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        roles    TEXT NOT NULL,              -- JSON {role: [columns]}
        created  REAL NOT NULL,
        PRIMARY KEY (name, version, revision),
        FOREIGN KEY (name, version) REFERENCES dataset_versions(name, version) ON DELETE CASCADE
    ) STRICT;

    CREATE TABLE queries (                   -- history of the SQL box
        id      INTEGER PRIMARY KEY,
        sql     TEXT NOT NULL,
        owner   TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        seconds REAL NOT NULL,
        n_rows  INTEGER,                     -- NULL where it failed
        error   TEXT NOT NULL DEFAULT ''
    ) STRICT;

    CREATE TABLE runs (
        id            TEXT PRIMARY KEY,
        name          TEXT NOT NULL,
        state         TEXT NOT NULL CHECK (state IN ('queued','running','done','failed','cancelled')),
        estimator     TEXT NOT NULL,
        recipe        TEXT NOT NULL,
        dataset       TEXT NOT NULL,         -- 'name@version'
        spec          TEXT NOT NULL,         -- JSON, the same as RUN_DIR/spec.json
        priority      INTEGER NOT NULL DEFAULT 0,
        device        TEXT NOT NULL DEFAULT 'auto',   -- asked for: auto | cpu | cuda
        slot          TEXT,                  -- given: cpu | cuda:0 | ...
        launcher      TEXT NOT NULL DEFAULT 'local',
        parent        TEXT,                  -- pipeline or search run it belongs to
        schedule      TEXT,
        owner         TEXT NOT NULL DEFAULT '',
        attempt       INTEGER NOT NULL DEFAULT 0,     -- times started
        failures      INTEGER NOT NULL DEFAULT 0,     -- deaths in a row without a new checkpoint
        worker        TEXT,                  -- lease holder
        lease_boot    TEXT,                  -- boot id for which lease_until counts
        lease_until   REAL,                  -- seconds on the host's boot clock: wall clock jumps do no harm
        job           TEXT NOT NULL DEFAULT '',       -- the launcher's name for it: pid of the process group
        checkpoint    TEXT NOT NULL DEFAULT '',       -- mark of the newest checkpoint at the last death
        cancel        INTEGER NOT NULL DEFAULT 0,
        created       REAL NOT NULL,         -- unix seconds, for people
        started       REAL,
        finished      REAL,
        stage         TEXT NOT NULL DEFAULT '',
        progress      REAL NOT NULL DEFAULT 0,        -- 0..1
        remaining     REAL,                  -- estimated seconds left
        scores        TEXT NOT NULL DEFAULT '{}',     -- JSON {name: number}
        headline      TEXT NOT NULL DEFAULT '',
        error         TEXT NOT NULL DEFAULT '',       -- one sentence when failed
        events_offset INTEGER NOT NULL DEFAULT 0      -- bytes of events.jsonl already ingested
    ) STRICT;
    CREATE INDEX runs_queue ON runs (state, priority DESC, created);
    CREATE INDEX runs_worker ON runs (worker) WHERE state = 'running';
    CREATE INDEX runs_created ON runs (created DESC);
    CREATE INDEX runs_dataset ON runs (dataset);

    CREATE TABLE metrics (
        run   TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        name  TEXT NOT NULL,
        step  INTEGER NOT NULL,
        value REAL,                          -- NULL where the measured value was NaN
        time  REAL NOT NULL,
        PRIMARY KEY (run, name, step)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE workers (
        id        TEXT PRIMARY KEY,
        pid       INTEGER NOT NULL,
        slots     TEXT NOT NULL,             -- JSON ['cpu', 'cuda:0', ...]
        started   REAL NOT NULL,
        boot      TEXT NOT NULL,
        beat      REAL NOT NULL              -- boot clock
    ) STRICT;

    CREATE TABLE models (
        name      TEXT NOT NULL,
        version   INTEGER NOT NULL,
        run       TEXT,                      -- the run that made it, if any
        estimator TEXT NOT NULL,
        dataset   TEXT NOT NULL DEFAULT '',
        card      TEXT NOT NULL DEFAULT '{}',
        n_bytes   INTEGER NOT NULL,
        created   REAL NOT NULL,
        PRIMARY KEY (name, version)
    ) STRICT;
    """,
    """
    ALTER TABLE runs ADD COLUMN lane TEXT;   -- of the runs in one lane, one is running at a time

    CREATE TABLE steps (                     -- of pipelines, which are runs
        run      TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
        name     TEXT NOT NULL,
        position INTEGER NOT NULL,           -- in the order in which the pipeline asked for them
        kind     TEXT NOT NULL CHECK (kind IN ('run','python')),
        needs    TEXT NOT NULL,              -- JSON [name]: the steps whose outputs it takes
        key      TEXT NOT NULL DEFAULT '',   -- hash of all that its output depends on, once that is known
        state    TEXT NOT NULL
                 CHECK (state IN ('waiting','running','done','failed','cancelled','skipped')),
        attempt  INTEGER NOT NULL DEFAULT 0,
        child    TEXT,                       -- the run that does it
        reused   TEXT,                       -- the pipeline run whose finished step it repeats
        output   TEXT,                       -- JSON
        error    TEXT NOT NULL DEFAULT '',
        started  REAL,
        finished REAL,
        PRIMARY KEY (run, name)
    ) STRICT;
    CREATE INDEX steps_key ON steps (key) WHERE state = 'done';
    CREATE INDEX runs_parent ON runs (parent) WHERE parent IS NOT NULL;
    CREATE INDEX runs_schedule ON runs (schedule) WHERE schedule IS NOT NULL;

    CREATE TABLE schedules (
        name     TEXT PRIMARY KEY,
        pipeline TEXT NOT NULL,
        params   TEXT NOT NULL,              -- JSON
        trigger  TEXT NOT NULL CHECK (trigger IN ('cron','dataset','folder')),
        what     TEXT NOT NULL,              -- cron text, name of a data set, or a folder
        zone     TEXT NOT NULL DEFAULT 'UTC',
        fills    TEXT NOT NULL DEFAULT '',   -- the parameter that is given the new version or file
        overlap  TEXT NOT NULL CHECK (overlap IN ('skip','queue','allow')),
        catch_up TEXT NOT NULL CHECK (catch_up IN ('none','last','all')),
        paused   INTEGER NOT NULL DEFAULT 0,
        owner    TEXT NOT NULL DEFAULT '',
        created  REAL NOT NULL,
        next_due REAL                        -- unix seconds; of cron only
    ) STRICT;

    CREATE TABLE ticks (                     -- what became of every due time, new version and new file
        schedule TEXT NOT NULL REFERENCES schedules(name) ON DELETE CASCADE,
        due      TEXT NOT NULL,              -- UTC time, data set's version, or file with size and time
        decided  REAL NOT NULL,
        outcome  TEXT NOT NULL CHECK (outcome IN ('started','skipped','missed','failed','known')),
        run      TEXT,
        note     TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (schedule, due)
    ) STRICT;

    CREATE TABLE notices (                   -- outbox: what somebody is to be told
        key      TEXT PRIMARY KEY,           -- the same event is told once
        kind     TEXT NOT NULL CHECK (kind IN ('failure','drift','missed')),
        title    TEXT NOT NULL,
        text     TEXT NOT NULL,
        run      TEXT,
        schedule TEXT,
        created  REAL NOT NULL,
        told     TEXT NOT NULL DEFAULT '[]', -- JSON: the ways by which it has been sent already
        sent     REAL,                       -- when by all of them
        attempts INTEGER NOT NULL DEFAULT 0,
        retry_at REAL NOT NULL DEFAULT 0,    -- unix seconds: not to be tried before
        error    TEXT NOT NULL DEFAULT ''
    ) STRICT;

    CREATE TABLE aliases (                   -- 'champion' and the like, of models
        name    TEXT NOT NULL,
        alias   TEXT NOT NULL,
        version INTEGER NOT NULL,
        since   REAL NOT NULL,
        PRIMARY KEY (name, alias),
        FOREIGN KEY (name, version) REFERENCES models(name, version)
    ) STRICT;
    """,
    """
    CREATE TABLE tokens (
        id      TEXT PRIMARY KEY,
        name    TEXT NOT NULL,
        scope   TEXT NOT NULL CHECK (scope IN ('read', 'write')),
        digest  TEXT NOT NULL,               -- HMAC-SHA256 of the secret under the key in token.key
        created REAL NOT NULL,
        expires REAL,
        used    REAL,
        revoked REAL
    ) STRICT;

    CREATE TABLE requests (                  -- idempotency keys
        caller      TEXT NOT NULL,
        key         TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        run         TEXT NOT NULL,
        created     REAL NOT NULL,
        PRIMARY KEY (caller, key)
    ) STRICT, WITHOUT ROWID;
    """,
)


def default_root() -> Path:
    """The store that is used when none is named: ``$WORKBENCH_STORE``, else ``data/store``."""
    return Path(os.environ.get("WORKBENCH_STORE") or Path("data") / "store")


class StoreDir:
    """The directory of a store.

    Parameters
    ----------
    root : path-like
        Created, with its database, if it does not exist.

    Raises
    ------
    StoreError
        If the directory cannot be written or was made by a newer version of the workbench.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root if root is not None else default_root()).expanduser().resolve()
        try:
            for path in (self.root, self.datasets, self.runs, self.models, self.tmp):
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The store {self.root} cannot be created: {error.strerror}.") from error
        self._local = threading.local()
        self._migrate()

    database = property(lambda self: self.root / "workbench.sqlite")
    datasets = property(lambda self: self.root / "datasets")
    runs = property(lambda self: self.root / "runs")
    models = property(lambda self: self.root / "models")
    tmp = property(lambda self: self.root / "tmp")

    def __repr__(self) -> str:
        return f"StoreDir({str(self.root)!r})"

    def inside(self, *parts: str) -> Path:
        """The path of `parts` below the root; refuses anything that would leave it."""
        path = self.root.joinpath(*parts).resolve()
        if not path.is_relative_to(self.root):
            raise UsageError(f"{'/'.join(parts)!r} is outside the store.")
        return path

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode: use :meth:`write` for changes."""
        key = os.getpid()
        if getattr(self._local, "pid", None) != key:  # never carry a connection over a fork
            self._local.pid, self._local.connection = key, self._connect()
        connection: sqlite3.Connection = self._local.connection
        return connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed at the end of the block, rolled back on any error."""
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise StoreError(f"The store {self.root} cannot be written: {error}.") from error
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StoreError(f"The store {self.root} cannot be written: {error}.") from error
            raise

    def close(self) -> None:
        """Close this thread's connection (the next use opens another)."""
        if getattr(self._local, "pid", None) == os.getpid():
            self._local.connection.close()
        self._local.pid = None

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.database, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error as error:
            raise StoreError(f"{self.database} cannot be opened: {error}.") from error
        return connection

    def _migrate(self) -> None:
        version: int = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreError(
                f"The store {self.root} was made by a newer workbench (schema {version}, this one knows "
                f"{len(MIGRATIONS)}): upgrade the package."
            )
        if version == len(MIGRATIONS):
            return
        with self.write() as connection:
            # Another process may have migrated while this one waited for the lock.
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            for script in MIGRATIONS[version:]:
                for statement in _statements(script):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _statements(script: str) -> Iterator[str]:
    """Split a migration into statements (``executescript`` would commit the transaction)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
