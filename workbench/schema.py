"""The tables of a store, as forward migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

__all__ = ["MIGRATIONS", "statements"]

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


def statements(script: str) -> Iterator[str]:
    """The statements of a migration, one by one (``executescript`` would commit the transaction)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
