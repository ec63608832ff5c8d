"""The one training loop and what surrounds it. Importing this package does not import torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.training.callbacks import Callback, active_callbacks, callbacks

if TYPE_CHECKING:
    from workbench.training.checkpoint import Checkpoint
    from workbench.training.device import resolve_device
    from workbench.training.early_stopping import EarlyStopping
    from workbench.training.loop import Loop, Stopped
    from workbench.training.progress import ProgressBar

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "Loop",
    "ProgressBar",
    "Stopped",
    "active_callbacks",
    "callbacks",
    "resolve_device",
]

_HOME = {
    "Checkpoint": "checkpoint",
    "EarlyStopping": "early_stopping",
    "Loop": "loop",
    "ProgressBar": "progress",
    "Stopped": "loop",
    "resolve_device": "device",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
