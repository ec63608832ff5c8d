"""The header of ``.arff`` files, and those that hold a table: numbers, classes, text and dates."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported, Source
from workbench.datasets.importers.frames import check_columns
from workbench.datasets.importers.numbers import real, whole
from workbench.datasets.importers.text_file import not_utf8
from workbench.errors import ImportFailed

__all__ = ["NUMERIC", "Attribute", "attributes_of", "is_table", "numbered", "read_header", "read_table"]

NUMERIC = ("numeric", "real", "integer")
_ATTRIBUTE = re.compile(r"@attribute\s+('[^']*'|\"[^\"]*\"|[^\s{]+)\s*(.*)", re.IGNORECASE)
_CELL = re.compile(r"\s*('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,'\"]*)\s*(,|$)")
_STEP = re.compile(r"(.*?)_?(\d+)")
_BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Attribute:
    """A column: its name, ``numeric``, ``nominal``, ``string``, ``date`` or ``relational``, its classes."""

    name: str
    kind: str
    classes: tuple[str, ...] = ()


def numbered(file: Any) -> Iterator[tuple[int, str]]:
    """Line numbers and lines, without comments and empty ones."""
    for number, line in enumerate(file, 1):
        text = line.strip()
        if text and not text.startswith("%"):
            yield number, text


def attributes_of(path: Path) -> list[Attribute]:
    """The attributes of a file."""
    try:
        with path.open(encoding="utf-8") as file:
            return read_header(numbered(file), path)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error


def read_header(lines: Iterator[tuple[int, str]], path: Path) -> list[Attribute]:
    """The attributes above ``@data``; those inside a relational one are left out."""
    attributes: list[Attribute] = []
    inside = False
    for number, text in lines:
        lower = text.lower()
        if lower.startswith("@data"):
            if not attributes:
                raise ImportFailed("has no @attribute above @data.", file=path, line=number)
            return attributes
        if lower.startswith("@end"):
            inside = False
        elif lower.startswith("@attribute") and not inside:
            found = _ATTRIBUTE.match(text)
            if found is None or not found[2]:
                raise ImportFailed("the attribute has no type.", file=path, line=number)
            attribute = _attribute(found[1].strip("'\""), found[2], path, number)
            inside = attribute.kind == "relational"
            attributes.append(attribute)
        elif not lower.startswith(("@relation", "@attribute")):
            raise ImportFailed("values stand before the @data line.", file=path, line=number)
    raise ImportFailed("has no @data line: it is not an .arff file, or was cut short.", file=path)


def is_table(attributes: Sequence[Attribute]) -> bool:
    """Whether the rows are samples of different measures, not steps of a series (or series in cells)."""
    kinds = [attribute.kind for attribute in attributes]
    if kinds[0] == "relational":
        return False
    steps = attributes if kinds[-1] in NUMERIC else attributes[:-1]
    found = [_STEP.fullmatch(attribute.name) for attribute in steps]
    if not steps or any(attribute.kind not in NUMERIC for attribute in steps) or None in found:
        return True
    return len({place[1] for place in found if place}) > 1


def _rows(path: Path, attributes: Sequence[Attribute]) -> Iterator[list[Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            lines = numbered(file)
            read_header(lines, path)
            for number, text in lines:
                yield _row(text, attributes, path, number)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error


def read_table(sources: Sequence[Source], build: Build) -> Imported:
    """Fill ``data`` with the rows of all files; a last nominal attribute called ``class`` is the label."""
    import pyarrow as pa

    attributes = attributes_of(sources[0].path)
    names = [attribute.name for attribute in attributes]
    check_columns(names, file=sources[0].path)
    split = sources[0].part is not None and "split" not in (name.lower() for name in names)
    schema = pa.schema([(attribute.name, _type(attribute.kind)) for attribute in attributes])
    if split:
        schema = schema.append(pa.field("split", pa.string()))
    for place, source in enumerate(sources):
        if attributes_of(source.path) != attributes:
            raise ImportFailed(f"does not have the attributes of {sources[0].path.name}.", file=source.path)
        build.say(place / len(sources), f"reading {source.path.name}")
        columns: list[list[Any]] = [[] for _ in attributes]
        n_rows = 0
        for row in _rows(source.path, attributes):
            for column, cell in zip(columns, row, strict=True):
                column.append(cell)
            n_rows += 1
            if n_rows % _BATCH_ROWS == 0:
                _append(build, columns, source.part if split else None, schema)
                columns = [[] for _ in attributes]
        if n_rows == 0:
            raise ImportFailed("has a header but no rows.", file=source.path)
        if columns[0]:
            _append(build, columns, source.part if split else None, schema)
    roles = {"field": names}
    last = attributes[-1]
    if last.kind == "nominal" and re.search(r"class|label|target", last.name, re.IGNORECASE):
        roles = {"label": [last.name], "field": names[:-1]}
    return Imported(roles | ({"split": ["split"]} if split else {}))


def _type(kind: str) -> Any:
    import pyarrow as pa

    if kind in ("numeric", "real"):
        return pa.float64()
    if kind == "date":
        return pa.timestamp("us")
    return pa.int64() if kind == "integer" else pa.string()


def _append(build: Build, columns: list[list[Any]], part: str | None, schema: Any) -> None:
    import pyarrow as pa

    cells = [*columns, [part] * len(columns[0])] if part is not None else columns
    build.append(pa.table(cells, schema=schema))


def _attribute(name: str, words: str, path: Path, line: int) -> Attribute:
    if words.startswith("{"):
        if "}" not in words:
            raise ImportFailed("the list of classes is not closed by }.", file=path, line=line)
        classes = [_word(found[1]) for found in _CELL.finditer(words[1 : words.rindex("}")])]
        return Attribute(name, "nominal", tuple(name for name in classes if name))
    kind = words.split()[0].lower()
    if kind not in (*NUMERIC, "string", "date", "relational"):
        raise ImportFailed(
            f"the attribute {name!r} is {kind[:40]!r}, not numeric, string, date or a list of classes.",
            file=path,
            line=line,
        )
    return Attribute(name, kind)


def _row(text: str, attributes: Sequence[Attribute], path: Path, line: int) -> list[Any]:
    if text.startswith("{"):
        raise ImportFailed("sparse rows {index value, …} are not read: save it dense.", file=path, line=line)
    words, start = [], 0
    while start <= len(text):
        found = _CELL.match(text, start)
        if found is None:
            raise ImportFailed("a quoted text is not closed.", file=path, line=line)
        words.append(found[1])
        start = found.end()
        if not found[2]:
            break
    if len(words) != len(attributes):
        raise ImportFailed(
            f"has {len(words)} values where the header names {len(attributes)} attributes.",
            file=path,
            line=line,
        )
    return [
        _cell(word, attribute, path, line, place)
        for place, (word, attribute) in enumerate(zip(words, attributes, strict=True), 1)
    ]


def _cell(word: str, attribute: Attribute, path: Path, line: int, column: int) -> Any:
    if word.strip() in ("?", ""):
        return None
    text = _word(word)
    try:
        if attribute.kind == "integer":
            return whole(text)
        if attribute.kind in NUMERIC:
            return real(text)
        if attribute.kind == "date":
            return dt.datetime.fromisoformat(text)
    except ValueError:
        kind = "an ISO date" if attribute.kind == "date" else f"a number ({attribute.kind})"
        problem = f"{text[:40]!r} in {attribute.name!r} is not {kind}."
        raise ImportFailed(problem, file=path, line=line, column=column) from None
    if attribute.kind == "nominal" and text not in attribute.classes:
        known = ", ".join(attribute.classes[:10])
        raise ImportFailed(
            f"{text[:40]!r} is none of the classes of {attribute.name!r} ({known}).",
            file=path,
            line=line,
            column=column,
        )
    return text


def _word(text: str) -> str:
    text = text.strip()
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] in ("'", '"') and text else text
