"""Names of data sets and models, and references ``name@version``; stated here and nowhere else."""

from __future__ import annotations

import re

from workbench.errors import UsageError

__all__ = ["check_name", "clean_name", "split_ref"]

# Safe as one folder on any system, in a URL and in SQL: no separators, quotes or '@'; no leading dot or dash.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_. -]{0,98}[A-Za-z0-9_-])?")


_VERSION = re.compile(r"[0-9]{1,18}")  # more digits are no number of the database


def check_name(name: str) -> str:
    """Return `name` if it may name a data set or a model.

    Raises
    ------
    UsageError
        If it is empty, longer than 100 characters, or has other characters than letters, digits,
        space, ``_``, ``-`` and ``.``.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a name: use 1 to 100 letters, digits, spaces, '_', '-' or '.', "
            "beginning with a letter or digit."
        )
    return name


def clean_name(text: str) -> str:
    """The nearest allowed name to `text`, e.g. a file's stem, without spaces."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip(" ._-")[:100].strip(" .") or "data"


def split_ref(ref: str) -> tuple[str, int | None]:
    """Split ``"name@3"`` into ``("name", 3)``; without a version, into ``("name", None)``.

    Raises
    ------
    UsageError
    """
    name, at, version = ref.partition("@")
    if at and not _VERSION.fullmatch(version):
        raise UsageError(f"{ref!r} is not a reference: write NAME or NAME@VERSION, e.g. BasicMotions@1.")
    return check_name(name), int(version) if at else None
