"""What a shapelet's best match is worth, and the gradient of that value.

All three measures of CSL pool hard over the windows of a series, so only the *winning* window of each
(series, shapelet) pair carries a value and a gradient. The position of that window is searched without
autograd (:mod:`workbench.timeseries._shapelet_search`); value and gradient are computed from the window
itself, which the backward pass reads anew: nothing of the size windows x length is kept for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from workbench.timeseries._shapelet_search import NORM_FLOOR, Layout

__all__ = ["HardPool"]

#: So many numbers of windows are worked on at once.
IN_CACHE = 2**19


class HardPool(torch.autograd.Function):
    """Value of every (series, shapelet) pair at its winning window, with the gradient of that window alone.

    With w the window, s the shapelet and g the incoming gradient, the gradient with respect to s is, channel
    by channel, ``sum_b a_b w_b + c s``, where

    - Euclidean: ``a = -g / |w - s|``, ``c = sum_b g / |w - s|``,
    - cosine: ``a = g / (D |w| |s|)``, ``c = -sum_b g <w, s> / (D |w| |s|^3)``,
    - cross-correlation: ``a = g``, ``c = 0``.

    A distance of zero has the subgradient zero, a cosine cut at zero has none, and a norm held at its
    floor is a constant. The series themselves get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, flat: Tensor, bias: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        n_scales, (n_e, n_c, n_x) = len(layout.lengths), layout.counts
        n_ec, n_features, n_channels, n_series = n_e + n_c, layout.n_features, layout.n_channels, len(x)
        # One sheet for what the windows give: distances (Euclidean), inner products (the others).
        sheet = x.new_empty(n_scales, layout.per_scale, n_channels, n_series)
        window_norm = x.new_empty(n_scales, n_c, n_channels, n_series)
        raw_norm = x.new_empty(n_scales, n_c, n_channels, 1)
        x, starts = x.contiguous(), _starts(x, positions, n_scales)
        for r, some, s, w in _windows(x, flat, starts, layout):
            t = s.unsqueeze(2)
            torch.linalg.vector_norm(w[n_e:n_ec], dim=-1, out=window_norm[r, :, some])
            torch.linalg.vector_norm(t[n_e:n_ec], dim=-1, out=raw_norm[r, :, some])
            near, inner = w[:n_e].sub_(t[:n_e]), w[n_e:].mul_(t[n_e:])
            torch.linalg.vector_norm(near, dim=-1, out=sheet[r, :n_e, some])
            torch.sum(inner, -1, out=sheet[r, n_e:, some])
        distance, inner, cross = sheet.split(layout.counts, dim=1)
        norm = raw_norm.clamp(min=NORM_FLOOR)
        scale = (window_norm.clamp_(min=NORM_FLOOR) * norm).reciprocal_().div_(n_channels)
        cosine = inner * scale
        mean = cosine.sum(2)
        values = torch.cat(
            [distance.sum(2), mean.clamp(min=0), cross.sum(2) + bias.view(n_scales, n_x, 1)], dim=1
        )

        pull = torch.where(distance > 0, distance.reciprocal(), 0)
        gate = (mean > 0).to(x.dtype).unsqueeze(2)
        ones = torch.ones_like(cross)
        held = (raw_norm > NORM_FLOOR).to(x.dtype).div_(norm.square())
        window_factors = torch.cat([-pull, gate * scale, ones], dim=1)
        own_factors = torch.cat([pull, gate * cosine.mul_(held).neg_()], dim=1)
        ctx.layout = layout
        ctx.save_for_backward(x, flat, starts, window_factors, own_factors)
        return values.view(n_features, n_series).T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, flat, starts, window_factors, own_factors = ctx.saved_tensors
        layout: Layout = ctx.layout
        n_ec = own_factors.shape[1]
        g = grad.T.reshape(len(layout.lengths), layout.per_scale, 1, -1)
        a = (g * window_factors).unsqueeze(3)
        c = (g[:, :n_ec] * own_factors).sum(-1, keepdim=True)
        grad_flat = torch.empty_like(flat)
        grads = layout.split(grad_flat)
        for r, some, s, w in _windows(x, flat, starts, layout):
            out = torch.matmul(a[r, :, some], w).squeeze(2)
            out[:n_ec].addcmul_(c[r, :, some], s[:n_ec])
            grads[r][:, some] = out
        return None, grad_flat, g[:, n_ec:].sum((2, 3)).flatten(), None, None


def _starts(x: Tensor, positions: Tensor, n_scales: int) -> Tensor:
    """Where in the flattened `x` (B, D, T) the winning windows begin, (R, K, D, B).

    `positions` has shape (n_features, B).
    """
    n_series, n_channels, n_steps = x.shape
    row = torch.arange(n_series * n_channels, device=x.device).mul_(n_steps).view(n_series, n_channels).T
    return (positions.unsqueeze(1) + row).view(n_scales, -1, n_channels, n_series)


def _windows(
    x: Tensor, flat: Tensor, starts: Tensor, layout: Layout
) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
    """Scale by scale, and some variables at a time: the scale, the variables, the shapelets of the scale in
    those variables, (K, d, length), and their windows of `x`, (K, d, B, length).

    The windows overwrite the last ones, as memory that is in the cache already is the fastest.
    """
    n_series, n_channels, _ = x.shape
    heights = [layout.per_scale * n_series * length for length in layout.lengths]
    widths = [min(n_channels, max(1, IN_CACHE // height)) for height in heights]
    store = x.new_empty(max(map(math.prod, zip(heights, widths, strict=True))))
    for r, (s, start, width) in enumerate(zip(layout.split(flat), starts, widths, strict=True)):
        length = s.shape[-1]
        source = x.view(-1).unfold(0, length, 1)
        for first in range(0, n_channels, width):
            some = slice(first, first + width)
            wanted = start[:, some].reshape(-1)
            windows = store[: len(wanted) * length].view(-1, length)
            # Whole rows of an overlapping view are copied as blocks, several times faster than by element.
            torch.index_select(source, 0, wanted, out=windows)
            yield r, some, s[:, some], windows.view(layout.per_scale, -1, n_series, length)
