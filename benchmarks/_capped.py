"""A command whose memory the kernel caps, in a control group of its own, as a container has."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["NoGroups", "run_capped"]

_ROOT = Path("/sys/fs/cgroup")


class NoGroups(Exception):
    """Control groups of memory cannot be made here."""


def run_capped(words: list[str], megabytes: int) -> tuple[str, int]:
    """Standard output of `words` under a cap, and its peak in MB; cached pages of files are counted too.

    Raises
    ------
    NoGroups
        If this machine does not let us make such a group.
    CalledProcessError
        If the command fails; the kernel kills (-9) what needs more than the cap.
    """
    group, limit, peak = _made()
    try:
        (group / limit).write_text(str(megabytes << 20))
        for swap in ("memory.memsw.limit_in_bytes", "memory.swap.max"):  # the cap is not to be evaded
            if (group / swap).exists():
                (group / swap).write_text(str(megabytes << 20 if "memsw" in swap else 0))
        entering = ["sh", "-c", f'echo $$ > "{group}/cgroup.procs" && exec "$@"', "capped", *words]
        done = subprocess.run(entering, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout, int((group / peak).read_text()) >> 20
    finally:
        with suppress(OSError):
            group.rmdir()


def _made() -> tuple[Path, str, str]:
    for root, limit, peak in (
        (_ROOT / "memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
        (_ROOT, "memory.max", "memory.peak"),
    ):
        with suppress(OSError):
            group = Path(tempfile.mkdtemp(prefix=f"capped-{os.getpid()}-", dir=root))
            if os.access(group / limit, os.W_OK):
                return group, limit, peak
            group.rmdir()
    raise NoGroups(
        "Control groups of memory cannot be made here: run as root, or within a container's limit."
    )
