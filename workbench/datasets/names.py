"""Names: what a data set may be called, how one is referred to, and how SQL quotes an identifier."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import DatasetError

__all__ = ["check_name", "identifier", "literal", "parse_ref", "split_of", "suffix_of", "suggest_name"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_. -]{0,98}[A-Za-z0-9_-])?")
_COMPRESSED = (".gz",)
# A_TRAIN.ts, a-test.csv, machine.train.npz: the part that says which side of the split a file holds.
_SPLIT = re.compile(r"(?:^|[_.\- ])(train|training|tr|test|testing|te)(?=$|[_.\- ])", re.IGNORECASE)


def check_name(name: str) -> str:
    """Return `name` if a data set may be called so.

    Raises
    ------
    DatasetError
        The rule is one that is safe as a folder, in a URL and in SQL, everywhere.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DatasetError(
            f"{name!r} cannot name a data set: use 1 to 100 letters, digits, spaces, '_', '-' or '.', "
            "beginning with a letter or digit."
        )
    return name


def parse_ref(ref: str) -> tuple[str, int | None]:
    """Split ``"name@3"`` into ``("name", 3)``; without a version, into ``("name", None)``."""
    name, at, version = ref.partition("@")
    if at and not (version.isascii() and version.isdigit()):
        raise DatasetError(f"{ref!r} is not a data set's name or name@version.")
    return check_name(name), int(version) if at else None


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
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", prefix).strip("_.- ")[:100]
    return name or "data"
