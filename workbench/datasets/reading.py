"""Reading a version file: an in-memory connection, the file attached read-only, a cursor a call."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.datasets.names import literal
from workbench.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TABLE", "Reader", "connect"]

#: The table of the attached version.
TABLE = "version.data"


def connect(database: str = ":memory:", **config: str) -> duckdb.DuckDBPyConnection:
    """A connection that fetches no extension, looks at no Python variable and draws no progress bar."""
    connection = duckdb.connect(
        database,
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            # The default spills into the working directory.
            "temp_directory": os.path.join(tempfile.gettempdir(), f"workbench-spill-{os.getpid()}"),
            **config,
        },
    )
    [(drawn,)] = connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()
    if drawn:  # in a notebook without ipywidgets it is off, and DuckDB refuses even to switch it off
        connection.execute("SET enable_progress_bar_print = false")
    return connection


class Reader:
    """Queries over one version file, from any number of threads.

    Parameters
    ----------
    path : path-like
        A ``.duckdb`` file that holds the table ``data``.

    Raises
    ------
    DatasetError
        If the file is gone or is not a version file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._pid = 0
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Reader, (self.path,)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of its own for one call."""
        with self._lock:
            if self._connection is None or self._pid != os.getpid():  # never carried over a fork
                self._connection, self._pid = self._open(), os.getpid()
            return self._connection.cursor()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.cursor() as cursor:
            return cursor.execute(sql, list(parameters)).fetchall()

    def arrow(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The result of a query as an Arrow table."""
        with self.cursor() as cursor:
            return cursor.sql(sql, params=list(parameters)).to_arrow_table()

    def close(self) -> None:
        """Let the file go; the next query opens it again."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None

    def _open(self) -> duckdb.DuckDBPyConnection:
        if not self.path.is_file():
            raise DatasetError(f"The data set's file {self.path} is gone: import it again.")
        connection = connect()
        try:
            connection.execute(f"ATTACH {literal(self.path)} AS version (READ_ONLY)")
            connection.execute(f"SELECT 1 FROM {TABLE} LIMIT 0")
        except duckdb.Error as error:
            connection.close()
            raise DatasetError(
                f"{self.path} is damaged or not a data set's file: import it again."
            ) from error
        return connection
