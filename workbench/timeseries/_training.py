"""The torch side that all encoders share: schedules, the run of the loop, encoding, weights as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.training.callbacks import Callback
from workbench.training.loop import Loop, Step
from workbench.training.optimizers import make_optimizer
from workbench.training.progress import ProgressBar, in_notebook

__all__ = ["Schedule", "encode", "encoded", "from_arrays", "run", "seeded", "to_arrays"]

State = dict[str, NDArray[Any]]

#: Floats that encoding may hold at once beside the series themselves.
_ENCODE_FLOATS = 2**24


@dataclass(frozen=True)
class Schedule:
    """How a training runs; see the estimators' parameters."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    precision: str
    device: torch.device
    seeds: tuple[int, int]
    fingerprint: str
    verbose: int
    description: str
    options: Mapping[str, Any] = field(default_factory=dict)
    max_grad_norm: float | None = None

    def generators(self) -> tuple[torch.Generator, torch.Generator]:
        """One on the CPU for the order of things, one on the device for noise."""
        order = torch.Generator().manual_seed(self.seeds[0])
        return order, torch.Generator(self.device).manual_seed(self.seeds[1])

    def progress(self) -> tuple[Callback, ...]:
        return (ProgressBar(self.description),) if self.verbose or in_notebook() else ()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's generator as seeded, and leave it as it was: for weights that modules draw."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def to_arrays(module: nn.Module) -> State:
    """A module's weights as numpy arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def from_arrays(module: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
    """Load what `to_arrays` gave."""
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})


def run(
    model: nn.Module,
    step: Step,
    n_samples: int,
    schedule: Schedule,
    *,
    order: torch.Generator,
    drop_last: bool = False,
    parameters: Iterable[Any] | None = None,
    callbacks: tuple[Callback, ...] = (),
    **state: Any,
) -> list[dict[str, float]]:
    """Train `model` in place; returns the history.

    Parameters
    ----------
    parameters : iterable, optional
        What the optimizer is given, e.g. groups; default: all parameters of `model`.
    **state
        ``generators``, ``extras`` and ``parallel`` of `Loop`.
    """
    optimizer = make_optimizer(
        schedule.optimizer,
        model.parameters() if parameters is None else parameters,
        schedule.learning_rate,
        fused=schedule.device.type in ("cpu", "cuda"),  # one pass over the weights instead of ten
        **schedule.options,
    )
    loop = Loop(
        model,
        optimizer,
        step,
        n_samples=n_samples,
        n_epochs=schedule.n_epochs,
        batch_size=min(schedule.batch_size, n_samples),
        generator=order,
        drop_last=drop_last,
        device=schedule.device,
        precision=schedule.precision,
        max_grad_norm=schedule.max_grad_norm,
        fingerprint=schedule.fingerprint,
        callbacks=(*schedule.progress(), *callbacks),
        **state,
    )
    return loop.run().history


def encode(
    encoder: nn.Module,
    X: NDArray[np.floating[Any]],
    lengths: NDArray[np.int64],
    device: torch.device,
    prepare: Callable[[NDArray[np.floating[Any]], torch.device], Tensor],
    outputs: Callable[[Tensor], tuple[Tensor, ...]],
) -> tuple[NDArray[Any], ...]:
    """Apply `outputs` to series of shape (n, T, d) in batches of equal length.

    `lengths` are the steps of each series that are to be seen, at most T. Each series is computed the
    same whatever stands beside it. An output of three dimensions is (n, steps, features); it is padded
    with NaN to the longest.
    """
    encoder.eval().to(device)
    results: list[NDArray[Any]] = []
    with torch.inference_mode():
        for length in np.unique(lengths)[::-1]:
            rows = np.flatnonzero(lengths == length)
            size = _encode_batch(encoder, int(length), X.shape[2])
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                found = outputs(prepare(X[part, :length], device))
                if not results:  # the longest come first
                    results = [_empty(len(X), f) for f in found]
                for result, value in zip(results, found, strict=True):
                    if value.ndim == 3:
                        result[part, : value.shape[1]] = value.cpu().numpy()
                    else:
                        result[part] = value.cpu().numpy()
    return tuple(results)


def encoded(encoder: nn.Module, X: Tensor) -> Tensor:
    """Embeddings of prepared series (n, d, T) without gradient."""
    encoder.eval()
    with torch.no_grad():
        return torch.cat([encoder(part) for part in X.split(_encode_batch(encoder, X.shape[2], X.shape[1]))])


def _encode_batch(encoder: Any, length: int, n_channels: int) -> int:
    return max(1, min(512, _ENCODE_FLOATS // (encoder.n_features * length * n_channels)))


def _empty(n: int, like: Tensor) -> NDArray[Any]:
    if like.dtype == torch.int64:
        return np.empty((n, *like.shape[1:]), np.int64)
    return np.full((n, *like.shape[1:]), np.nan, np.float32)
