"""Saving a training so that it can be continued, bit for bit, after a crash or a cancel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import CheckpointError
from workbench.training.callbacks import Callback

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.training.loop import Loop

__all__ = ["Checkpoint"]

_FORMAT = 1
_KEPT = 2


class Checkpoint(Callback):
    """Save the loop's state now and then, and restore the newest one before training.

    One object serves one stage of a run. Should the stage train several times (a grid search, a fine
    tuning), each training gets a folder of its own, in the order in which they begin: ``fit-000``, …
    In it stand the last two states, each a folder with ``state.json`` and ``tensors.safetensors``,
    written beside and renamed, so that one is either whole or not there. Nothing is ever unpickled.
    A training that had finished is restored without repeating an epoch.

    Parameters
    ----------
    folder : path-like
    every : float
        Save at most once in so many seconds; at the end and on an interrupt it always saves.

    Raises
    ------
    CheckpointError
        From ``fit``, if the newest state is damaged or was made by other work.
    """

    saves = True

    def __init__(self, folder: str | os.PathLike[str], every: float = 5.0) -> None:
        self.folder, self.every = Path(folder), every
        self._trainings = 0
        self._home = self.folder
        self._number = 0
        self._saved_at = 0.0

    def on_train_begin(self, loop: Loop) -> None:
        self._home = self.folder / f"fit-{self._trainings:03d}"
        self._trainings += 1
        self._home.mkdir(parents=True, exist_ok=True)
        for rubbish in self._home.glob(".writing-*"):
            shutil.rmtree(rubbish, ignore_errors=True)  # or another process of this training did
        states = _states(self._home)
        self._number = int(states[-1].name) if states else 0
        if states:
            values, tensors = _read(states[-1])
            if values["fingerprint"] != loop.fingerprint:
                raise CheckpointError(
                    f"The checkpoint {states[-1]} was made with other parameters, data or device; "
                    "start again from the beginning (runs retry --fresh)."
                )
            loop.restore(values, tensors)
        self._saved_at = time.monotonic()

    def on_batch_end(self, loop: Loop) -> None:
        self._save_if_due(loop)

    def on_epoch_end(self, loop: Loop) -> None:
        self._save_if_due(loop)

    def on_train_end(self, loop: Loop) -> None:
        self._save(loop)

    def on_interrupt(self, loop: Loop) -> None:
        self._save(loop)

    def _save_if_due(self, loop: Loop) -> None:
        if time.monotonic() - self._saved_at >= self.every:
            self._save(loop)

    def _save(self, loop: Loop) -> None:
        self._saved_at = time.monotonic()
        if int(os.environ.get("RANK", "0")):  # of processes that train together only the first writes
            return
        values, tensors = loop.state()
        self._number += 1
        _write(self._home / f"{self._number:08d}", values, tensors)
        for old in _states(self._home)[:-_KEPT]:
            shutil.rmtree(old)
        self._saved_at = time.monotonic()


def _states(home: Path) -> list[Path]:
    """Saved states, oldest first."""
    return sorted(path for path in home.iterdir() if path.is_dir() and path.name.isdigit())


def _write(target: Path, values: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save

    # Copies, for safetensors refuses tensors that share memory.
    content = save({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()})
    body = {"format": _FORMAT, **values, "tensors_sha256": hashlib.sha256(content).hexdigest()}
    state = json.dumps({"sha256": _digest(body), "state": body}, indent=1).encode()
    temporary = target.parent / f".writing-{target.name}"
    temporary.mkdir()
    for name, data in (("tensors.safetensors", content), ("state.json", state)):
        with open(temporary / name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync_folder(temporary)
    temporary.rename(target)
    _sync_folder(target.parent)


def _read(home: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors.torch import load

    file = home / "state.json"
    try:
        head = json.loads(file.read_bytes())
        values = head["state"]
        if _digest(values) != head["sha256"]:
            raise ValueError("its checksum does not match")
        if values["format"] != _FORMAT:
            raise ValueError(f"its format {values['format']} is not {_FORMAT}")
        file = home / "tensors.safetensors"
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != values["tensors_sha256"]:
            raise ValueError("its checksum does not match")
        return values, load(content)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"The checkpoint file {file} is damaged ({error}); start again from the beginning "
            "(runs retry --fresh)."
        ) from error


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
