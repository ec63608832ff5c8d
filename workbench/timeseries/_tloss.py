"""The torch side of T-Loss: the causal encoder, the draw of sub-series, and the triplet loss."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from workbench.timeseries._networks import Pretraining, dilated_conv, split_padding, windows

__all__ = ["CausalEncoder", "Triplet", "draw_triplet", "pretraining", "triplet_loss"]


class CausalBlock(nn.Module):
    """Two weight-normalised causal convolutions with leaky ReLUs, and a way around them."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = weight_norm(nn.Conv1d(n_in, n_out, kernel_size, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(n_out, n_out, kernel_size, dilation=dilation))
        self.around = nn.Conv1d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = F.leaky_relu(dilated_conv(x, self.conv1, causal=True))
        return F.leaky_relu(dilated_conv(inner, self.conv2, causal=True)) + self.around(x)


class CausalEncoder(nn.Module):
    """`depth` blocks of doubling dilation, one more to `n_reduced` channels, the maximum over time, and a
    linear layer (Franceschi et al., section 4)."""

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_hidden: int = 40,
        depth: int = 10,
        n_reduced: int = 160,
        kernel_size: int = 3,
        nonneg: bool = False,
    ) -> None:
        super().__init__()
        self.n_features, self.nonneg = n_features, nonneg
        sizes = [n_channels, *[n_hidden] * depth, n_reduced]
        self.blocks = nn.Sequential(
            *(CausalBlock(n_in, n_out, kernel_size, 2**i) for i, (n_in, n_out) in enumerate(pairwise(sizes)))
        )
        self.linear = nn.Linear(n_reduced, n_features)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings, (B, n_features), of series (B, d, T)."""
        return self._project(self._levels(x).amax(2))

    def steps(self, x: Tensor) -> Tensor:
        """The embedding of each series up to each step, (B, n_features, T): nothing looks ahead."""
        return self._project(self._levels(x).cummax(2).values.transpose(1, 2)).transpose(1, 2)

    def _levels(self, x: Tensor) -> Tensor:
        values, observed = split_padding(x)
        found = self.blocks(values)
        # Padding comes after a series' end, so causal convolutions need no mask before the maximum.
        return found if observed is None else found.masked_fill(~observed[:, None], -torch.inf)

    def _project(self, levels: Tensor) -> Tensor:
        features = self.linear(levels)
        return F.relu(features) if self.nonneg else features


class Triplet(NamedTuple):
    """First steps and lengths of sub-series, each (B,), those of negatives (K, B) with their series."""

    anchor: tuple[Tensor, Tensor]
    positive: tuple[Tensor, Tensor]
    negative: tuple[Tensor, Tensor]
    negative_series: Tensor


def draw_triplet(batch: Tensor, lengths: Tensor, n_negatives: int, order: Generator) -> Triplet:
    """Draw an anchor in each series of a batch, a positive inside it, negatives anywhere (algorithm 1).

    Parameters
    ----------
    batch : Tensor of int64, shape (B,)
        Numbers of the series.
    lengths : Tensor of int64, shape (n,)
        Of all series. Where they are equal, one pair of lengths is drawn for the batch, as published;
        else one a series.
    n_negatives : int
    order : torch.Generator
    """
    shared = bool((lengths == lengths[0]).all())
    n, shape = len(batch), (n_negatives, len(batch))

    def below(high: Tensor, size: tuple[int, ...]) -> Tensor:
        """Whole numbers from 0 to under `high`."""
        return (torch.rand(size, generator=order, dtype=torch.float64) * high).long()

    own = lengths[batch]
    drawn = (1,) if shared else (n,)
    positive_length = 1 + below(own[: drawn[0]], drawn).expand(n)
    anchor_length = positive_length + below((own - positive_length + 1)[: drawn[0]], drawn).expand(n)
    anchor = below(own - anchor_length + 1, (n,))
    positive = anchor + below(anchor_length - positive_length + 1, (n,))
    others = torch.randint(len(lengths), shape, generator=order)
    length = positive_length.expand(shape) if shared else 1 + below(lengths[others], shape)
    negative = below(lengths[others] - length + 1, shape)
    return Triplet((anchor, anchor_length), (positive, positive_length), (negative, length), others)


def triplet_loss(anchor: Tensor, positive: Tensor, negatives: Tensor, penalty: float = 1.0) -> Tensor:
    """−log σ(a·p) − penalty/K Σₖ log σ(−a·nₖ), the mean over a batch (equation 1).

    Parameters
    ----------
    anchor, positive : Tensor, shape (B, F)
    negatives : Tensor, shape (K, B, F)
    penalty : float
    """
    attraction = F.logsigmoid((anchor * positive).sum(-1)).mean()
    repulsion = F.logsigmoid(-(anchor * negatives).sum(-1)).mean()
    return -attraction - penalty * repulsion


def pretraining(
    encoder: CausalEncoder, x: Tensor, order: Generator, *, n_negatives: int, negative_penalty: float
) -> Pretraining:
    """Training of `encoder` on series (n, d, T)."""
    lengths = (~x.isnan().any(1)).sum(1).cpu()

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = draw_triplet(indices.cpu(), lengths, n_negatives, order)
        anchor = encoder(windows(x[indices], *drawn.anchor))
        others = drawn.negative_series.flatten().to(x.device)
        # Positives and negatives go through the network together.
        rows = torch.cat([indices, others])
        start, length = (
            torch.cat([a, b.flatten()]) for a, b in zip(drawn.positive, drawn.negative, strict=True)
        )
        found = encoder(windows(x[rows], start, length))
        positive, negatives = found[: len(indices)], found[len(indices) :]
        negatives = negatives.unflatten(0, (n_negatives, len(indices)))
        return triplet_loss(anchor, positive, negatives, negative_penalty), {}

    return Pretraining(encoder, step)
