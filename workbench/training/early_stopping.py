"""Stop when a loss no longer falls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.errors import UsageError
from workbench.training.callbacks import Callback

if TYPE_CHECKING:
    from workbench.training.loop import Loop

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Stop the training after `patience` epochs without a new lowest value.

    It remembers nothing itself but reads the loop's history, so it works unchanged after a resume.

    Parameters
    ----------
    monitor : str
        Name of the loss or part to watch.
    patience : int
        Epochs to wait for an improvement.
    min_delta : float
        How much lower a value must be to count.
    """

    def __init__(self, monitor: str = "loss", patience: int = 10, min_delta: float = 0.0) -> None:
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta

    def on_epoch_end(self, loop: Loop) -> None:
        if self.monitor not in loop.history[-1]:
            raise UsageError(
                f"EarlyStopping cannot watch {self.monitor!r}; "
                f"this training has {', '.join(loop.history[-1])}."
            )
        best, waited = float("inf"), 0
        for entry in loop.history:
            if entry[self.monitor] < best - self.min_delta:
                best, waited = entry[self.monitor], 0
            else:
                waited += 1
        if waited >= self.patience:
            loop.stop = True
