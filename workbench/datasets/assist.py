"""Help with writing queries: completion of names, and the history of the SQL box."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.store import StoreDir

__all__ = ["HISTORY", "complete", "forget", "history", "recorded"]

#: Queries of one owner that are kept.
HISTORY = 1000
_WORD = re.compile(r"[^\W\d][\w.]*$")
_NAMED = re.compile(r'"([^"]+)"|([A-Za-z_][\w]*)')
_AFTER_TABLE = re.compile(r"\b(?:from|join|describe|summarize)\s+$|\bfrom\s+[^()]*,\s*$", re.IGNORECASE)
_LIMIT = 50


def complete(store: StoreDir, text: str, position: int | None = None) -> list[str]:
    """Names and keywords that the word before `position` may become, the likeliest first.

    After FROM and JOIN come data sets; elsewhere the columns of the data sets that the query names, then
    functions and keywords. Names that SQL could not read bare are quoted.

    Parameters
    ----------
    store : StoreDir
    text : str
    position : int, optional
        The end of the text, if not given.

    Returns
    -------
    list of str
        Words that could stand there, the likeliest first.
    """
    before = text[:position]
    word = _word(before)
    wanted = word.strip('"').rpartition(".")[2].lower()
    quoted = word.startswith('"')
    columns = _columns_by_name(store)
    named = {(a or b).partition("@")[0].lower() for a, b in _NAMED.findall(text)}
    tables = sorted(columns, key=str.lower)
    if _AFTER_TABLE.search(before[: len(before) - len(word)]):
        candidates = [_quoted(name, quoted) for name in tables if name.lower().startswith(wanted)]
        return candidates[:_LIMIT]
    own = dict.fromkeys(column for name in tables if name.lower() in named for column in columns[name])
    candidates = [_quoted(name, quoted) for name in own if name.lower().startswith(wanted)]
    if not quoted and "." not in word:
        candidates += [_quoted(name, False) for name in tables if name.lower().startswith(wanted)]
        if wanted:
            candidates += [name for name in _words() if name.lower().startswith(wanted)]
    return list(dict.fromkeys(candidates))[:_LIMIT]


def _word(before: str) -> str:
    """What stands between the beginning of a name and the caret, with its quote where one is open."""
    if before.count('"') % 2:
        return before[before.rindex('"') :]
    found = _WORD.search(before)
    return found[0] if found else ""


def _columns_by_name(store: StoreDir) -> dict[str, list[str]]:
    rows = store.connection.execute(
        "SELECT name, columns FROM dataset_versions AS v WHERE version = "
        "(SELECT max(version) FROM dataset_versions WHERE name = v.name)"
    )
    return {row["name"]: [column["name"] for column in json.loads(row["columns"])] for row in rows}


def _quoted(name: str, always: bool) -> str:
    bare = re.fullmatch(r"[A-Za-z_]\w*", name) and name.lower() not in _reserved()
    return name if bare and not always else '"' + name.replace('"', '""') + '"'


@cache
def _words() -> list[str]:
    """Keywords in capitals, then functions, without those that the box refuses."""
    from workbench.datasets.reading import connect
    from workbench.datasets.sql import REFUSED_FUNCTIONS

    with connect() as connection:
        functions = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN "
            "('scalar', 'aggregate', 'macro') AND regexp_full_match(function_name, '[a-z][a-z0-9_]*') "
            "ORDER BY 1"
        ).fetchall()
    useful = {
        "select", "from", "where", "group", "order", "by", "having", "limit", "join", "left", "using", "on",
        "union", "all", "distinct", "with", "as", "case", "when", "then", "else", "end", "and", "or", "not",
        "in", "is", "null", "between", "like", "over", "partition", "qualify", "filter", "exclude", "replace",
        "desc", "asc", "describe", "summarize", "offset", "window", "intersect", "except", "cast", "interval",
    }  # fmt: skip
    return [
        *sorted(word.upper() for word in useful),
        *(f[0] for f in functions if f[0] not in REFUSED_FUNCTIONS),
    ]


@cache
def _reserved() -> frozenset[str]:
    from workbench.datasets.reading import connect

    with connect() as connection:
        rows = connection.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
        ).fetchall()
    return frozenset(row[0] for row in rows)


@contextmanager
def recorded(store: StoreDir, sql: str, owner: str = "") -> Iterator[dict[str, Any]]:
    """Enter a query into the history when it ends, well or not; set ``["n_rows"]`` of what is yielded.

    A store that can only be looked at has a history of its own no more.
    """
    started, facts, error = time.monotonic(), dict[str, Any](), ""
    try:
        yield facts
    except WorkbenchError as caught:
        error = str(caught)
        raise
    finally:
        n_rows = None if error else facts.get("n_rows")
        if not store.read_only:
            _remember(store, [sql, owner, time.time(), time.monotonic() - started, n_rows, error])


def _remember(store: StoreDir, values: list[Any]) -> None:
    owner = values[1]
    with store.write() as connection:
        connection.execute(
            "INSERT INTO queries (sql, owner, created, seconds, n_rows, error) VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )
        connection.execute(
            "DELETE FROM queries WHERE owner = ? AND id <= "
            "(SELECT id FROM queries WHERE owner = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            [owner, owner, HISTORY],
        )


def history(store: StoreDir, owner: str = "", *, search: str = "", limit: int = 100) -> pd.DataFrame:
    """Earlier queries, the newest first: ``id, sql, created, seconds, n_rows, error``."""
    import pandas as pd

    rows = store.connection.execute(
        "SELECT id, sql, created, seconds, n_rows, error FROM queries WHERE owner = ? "
        "AND (? = '' OR instr(lower(sql), ?) > 0) ORDER BY id DESC LIMIT ?",
        [owner, search, search.lower(), limit],
    ).fetchall()
    return pd.DataFrame(
        [tuple(row) for row in rows], columns=["id", "sql", "created", "seconds", "n_rows", "error"]
    )


def forget(store: StoreDir, ids: list[int] | None = None, owner: str = "") -> None:
    """Remove queries from the history; all of an owner's where no ids are named."""
    with store.write() as connection:
        if ids is None:
            connection.execute("DELETE FROM queries WHERE owner = ?", [owner])
        else:
            connection.executemany(
                "DELETE FROM queries WHERE owner = ? AND id = ?", [(owner, id_) for id_ in ids]
            )
