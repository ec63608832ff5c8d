"""The SQL box: one read-only query over data sets, on a connection that can do nothing else.

Three walls, each enough for most tricks and all needed for some:

1. the query's tree, as DuckDB serialises it, may hold only reading nodes, known table functions and
   names of data sets (a COPY inside a WITH is a SELECT to everything but this walk);
2. the connection is fresh, holds only the versions that the query names, attached read-only, and is
   then locked: no other file, no extension, no setting;
3. the files are sealed (mode 0444), memory, threads, time and rows are limited.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from workbench.datasets.files import first_sentence
from workbench.datasets.names import identifier, literal
from workbench.datasets.reading import connect
from workbench.errors import QueryRefused, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["QueryBox", "Resolve", "run_query"]

#: From what a query calls a data set to its ref and file; None where there is none.
Resolve = Callable[[str], tuple[str, Path] | None]

_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLES = {
    "BASE_TABLE", "TABLE_FUNCTION", "JOIN", "SUBQUERY", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST", "SHOW_REF",
    "PIVOT",
}  # fmt: skip
_TABLE_FUNCTIONS = {"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"}
#: Functions that tell about the host or run SQL given as text.
REFUSED_FUNCTIONS = {
    "current_setting", "getenv", "getvariable", "json_execute_serialized_sql", "nextval", "currval",
    "write_log", "in_search_path", "txid_current", "sleep_ms", "pg_sleep", "setval",
}  # fmt: skip
_KINDS = {
    "MULTI": "PIVOT with values found in the data is not run here: name them with IN (…), or use "
    "sum(x) FILTER (WHERE …).",
    "EXPLAIN": "EXPLAIN is not part of a query here: ask for the plan instead.",
}


def run_query(
    sql: str,
    resolve: Resolve | Mapping[str, Path],
    *,
    limit: int = 100_000,
    timeout: float = 60.0,
    memory: str = "2GB",
    threads: int | None = None,
    cancel: threading.Event | None = None,
) -> pd.DataFrame:
    """Run one read-only query.

    Parameters
    ----------
    sql : str
    resolve : callable or mapping
        Data sets by what the query calls them.
    limit : int
        Rows returned at most; ``frame.attrs["truncated"]`` tells whether there are more.
    timeout : float
        Seconds.
    memory : str
        E.g. ``"2GB"``.
    threads : int, optional
        All cores by default.
    cancel : threading.Event, optional
        Set from another thread, stops the query.

    Returns
    -------
    DataFrame

    Raises
    ------
    QueryRefused
        In one sentence: not one read-only query, a fault in it, or over a limit.
    """
    with QueryBox(sql, resolve, timeout=timeout, memory=memory, threads=threads, cancel=cancel) as box:
        return box.frame(limit)


class QueryBox:
    """One checked query on its own locked connection; a context manager.

    Attributes
    ----------
    refs : list of str
        ``name@version`` of the data sets that the query reads.
    """

    def __init__(
        self,
        sql: str,
        resolve: Resolve | Mapping[str, Path],
        *,
        timeout: float = 60.0,
        memory: str = "2GB",
        threads: int | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        self._sql, self._timeout, self._cancel = sql, timeout, cancel
        self._refusal: QueryRefused | None = None
        find = _from_mapping(resolve) if isinstance(resolve, Mapping) else resolve
        config = {"memory_limit": memory, "max_temp_directory_size": "8GB"}
        if threads is not None:
            config["threads"] = str(threads)
        config["temp_directory"] = os.path.join(tempfile.gettempdir(), f"workbench-sql-{os.getpid()}")
        try:
            self._connection = connect(**config)
        except duckdb.Error as error:
            raise UsageError(first_sentence(str(error))) from error
        try:
            tables = self._checked(find)
            self.refs = sorted({ref for ref, _ in tables.values()})
            self._open(tables)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> QueryBox:
        return self

    def __exit__(self, kind: object, error: BaseException | None, *trace: object) -> None:
        self._connection.close()
        if self._refusal is not None and isinstance(error, Exception):
            raise self._refusal from None  # who reads the stream words it in its own way

    def frame(self, limit: int) -> pd.DataFrame:
        """The first `limit` rows."""
        with self._guarded():
            frame = self._connection.sql(self._sql).limit(limit + 1).df()
        truncated = len(frame) > limit
        frame = frame.iloc[:limit]
        frame.attrs["truncated"] = truncated
        return frame

    def batches(self, n_rows: int = 100_000) -> Any:
        """The whole result as a reader of Arrow batches, in a stream."""
        import pyarrow as pa

        with self._guarded():
            reader = self._connection.sql(self._sql).to_arrow_reader(n_rows)

        def guarded() -> Iterator[pa.RecordBatch]:
            try:
                with self._guarded():
                    yield from reader
            except QueryRefused as error:
                self._refusal = error
                raise

        return pa.RecordBatchReader.from_batches(reader.schema, guarded())

    def explain(self) -> str:
        """The query's plan as text."""
        with self._guarded():
            return self._connection.sql(self._sql).explain()

    def _checked(self, find: Resolve) -> dict[str, tuple[str, Path]]:
        """The data sets that the query names, or a refusal."""
        connection = self._connection
        try:
            statements = connection.extract_statements(self._sql)
        except duckdb.Error as error:
            raise QueryRefused(f"The query cannot be read: {_syntax(error)}") from error
        if len(statements) != 1:
            count = "no statement" if not statements else f"{len(statements)} statements"
            raise QueryRefused(f"There must be exactly one query, not {count}.")
        try:
            kind = statements[0].type.name
        except ValueError:  # UPDATE EXTENSIONS has no name in DuckDB's Python
            kind = "Such"
        row = connection.execute("SELECT json_serialize_sql(?)", [self._sql]).fetchone()
        tree = json.loads(row[0]) if row else {"error": True}
        if tree.get("error") or kind != "SELECT":
            raise QueryRefused(
                _KINDS.get(kind, f"{kind} statements are not run here: data sets are only read, with SELECT.")
            )
        tables, ctes = set[str](), set[str]()
        _walk(tree["statements"], tables, ctes)
        found = {}
        for name in sorted(tables):
            resolved = find(name)
            if resolved is not None:
                found[name] = resolved
            elif name.lower() not in ctes:
                raise QueryRefused(
                    f'There is no data set {name!r}: a query names data sets, as name or "name@version".'
                )
        return found

    def _open(self, tables: Mapping[str, tuple[str, Path]]) -> None:
        connection = self._connection
        paths = {path: f"d{number}" for number, path in enumerate({path for _, path in tables.values()})}
        try:
            for path, alias in paths.items():
                connection.execute(f"ATTACH {literal(path)} AS {alias} (READ_ONLY)")
            for name, (_, path) in tables.items():
                connection.execute(f"CREATE VIEW {identifier(name)} AS FROM {paths[path]}.data")
        except duckdb.Error as error:
            raise QueryRefused(f"A data set's file cannot be opened: {first_sentence(str(error))}") from error
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Watch the time and the cancel button; word failures as one sentence."""
        done = threading.Event()
        deadline = time.monotonic() + self._timeout
        stopped: list[str] = []

        def watch() -> None:
            while not done.wait(0.05):
                if self._cancel is not None and self._cancel.is_set():
                    stopped.append("The query was cancelled.")
                elif time.monotonic() > deadline:
                    stopped.append(f"The query was stopped after {self._timeout:g} seconds: narrow it.")
                if stopped:
                    self._connection.interrupt()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except duckdb.InterruptException as error:
            raise QueryRefused(stopped[0] if stopped else "The query was interrupted.") from error
        except duckdb.OutOfMemoryException as error:
            raise QueryRefused("The query needs more memory than it may use: narrow it.") from error
        except duckdb.Error as error:
            raise QueryRefused(first_sentence(str(error))) from error
        except OSError as error:  # from an Arrow reader
            raise QueryRefused(stopped[0] if stopped else first_sentence(str(error))) from error
        finally:
            done.set()
            watcher.join()


def _walk(node: Any, tables: set[str], ctes: set[str]) -> None:
    """Collect names of tables and of common table expressions; refuse what does not only read."""
    if isinstance(node, list):
        for item in node:
            _walk(item, tables, ctes)
        return
    if not isinstance(node, dict):
        return
    kind = node.get("type")
    if isinstance(kind, str):
        if kind.endswith("_NODE"):
            if kind not in _NODES:
                verb = kind.removesuffix("_NODE").removesuffix("_QUERY")
                raise QueryRefused(f"{verb} is not run here, inside WITH neither: data sets are only read.")
        elif "sample" in node and "class" not in node:  # only tables and nodes have a SAMPLE clause
            _check_table(node, kind, tables)
    if node.get("class") == "FUNCTION" and str(node.get("function_name", "")).lower() in REFUSED_FUNCTIONS:
        raise QueryRefused(f"The function {node['function_name']} is not run here.")
    for entry in (node.get("cte_map") or {}).get("map", []) if isinstance(node.get("cte_map"), dict) else []:
        ctes.add(str(entry["key"]).lower())
    for value in node.values():
        _walk(value, tables, ctes)


def _check_table(node: Mapping[str, Any], kind: str, tables: set[str]) -> None:
    if kind not in _TABLES:
        raise QueryRefused(f"{kind} is not read here: a query names data sets.")
    if kind == "BASE_TABLE":
        path = (node.get("qualified_name") or {}).get("path") or [node.get("table_name")]
        if len(path) != 1 or node.get("schema_name") or node.get("catalog_name"):
            raise QueryRefused(f"{'.'.join(map(str, path))!r} is not a data set: name it alone.")
        tables.add(str(path[0]))
    elif kind == "TABLE_FUNCTION":
        name = str(node["function"].get("function_name", "")).lower()
        if name not in _TABLE_FUNCTIONS:
            raise QueryRefused(
                f"{name}() is not read here: import the file first; of table functions there are "
                f"{', '.join(sorted(_TABLE_FUNCTIONS))}."
            )
    elif kind == "SHOW_REF" and (node.get("query") is None or node.get("show_type") == "SHOW_SPECIAL"):
        raise QueryRefused("SHOW is not run here: the list of data sets shows them; DESCRIBE takes a name.")


def _from_mapping(paths: Mapping[str, Path]) -> Resolve:
    folded = {name.lower(): (name, path) for name, path in paths.items()}
    return lambda name: folded.get(name.lower())


def _syntax(error: duckdb.Error) -> str:
    lines = str(error).strip().splitlines()
    sentence = first_sentence(lines[0])
    place = next((line for line in lines if line.startswith("LINE ")), "")
    return f"{sentence[:-1]} ({place.split(':')[0].lower()})." if place else sentence
