"""The torch side of CSL: building the encoder, pre-training, fine tuning, encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.timeseries._csl_loss import RunningGram, csl_loss
from workbench.timeseries._shapelets import ShapeletEncoder
from workbench.timeseries.augmentations import two_views
from workbench.timeseries.preprocessing import z_normalize
from workbench.training.callbacks import Callback
from workbench.training.loop import Loop
from workbench.training.optimizers import make_optimizer
from workbench.training.progress import ProgressBar, in_notebook

__all__ = ["Objective", "Schedule", "encode", "from_arrays", "pretrain", "to_arrays", "to_device", "tune"]

State = dict[str, NDArray[Any]]

#: Floats that encoding may hold at once beside the series themselves.
_ENCODE_FLOATS = 2**24


@dataclass(frozen=True)
class Objective:
    """Weights of the loss; see `CSL`."""

    temperature: float
    alignment_weight: float
    decorrelation_weight: float
    decay: float


@dataclass(frozen=True)
class Schedule:
    """How a training runs; see `CSL`."""

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

    def generators(self) -> tuple[torch.Generator, torch.Generator]:
        """One on the CPU for the order of things, one on the device for noise."""
        order = torch.Generator().manual_seed(self.seeds[0])
        return order, torch.Generator(self.device).manual_seed(self.seeds[1])

    def progress(self) -> tuple[Callback, ...]:
        return (ProgressBar(self.description),) if self.verbose or in_notebook() else ()


class _Restart(Callback):
    """Forgets the running Gram matrices when an epoch begins."""

    def __init__(self, running: RunningGram) -> None:
        self.running = running

    def on_epoch_begin(self, loop: Loop) -> None:
        self.running.reset()


class _Classifier(nn.Module):
    """An encoder with a linear head."""

    def __init__(self, encoder: ShapeletEncoder, head: nn.Linear) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


def to_device(X: NDArray[np.floating[Any]], device: torch.device) -> Tensor:
    """Series (n, T, d), z-normalised, as the (n, d, T) tensor that the encoder takes."""
    return torch.from_numpy(np.ascontiguousarray(z_normalize(X).transpose(0, 2, 1))).to(device)


def to_arrays(module: nn.Module) -> State:
    """A module's weights as numpy arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def from_arrays(module: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
    """Load what `to_arrays` gave."""
    module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})


def pretrain(
    encoder: ShapeletEncoder,
    X: Tensor,
    n_scales: int,
    objective: Objective,
    schedule: Schedule,
) -> list[dict[str, float]]:
    """Train `encoder` in place on unlabelled series of shape (n, d, T); returns the history."""
    order, noise = schedule.generators()
    running = RunningGram(objective.decay)

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        query, key = two_views(X[indices], None, noise, order)
        losses = csl_loss(
            *encoder.forward_views(query, key),
            n_scales,
            running,
            temperature=objective.temperature,
            alignment_weight=objective.alignment_weight,
            decorrelation_weight=objective.decorrelation_weight,
        )
        parts = losses._asdict()
        return parts.pop("total"), parts

    return _run(
        encoder,
        step,
        len(X),
        schedule,
        drop_last=True,
        order=order,
        generators={"noise": noise},
        extras={"gram": running},
        callbacks=(_Restart(running),),
    )


def tune(
    encoder: ShapeletEncoder,
    X: Tensor,
    y: NDArray[np.intp],
    n_classes: int,
    schedule: Schedule,
    *,
    freeze: bool,
) -> tuple[nn.Linear, list[dict[str, float]]]:
    """Train a linear head, and unless `freeze` the encoder with it; returns the head and the history."""
    order, _ = schedule.generators()
    head = nn.Linear(encoder.n_features, n_classes)
    bound = encoder.n_features**-0.5
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.uniform_(-bound, bound, generator=order)
    head.to(X.device)
    model: nn.Module = head if freeze else _Classifier(encoder, head)
    inputs = torch.cat(list(_encoded(encoder, X))) if freeze else X
    labels = torch.from_numpy(y).to(X.device)

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = model(inputs[indices])
        with torch.no_grad():
            accuracy = (logits.argmax(1) == labels[indices]).float().mean()
        return nn.functional.cross_entropy(logits, labels[indices]), {"accuracy": accuracy}

    # Batch normalisation cannot take a last batch of one series.
    lonely = not freeze and len(X) % min(schedule.batch_size, len(X)) == 1 and len(X) > 1
    return head, _run(model, step, len(X), schedule, drop_last=lonely, order=order)


def _run(
    model: nn.Module,
    step: Callable[[Tensor], tuple[Tensor, Mapping[str, Tensor]]],
    n_samples: int,
    schedule: Schedule,
    *,
    drop_last: bool,
    order: torch.Generator,
    callbacks: tuple[Callback, ...] = (),
    **state: Any,
) -> list[dict[str, float]]:
    loop = Loop(
        model,
        make_optimizer(schedule.optimizer, model.parameters(), schedule.learning_rate),
        step,
        n_samples=n_samples,
        n_epochs=schedule.n_epochs,
        batch_size=min(schedule.batch_size, n_samples),
        generator=order,
        drop_last=drop_last,
        device=schedule.device,
        precision=schedule.precision,
        fingerprint=schedule.fingerprint,
        callbacks=(*schedule.progress(), *callbacks),
        **state,
    )
    return loop.run().history


def encode(
    encoder: ShapeletEncoder,
    X: NDArray[np.floating[Any]],
    lengths: NDArray[np.int64],
    device: torch.device,
    outputs: Callable[[Tensor], tuple[Tensor, ...]],
) -> tuple[NDArray[Any], ...]:
    """Apply `outputs` to series of shape (n, T, d) in batches of equal length.

    `lengths` are the steps of each series that are to be seen, at most T. Each series is computed the
    same whatever stands beside it.
    """
    encoder.eval().to(device)
    results: list[NDArray[Any]] = []
    with torch.inference_mode():
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            size = _encode_batch(encoder, int(length), X.shape[2])
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                found = outputs(to_device(X[part, :length], device))
                if not results:
                    results = [np.empty((len(X), *f.shape[1:]), _numpy_type(f)) for f in found]
                for result, value in zip(results, found, strict=True):
                    result[part] = value.cpu().numpy()
    return tuple(results)


def _encoded(encoder: ShapeletEncoder, X: Tensor) -> Iterator[Tensor]:
    encoder.eval()
    with torch.no_grad():
        for part in X.split(_encode_batch(encoder, X.shape[2], X.shape[1])):
            yield encoder(part)


def _encode_batch(encoder: ShapeletEncoder, length: int, n_channels: int) -> int:
    return max(1, min(512, _ENCODE_FLOATS // (encoder.n_features * length * n_channels)))


def _numpy_type(tensor: Tensor) -> type:
    return np.int64 if tensor.dtype == torch.int64 else np.float32
