"""Between arrays and the network: rows on the device, the schedule, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.modality._nets import Batch, LateFusion
from workbench.modality._preparation import Block
from workbench.modality._training import Rows, Schedule
from workbench.training.device import resolve_device
from workbench.training.fingerprint import fingerprint

__all__ = ["embeddings_of", "make_rows", "make_schedule", "outputs_of", "to_probabilities"]

_CHUNK = 4096


def make_schedule(
    estimator: Any, seed: int, blocks: Sequence[Block], codes: NDArray[Any], weights: NDArray[Any]
) -> Schedule:
    """The schedule that an estimator's parameters describe, with a fingerprint of it and the data."""
    device = resolve_device(estimator.device)
    arrays = [array for block in blocks for array in (block.numbers, block.codes, block.present)]
    return Schedule(
        n_epochs=estimator.n_epochs,
        batch_size=estimator.batch_size,
        learning_rate=estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        optimizer=estimator.optimizer,
        device=device,
        seed=seed,
        fingerprint=fingerprint(estimator, *arrays, codes, weights, device=device.type, seed=seed),
        verbose=estimator.verbose,
    )


def make_rows(
    blocks: Sequence[Block],
    codes: NDArray[Any],
    weights: NDArray[np.float64],
    task: str,
    device: torch.device,
) -> Rows:
    """Labelled rows on the device; `codes` of a regression are standardised."""
    kind = torch.int64 if task == "multiclass" else torch.float32
    y = torch.as_tensor(codes, dtype=kind).to(device)
    return Rows(Batch.of(blocks, device), y, torch.as_tensor(weights, dtype=torch.float32).to(device), task)


def to_probabilities(logits: Tensor, task: str) -> Tensor:
    """Probabilities of the last axis, or the values themselves for a regression."""
    if task == "multiclass":
        return logits.softmax(-1)
    return logits.sigmoid() if task == "multilabel" else logits


@torch.no_grad()
def outputs_of(
    model: LateFusion, blocks: Sequence[Block], task: str, votes: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Probabilities or values of prepared rows, (n, n_outputs); by the vote of single heads where given."""
    parts = []
    for batch in _batches(model, blocks):
        h = model.encode(batch)
        if votes is None:
            parts.append(to_probabilities(model.fuse(h, batch.present), task))
            continue
        weight = torch.from_numpy(votes).to(h)[None, :] * batch.present
        # A row without any modality is judged by the default embeddings of all.
        weight = torch.where(
            batch.present.any(1, keepdim=True), weight, torch.from_numpy(votes).to(h)[None, :]
        )
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-300)
        parts.append((to_probabilities(model.alone(h), task) * weight[:, :, None]).sum(1))
    return torch.cat(parts).cpu().numpy().astype(np.float64)


@torch.no_grad()
def embeddings_of(model: LateFusion, blocks: Sequence[Block]) -> NDArray[np.float64]:
    """Embeddings (n, n_modalities, hidden) of prepared rows."""
    return (
        torch.cat([model.encode(batch) for batch in _batches(model, blocks)]).cpu().numpy().astype(np.float64)
    )


def _batches(model: LateFusion, blocks: Sequence[Block]) -> Iterator[Batch]:
    kind, device = model.default.dtype, model.default.device
    n = len(blocks[0].present)
    for start in range(0, n, _CHUNK):
        part = Batch.of([block.rows(np.arange(start, min(start + _CHUNK, n))) for block in blocks], device)
        yield Batch([values.to(kind) for values in part.values], part.codes, part.present)
