"""What the worker asks of a launcher."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

__all__ = ["Launcher", "read_log"]


class Launcher(Protocol):
    """Starts runs somewhere; a job is named by a string that outlives the worker."""

    #: How many runs it is given at a time; 0 where the worker's own slots say.
    places: ClassVar[int]
    #: Whether its jobs go on when the worker that started them is gone.
    lasting: ClassVar[bool]

    def start(self, folder: Path, *, slot: str, threads: int, attempt: int) -> str:
        """Start the run in `folder` and return the job's name."""

    def attach(self, job: str, folder: Path) -> bool:
        """Follow a job that another worker has started; False if nothing of it is alive any more."""

    def poll(self, job: str) -> int | None:
        """The exit code (negative: killed by that signal), or None while it runs."""

    def stop(self, job: str, *, force: bool = False) -> None:
        """Ask the job to save a checkpoint and end; with `force` end it and all its processes now."""

    def abandon(self, job: str) -> None:
        """Have nothing more to do with the job: the run is another worker's now."""

    def logs(self, folder: Path, tail: int | None = None) -> str:
        """The text that the run wrote, or its last `tail` lines."""


def read_log(folder: Path, tail: int | None = None) -> str:
    """What stands in the log of the run in `folder`, wherever it ran."""
    try:
        text = (folder / "log.txt").read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return text if tail is None else "\n".join(text.splitlines()[-tail:] if tail > 0 else [])
