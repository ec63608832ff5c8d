"""Importers: one module a format, found by the suffix of the first file.

An importer is a function ``read(sources, build, options) -> Imported`` that fills the table ``data``
of a :class:`~workbench.datasets.files.Build`. It raises :class:`~workbench.errors.ImportFailed` with
file, line and column where there is one. To add a format, add a module and a line to :data:`FORMATS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.datasets.files import Build
from workbench.datasets.names import split_of, stem_of, suffix_of
from workbench.errors import ImportFailed, UsageError

__all__ = ["FORMATS", "Imported", "Source", "format_of", "importer", "sources_of"]


@dataclass(frozen=True)
class Source:
    """One file to import.

    Attributes
    ----------
    path : Path
    part : str or None
        ``"train"`` or ``"test"`` from its name, when several files make one data set.
    """

    path: Path
    part: str | None = None

    @property
    def stem(self) -> str:
        """The name of the file without suffixes."""
        return stem_of(self.path)


@dataclass(frozen=True)
class Imported:
    """What an importer knows beyond the table.

    Attributes
    ----------
    roles : dict, optional
        Where they are not left to be guessed.
    notes : tuple of str
        Sentences on what its owner should know: what was guessed or left out, and may be wrong.
    """

    roles: dict[str, list[str]] | None = None
    notes: tuple[str, ...] = ()


#: Format → (module, suffixes).
FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "csv": ("delimited", (".csv", ".tsv", ".txt", ".tab", ".psv")),
    "parquet": ("columnar", (".parquet", ".pq")),
    "arrow": ("columnar", (".arrow", ".feather", ".ipc")),
    "jsonl": ("columnar", (".jsonl", ".ndjson", ".json")),
    "ts": ("ts", (".ts",)),
    "arff": ("arff", (".arff",)),
    "libsvm": ("sparse", (".libsvm", ".svm", ".svmlight")),
    "libffm": ("sparse", (".libffm", ".ffm")),
    "excel": ("excel", (".xlsx", ".xlsm")),
    "npz": ("arrays", (".npz", ".npy")),
}


def importer(name: str) -> Callable[[Sequence[Source], Build, Mapping[str, Any]], Imported]:
    """The importer of a format."""
    if name not in FORMATS:
        raise UsageError(f"There is no format {name!r}: choose one of {', '.join(['auto', *FORMATS])}.")
    module = importlib.import_module(f"{__name__}.{FORMATS[name][0]}")
    return getattr(module, f"read_{name}")


def format_of(paths: Sequence[Path]) -> str:
    """The format of files by their suffixes, which must agree."""
    suffixes = {".parquet" if path.is_dir() else suffix_of(path): path for path in paths}
    found = {name for name, (_, known) in FORMATS.items() for suffix in suffixes if suffix in known}
    unknown = [path for suffix, path in suffixes.items() if not any(suffix in f[1] for f in FORMATS.values())]
    if unknown:
        known = ", ".join(suffix for _, group in FORMATS.values() for suffix in group)
        raise ImportFailed(f"its suffix is none of {known}: rename it, or name the format.", file=unknown[0])
    if len(found) > 1:
        raise ImportFailed(
            f"One data set comes from files of one format, not of {' and '.join(sorted(found))}: "
            "import them apart."
        )
    return found.pop()


def sources_of(paths: Sequence[Path]) -> list[Source]:
    """The files with the side of the split their names tell, if several and all of them do."""
    parts: list[str | None] = [split_of(path) for path in paths]
    if len(paths) < 2 or None in parts or len(set(parts)) < 2:
        parts = [None] * len(paths)
    found = [Source(path, part) for path, part in zip(paths, parts, strict=True)]
    return sorted(found, key=lambda source: source.part == "test")  # train first; else as given
