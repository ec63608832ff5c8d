"""Frames of other libraries as Arrow tables."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from workbench.errors import DatasetError, ImportFailed

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_table", "check_columns"]


def arrow_table(frame: Any) -> pa.Table:
    """A pandas or polars frame, a mapping of columns or an Arrow table, as an Arrow table.

    A named pandas index becomes a column; a default one is dropped.

    Raises
    ------
    ImportFailed
        If it is no frame, or a column holds values of more than one type.
    """
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        table = frame
    elif hasattr(frame, "__arrow_c_stream__") and not hasattr(frame, "iloc"):  # polars and its like
        table = pa.table(frame)
    elif hasattr(frame, "iloc") and hasattr(frame, "columns"):
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index()
        frame = frame.rename(columns=str)
        check_columns(list(frame.columns))
        try:
            table = pa.Table.from_pandas(frame, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            found = re.search(r"column (.*) with type", str(error))
            where = f"The column {found[1]!r}" if found else "A column"
            raise ImportFailed(f"{where} holds values of more than one type: convert it first.") from error
    else:
        raise DatasetError(f"A {type(frame).__name__} is not a frame: give a pandas, polars or Arrow table.")
    check_columns(table.column_names)
    return table


def check_columns(names: list[str], **where: Any) -> None:
    """Refuse names that SQL could not tell apart, or none at all."""
    if not names:
        raise ImportFailed("There are no columns.", **where)
    for name, count in Counter(str(name).lower() for name in names).items():
        if count > 1:
            raise ImportFailed(f"the column name {name!r} is used {count} times: give each its own.", **where)
        if "\0" in name:
            raise ImportFailed(f"{name!r} cannot be a column's name.", **where)
