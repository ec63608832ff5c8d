"""Version files on disk: built under ``tmp/``, sealed, and never written again.

A build has a folder of its own and holds a lock (``flock``) as long as its process lives, so that
:func:`sweep` can tell rubbish from work in progress, whatever became of process ids.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import duckdb

from workbench.datasets.memory import is_capped, reserve_little, spare_bytes
from workbench.datasets.reading import connect
from workbench.errors import DISK_FULL, FULL, ImportFailed, StoreError
from workbench.store import StoreDir

__all__ = ["Build", "Column", "Progress", "checksum", "plain_failures", "sweep"]

#: Called now and then with the share done (0..1) and a word on what is being done.
Progress = Callable[[float, str], None]

_PREFIX = "import-"
_THREAD_BYTES = 128 << 20  # what one thread takes while a table is written
_COLUMN_BYTES = 160 << 10  # measured: what DuckDB keeps for each column of a table that is being written
_SLOW_COMPRESSION = "alp,alprd,fsst,dict_fsst,zstd"


@dataclass(frozen=True)
class Column:
    """A column of a data set and its DuckDB type."""

    name: str
    type: str


class Build:
    """A version file in the making: fill the table ``data``, then :meth:`seal`.

    Used as a context manager; on leaving, everything that was not moved away is removed.

    Parameters
    ----------
    store : StoreDir
    progress : callable, optional
        See :data:`Progress`; called in the caller's thread.
    """

    def __init__(self, store: StoreDir, progress: Progress | None = None) -> None:
        self._store, self._progress = store, progress
        self._key = f"{_PREFIX}{uuid.uuid4().hex}"
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._lock: IO[bytes] | None = None
        self._limit = 0

    @property
    def folder(self) -> Path:
        """A folder of its own, removed at the end."""
        return self._store.tmp / self._key

    @property
    def path(self) -> Path:
        """The version file."""
        return self.folder / "data.duckdb"

    def __enter__(self) -> Build:
        sweep(self._store)  # what killed imports left would take this one's place on the disk
        self._lock = _locked(self.folder.with_suffix(".lock"))
        self.folder.mkdir()
        if is_capped():
            reserve_little()
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            self.folder.with_suffix(".lock").unlink(missing_ok=True)
            self._lock.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection to it, opened on first use."""
        if self._connection is None:
            self._connection = connect(str(self.path), temp_directory=str(self.folder / "spill"))
            self.expect(0)  # only now: DuckDB's threads take address space, of which there may be little
        return self._connection

    def expect(self, n_columns: int) -> None:
        """Take the memory that is there for a table of so many columns."""
        self._limit, threads = _memory(n_columns)
        self.connection.execute(f"SET memory_limit = '{self._limit}B'")
        self.connection.execute(f"SET threads = {threads}")

    def hurry(self) -> None:
        """Compress only by what costs next to nothing: for tables that are large because somebody waits.

        Looking for repeated strings and for the decimals of doubles takes a third of the time in which a
        large table is written; without it the file is about twice as large, and still smaller than the CSV.
        """
        self.connection.execute(f"SET disabled_compression_methods = '{_SLOW_COMPRESSION}'")

    def spare(self) -> None:
        """Make do with less memory, at the price of time."""
        self.connection.execute("SET threads = 1")
        self.connection.execute("SET write_buffer_row_group_count = 1")
        self.connection.execute("SET allocator_flush_threshold = '16MB'")
        # Not of what is spare now: the allocator has not given back what the failed attempt took.
        self.connection.execute(f"SET memory_limit = '{self._limit // 2}B'")

    def run(self, sql: str, parameters: list[Any] | None = None, message: str = "reading") -> None:
        """Execute one statement, reporting its progress; Ctrl-C and a failing `progress` stop it."""
        if self._progress is None:
            self.connection.execute(sql, parameters or [])
            return
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self.connection.execute, sql, parameters or [])
            try:
                while True:
                    with suppress(NotYet):
                        done.result(timeout=0.2)
                        return
                    share = max(0.0, self.connection.query_progress()) / 100
                    self._progress(min(share, 1.0), message)
            except BaseException:
                self.connection.interrupt()
                raise

    def say(self, share: float, message: str) -> None:
        """Report progress of work that is not one SQL statement."""
        if self._progress is not None:
            self._progress(share, message)

    def append(self, table: Any) -> None:
        """Add an Arrow table, or a reader of record batches, to ``data``; the first one makes it."""
        connection = self.connection
        connection.register("batch", table)
        try:
            if connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'data'").fetchall():
                connection.execute("INSERT INTO data FROM batch")
            else:
                connection.execute("CREATE TABLE data AS FROM batch")
        finally:
            connection.unregister("batch")

    def columns(self) -> list[Column]:
        """The columns of ``data``; none before it is made."""
        try:
            # DESCRIBE says the same, but takes seconds for thousands of columns.
            rows = self.connection.execute("SELECT name, type FROM pragma_table_info('data')").fetchall()
        except duckdb.CatalogException:
            return []
        return [Column(row[0], row[1]) for row in rows]

    def n_rows(self) -> int:
        """Rows of ``data``."""
        found = self.connection.execute("SELECT count(*) FROM data").fetchone()
        return int(found[0]) if found else 0

    def seal(self) -> tuple[int, str]:
        """Close the file for ever: its size in bytes and its sha256."""
        self.connection.execute("CHECKPOINT")
        self._close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(self.path, 0o444)
        return self.path.stat().st_size, checksum(self.path)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def checksum(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(store: StoreDir) -> list[Path]:
    """Remove what dead builds left under ``tmp/``; returns what was removed."""
    removed = []
    for path in sorted(store.tmp.glob(f"{_PREFIX}*")):
        if path.suffix == ".lock":
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue  # it ended, or somebody else swept it
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue  # its process lives
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)
            removed.append(path)
        elif not path.with_suffix(".lock").exists() and path.exists():
            # The lock is made before the folder and removed after it.
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


@contextmanager
def plain_failures(source: str) -> Iterator[None]:
    """Turn what DuckDB, the disk and memory may raise while `source` is read into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(DISK_FULL) from error
        raise ImportFailed(
            f"cannot be read: {error.strerror or error}.", file=error.filename or source
        ) from error
    except (MemoryError, duckdb.OutOfMemoryException) as error:
        if "max_temp_directory_size" in str(error) or "No space left" in str(error):
            raise StoreError(DISK_FULL) from error
        raise ImportFailed(
            "needs more memory than there is: import it in parts, or as Parquet.", file=source
        ) from error
    except duckdb.InterruptException as error:
        raise ImportFailed("The import was stopped (nothing was kept).", file=source) from error
    except duckdb.Error as error:
        text = str(error)
        if any(sign in text for sign in ("No space left", "File too large", "Disk quota")):
            raise StoreError(DISK_FULL) from error
        raise ImportFailed(first_sentence(text), file=source) from error


def first_sentence(text: str) -> str:
    """The first line of a DuckDB message, without the name of its class, ending in a full stop."""
    line = text.strip().splitlines()[0]
    head, _, rest = line.partition(" Error: ")
    line = rest if rest and " " not in head.strip().replace("Invalid Input", "") else line
    return line.rstrip(" .!:") + "."


def _locked(path: Path) -> IO[bytes]:
    while True:
        file = path.open("wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file
        file.close()  # a sweep removed it between our open and our lock


def _memory(n_columns: int) -> tuple[int, int]:
    """Bytes and threads for one import: enough to stream with every core, never more than half the spare.

    Of a process with a limit a third: what DuckDB does not count comes on top, up to 400 MB.
    """
    cores = len(os.sched_getaffinity(0))
    wanted = max(1 << 30, cores * _THREAD_BYTES, n_columns * _COLUMN_BYTES)
    limit = min(wanted, spare_bytes() // (3 if is_capped() else 2))
    return limit, max(1, min(cores, limit // _THREAD_BYTES))
