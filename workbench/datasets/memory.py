"""How much memory this process may still take: of the machine, of its container, and of a limit set on it."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["is_capped", "reserve_little", "spare_bytes"]

_M_ARENA_MAX = -8  # of malloc.h
_CGROUPS = Path("/sys/fs/cgroup")
#: What a limit of the process holds, as ``/proc/self/status`` counts it.
_LIMITS = {resource.RLIMIT_DATA: "VmData", resource.RLIMIT_AS: "VmSize"}


def is_capped() -> bool:
    """Whether somebody limits the memory of this process (``ulimit -v``, ``ulimit -d``)."""
    return any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in _LIMITS)


def reserve_little() -> None:
    """Keep allocators from reserving what a capped process does not have.

    glibc keeps 64 MB of address space for each of many threads; Arrow takes a gigabyte with its first byte.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def spare_bytes() -> int:
    """The bytes that this process may still allocate."""
    used = _used()
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = [physical, *(limit - used.get("VmRSS", 0) for limit in _container_limits())]
    for number, name in _LIMITS.items():
        limit = resource.getrlimit(number)[0]
        if limit != resource.RLIM_INFINITY:
            found.append(limit - used.get(name, 0))
    return max(min(found), 0)


def _used() -> dict[str, int]:
    """The lines of ``/proc/self/status`` that count bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # not Linux
        return {}
    pairs = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(kilobytes) << 10 for name, kilobytes, _ in pairs}


def _container_limits(groups: str | None = None, root: Path = _CGROUPS) -> Iterator[int]:
    """The limits of the control groups that this process is in, and of those above them.

    `groups` is the text of ``/proc/self/cgroup``.
    """
    if groups is None:
        try:
            groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
        except OSError:  # not Linux
            return
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, file = root, "memory.max"
        elif "memory" in controllers.split(","):
            top, file = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            try:
                yield int((folder / file).read_text(encoding="ascii"))
            except (OSError, ValueError):  # not there, or "max"
                continue
