"""Cron text in a time zone: when it is due, and what it says in words.

As in Debian's cron, what is due at a fixed time of day is due once on a day on which clocks change: right
after the gap where its time is left out, the first time where its time comes twice. What recurs (``*`` or
``*/n`` in the minutes or hours) goes by elapsed time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workbench.errors import UsageError

if TYPE_CHECKING:
    from cronsim import CronSim

__all__ = ["Cron"]

LONGEST = 1000  # characters of a text: every field as a list of all its values has fewer
_SHORT = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip


@dataclass(frozen=True)
class Cron:
    """Five fields (minute, hour, day of the month, month, day of the week) and a time zone.

    Raises
    ------
    UsageError
        If either cannot be read, or the time never comes.
    """

    text: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        from cronsim import CronSimError

        if len(self.text) > LONGEST:
            raise UsageError(f"A cron time has five fields, and not {len(self.text):,} characters.")
        if len(self._fields.split()) != 5:
            raise UsageError(
                f"{self.text!r} is not a cron time: write five fields (minute, hour, day of the month, "
                "month, day of the week), such as '30 2 * * *' for half past two every night, or @daily."
            )
        try:
            next(self._from(datetime.now(UTC).timestamp()))
        except CronSimError as error:
            raise UsageError(f"{self.text!r} is not a cron time: {str(error).lower()}.") from None
        except StopIteration:
            raise UsageError(f"{self.text!r} never comes.") from None

    @cached_property
    def tz(self) -> ZoneInfo:
        """The time zone."""
        try:
            return ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise UsageError(
                f"There is no time zone {self.zone!r}: write it as Europe/Berlin or UTC."
            ) from None

    @property
    def words(self) -> str:
        """What it says: ``"At 02:30 every day, Europe/Berlin time"``."""
        said = self._from(0.0).explain()
        return f"{said}, {self.zone} time" if self.zone != "UTC" else f"{said}, UTC"

    def after(self, moment: float) -> Iterator[float]:
        """When it is due after `moment`, endlessly; all in unix seconds."""
        latest = moment
        for due in self._from(moment):
            seconds = due.timestamp()
            if seconds > latest:  # a time that clocks skip, or show twice, is not due twice
                latest = seconds
                yield seconds

    def upcoming(self, moment: float, n: int = 5) -> list[datetime]:
        """The next `n` times after `moment`, in the time zone."""
        return [self.local(due) for due in islice(self.after(moment), n)]

    def local(self, moment: float) -> datetime:
        """A moment in the time zone."""
        return datetime.fromtimestamp(moment, self.tz)

    @property
    def _fields(self) -> str:
        return _SHORT.get(self.text.strip().lower(), self.text)

    def _from(self, moment: float) -> CronSim:
        from cronsim import CronSim

        start = datetime.fromtimestamp(moment, self.tz)
        return CronSim(self._fields, start.astimezone(UTC) if self.zone == "UTC" else start)
