"""libsvm and libffm: a label and ``index:value`` (or ``field:index:value``) entries a line.

libsvm becomes one column a feature (``f1``, ``f2``, …; what a line leaves out is 0), or, beyond
:data:`DENSE` features, the two list columns ``index`` and ``value``. libffm becomes one column a field
that holds the index of the field's feature; values other than 1 stand in a column of their own, and a field
with several features on a line holds lists.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported, Source
from workbench.datasets.importers.numbers import real, whole
from workbench.datasets.importers.text_file import not_utf8
from workbench.errors import ImportFailed, UsageError

__all__ = ["DENSE", "read_libffm", "read_libsvm"]

#: Features up to which libsvm files become one column a feature.
DENSE = 5000
_BATCH_CELLS = 4_000_000


@dataclass
class _Line:
    """One line: label, query, and its entries as parallel lists."""

    label: float
    query: int | None
    fields: list[int]
    indices: list[int]
    values: list[float]


def read_libsvm(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from libsvm files; ``qid:`` entries become the column ``request``."""
    import pyarrow as pa

    _no_options(options)
    highest, queries = 0, 0
    for source in sources:  # the number of features is known only after the last line
        for line in _lines(source, 2, build):
            highest = max(highest, line.indices[-1] if line.indices else 0)
            queries += line.query is not None
    if highest == 0:
        raise ImportFailed("has no features.", file=sources[0].path)
    names = [f"f{j}" for j in range(1, highest + 1)] if highest <= DENSE else ["index", "value"]
    for lines, source in _batches(sources, 2, build, max(1, _BATCH_CELLS // min(highest, DENSE))):
        columns: dict[str, Any] = {"label": _labels(lines)}
        if queries:
            columns["request"] = pa.array([line.query for line in lines], pa.int64())
        if highest <= DENSE:
            table = np.zeros((highest, len(lines)))
            for row, line in enumerate(lines):
                table[np.array(line.indices, int) - 1, row] = line.values
            columns |= dict(zip(names, table, strict=True))
        else:
            columns["index"] = pa.array([line.indices for line in lines], pa.list_(pa.int64()))
            columns["value"] = pa.array([line.values for line in lines], pa.list_(pa.float64()))
        build.append(_table(columns, source, sources))
    roles = {"label": ["label"], "field": names}
    if queries:
        roles["request"] = ["request"]
    return Imported(roles | _split_role(sources))


def read_libffm(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from libffm files."""
    import pyarrow as pa

    _no_options(options)
    most: dict[int, int] = defaultdict(int)  # features of a field on one line, at most
    valued: set[int] = set()
    for source in sources:
        for line in _lines(source, 3, build):
            here: dict[int, int] = defaultdict(int)
            for field, value in zip(line.fields, line.values, strict=True):
                here[field] += 1
                if value != 1.0:
                    valued.add(field)
            for field, count in here.items():
                most[field] = max(most[field], count)
    if not most:
        raise ImportFailed("has no features.", file=sources[0].path)
    fields = sorted(most)
    for lines, source in _batches(sources, 3, build, max(1, _BATCH_CELLS // len(fields))):
        found: dict[int, list[Any]] = {field: [None] * len(lines) for field in fields}
        values: dict[int, list[Any]] = {field: [None] * len(lines) for field in valued}
        for row, line in enumerate(lines):
            for field, index, value in zip(line.fields, line.indices, line.values, strict=True):
                for kept, item in ((found, index), (values, value)):
                    if field not in kept:
                        continue
                    if most[field] == 1:
                        kept[field][row] = item
                    else:
                        kept[field][row] = [*(kept[field][row] or []), item]
        columns: dict[str, Any] = {"label": _labels(lines)}
        for field in fields:
            many = most[field] > 1
            columns[f"field_{field}"] = pa.array(found[field], pa.list_(pa.int64()) if many else pa.int64())
            if field in valued:
                kind = pa.list_(pa.float64()) if many else pa.float64()
                columns[f"field_{field}_value"] = pa.array(values[field], kind)
        build.append(_table(columns, source, sources))
    names = [name for name in columns if name != "label"]
    return Imported({"label": ["label"], "field": names} | _split_role(sources))


def _batches(
    sources: Sequence[Source], parts: int, build: Build, size: int
) -> Iterator[tuple[list[_Line], Source]]:
    for source in sources:
        lines: list[_Line] = []
        for line in _lines(source, parts, build):
            lines.append(line)
            if len(lines) == size:
                yield lines, source
                lines = []
        if lines:
            yield lines, source


def _lines(source: Source, parts: int, build: Build) -> Iterator[_Line]:
    path, empty = source.path, True
    size, read = max(path.stat().st_size, 1), 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                read += len(text)
                words = text.partition("#")[0].split()
                if number % 10_000 == 0:
                    build.say(min(read / size, 1.0), f"reading {path.name}")
                if words:
                    empty = False
                    yield _line(words, parts, path, number)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    if empty:
        raise ImportFailed("is empty.", file=path)


def _line(words: list[str], parts: int, path: Path, number: int) -> _Line:
    try:
        label = real(words[0])
    except ValueError:
        raise ImportFailed(
            f"the label {words[0][:40]!r} is not a number.", file=path, line=number, column=1
        ) from None
    if not math.isfinite(label):
        raise ImportFailed(
            f"the label is {words[0]}: a label is a finite number.", file=path, line=number, column=1
        )
    line = _Line(label, None, [], [], [])
    for place, word in enumerate(words[1:], 2):
        cells = word.split(":")
        try:
            if cells[0] == "qid" and len(cells) == 2 and place == 2:
                line.query = whole(cells[1])
                continue
            if len(cells) != parts:
                raise ValueError
            index, value = whole(cells[-2]), real(cells[-1])
            field = whole(cells[0]) if parts == 3 else 0
        except ValueError:
            form = "index:value" if parts == 2 else "field:index:value"
            raise ImportFailed(
                f"{word[:40]!r} is not {form}.", file=path, line=number, column=place
            ) from None
        if parts == 2 and index <= (line.indices[-1] if line.indices else 0):
            raise ImportFailed(
                f"the index {index} does not come after {line.indices[-1] if line.indices else 0}: indices "
                "begin at 1 and ascend.",
                file=path,
                line=number,
                column=place,
            )
        line.fields.append(field)
        line.indices.append(index)
        line.values.append(value)
    return line


def _labels(lines: Sequence[_Line]) -> Any:
    return np.array([line.label for line in lines])


def _table(columns: dict[str, Any], source: Source, sources: Sequence[Source]) -> Any:
    import pyarrow as pa

    if _split_role(sources):
        columns["split"] = pa.array([source.part] * len(columns["label"]), pa.string())
    return pa.table(columns)


def _split_role(sources: Sequence[Source]) -> dict[str, list[str]]:
    return {"split": ["split"]} if sources[0].part is not None else {}


def _no_options(options: Mapping[str, Any]) -> None:
    if options:
        raise UsageError(f"Files of this format have no option {next(iter(options))!r}.")
