"""Sliding windows over series, and what the tasks on windows share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from workbench.timeseries._base import Series
from workbench.timeseries._task import SeriesTask
from workbench.timeseries.preprocessing import series_lengths

if TYPE_CHECKING:
    import torch

__all__ = ["WindowTask", "cut", "spread", "starts"]


def starts(length: int, window: int, most: int) -> NDArray[np.intp]:
    """First steps of at most `most` windows in a series: evenly spread, the last one at the end."""
    last = length - window
    if last < 0:
        return np.empty(0, dtype=np.intp)
    return np.unique(np.linspace(0, last, min(last + 1, max(most, 1))).round().astype(np.intp))


def cut(one: Series, first: NDArray[np.intp], window: int) -> Series:
    """The windows of a series (T, d) that begin at `first`, shape (m, window, d)."""
    if not len(first):
        return np.empty((0, window, one.shape[1]), one.dtype)
    return sliding_window_view(one, window, axis=0)[first].transpose(0, 2, 1)


def spread(values: NDArray[np.floating[Any]], first: NDArray[np.intp], length: int) -> NDArray[np.float64]:
    """Mean of overlapping windows (m, window, d) at every step of a series, (length, d)."""
    window = values.shape[1]
    total = np.zeros((length, values.shape[2]))
    count = np.zeros(length)
    for begin, value in zip(first, values, strict=True):
        total[begin : begin + window] += value
        count[begin : begin + window] += 1
    covered: NDArray[np.float64] = total / np.maximum(count, 1)[:, None]
    return covered


class WindowTask(SeriesTask):
    """Base of the tasks whose encoders see windows and whose head gives values of steps."""

    window: int | None

    def _window_for(self, X: Series, most: int, default: int) -> int:
        """The window's length; at most `most` steps."""
        size = min(default, most) if self.window is None else self.window
        if size > most:
            raise ValueError(
                f"window={size} is too long: the longest series has {X.shape[1]} steps, and windows of up to "
                f"{most} can be used; choose a shorter one."
            )
        return size

    def _checked_fit(self, X: Any) -> tuple[Series, NDArray[np.int64]]:
        series = self._check_series(X, reset=True)
        lengths = series_lengths(series)
        series = series[:, : lengths.max()]
        self.n_channels_ = series.shape[2]
        return series, lengths

    def _squared(self, wanted: NDArray[Any], counted: NDArray[np.bool_] | None = None) -> Any:
        """Squared error of outputs, where `counted`."""

        def on(device: torch.device) -> Any:
            import torch

            numbers = torch.from_numpy(wanted.astype(np.float32)).to(device)
            counts = None if counted is None else torch.from_numpy(counted).to(device)

            def loss(outputs: torch.Tensor, rows: torch.Tensor) -> tuple[Any, dict[str, Any]]:
                squared = (outputs - numbers[rows]) ** 2
                if counts is None:
                    return squared.mean(), {}
                weight = counts[rows]
                return (squared * weight).sum() / weight.sum().clamp(min=1), {}

            return loss

        return on
