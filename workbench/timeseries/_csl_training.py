"""The torch side of CSL: pre-training and fine tuning of shapelets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.timeseries._csl_loss import RunningGram, csl_loss
from workbench.timeseries._shapelets import ShapeletEncoder
from workbench.timeseries._training import Schedule, encoded, run
from workbench.timeseries.augmentations import two_views
from workbench.timeseries.preprocessing import z_normalize
from workbench.training import distributed
from workbench.training.callbacks import Callback
from workbench.training.loop import Loop

__all__ = ["Objective", "pretrain", "to_device", "tune"]


@dataclass(frozen=True)
class Objective:
    """Weights of the loss; see `CSL`."""

    temperature: float
    alignment_weight: float
    decorrelation_weight: float
    decay: float


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
        # Every process draws both views of the whole batch, so that all generators stay alike.
        query, key = two_views(X[indices], None, noise, order)
        losses = csl_loss(
            *encoder.forward_views(distributed.share(query), distributed.share(key)),
            n_scales,
            running,
            temperature=objective.temperature,
            alignment_weight=objective.alignment_weight,
            decorrelation_weight=objective.decorrelation_weight,
        )
        parts = losses._asdict()
        return parts.pop("total"), parts

    return run(
        encoder,
        step,
        len(X),
        schedule,
        drop_last=True,
        order=order,
        parallel=True,
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
    inputs = encoded(encoder, X) if freeze else X
    labels = torch.from_numpy(y).to(X.device)

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = model(inputs[indices])
        with torch.no_grad():
            accuracy = (logits.argmax(1) == labels[indices]).float().mean()
        return nn.functional.cross_entropy(logits, labels[indices]), {"accuracy": accuracy}

    # Batch normalisation cannot take a last batch of one series.
    lonely = not freeze and len(X) % min(schedule.batch_size, len(X)) == 1 and len(X) > 1
    return head, run(model, step, len(X), schedule, drop_last=lonely, order=order)
