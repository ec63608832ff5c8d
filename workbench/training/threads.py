"""How many of the processor's threads torch takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_thread_if"]


@contextmanager
def one_thread_if(small: bool) -> Iterator[None]:
    """One torch thread within the block where the work is small, the number there was after it.

    On little work a second thread waits for the first longer than it helps, and takes the processor from
    other runs.
    """
    before = torch.get_num_threads()
    if not small or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
