"""Which kind of log a table is, by the names of its columns; pages ask before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["is_log", "is_replay"]


def is_log(columns: Iterable[str]) -> bool:
    """Whether a table with these columns can be read as a log of candidates."""
    return {"bid", "pctr", "pcvr", "ppb"} <= set(columns)


def is_replay(columns: Iterable[str]) -> bool:
    """Whether a table with these columns can be read as one bidder's log."""
    names = set(columns)
    return {"click", "price", "pctr"} <= names and not {"merchant", "candidate"} & names
