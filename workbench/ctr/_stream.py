"""Logs that do not fit into memory: regrouped into blocks, each read while the last one is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workbench.ctr._columns import FieldsError, batches_of

__all__ = ["ahead", "blocks_of", "check_columns", "labels_of"]

#: Rows of a block at least: enough to shuffle in, and little beside the rest of a process.
_BLOCK = 65_536

Made = TypeVar("Made")


def blocks_of(batches: Iterable[Any], batch_size: int) -> Iterator[pa.Table]:
    """The stream's rows in tables of one size, a multiple of `batch_size`; the last holds what remains."""
    size = max(1, -(-_BLOCK // batch_size)) * batch_size
    waiting: list[pa.Table] = []
    n = 0
    for table in batches_of(batches):
        while n + len(table) >= size:
            waiting.append(table.slice(0, size - n))
            table = table.slice(size - n)
            yield _joined(waiting)
            waiting, n = [], 0
        if len(table):
            waiting.append(table)
            n += len(table)
    if waiting:
        yield _joined(waiting)


def _joined(tables: list[pa.Table]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    # A column may be whole numbers in one batch, and have gaps or fractions in the next.
    return pa.concat_tables(tables, promote_options="permissive")


def ahead(work: Callable[[pa.Table], Made], tables: Iterable[pa.Table]) -> Iterator[Made]:
    """``map(work, tables)``, where the next one is read and worked on while the caller uses the last.

    One thread, one result in advance: a third one would cost memory and bring nothing.
    """
    source = iter(tables)

    def following() -> tuple[Made] | None:
        table = next(source, None)
        return None if table is None else (work(table),)

    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        waiting: Future[tuple[Made] | None] = reader.submit(following)
        while (made := waiting.result()) is not None:
            waiting = reader.submit(following)
            yield made[0]


def labels_of(table: pa.Table, label: str, classes: NDArray[Any]) -> NDArray[np.float32]:
    """The label as 0 and 1, (n,)."""
    return np.searchsorted(classes, table[label].to_numpy()).astype(np.float32)


def check_columns(table: pa.Table, label: str, weight: str | None) -> None:
    """Refuse a batch without the columns named, whose label has gaps, or whose weights are none.

    Raises
    ------
    FieldsError
    """
    for title, name in (("label", label), ("weight", weight)):
        if name is not None and name not in table.column_names:
            raise FieldsError(
                f"The batches have no column {name!r} for the {title}; they have "
                f"{', '.join(table.column_names[:10])}."
            )
        if name is not None and table[name].null_count:
            raise FieldsError(f"The {title} {name!r} has empty cells: leave those rows out of the batches.")
    if weight is not None and len(table):
        kind = table[weight].type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not number or pc.min(table[weight]).as_py() < 0:
            raise FieldsError(f"The weight {weight!r} must be a number of 0 or more in every row.")
