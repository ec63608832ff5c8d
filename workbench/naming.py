"""Names of data sets, runs and models, and references ``name@version``."""

from __future__ import annotations

import re

from workbench.errors import UsageError

__all__ = ["check_name", "clean_name", "split_ref"]

# One folder name on any system, and one SQL view: no separators, no leading dot or dash, no '@'.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,99}")


def check_name(name: str) -> str:
    """Return `name` if it may name a data set or a model.

    Raises
    ------
    UsageError
        If it is empty, longer than 100 characters, or has other characters than letters, digits,
        space, ``_``, ``-`` and ``.``.
    """
    if not _NAME.fullmatch(name) or name.endswith((" ", ".")):
        raise UsageError(
            f"{name!r} cannot be a name: use up to 100 letters, digits, '_', '-', '.' or spaces, "
            "beginning with a letter or digit."
        )
    return name


def clean_name(text: str) -> str:
    """The nearest allowed name to `text`, e.g. a file's stem."""
    return re.sub(r"[^A-Za-z0-9_. -]+", "_", text).strip(" ._-")[:100].strip(" .") or "data"


def split_ref(ref: str) -> tuple[str, int | None]:
    """Split ``name@version`` into its parts; without a version the second is None."""
    name, at, version = ref.rpartition("@")
    if not at:
        return ref, None
    if not name or not version.isdigit():
        raise UsageError(f"{ref!r} is not a reference: write NAME or NAME@VERSION, e.g. BasicMotions@1.")
    return name, int(version)
