"""Late-fusion networks: one encoder a modality, a joint head, and a head for each modality alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.modality._preparation import Block

__all__ = ["FUSIONS", "Architecture", "Batch", "LateFusion", "Shape", "seeded", "shapes_of", "state_of"]

#: Values of the ``fusion`` parameter.
FUSIONS = ("sum", "concat", "gated")


@dataclass(frozen=True)
class Shape:
    """What an encoder reads."""

    name: str
    width: int  # numbers, or channels of a series
    cardinalities: tuple[int, ...]  # categories of each categorical column, the missing one included
    series: bool


@dataclass(frozen=True)
class Architecture:
    """Everything that decides the network, so that equal seeds give equal branches in every subset."""

    shapes: tuple[Shape, ...]
    n_outputs: int
    fusion: str
    hidden: int
    depth: int


@dataclass(frozen=True)
class Batch:
    """Rows on the device: per modality the numbers, the codes and whether it is present."""

    values: list[Tensor]
    codes: list[Tensor]
    present: Tensor  # (n, n_modalities) of bool

    @classmethod
    def of(cls, blocks: Sequence[Block], device: torch.device) -> Batch:
        present = np.stack([block.present for block in blocks], axis=1)
        return cls(
            [torch.from_numpy(block.numbers).to(device) for block in blocks],
            [torch.from_numpy(block.codes).to(device) for block in blocks],
            torch.from_numpy(present).to(device),
        )

    def __getitem__(self, index: Tensor) -> Batch:
        return Batch([v[index] for v in self.values], [c[index] for c in self.codes], self.present[index])

    def __len__(self) -> int:
        return len(self.present)


def shapes_of(plans: Sequence[dict[str, Any]]) -> tuple[Shape, ...]:
    """The shapes that prepared blocks have."""
    shapes = []
    for plan in plans:
        series = plan["kind"] == "series"
        width = (len(plan["widths"]) or 1) if series else plan["mean"].size
        cardinalities = tuple(len(c) + 1 for c in plan["categories"].values())
        shapes.append(Shape(plan["name"], width, cardinalities, series))
    return tuple(shapes)


class seeded:
    """A block in which torch draws from `seed` and `label`, leaving the global generator as it was.

    So the branch of a modality starts from the same weights whichever other modalities stand beside it.
    """

    def __init__(self, seed: int, label: str) -> None:
        self.seed = (seed * 1_000_003 + zlib.crc32(label.encode())) % 2**63
        self._fork = torch.random.fork_rng(devices=[])

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: Any) -> None:
        self._fork.__exit__(*error)


class Encoder(nn.Module):
    """One modality's rows to ``hidden`` numbers: embeddings for categories, convolutions for a series."""

    def __init__(self, shape: Shape, hidden: int, depth: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(n, min(16, (n + 3) // 2)) for n in shape.cardinalities)
        width = shape.width + sum(e.embedding_dim for e in self.embeddings)  # type: ignore[misc]
        self.series = shape.series
        layers: list[nn.Module] = []
        if shape.series:
            for i in range(depth):
                layers += [nn.Conv1d(width if i == 0 else hidden, hidden, 5, padding=2), nn.ReLU()]
            self.output: nn.Module = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU())
        else:
            for i in range(depth):
                layers += [nn.Linear(width if i == 0 else hidden, hidden), nn.ReLU()]
            self.output = nn.Identity()
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Tensor, codes: Tensor) -> Tensor:
        if self.series:
            found = self.layers(values)
            return self.output(torch.cat([found.amax(2), found.mean(2)], dim=1))
        parts = [values, *(embed(codes[:, j]) for j, embed in enumerate(self.embeddings))]
        return self.layers(torch.cat(parts, dim=1) if len(parts) > 1 else values)


class LateFusion(nn.Module):
    """Encoders, a joint head over all of them, and a linear head for each alone.

    ``sum``: logits ``sum_r W_r h_r + b``, the same function as one linear layer over the concatenation.
    ``concat``: a hidden layer over the concatenation. ``gated``: ``W sum_r g_r h_r + b`` with gates g from a
    softmax over the modalities that are present.

    An absent modality is stood for by an embedding of its own, `default`, learned where the training rows (or
    modality dropout) show absences, and else set to the mean embedding after training.
    """

    def __init__(self, architecture: Architecture, seed: int) -> None:
        super().__init__()
        a = architecture
        n, hidden, n_outputs = len(a.shapes), a.hidden, a.n_outputs
        encoders, heads, weights = [], [], []
        for shape in a.shapes:
            with seeded(seed, f"encoder {shape.name}"):
                encoders.append(Encoder(shape, hidden, a.depth))
            with seeded(seed, f"head {shape.name}"):
                heads.append(nn.Linear(hidden, n_outputs))
            with seeded(seed, f"head {shape.name}"):
                weights.append(nn.Linear(hidden, n_outputs, bias=False))
        self.fusion = a.fusion
        self.encoders, self.heads = nn.ModuleList(encoders), nn.ModuleList(heads)
        self.default = nn.Parameter(torch.zeros(n, hidden))
        self.bias = nn.Parameter(torch.zeros(n_outputs)) if a.fusion == "sum" else None
        with seeded(seed, "joint head"):
            if a.fusion == "sum":
                self.joint: nn.Module = nn.ModuleList(weights)
            elif a.fusion == "concat":
                self.joint = nn.Sequential(
                    nn.Linear(n * hidden, hidden), nn.ReLU(), nn.Linear(hidden, n_outputs)
                )
            else:
                self.joint = nn.ModuleDict(
                    {"gate": nn.Linear(n * hidden, n), "output": nn.Linear(hidden, n_outputs)}
                )

    @property
    def n_modalities(self) -> int:
        return len(self.encoders)

    def encode(self, batch: Batch, present: Tensor | None = None) -> Tensor:
        """Embeddings (n, n_modalities, hidden), with the default where a modality is absent."""
        pairs = zip(self.encoders, batch.values, batch.codes, strict=True)
        found = torch.stack([encoder(values, codes) for encoder, values, codes in pairs], dim=1)
        present = batch.present if present is None else present
        return torch.where(present[:, :, None], found, self.default.to(found.dtype))

    def fuse(self, h: Tensor, present: Tensor) -> Tensor:
        """Joint logits (n, n_outputs) of embeddings (n, n_modalities, hidden)."""
        if self.fusion == "sum":
            return sum(self.branch(h, r) for r in range(self.n_modalities))  # type: ignore[return-value]
        if self.fusion == "concat":
            return self.joint(h.flatten(1))
        gate = self.joint["gate"](h.flatten(1))  # type: ignore[index]
        nobody = ~present.any(1, keepdim=True)
        gate = gate.masked_fill(~(present | nobody), -torch.inf).softmax(1)
        return self.joint["output"]((gate[:, :, None] * h).sum(1))  # type: ignore[index]

    def branch(self, h: Tensor, r: int) -> Tensor:
        """The part of the joint logits that modality `r` brings (``sum``), or all when the others are
        muted.
        """
        if self.fusion == "sum":
            return self.joint[r](h[:, r]) + self.bias / self.n_modalities  # type: ignore[index,operator]
        alone = self.default.expand_as(h).clone()
        alone[:, r] = h[:, r]
        present = torch.zeros(h.shape[:2], dtype=torch.bool, device=h.device)
        present[:, r] = True
        return self.fuse(alone, present)

    def alone(self, h: Tensor) -> Tensor:
        """Logits of the heads for each modality alone, (n, n_modalities, n_outputs)."""
        return torch.stack([head(h[:, r]) for r, head in enumerate(self.heads)], dim=1)


def state_of(model: nn.Module) -> dict[str, NDArray[Any]]:
    """A module's weights as numpy arrays."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}
