"""What every part of the check shares."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from workbench.errors import UsageError
from workbench.naming import check_name
from workbench.store import StoreDir

__all__ = ["SET_ASIDE", "Fault", "Faults", "inner", "is_name", "set_aside"]

SET_ASIDE = "set-aside"


class Fault(NamedTuple):
    """One thing that is wrong, and how it is mended."""

    what: str
    problem: str
    remedy: str
    mend: Callable[[], object]


Faults = Iterator[Fault]


def set_aside(dir: StoreDir, path: Path) -> None:
    target = dir.inside(SET_ASIDE, *path.relative_to(dir.root).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    while target.exists():
        target = target.with_name(f"{target.name}-{time.time_ns()}")
    os.rename(path, target)


def inner(dir: StoreDir, path: Path) -> str:
    return str(path.relative_to(dir.root))


def is_name(name: str) -> bool:
    """Whether a data set or a model may be called so."""
    try:
        check_name(name)
    except UsageError:
        return False
    return True
