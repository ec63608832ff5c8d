"""Writing series in the long layout: ``series_id, time, <channels>, label, split``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported

__all__ = ["SeriesWriter"]

_BATCH = 1 << 20  # numbers kept in memory before they are written


class SeriesWriter:
    """Collects series and appends them to the build in batches.

    Parameters
    ----------
    build : Build
    channels : sequence of str
    dtype : numpy dtype
        ``float32`` stays FLOAT, everything else becomes DOUBLE.
    label, split : bool
        Whether the series have them.
    """

    def __init__(
        self, build: Build, channels: Sequence[str], *, dtype: Any = np.float64, label: bool, split: bool
    ) -> None:
        self.channels = list(channels)
        self._build, self._label, self._split = build, label, split
        self._dtype = np.float32 if np.dtype(dtype) == np.float32 else np.float64
        self._next, self._waiting = 0, 0
        self._clear()

    def add(
        self,
        values: NDArray[Any],
        label: Any = None,
        split: str | None = None,
        times: NDArray[Any] | None = None,
    ) -> None:
        """Add one series of shape (T, d); steps are numbered where there are no `times` of shape (T,)."""
        if times is not None:
            self._times.append(times)
        self._values.append(np.asarray(values, self._dtype))
        self._labels.append(label)
        self._splits.append(split)
        self._waiting += values.size
        if self._waiting >= _BATCH:
            self._flush()

    def finish(self) -> Imported:
        """Write what is left; returns the roles."""
        if self._values:
            self._flush()
        roles = {"series_id": ["series_id"], "time": ["time"], "value": self.channels}
        if self._label:
            roles["label"] = ["label"]
        if self._split:
            roles["split"] = ["split"]
        return Imported(roles)

    def _flush(self) -> None:
        import pyarrow as pa

        lengths = np.array([len(values) for values in self._values])
        ids = np.arange(self._next, self._next + len(lengths), dtype=np.int32)
        starts = np.cumsum(lengths) - lengths
        times: NDArray[Any] = np.arange(lengths.sum(), dtype=np.int32)
        times -= np.repeat(starts, lengths).astype(np.int32)
        if self._times:
            times = np.concatenate(self._times)
        columns: dict[str, Any] = {"series_id": np.repeat(ids, lengths), "time": times}
        stacked = np.concatenate(self._values)
        for j, channel in enumerate(self.channels):
            columns[channel] = np.ascontiguousarray(stacked[:, j])
        if self._label:
            columns["label"] = _repeated(self._labels, lengths)
        if self._split:
            columns["split"] = _repeated(self._splits, lengths)
        self._build.append(pa.table(columns))
        self._next += len(lengths)
        self._clear()

    def _clear(self) -> None:
        self._values: list[NDArray[Any]] = []
        self._times: list[NDArray[Any]] = []
        self._labels: list[Any] = []
        self._splits: list[str | None] = []
        self._waiting = 0


def _repeated(values: list[Any], lengths: NDArray[Any]) -> Any:
    import pyarrow as pa

    typed = pa.array(values)
    if pa.types.is_null(typed.type):
        typed = typed.cast(pa.string())
    return typed.take(pa.array(np.repeat(np.arange(len(values)), lengths)))
