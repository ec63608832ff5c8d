"""The ``.ts`` format of the time series classification archive, as sktime and aeon write it.

Header lines begin with ``@``, comments with ``#``; after ``@data`` each line is one series: channels
apart by ``:``, values by ``,``, a missing value ``?`` or ``NaN``, the label or target last. With
``@timeStamps true`` a value is ``(time,value)``, its time a number or a date; channels may have times of
their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported, Source
from workbench.datasets.importers.numbers import real, reals, whole
from workbench.datasets.importers.text_file import not_utf8
from workbench.datasets.importers.writer import SeriesWriter
from workbench.errors import ImportFailed, UsageError

__all__ = ["read_ts"]

_STAMPED = re.compile(r"\s*\(([^(),]*),([^(),]*)\)\s*,?")
_YES_NO = {"true": True, "false": False}


@dataclass
class _Header:
    """What stands above ``@data``."""

    flags: dict[str, bool] = field(default_factory=dict)
    dimensions: int | None = None
    length: int | None = None
    classes: list[str] | None = None
    target: bool = False

    @property
    def labelled(self) -> bool:
        return self.classes is not None or self.target


def read_ts(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` with the series of all files, one after the other."""
    if options:
        raise UsageError(f"Files of this format have no option {next(iter(options))!r}.")
    writer: SeriesWriter | None = None
    first: _Header | None = None
    kind: str | None = None  # of the time stamps
    sizes = [source.path.stat().st_size for source in sources]
    done = 0
    for source, size in zip(sources, sizes, strict=True):
        read = 0
        for number, header, channels, label, n_characters, times in _series(source.path):
            if writer is None or first is None:
                first = header
                d = len(channels)
                names = ["value"] if d == 1 else [f"dim_{j}" for j in range(d)]
                writer = SeriesWriter(build, names, label=header.labelled, split=source.part is not None)
            if len(channels) != len(writer.channels) or header.labelled != first.labelled:
                raise ImportFailed(
                    f"has {len(channels)} channels where the series before have {len(writer.channels)}."
                    if len(channels) != len(writer.channels)
                    else "does not agree with the first file on whether the series have labels.",
                    file=source.path,
                    line=number,
                )
            if header.flags.get("timestamps", False) != first.flags.get("timestamps", False):
                raise ImportFailed("does not agree with the first file on time stamps.", file=source.path)
            if times is not None and kind is not None and times.dtype.kind != kind:
                raise ImportFailed("some times are numbers, others dates.", file=source.path, line=number)
            kind = None if times is None else times.dtype.kind
            writer.add(np.stack(channels, axis=1), label, source.part, times)
            read += n_characters
            build.say((done + min(read, size)) / sum(sizes), f"reading {source.path.name}")
        done += size
        if read == 0:
            raise ImportFailed("has a header but no series.", file=source.path)
    assert writer is not None  # noqa: S101 - every file has a series
    return writer.finish()


def _series(
    path: Path,
) -> Iterator[tuple[int, _Header, list[NDArray[Any]], Any, int, NDArray[Any] | None]]:
    """Line number, header, channels, label, length in characters and times of each series."""
    header = _Header()
    in_data = False
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            for number, line in enumerate(file, 1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                if not in_data:
                    in_data = _read_header(text, header, path, number)
                    continue
                if header.flags.get("timestamps"):
                    times, channels, label = _read_stamped(text, header, path, number)
                    yield number, header, channels, label, len(line), times
                    continue
                channels, label = _read_line(text, header, path, number)
                yield number, header, channels, label, len(line), None
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    if not in_data:
        raise ImportFailed("has no @data line: it is not a .ts file, or was cut short.", file=path)


def _read_header(text: str, header: _Header, path: Path, line: int) -> bool:
    """Take in one header line; whether it was ``@data``."""
    if not text.startswith("@"):
        raise ImportFailed("values stand before the @data line.", file=path, line=line)
    key, *words = text[1:].split() or [""]
    key = key.lower()
    if not key:
        raise ImportFailed("nothing stands behind the @.", file=path, line=line)

    def integer() -> int:
        try:
            (word,) = words
            return whole(word if word.isdecimal() else "")
        except ValueError:  # of too many digits as well
            raise ImportFailed(f"@{key} must be followed by a whole number.", file=path, line=line) from None

    def flag() -> bool:
        if not words or words[0].lower() not in _YES_NO:
            raise ImportFailed(f"@{key} must be followed by true or false.", file=path, line=line)
        return _YES_NO[words[0].lower()]

    if key == "data":
        return True
    if key in ("timestamps", "missing", "univariate", "equallength"):
        header.flags[key] = flag()
    elif key in ("dimension", "dimensions"):
        header.dimensions = integer()
    elif key == "serieslength":
        header.length = integer() or None
    elif key == "classlabel":
        if flag():
            header.classes = words[1:]
            if not header.classes:
                raise ImportFailed("@classLabel true names no class.", file=path, line=line)
    elif key == "targetlabel":
        header.target = flag()
    return False


def _read_line(text: str, header: _Header, path: Path, line: int) -> tuple[list[NDArray[Any]], Any]:
    parts = text.split(":")
    label: Any = None
    if header.labelled:
        if len(parts) < 2:
            raise ImportFailed("the series has no label: the line was cut short?", file=path, line=line)
        label = _read_label(parts.pop().strip(), header, path, line)
    if header.dimensions is not None and len(parts) != header.dimensions:
        raise ImportFailed(
            f"the series has {len(parts)} channels where @dimensions says {header.dimensions}.",
            file=path,
            line=line,
        )
    if header.flags.get("univariate") and len(parts) != 1:
        raise ImportFailed(
            f"the series has {len(parts)} channels where @univariate says one.", file=path, line=line
        )
    channels = [_read_channel(part, number, path, line) for number, part in enumerate(parts)]
    lengths = [len(channel) for channel in channels]
    if len(set(lengths)) > 1:
        other = next(number for number, length in enumerate(lengths) if length != lengths[0])
        raise ImportFailed(
            f"channel {other + 1} has {lengths[other]} values where channel 1 has {lengths[0]}: the channels "
            "of a series must be equally long.",
            file=path,
            line=line,
        )
    if header.flags.get("equallength") and header.length is not None and lengths[0] != header.length:
        raise ImportFailed(
            f"the series has {lengths[0]} steps where @seriesLength says {header.length}.",
            file=path,
            line=line,
        )
    return channels, label


def _read_stamped(
    text: str, header: _Header, path: Path, line: int
) -> tuple[NDArray[Any], list[NDArray[Any]], Any]:
    """Times, channels and label of a line of ``(time,value)``; the channels share the union of times."""
    end = text.rfind(")")
    body, rest = text[: end + 1], text[end + 1 :].lstrip(":").strip()
    label = _read_label(rest, header, path, line) if header.labelled else None
    if not body or (rest and not header.labelled):
        raise ImportFailed("the series is not of the form (time,value),….", file=path, line=line)
    found: list[dict[Any, float]] = []
    for number, channel in enumerate(re.split(r"(?<=\)):(?=\()|(?<=:)\s*(?=:)", body), 1):
        places = list(_STAMPED.finditer(channel))
        if "".join(place[0] for place in places) != channel.strip(" :"):
            raise ImportFailed(f"channel {number} is not of the form (time,value),….", file=path, line=line)
        stamps = _read_times([place[1] for place in places], number, path, line)
        values = _read_channel(",".join(place[2] for place in places), number - 1, path, line)
        if len(np.unique(stamps)) < len(stamps):
            raise ImportFailed(f"a time occurs twice in channel {number}.", file=path, line=line)
        found.append(dict(zip(stamps.tolist(), values.tolist(), strict=True)))
    if header.dimensions is not None and len(found) != header.dimensions:
        raise ImportFailed(
            f"the series has {len(found)} channels where @dimensions says {header.dimensions}.",
            file=path,
            line=line,
        )
    try:
        times = sorted(set().union(*found))
    except TypeError:
        raise ImportFailed("some times are numbers, others dates.", file=path, line=line) from None
    stamped = np.array(times, dtype=np.float64 if isinstance(times[0], float) else "datetime64[us]")
    return stamped, [np.array([each.get(time, math.nan) for time in times]) for each in found], label


def _read_times(words: list[str], channel: int, path: Path, line: int) -> NDArray[Any]:
    try:
        return reals(words)
    except ValueError:
        pass
    try:
        return np.array([word.strip().replace(" ", "T") for word in words], dtype="datetime64[us]")
    except ValueError as error:
        raise ImportFailed(
            f"a time of channel {channel} is neither a number nor a date like 2024-01-31 12:00:00.",
            file=path,
            line=line,
        ) from error


def _read_channel(part: str, number: int, path: Path, line: int) -> NDArray[Any]:
    words = part.replace("?", "nan").split(",")
    try:
        return reals(words)
    except ValueError:
        for place, word in enumerate(words, 1):
            try:
                real(word)
            except ValueError:
                problem = (
                    f"value {place} of channel {number + 1} is empty (a missing value is written ?)."
                    if not word.strip()
                    else f"value {place} of channel {number + 1}, {word.strip()[:40]!r}, is not a number."
                )
                raise ImportFailed(problem, file=path, line=line) from None
        raise


def _read_label(text: str, header: _Header, path: Path, line: int) -> Any:
    if header.classes is not None:
        if text in ("?", ""):
            return None
        if text not in header.classes:
            known = ", ".join(header.classes[:10])
            raise ImportFailed(
                f"the label {text[:40]!r} is none of the classes in the header ({known}).",
                file=path,
                line=line,
            )
        return text
    try:
        target = math.nan if text == "?" else real(text)
    except ValueError:
        raise ImportFailed(f"the target {text[:40]!r} is not a number.", file=path, line=line) from None
    if math.isinf(target):
        raise ImportFailed("the target is infinite.", file=path, line=line)
    return target
