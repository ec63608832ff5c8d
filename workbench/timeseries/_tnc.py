"""The torch side of TNC: the window encoder, the draw of neighbours, and the loss on pairs."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from workbench.timeseries._attention import dropout
from workbench.timeseries._networks import Pretraining, windows
from workbench.timeseries._stationarity import stationary_ranges
from workbench.timeseries._tloss import CausalEncoder

__all__ = ["Discriminator", "WindowEncoder", "draw_pairs", "neighbourhood_loss", "pretraining"]

#: Places of a series at which its stationarity is tested.
_PLACES = 32


class WindowEncoder(nn.Module):
    """Encodes windows of `window` steps; a series by the mean over its half-overlapping windows."""

    def __init__(
        self, n_channels: int, n_features: int, window: int, n_hidden: int = 40, nonneg: bool = False
    ) -> None:
        super().__init__()
        self.n_features, self.window = n_features, window
        # Block i sees 2·2·2^i steps back: just enough of them for a window.
        depth = max(1, math.ceil(math.log2((window - 1) / 4 + 1)) - 1)
        self.encoder = CausalEncoder(
            n_channels, n_features, n_hidden, depth, n_reduced=4 * n_hidden, nonneg=nonneg
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of every series, (B, n_features)."""
        features, there = self._encode(x, max(1, self.window // 2))
        return (features * there[:, None]).sum(2) / there.sum(1, keepdim=True)

    def steps(self, x: Tensor) -> Tensor:
        """Features of the window around every step, at the ends of the nearest whole one, (B, F, T)."""
        features, there = self._encode(x, 1)
        last = there.sum(1, keepdim=True) - 1
        step = torch.arange(x.shape[2], device=x.device) - self.window // 2
        index = torch.minimum(step.clamp(min=0).expand(len(x), -1), last)
        return features.gather(2, index[:, None].expand(-1, self.n_features, -1))

    def _encode(self, x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        """Features of windows, (B, F, W), and which of them lie within the series, (B, W)."""
        if torch.compiler.is_exporting():
            return self._encode_whole(x, stride)
        lengths = (~x.isnan().any(1)).sum(1, keepdim=True)
        if x.shape[2] < self.window:
            x = F.pad(x, (0, self.window - x.shape[2]), value=torch.nan)
        cut = x.unfold(2, self.window, stride).transpose(1, 2)  # (B, W, d, window)
        start = torch.arange(cut.shape[1], device=x.device) * stride
        there = (start + self.window <= lengths) | (start == 0)
        features = self.encoder(cut[there])
        result = features.new_zeros(*there.shape, self.n_features)
        result[there] = features
        return result.transpose(1, 2), there

    def _encode_whole(self, x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        """The same of series without padding, by operators that ONNX has."""
        start = torch.arange(0, x.shape[2] - self.window + 1, stride)
        cut = x[:, :, start[:, None] + torch.arange(self.window)].transpose(1, 2)
        features = self.encoder(cut.flatten(0, 1)).unflatten(0, (-1, len(start)))
        return features.transpose(1, 2), torch.ones_like(features[:, :, 0], dtype=torch.bool)


class Discriminator(nn.Module):
    """Tells pairs of neighbours from others: a logit a pair."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.wide, self.last = nn.Linear(2 * n_features, 4 * n_features), nn.Linear(4 * n_features, 1)
        for layer in (self.wide, self.last):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, a: Tensor, b: Tensor, pairs: Tensor | None = None) -> Tensor:
        """Logits of pairs (…, B), of anchors (B, F) and windows (…, B, F).

        With `pairs`, (…, B), the windows are (W, F), and it tells which of them stands in a pair.
        """
        # The layer of [a, b], its two halves apart: an anchor, and a window, stand in many pairs.
        of_a, of_b = self.wide.weight.split(a.shape[-1], 1)
        window = F.linear(b, of_b, self.wide.bias)
        found = F.linear(a, of_a) + (window if pairs is None else F.embedding(pairs, window))
        logits: Tensor = self.last(dropout(F.relu(found), 0.5, self.training))[..., 0]
        return logits


def neighbourhood_loss(near: Tensor, far: Tensor, positive_weight: float) -> Tensor:
    """Half the cross-entropies of neighbours as 1 and of far windows as w times 1 and 1 − w times 0.

    Equation 2 of Tonekaboni et al.; `near` and `far` are logits of any shape.
    """
    positive = -F.logsigmoid(near).mean()
    unlabelled = -positive_weight * F.logsigmoid(far) - (1 - positive_weight) * F.logsigmoid(-far)
    return (positive + unlabelled.mean()) / 2


def draw_pairs(
    last: Tensor, ranges: Tensor, window: int, n_pairs: int, order: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """First steps of a window in each series, of its neighbours, and of windows far from it.

    Parameters
    ----------
    last : Tensor of int64, shape (B,)
        The last step at which a window can begin.
    ranges : Tensor of int64, shape (B, p)
        How many windows the neighbourhood reaches, at p places along each series.
    window, n_pairs : int
    order : torch.Generator

    Returns
    -------
    anchor : Tensor of int64, shape (B,)
    near, far : Tensor of int64, shape (n_pairs, B)
    """
    batch, places = ranges.shape
    share = torch.rand(batch, generator=order, dtype=torch.float64)
    anchor = (share * (last + 1)).long()
    reach = ranges.gather(1, (share * places).long()[:, None])[:, 0] * window
    spread = torch.randn(n_pairs, batch, generator=order, dtype=torch.float64)
    near = torch.minimum((anchor + spread * reach).round().long().clamp(min=0), last)
    # Far windows lie at least five ranges away, on the side with more room; or at its end.
    before = (anchor - 5 * reach).clamp(min=0)
    after = torch.minimum(anchor + 5 * reach, last)
    draw = torch.rand(n_pairs, batch, generator=order, dtype=torch.float64)
    far = torch.where(
        anchor > last / 2,
        (draw * (before + 1)).long(),
        after + (draw * (last - after + 1)).long(),
    )
    return anchor, near, far


def pretraining(
    encoder: WindowEncoder, x: Tensor, order: Generator, *, n_pairs: int, positive_weight: float
) -> Pretraining:
    """Training of `encoder` on series (n, d, T)."""
    window = encoder.window
    lengths = (~x.isnan().any(1)).sum(1).cpu()
    places = (np.arange(_PLACES) + 0.5) / _PLACES
    values = x.nan_to_num().cpu().numpy().transpose(0, 2, 1)
    ranges = torch.from_numpy(stationary_ranges(values, lengths.numpy(), window, places))
    last = (lengths - window).clamp(min=0)
    discriminator = Discriminator(encoder.n_features)
    model = nn.ModuleDict({"encoder": encoder, "discriminator": discriminator})

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        rows = indices.cpu()
        anchor, near, far = draw_pairs(last[rows], ranges[rows], window, n_pairs, order)
        # Most windows are drawn more than once, at the ends above all: each goes through the network once.
        start = torch.cat([anchor[None], near, far])
        column = torch.arange(len(rows))
        drawn, place = torch.unique(start * len(rows) + column, return_inverse=True)
        column, place = drawn % len(rows), place.to(x.device)
        length = lengths[rows[column]].clamp(max=window)
        cut = windows(x[indices[column.to(x.device)]], drawn // len(rows), length)
        features = encoder.encoder(cut)
        logits = discriminator(F.embedding(place[0], features), features, place[1:])
        near_logits, far_logits = logits.split(n_pairs)
        return neighbourhood_loss(near_logits, far_logits, positive_weight), {}

    return Pretraining(model, step)
