"""Callbacks of the training loop, in skorch's shape, and how a caller outside an estimator adds them.

An estimator takes no ``callbacks`` parameter: a run's reporter is not a hyper-parameter, and
``clone`` would copy it. Instead the caller surrounds ``fit``::

    with training.callbacks(EarlyStopping(), ProgressBar()):
        estimator.fit(X)

which also reaches estimators inside a Pipeline or a grid search. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.training.loop import Loop

__all__ = ["Callback", "active_callbacks", "callbacks"]


class Callback:
    """Base of callbacks; every hook is given the running :class:`~workbench.training.loop.Loop`.

    Attributes
    ----------
    saves : bool
        Run after the others at the end of things, to save what they have decided.
    """

    saves = False

    def on_train_begin(self, loop: Loop) -> None:
        """Before the first epoch; a checkpoint is restored here."""

    def on_epoch_begin(self, loop: Loop) -> None:
        """Before the first batch of ``loop.epoch``."""

    def on_batch_end(self, loop: Loop) -> None:
        """After the step on batch ``loop.batch`` of ``loop.n_batches``."""

    def on_epoch_end(self, loop: Loop) -> None:
        """After the last batch; ``loop.history[-1]`` holds the epoch's mean losses."""

    def on_train_end(self, loop: Loop) -> None:
        """After the last epoch, also when stopped early."""

    def on_interrupt(self, loop: Loop) -> None:
        """When the loop was interrupted, between two batches; `Stopped` is raised afterwards."""


_active: ContextVar[tuple[Callback, ...]] = ContextVar("workbench_callbacks", default=())


@contextmanager
def callbacks(*added: Callback) -> Iterator[None]:
    """Add callbacks to every training loop that starts inside the block."""
    token = _active.set((*_active.get(), *added))
    try:
        yield
    finally:
        _active.reset(token)


def active_callbacks() -> tuple[Callback, ...]:
    """The callbacks that apply here and now, outermost first."""
    return _active.get()
