"""Labels given as text, on the command line or in a file, as the arguments of ``set_labels``."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.datasets.roles import is_number, is_time
from workbench.errors import ImportFailed, UsageError

if TYPE_CHECKING:
    from workbench.datasets.dataset import Dataset

__all__ = ["Cells", "parsed", "read_file"]

#: By ``series``, ``row`` or ``interval``: pairs of key and label; a label of None clears.
Cells = dict[str, list[tuple[str, str | None]]]

_FORMS = {"series": ("series",), "row": ("row",), "interval": ("series", "start", "end")}


def read_file(path: Path, *, clear: bool = False) -> Cells:
    """Labels from a CSV with the columns ``series``, ``row``, or ``series, start, end``; and ``label``.

    An empty label, or any with `clear`, takes the label away.

    Raises
    ------
    ImportFailed
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = [name.strip().lower() for name in rows.fieldnames or []]
            rows.fieldnames = names
            known = next((k for k, own in _FORMS.items() if set(names) - {"label"} == set(own)), None)
            if known is None or not (clear or "label" in names):
                raise ImportFailed(
                    "must have the column label, and series, row, or series, start and end.",
                    file=path,
                    line=1,
                )
            found: list[tuple[str, str | None]] = []
            for row in rows:
                if None in row or None in row.values():
                    raise ImportFailed("has not as many cells as the header.", file=path, line=rows.line_num)
                key = ",".join(row[name] for name in _FORMS[known])
                found.append((key, None if clear else row["label"] or None))
    except UnicodeDecodeError as error:
        raise ImportFailed("is not UTF-8 text.", file=path) from error
    except OSError as error:
        raise ImportFailed(f"cannot be read: {error.strerror}.", file=path) from error
    except csv.Error as error:
        raise ImportFailed(f"is no table of labels: {error}.", file=path) from error
    return {known: found}


def parsed(dataset: Dataset, cells: Cells, column: str | None = None) -> dict[str, Any]:
    """Labels given as text, as the arguments of :func:`set_labels`: ids, times and labels in their types."""
    types = {known.name: known.type for known in dataset.columns}
    name = column or next(iter(dataset.roles.get("label", [])), "label")
    words = [label for pairs in cells.values() for _, label in pairs if label is not None]
    # A new column holds numbers where all labels are; one that is there stays what it is.
    numeric = is_number(types[name]) if name in types else True
    as_number = numeric and all(_number(word) is not None for word in words)
    owner, time = dataset.roles.get("series_id"), dataset.roles.get("time")
    owned = owner is not None and is_number(types[owner[0]])
    stamped = time is not None and is_time(types[time[0]])

    def label(word: str | None) -> Any:
        return _number(word) if as_number and word is not None else word

    def id_(word: str) -> Any:
        if owner is None and word == "":
            return None
        found = _number(word) if owned or owner is None else word
        return word if found is None else found

    given: dict[str, Any] = {"column": column}
    for kind, pairs in cells.items():
        if kind == "series":
            given["series"] = {id_(key): label(word) for key, word in pairs}
        elif kind == "row":
            given["rows"] = {_row(key): label(word) for key, word in pairs}
        else:
            given["intervals"] = [(*_interval(key, id_, stamped), label(word)) for key, word in pairs]
    return given


def _interval(text: str, id_: Callable[[str], Any], stamped: bool) -> tuple[Any, Any, Any]:
    parts = text.split(",")
    if len(parts) != 3:
        raise UsageError(f"{text!r} is not an interval: write ID,START,END, or ,START,END for one recording.")
    times = []
    for part in parts[1:]:
        try:
            times.append(dt.datetime.fromisoformat(part.strip()) if stamped else float(part))
        except ValueError:
            kind = "a date or time like 2024-01-31 12:00" if stamped else "a number"
            raise UsageError(f"{part!r} is not {kind}.") from None
    return id_(parts[0]), times[0], times[1]


def _row(text: str) -> int:
    if not text.strip().isdecimal():
        raise UsageError(f"{text!r} is not the number of a row.")
    return int(text)


def _number(text: str) -> int | float | None:
    for type_ in (int, float):
        try:
            return type_(text)
        except ValueError:
            continue
    return None
