"""Training one late-fusion network on the shared loop, with or without a remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from workbench.modality._nets import Architecture, Batch, LateFusion
from workbench.modality._threads import one_torch_thread_if_small
from workbench.training.callbacks import Callback
from workbench.training.loop import Loop
from workbench.training.optimizers import make_optimizer
from workbench.training.progress import ProgressBar, in_notebook

if TYPE_CHECKING:
    from workbench.modality._remedies import Remedy

__all__ = ["Rows", "Schedule", "Step", "Trained", "each_loss", "embed", "train"]


@dataclass(frozen=True)
class Rows:
    """Labelled rows on the device.

    Attributes
    ----------
    batch : Batch
    y : Tensor
        Class numbers (n,), indicators (n, K), or standardised targets (n, K).
    weight : Tensor of shape (n,)
        With a mean of 1.
    task : {"multiclass", "multilabel", "regression"}
    """

    batch: Batch
    y: Tensor
    weight: Tensor
    task: str

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Tensor) -> Rows:
        return Rows(self.batch[index], self.y[index], self.weight[index], self.task)


@dataclass(frozen=True)
class Schedule:
    """How long and by what a network is trained."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    optimizer: str
    device: torch.device
    seed: int
    fingerprint: str = ""
    verbose: int = 0


@dataclass
class Trained:
    """A trained network and its curves."""

    model: LateFusion
    history: list[dict[str, float]]


def each_loss(task: str, logits: Tensor, y: Tensor) -> Tensor:
    """Loss of each row, (n,): cross-entropy, mean binary cross-entropy, or mean squared error."""
    if task == "multiclass":
        return nn.functional.cross_entropy(logits, y, reduction="none")
    if task == "multilabel":
        return nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none").mean(1)
    return ((logits - y) ** 2).mean(1)


class Step:
    """One batch inside the network: what a remedy makes its loss of."""

    def __init__(self, model: LateFusion, rows: Rows, indices: Tensor, present: Tensor) -> None:
        self.model, self.rows, self.indices, self.present = model, rows, indices, present
        self.h = model.encode(rows.batch, present)

    @cached_property
    def logits(self) -> Tensor:
        """Of the joint head."""
        return self.model.fuse(self.h, self.present)

    def loss(self, logits: Tensor, only: Tensor | None = None) -> Tensor:
        """Mean weighted loss, over the rows where `only` is true."""
        losses = each_loss(self.rows.task, logits, self.rows.y) * self.rows.weight
        return losses.mean() if only is None else (losses * only).sum() / only.sum().clamp_min(1)

    def alone_losses(self) -> Tensor:
        """Loss of each modality's own head over the rows that have it, (n_modalities,)."""
        logits = self.model.alone(self.h)
        n = self.model.n_modalities
        return torch.stack([self.loss(logits[:, r], self.present[:, r]) for r in range(n)])

    @torch.no_grad()
    def confidence(self) -> Tensor:
        """Summed probability that each branch of the joint net gives the truth, (n_modalities,).

        ``exp(-loss)`` of a row: the probability of the true class; for other tasks the like of it.
        """
        h = self.h.detach()
        losses = [
            each_loss(self.rows.task, self.model.branch(h, r), self.rows.y)
            for r in range(self.model.n_modalities)
        ]
        return torch.stack([torch.exp(-loss).sum() for loss in losses])


def train(
    architecture: Architecture,
    rows: Rows,
    schedule: Schedule,
    remedy: Remedy,
    *,
    start: LateFusion | None = None,
    callbacks: tuple[Callback, ...] = (),
    extras: Mapping[str, Any] | None = None,
) -> Trained:
    """Train a network.

    Parameters
    ----------
    architecture : Architecture
    rows : Rows
    schedule : Schedule
    remedy : Remedy
        What the loss is, and what is done to the steps.
    start : LateFusion, optional
        Weights to start from, instead of those that the seed draws.
    callbacks, extras
        For the loop, beside those of the remedy.
    """
    model = LateFusion(architecture, schedule.seed).to(schedule.device)
    if start is not None:
        model.load_state_dict(start.state_dict())
    # One group is one call of the optimizer's kernel.
    parameters = _groups(model, schedule.learning_rate) if remedy.scales else model.parameters()
    optimizer = make_optimizer(
        schedule.optimizer,
        parameters,  # type: ignore[arg-type]
        schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        **({"momentum": 0.9} if schedule.optimizer == "sgd" else {}),
        fused=True,
    )
    order = torch.Generator().manual_seed(schedule.seed)
    remedy.begin(model, optimizer, rows, schedule.seed)

    def step(indices: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        part = rows[indices]
        return remedy.loss(Step(model, part, indices, remedy.present(part.batch.present)))

    bars = (ProgressBar("fusion"),) if schedule.verbose or in_notebook() else ()
    loop = Loop(
        model,
        optimizer,
        step,
        n_samples=len(rows),
        n_epochs=schedule.n_epochs,
        batch_size=min(schedule.batch_size, len(rows)),
        generator=order,
        device=schedule.device,
        generators=remedy.generators,
        extras={**remedy.extras, **(extras or {})},
        fingerprint=f"{schedule.fingerprint}:{remedy.name}:{schedule.n_epochs}",
        callbacks=(*bars, *remedy.callbacks, *callbacks),
    )
    n_weights = sum(p.numel() for p in model.parameters())
    with one_torch_thread_if_small(loop.n_samples // loop.n_batches * n_weights):
        loop.run()
    model.eval()
    if not remedy.learns_defaults:
        _settle_defaults(model, rows)
    return Trained(model, loop.history)


@torch.no_grad()
def embed(model: LateFusion, batch: Batch, size: int = 4096) -> Tensor:
    """Embeddings of many rows, (n, n_modalities, hidden)."""
    parts = [
        model.encode(batch[torch.arange(i, min(i + size, len(batch)), device=batch.present.device)])
        for i in range(0, len(batch), size)
    ]
    return torch.cat(parts)


def _groups(model: LateFusion, learning_rate: float) -> list[dict[str, Any]]:
    """One parameter group an encoder, in order, then the rest: remedies change the size of each one's
    steps.
    """
    encoders = [list(encoder.parameters()) for encoder in model.encoders]
    inside = {id(p) for group in encoders for p in group}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return [{"params": group, "lr": learning_rate} for group in [*encoders, rest]]


@torch.no_grad()
def _settle_defaults(model: LateFusion, rows: Rows) -> None:
    """A modality that was never absent in training is stood for by its mean embedding."""
    means = embed(model, rows.batch).mean(0)
    never_absent = rows.batch.present.all(0)
    model.default[never_absent] = means[never_absent]
