"""A clock on the wall that a test sets: every Python process that finds this file goes by it.

``$WORKBENCH_TEST_CLOCK`` names a file with the seconds by which the clock is ahead. What goes by the boot
clock or the monotonic clock is not touched, as it would not be by a hand that sets the host's clock.
"""

import os
import time

_real = time.time
_file = os.environ.get("WORKBENCH_TEST_CLOCK", "")


def _ahead():
    try:
        with open(_file) as file:
            return float(file.read() or 0)
    except (OSError, ValueError):
        return 0.0


if _file:
    time.time = lambda: _real() + _ahead()
    time.time_ns = lambda: int((_real() + _ahead()) * 1e9)
