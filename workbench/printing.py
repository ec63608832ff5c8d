"""What commands print: JSON, or rows in columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["print_json", "print_rows", "records", "when"]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, default=_jsonable, indent=1))


def print_rows(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    """Rows as JSON, whole, or their `columns` as a table."""
    if as_json:
        print_json(rows)
        return
    cells = [columns] + [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as JSON can hold them: None for what is missing."""
    return [
        {str(name): None if value is None or value != value else value for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def when(seconds: float | None) -> datetime | None:
    """Unix seconds as a point in time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _jsonable(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="seconds")
    return str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ", timespec="seconds")[:19]
    return str(value)
