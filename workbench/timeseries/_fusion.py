"""The torch side of fusion and of tasks: fused encoders with a linear head, trained together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from workbench.timeseries._training import Schedule, run

__all__ = ["ConcatNet", "Joint", "ProjectionNet", "WeightedSumNet", "tune"]

#: Norm to which gradients are cut, as published for fine tuning.
_MAX_NORM = 4.0


class ConcatNet(nn.Module):
    """Standardises every feature as in training and puts the encoders' features side by side."""

    mean: Tensor
    scale: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.register_buffer("mean", torch.zeros(sum(sizes)))
        self.register_buffer("scale", torch.ones(sum(sizes)))

    def forward(self, embeddings: Sequence[Tensor]) -> Tensor:
        return (torch.cat(list(embeddings), 1) - self.mean) / self.scale


class ProjectionNet(ConcatNet):
    """A linear layer over the concatenation."""

    def __init__(self, sizes: Sequence[int], n_features: int) -> None:
        super().__init__(sizes)
        self.projection = nn.Linear(sum(sizes), n_features, bias=False)

    def forward(self, embeddings: Sequence[Tensor]) -> Tensor:
        return self.projection(super().forward(embeddings))


class WeightedSumNet(ConcatNet):
    """A linear layer for each encoder, and the sum of what they give, weighted by a softmax."""

    def __init__(self, sizes: Sequence[int], n_features: int) -> None:
        super().__init__(sizes)
        self.projections = nn.ModuleList(nn.Linear(size, n_features, bias=False) for size in sizes)
        self.logits = nn.Parameter(torch.zeros(len(sizes)))

    def forward(self, embeddings: Sequence[Tensor]) -> Tensor:
        parts = super().forward(embeddings).split(self.sizes, 1)
        weights = self.logits.softmax(0)
        found = [w * layer(part) for w, layer, part in zip(weights, self.projections, parts, strict=True)]
        return torch.stack(found).sum(0)


class Joint(nn.Module):
    """Encoders, their fusion, and a linear head that may also see further columns beside the features."""

    def __init__(self, encoders: Sequence[nn.Module], fusion: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.encoders, self.fusion, self.head = nn.ModuleList(encoders), fusion, head

    def train(self, mode: bool = True) -> Joint:
        """Batch normalisation keeps what it knows of the data: the training starts from the very features
        that the head was solved for, and a few batches need not stand for them."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
        return self

    def forward(self, inputs: Sequence[Tensor], beside: Tensor | None = None) -> Tensor:
        fused = self.fusion([encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True)])
        return self.head(fused if beside is None else torch.cat([fused, beside], 1))


def tune(
    model: Joint,
    inputs: Sequence[Tensor],
    beside: Tensor | None,
    loss: Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]],
    schedule: Schedule,
) -> list[dict[str, float]]:
    """Train all weights; `loss(outputs, indices)` judges the outputs for some rows. Returns the history."""
    order, _ = schedule.generators()
    model.to(schedule.device)
    n = len(inputs[0])

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        part = None if beside is None else beside[indices]
        return loss(model([x[indices] for x in inputs], part), indices)

    return run(model, step, n, replace(schedule, max_grad_norm=_MAX_NORM), order=order)
