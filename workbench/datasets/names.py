"""Quoting for SQL, and what the names of files tell: format, side of a split, a name for the data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import DatasetError
from workbench.naming import clean_name

__all__ = ["identifier", "literal", "split_of", "stem_of", "suffix_of", "suggest_name"]

_COMPRESSED = (".gz",)
# A_TRAIN.ts, a-test.csv, machine.train.npz: the part that says which side of the split a file holds.
_SPLIT = re.compile(r"(?:^|[_.\- ])(train|training|tr|test|testing|te)(?=$|[_.\- ])", re.IGNORECASE)


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    if "\0" in name:
        raise DatasetError(f"{name!r} cannot be a column's name.")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | Path) -> str:
    """`text` as an SQL string, for the few statements that take no parameters (ATTACH)."""
    return "'" + str(text).replace("'", "''") + "'"


def suffix_of(path: str | Path) -> str:
    """The suffix that tells the format: the one before ``.gz``, in lower case."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def stem_of(path: str | Path) -> str:
    """The file's name without the suffixes that tell format and compression."""
    name = Path(path).name
    if name.lower().endswith(_COMPRESSED):
        name = name[: name.rindex(".")]
    suffix = suffix_of(path)
    return name[: -len(suffix)] if suffix and name.lower().endswith(suffix) else name


def split_of(path: str | Path) -> str | None:
    """``"train"`` or ``"test"`` where the file's name says so."""
    found = _SPLIT.findall(stem_of(path))
    if not found:
        return None
    return "train" if found[-1].lower().startswith("tr") else "test"


def suggest_name(paths: Sequence[str | Path]) -> str:
    """A name for the data set that `paths` make together: what their names have in common."""
    # One file keeps its whole name: a_train alone is not the data set that a_train and a_test make.
    stems = [stem_of(path) if len(paths) == 1 else _SPLIT.sub("", stem_of(path)) for path in paths]
    prefix = stems[0]
    for stem in stems[1:]:
        while not stem.startswith(prefix):
            prefix = prefix[:-1]
    if not prefix.strip("_.- "):
        prefix = Path(paths[0]).absolute().parent.name
    if len(paths) > 1:
        prefix = re.sub(r"[_.\- ]?(dimension|dim|channel|part)$", "", prefix, flags=re.IGNORECASE) or prefix
    return clean_name(prefix)
