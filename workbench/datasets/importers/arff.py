"""``.arff`` time series: relational multivariate ones, plain univariate ones, and one file a variable.

A file of numeric attributes that are numbered (``att1``, ``att2``, …) and one nominal is a univariate series
a row; several of these of the same side of the split are the channels of one set, in the order of the numbers
in their names. Any other file is a table: see :mod:`workbench.datasets.importers.arff_table`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported, Source
from workbench.datasets.importers.arff_table import (
    NUMERIC,
    attributes_of,
    is_table,
    numbered,
    read_header,
    read_table,
)
from workbench.datasets.importers.numbers import real, reals
from workbench.datasets.importers.text_file import not_utf8
from workbench.datasets.importers.writer import SeriesWriter
from workbench.errors import ImportFailed, UsageError

__all__ = ["read_arff"]


@dataclass
class _File:
    """The series of one file, each of shape (T, channels)."""

    path: Path
    series: list[NDArray[Any]]
    labels: list[str | None] | None


def read_arff(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` with the series of all files."""
    if options:
        raise UsageError(f"Files of this format have no option {next(iter(options))!r}.")
    tables = [is_table(attributes_of(source.path)) for source in sources]
    if any(tables):
        if not all(tables):
            raise ImportFailed(
                "is a table where others are time series.", file=sources[tables.index(True)].path
            )
        return read_table(sources, build)
    by_part: dict[str | None, list[_File]] = defaultdict(list)
    for number, source in enumerate(sorted(sources, key=lambda source: _number(source.stem))):
        build.say(number / len(sources), f"reading {source.path.name}")
        by_part[source.part].append(_read_file(source.path))
    sides = {part: _stacked(files) for part, files in by_part.items()}
    first = next(iter(sides.values()))
    d = first.series[0].shape[1]
    names = ["value"] if d == 1 else [f"dim_{j}" for j in range(d)]
    labelled, split = first.labels is not None, len(sides) > 1
    writer = SeriesWriter(build, names, label=labelled, split=split)
    for part in sorted(sides, key=lambda part: part == "test"):
        side = sides[part]
        if side.series[0].shape[1] != d or (side.labels is not None) != labelled:
            raise ImportFailed("does not have the channels and labels of the other side.", file=side.path)
        for i, values in enumerate(side.series):
            writer.add(values, side.labels[i] if side.labels is not None else None, part)
    return writer.finish()


def _number(stem: str) -> list[Any]:
    """Sort key: Dimension10 after Dimension9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", stem)]


def _stacked(files: Sequence[_File]) -> _File:
    """The channels of one side of the split beside each other."""
    first = files[0]
    for other in files[1:]:
        if len(other.series) != len(first.series):
            raise ImportFailed(
                f"has {len(other.series)} series where {first.path.name} has {len(first.series)}.",
                file=other.path,
            )
        if other.labels != first.labels:
            raise ImportFailed(f"does not have the labels of {first.path.name}, row by row.", file=other.path)
        for i, (ours, theirs) in enumerate(zip(first.series, other.series, strict=True), 1):
            if len(ours) != len(theirs):
                raise ImportFailed(
                    f"series {i} has {len(theirs)} steps where {first.path.name} has {len(ours)}.",
                    file=other.path,
                )
    series = [
        np.concatenate(channels, axis=1) for channels in zip(*(file.series for file in files), strict=True)
    ]
    return _File(first.path, series, first.labels)


def _read_file(path: Path) -> _File:
    try:
        with path.open(encoding="utf-8") as file:
            lines = numbered(file)
            kinds = [attribute.kind for attribute in read_header(lines, path)]
            if kinds[:1] == ["relational"]:
                rows = [_relational(text, len(kinds), path, number) for number, text in lines]
                labels: list[str | None] | None = [label for _, label in rows] if len(kinds) == 2 else None
            else:
                numeric = [kind in NUMERIC for kind in kinds]
                plain = [_plain(text, len(kinds), numeric[-1], path, number) for number, text in lines]
                rows = plain
                labels = None if numeric[-1] else [label for _, label in plain]
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    if not rows:
        raise ImportFailed("has a header but no series.", file=path)
    for number, (values, _) in enumerate(rows, 1):
        if values.shape[1] != rows[0][0].shape[1]:
            raise ImportFailed(
                f"series {number} has {values.shape[1]} channels where the first has {rows[0][0].shape[1]}.",
                file=path,
            )
    return _File(path, [values for values, _ in rows], labels)


def _relational(text: str, n_attributes: int, path: Path, line: int) -> tuple[NDArray[Any], str | None]:
    quote = text[0]
    end = text.rfind(quote)
    if quote not in "'\"" or end == 0:
        raise ImportFailed("the series is not in quotes, or was cut short.", file=path, line=line)
    rest = text[end + 1 :].strip().lstrip(",").strip()
    if n_attributes == 2 and not rest:
        raise ImportFailed("the series has no label.", file=path, line=line)
    channels = [_floats(part.split(","), path, line) for part in re.split(r"\\n", text[1:end].strip())]
    lengths = {len(channel) for channel in channels}
    if len(lengths) > 1:
        raise ImportFailed("the channels of the series are not equally long.", file=path, line=line)
    return np.stack(channels, axis=1), _label(rest)


def _plain(
    text: str, n_attributes: int, last_is_value: bool, path: Path, line: int
) -> tuple[NDArray[Any], str | None]:
    words = text.split(",")
    if len(words) != n_attributes:
        raise ImportFailed(
            f"has {len(words)} values where the header names {n_attributes} attributes.", file=path, line=line
        )
    label = None if last_is_value else _label(words.pop())
    return _floats(words, path, line)[:, None], label


def _label(text: str) -> str | None:
    text = text.strip().strip("'\"")
    return None if text in ("", "?") else text


def _floats(words: Sequence[str], path: Path, line: int) -> NDArray[Any]:
    words = ["nan" if word.strip() == "?" else word for word in words]
    try:
        return reals(words)
    except ValueError:
        place = next(place for place, word in enumerate(words, 1) if not _is_number(word))
        raise ImportFailed(
            f"value {place}, {words[place - 1].strip()[:40]!r}, is not a number.", file=path, line=line
        ) from None


def _is_number(word: str) -> bool:
    try:
        real(word)
    except ValueError:
        return False
    return True
