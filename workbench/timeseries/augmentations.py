"""The five augmentations of contrastive shapelet learning, on whatever device the batch is on.

Each takes a batch of shape (B, D, T), the true lengths of its series (None where all are T long) and a
generator on the batch's device, and returns a new batch. Steps beyond a series' own length stay 0.
The effects are those of the paper (section 5.2; its code takes tsaug's defaults).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

__all__ = ["AUGMENTATIONS", "Augmentation", "add_noise", "crop", "pool", "quantize", "time_warp", "two_views"]

Augmentation = Callable[[Tensor, Tensor | None, Generator], Tensor]


def add_noise(x: Tensor, lengths: Tensor | None, generator: Generator, scale: float = 0.1) -> Tensor:
    """Add normal noise of `scale` times the range (maximum less minimum) of each series and variable."""
    low, high = _extremes(x, lengths)
    noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return _masked(x + noise.mul_(scale * (high - low)), lengths)


def crop(x: Tensor, lengths: Tensor | None, generator: Generator, share: float = 0.9) -> Tensor:
    """Cut a window of `share` of the length at a random place of each series; it is not stretched back."""
    size = max(1, int(share * x.shape[2]))
    own = torch.full((len(x),), x.shape[2], device=x.device) if lengths is None else lengths
    kept = (own * share).long().clamp(min=1)
    draw = torch.rand(len(x), generator=generator, device=x.device)
    start = (draw * (own - kept + 1)).long()
    index = start[:, None] + torch.arange(size, device=x.device)
    cut = _take(x, index.clamp_(max=x.shape[2] - 1))
    return cut if lengths is None else _masked(cut, kept)


def pool(x: Tensor, lengths: Tensor | None, generator: Generator | None = None, size: int = 2) -> Tensor:
    """Replace every `size` consecutive steps by their mean, the leftover tail by its own."""
    length = x.shape[2]
    groups = -(-length // size)
    padded = torch.nn.functional.pad(_masked(x, lengths), (0, groups * size - length))
    sums = padded.unflatten(2, (groups, size)).sum(3)
    own = torch.tensor([length], device=x.device) if lengths is None else lengths
    first = torch.arange(groups, device=x.device) * size
    counts = (own[:, None] - first).clamp(1, size)
    pooled = (sums / counts[:, None, :]).repeat_interleave(size, dim=2)[:, :, :length]
    return _masked(pooled, lengths)


def quantize(
    x: Tensor, lengths: Tensor | None, generator: Generator | None = None, levels: int = 10
) -> Tensor:
    """Round to the centres of `levels` equal intervals between each series' and variable's extremes."""
    low, high = _extremes(x, lengths)
    width = (high - low) / levels
    level = ((x - low) / width.clamp(min=torch.finfo(x.dtype).tiny)).floor_().clamp_(0, levels - 1)
    # A constant has no width: it stays what it is.
    return _masked(torch.addcmul(low, level + 0.5, width), lengths)


def time_warp(
    x: Tensor,
    lengths: Tensor | None,
    generator: Generator,
    speed_changes: int = 3,
    max_speed_ratio: float = 3.0,
) -> Tensor:
    """Run through each series at a speed that changes smoothly, the fastest `max_speed_ratio` the slowest.

    Time runs through ``speed_changes + 1`` pieces of equal length, whose random mean speeds are scaled
    to exactly that ratio; a monotone cubic (PCHIP) through the knots gives the warped time, and the
    values are interpolated linearly. Start, end and length stay.
    """
    pieces = speed_changes + 1
    draw = torch.rand(len(x), pieces, generator=generator, device=x.device, dtype=torch.float64)
    low, high = draw.aminmax(dim=1, keepdim=True)
    speed = draw - low + (high - low) / (max_speed_ratio - 1)
    speed = speed / speed.sum(1, keepdim=True)  # rise of each piece; the total rise is 1
    step = torch.arange(x.shape[2], device=x.device, dtype=torch.float64)
    last = torch.tensor([x.shape[2]], device=x.device) if lengths is None else lengths
    last = (last - 1)[:, None].double()
    warped = _pchip(speed, (step / last.clamp(min=1)).clamp(max=1.0)) * last
    left = warped.floor().clamp_(max=x.shape[2] - 1)
    weight = (warped - left).to(x.dtype)[:, None, :]
    index = left.long()
    right = (index + 1).clamp_(max=x.shape[2] - 1)
    return _masked(torch.lerp(_take(x, index), _take(x, right), weight), lengths)


#: The operators two of which make the views of a batch.
AUGMENTATIONS: tuple[Augmentation, ...] = (add_noise, crop, pool, quantize, time_warp)


def two_views(
    x: Tensor, lengths: Tensor | None, generator: Generator, order: Generator
) -> tuple[Tensor, Tensor]:
    """Two views of a batch by two different random operators.

    Parameters
    ----------
    x : Tensor, shape (B, D, T)
    lengths : Tensor of int64, shape (B,), or None
    generator : torch.Generator
        On the device of `x`.
    order : torch.Generator
        On the CPU; chooses the operators, so that no device has to be waited for.

    Returns
    -------
    query, key : Tensor
        Shapes (B, D, T), or about nine tenths of T where the operator is `crop`.
    """
    first, second = torch.randperm(len(AUGMENTATIONS), generator=order)[:2].tolist()
    return AUGMENTATIONS[first](x, lengths, generator), AUGMENTATIONS[second](x, lengths, generator)


def _pchip(rises: Tensor, at: Tensor) -> Tensor:
    """Monotone cubic interpolation from 0 to 1 over equally spaced knots, where piece i rises by `rises[i]`.

    `rises` has shape (B, P); `at`, in [0, 1], has shape (T,) or (B, T). Slopes at the knots: harmonic
    means inside, the shape-preserving three-point formula at the ends (Fritsch and Butland, 1984).
    """
    pieces = rises.shape[1]
    slopes = rises * pieces
    inner = 2 * slopes[:, 1:] * slopes[:, :-1] / (slopes[:, 1:] + slopes[:, :-1])
    outer = slopes[:, [0, -1]]
    ends = ((3 * outer - slopes[:, [1, -2]]) / 2).clamp(min=0)
    knots = torch.cat([ends[:, :1], inner, ends[:, 1:]], 1)
    values = torch.nn.functional.pad(rises.cumsum(1), (1, 0))
    piece = (at * pieces).long().clamp_(max=pieces - 1).expand(len(rises), -1)
    u = at * pieces - piece
    y0, y1 = values.gather(1, piece), values.gather(1, piece + 1)
    m0, m1 = knots.gather(1, piece) / pieces, knots.gather(1, piece + 1) / pieces
    # Cubic Hermite form on [0, 1].
    return y0 + u * (m0 + u * (3 * (y1 - y0) - 2 * m0 - m1 + u * (2 * (y0 - y1) + m0 + m1)))


def _extremes(x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Minimum and maximum of each series and variable over its own steps, each (B, D, 1)."""
    if lengths is None:
        low, high = x.aminmax(dim=2, keepdim=True)
        return low, high
    beyond = _beyond(x, lengths)
    return (
        x.masked_fill(beyond, torch.inf).amin(2, keepdim=True),
        x.masked_fill(beyond, -torch.inf).amax(2, keepdim=True),
    )


def _beyond(x: Tensor, lengths: Tensor) -> Tensor:
    return (torch.arange(x.shape[2], device=x.device) >= lengths[:, None])[:, None, :]


def _masked(x: Tensor, lengths: Tensor | None) -> Tensor:
    return x if lengths is None else x.masked_fill(_beyond(x, lengths), 0)


def _take(x: Tensor, index: Tensor) -> Tensor:
    """Steps `index`, shape (B, S), of every variable."""
    return x.gather(2, index[:, None, :].expand(-1, x.shape[1], -1))
