"""Work that goes on beside a page, so that the page stays alive and can stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Task"]

T = TypeVar("T")


class Task(Generic[T]):
    """One call in a thread of its own.

    Parameters
    ----------
    work : callable
        Takes an event that is set when the work is to stop; what it returns is the result.
    """

    def __init__(self, work: Callable[[threading.Event], T]) -> None:
        self._work, self._stop, self._done = work, threading.Event(), threading.Event()
        self._result: T | None = None
        self._error: Exception | None = None
        self._started = time.monotonic()
        self._ended: float | None = None
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._done.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and has not yet."""
        return self._stop.is_set() and not self.done

    @property
    def seconds(self) -> float:
        """How long it took, or has been taking."""
        return (self._ended if self._ended is not None else time.monotonic()) - self._started

    def stop(self) -> None:
        """Ask it to end."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; whether it is done."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """What the work returned; raises what it raised. Call it when it is done."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        return self._result  # type: ignore[return-value]

    def _run(self) -> None:
        try:
            self._result = self._work(self._stop)
        except Exception as error:
            self._error = error
        finally:
            self._ended = time.monotonic()
            self._done.set()
