"""A progress bar in a notebook or a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from workbench.training.callbacks import Callback

if TYPE_CHECKING:
    from workbench.training.loop import Loop

__all__ = ["ProgressBar", "in_notebook"]


def in_notebook() -> bool:
    """Whether this is code of a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class ProgressBar(Callback):
    """A tqdm bar over the epochs, with the last loss beside it.

    Parameters
    ----------
    description : str, optional
        Stands before the bar.
    """

    def __init__(self, description: str | None = None) -> None:
        self.description = description
        self._bar: Any = None

    def on_train_begin(self, loop: Loop) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=loop.n_epochs, desc=self.description, unit="epoch", file=sys.stderr)

    def on_epoch_begin(self, loop: Loop) -> None:
        # Also moves the bar to where a restored checkpoint left off.
        self._bar.update(loop.epoch - self._bar.n)

    def on_epoch_end(self, loop: Loop) -> None:
        self._bar.set_postfix(loss=f"{loop.history[-1]['loss']:.4g}", refresh=False)
        self._bar.update(loop.epoch - self._bar.n)

    def on_train_end(self, loop: Loop) -> None:
        self._bar.close()

    def on_interrupt(self, loop: Loop) -> None:
        self._bar.close()
