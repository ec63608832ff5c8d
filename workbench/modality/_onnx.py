"""A late-fusion network as one module from raw numbers to predictions, for export to ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.modality._nets import Batch, LateFusion
from workbench.modality._preparation import _CLIP, Block, _standardise
from workbench.modality._rows import to_probabilities

__all__ = ["ExportedFusion", "example_blocks"]


class ExportedFusion(nn.Module):
    """Numbers and category codes of each modality, and which are present, to probabilities or values.

    Parameters
    ----------
    model : LateFusion
    plans : sequence of dict
        How the modalities are prepared; numbers are given as they stand in the table, NaN where missing.
    task : {"multiclass", "multilabel", "regression"}
    votes : ndarray, optional
        Weights of the single heads, where these predict.
    scaling : tuple of ndarray, optional
        Mean and scale of a regression's targets.
    """

    votes: Tensor | None
    target_mean: Tensor | None
    target_scale: Tensor

    def __init__(
        self,
        model: LateFusion,
        plans: Sequence[dict[str, Any]],
        task: str,
        votes: NDArray[np.float64] | None,
        scaling: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    ) -> None:
        super().__init__()
        self.model, self.task = model.float(), task
        self.series = [plan["kind"] == "series" for plan in plans]
        self.channels = [len(plan["widths"]) or 1 for plan in plans]
        self.coded = [bool(plan["categories"]) for plan in plans]
        for i, plan in enumerate(plans):
            self.register_buffer(f"mean_{i}", _tensor(plan["mean"]))
            self.register_buffer(f"scale_{i}", _tensor(plan["scale"]))
        self.register_buffer("votes", None if votes is None else _tensor(votes))
        self.register_buffer("target_mean", None if scaling is None else _tensor(scaling[0]))
        self.register_buffer("target_scale", None if scaling is None else _tensor(scaling[1]))

    def forward(self, present: Tensor, *inputs: Tensor) -> Tensor:
        given = list(inputs)
        values, codes = [], []
        for i, is_series in enumerate(self.series):
            numbers = given.pop(0)
            mean, scale = getattr(self, f"mean_{i}"), getattr(self, f"scale_{i}")
            if is_series:
                numbers = numbers.unflatten(1, (self.channels[i], -1))
                mean, scale = mean[:, None], scale[:, None]
            scaled = ((numbers - mean) / scale).clamp(-_CLIP, _CLIP)
            values.append(torch.where(numbers.isnan(), torch.zeros_like(scaled), scaled))
            codes.append(given.pop(0) if self.coded[i] else present[:, :0].long())
        h = self.model.encode(Batch(values, codes, present))
        if self.votes is None:
            found = to_probabilities(self.model.fuse(h, present), self.task)
        else:
            nobody = ~present.any(1, keepdim=True)
            weight = self.votes[None, :] * (present | nobody)
            weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-30)
            found = (to_probabilities(self.model.alone(h), self.task) * weight[:, :, None]).sum(1)
        return found if self.target_mean is None else found * self.target_scale + self.target_mean


def example_blocks(
    plans: Sequence[dict[str, Any]], n: int = 11
) -> tuple[dict[str, NDArray[Any]], list[Block]]:
    """Rows of all kinds under the names of the inputs, and as the estimator prepares them.

    Raises
    ------
    ModelError
        If a modality is described by a transformer, which is no part of the network.
    """
    random = np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {"present": np.ones((n, len(plans)), dtype=bool)}
    blocks = []
    for i, plan in enumerate(plans):
        if "transformer" in plan:
            raise ModelError(
                f"The modality {plan['name']!r} is described by a {type(plan['transformer']).__name__} "
                "first, which is no part of the network: only the encoders 'mlp' and 'conv' are exported."
            )
        width = sum(plan["widths"].get(c, 1) for c in plan["columns"] if c not in plan["categories"])
        numbers = random.normal(size=(n, width))
        if plan["kind"] == "vector":
            numbers = numbers * plan["scale"] + plan["mean"]
        numbers = numbers.astype(np.float32)
        numbers[random.random(numbers.shape) < 0.1] = np.nan
        absent = random.random(n) < 0.2
        numbers[absent] = np.nan
        sizes = [len(values) + 1 for values in plan["categories"].values()]
        codes = np.zeros((n, len(sizes)), dtype=np.int64)
        for k, size in enumerate(sizes):
            codes[:, k] = random.integers(0, size, n)
        codes[absent] = 0
        inputs["present"][:, i] = ~absent
        inputs[f"{plan['name']}_numbers"] = numbers
        if sizes:
            inputs[f"{plan['name']}_codes"] = codes
        blocks.append(Block(_standardise(numbers.astype(np.float64), plan), codes, ~absent))
    return inputs, blocks


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
