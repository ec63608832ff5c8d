"""How a run process reports: lines of ``events.jsonl``, and the callbacks it adds to training loops."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.training import Callback, Checkpoint, callbacks

if TYPE_CHECKING:
    from workbench.training.loop import Loop

__all__ = ["RunReporter", "Terminated"]

EVERY = 0.2  # seconds between two progress events


class Terminated(BaseException):
    """SIGTERM came when there was nothing to save, or all was saved."""


class RunReporter:
    """A :class:`~workbench.report.Reporter` that writes into a run's folder.

    Parameters
    ----------
    folder : Path
        The run's folder; ``events.jsonl`` is appended to.
    silent : bool
        Write nothing: one of several processes that train together, and not the first.
    checkpoint_every : float
        A training loop saves its state at most once in so many seconds.

    Attributes
    ----------
    stopping : bool
        Set on SIGTERM: training loops save a checkpoint and raise ``Stopped``.
    training : bool
        Whether a loop is running, which will notice `stopping` by itself.
    """

    def __init__(self, folder: Path, checkpoint_every: float = 5.0, *, silent: bool = False) -> None:
        self.folder, self.checkpoint_every = folder, checkpoint_every
        self.stopping = False
        self.training = False
        path = Path(os.devnull) if silent else folder / "events.jsonl"
        self._events = open(path, "a", encoding="utf-8")  # noqa: SIM115
        if not silent and self._events.tell() and not (folder / "events.jsonl").read_bytes().endswith(b"\n"):
            self._events.write("\n")  # a kill tore the last line
        self._weights: dict[str, float] = {}
        self._done: set[str] = set()
        self._stage = ""
        self._shown = 0.0  # progress never goes back
        self._rate = _Rate()
        self._written = -math.inf

    def close(self) -> None:
        """Close the file of events."""
        self._events.close()

    def plan(self, stages: dict[str, float]) -> None:
        self._weights = {name: float(weight) for name, weight in stages.items()}
        self._write_progress(0.0)

    @contextmanager
    def stage(self, name: str, *, weight: float = 1.0) -> Iterator[None]:
        outer, outer_rate = self._stage, self._rate
        if not outer:  # a stage within a stage is part of it
            self._weights.setdefault(name, weight)
            self._stage, self._rate = name, _Rate()
            self._write_progress(0.0)
        print(f"stage {name}", flush=True)
        checkpoint = Checkpoint(self.folder / "checkpoint" / name, every=self.checkpoint_every)
        try:
            with callbacks(checkpoint, _Watch(self, name)):
                yield
        finally:
            self.training = False
        if not outer:
            self._done.add(name)
            self._write_progress(1.0)
        self._stage, self._rate = outer, outer_rate

    def progress(self, done: float, total: float) -> None:
        if total > 0 and time.monotonic() - self._written >= EVERY:
            self._write_progress(min(max(done / total, 0.0), 1.0))

    def whole(self, stage: str, share: float) -> None:
        """How much of the whole run is done, from a run that counts its parts itself."""
        self._shown = share
        self._write("progress", stage=stage, progress=round(share, 4), remaining=None)

    def metric(self, name: str, value: float, step: int) -> None:
        value = float(value)
        finite = value if math.isfinite(value) else None
        self._write("metric", name=name, step=int(step), value=finite)

    def log(self, text: str) -> None:
        print(text, flush=True)

    def _write(self, event: str, **fields: Any) -> None:
        self._events.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")
        self._events.flush()

    def _write_progress(self, fraction: float) -> None:
        total = sum(self._weights.values())
        own = self._weights.get(self._stage, 0.0) if self._stage not in self._done else 0.0
        done = sum(self._weights[name] for name in self._done)
        if total:
            self._shown = max(self._shown, (done + own * fraction) / total)
        remaining = self._rate.remaining(fraction)
        if remaining is not None and own:
            # The stages to come are expected at this stage's seconds per weight.
            per_weight = self._rate.whole(fraction) / own
            remaining += per_weight * (total - done - own)
        self._written = time.monotonic()
        self._write("progress", stage=self._stage, progress=round(self._shown, 4), remaining=remaining)


class _Rate:
    """Seconds a stage still takes, from the pace since it was first seen in this process.

    What a checkpoint restored was not done at this pace, so the first fraction seen is the origin.
    """

    def __init__(self) -> None:
        self._origin: tuple[float, float] | None = None

    def _pace(self, fraction: float) -> float | None:
        now = time.monotonic()
        if self._origin is None:
            if fraction > 0:
                self._origin = now, fraction
            return None
        start, first = self._origin
        if now - start < 0.5 or fraction <= first:
            return None
        return (now - start) / (fraction - first)

    def remaining(self, fraction: float) -> float | None:
        pace = self._pace(fraction)
        return None if pace is None else round(pace * (1 - fraction), 1)

    def whole(self, fraction: float) -> float:
        return self._pace(fraction) or 0.0


class _Watch(Callback):
    """Reports the training loops within a stage, and ends them on SIGTERM."""

    def __init__(self, reporter: RunReporter, stage: str) -> None:
        self.reporter, self.stage = reporter, stage
        self._count = 0
        self._reported = 0

    def on_train_begin(self, loop: Loop) -> None:
        self._count += 1
        self._reported = 0
        self.reporter.training = True
        self._report_epochs(loop)  # restored ones again, in case the kill came before they were told

    def on_batch_end(self, loop: Loop) -> None:
        if self.reporter.stopping:
            loop.interrupt()
        self.reporter.progress(loop.epoch + loop.batch / loop.n_batches, loop.n_epochs)

    def on_epoch_end(self, loop: Loop) -> None:
        self._report_epochs(loop)

    def on_train_end(self, loop: Loop) -> None:
        self.reporter.training = False
        if self.reporter.stopping:  # too late for an interrupt; the checkpoint is saved already
            raise Terminated

    def _report_epochs(self, loop: Loop) -> None:
        prefix = self.stage if self._count == 1 else f"{self.stage}-{self._count}"
        for epoch in range(self._reported, len(loop.history)):
            for name, value in loop.history[epoch].items():
                self.reporter.metric(f"{prefix}/{name}", value, epoch + 1)
        self._reported = len(loop.history)
