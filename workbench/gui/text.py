"""Numbers, times and foreign words as text for a page."""

from __future__ import annotations

import math
import re
from datetime import datetime

__all__ = ["ago", "as_number", "bytes_", "change", "count", "duration", "md", "moment", "score"]

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~:$&@])")


def md(text: object) -> str:
    """`text` with nothing in it that Markdown would render: names and cells come from anybody's files."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))


def count(number: float) -> str:
    """A whole number with thin groups: ``12 345``."""
    return f"{number:,.0f}".replace(",", "\u202f")


def bytes_(number: float) -> str:
    """A size: ``1.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: float | None) -> str:
    """A time span in its two largest units: ``3 min 20 s``."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, below, smaller in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def ago(moment: datetime | float | None, now: float) -> str:
    """How long before `now` (Unix seconds): ``5 min ago``."""
    if moment is None:
        return ""
    then = moment.timestamp() if isinstance(moment, datetime) else moment
    seconds = now - then
    if seconds < 5:
        return "just now"
    return " ".join(duration(seconds).split(" ")[:2]) + " ago"


def moment(time: datetime) -> str:
    """A point in time with no more digits than it needs: ``2026-03-01``, ``2026-03-01 14:00``."""
    text = f"{time:%Y-%m-%d %H:%M:%S}"
    return text.removesuffix(":00").removesuffix(" 00:00")


def as_number(text: str) -> int | float | str:
    """The number that a text reads as, or the text itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def change(difference: float) -> str:
    """A difference of scores with its sign; what rounds to nothing has neither."""
    return f"{difference:+.3f}" if abs(difference) >= 0.0005 else "±0.000"


def score(value: float) -> str:
    """A score with three digits that matter."""
    if not math.isfinite(value):
        return "–"
    if value and (abs(value) >= 10_000 or abs(value) < 0.001):
        return f"{value:.2e}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
