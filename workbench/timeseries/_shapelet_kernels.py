"""What a shapelet's best match is worth, and the gradient of that value.

All three measures of CSL pool hard over the windows of a series, so only the *winning* window of each
(series, shapelet) pair carries a value and a gradient. The position of that window is searched without
autograd (:mod:`workbench.timeseries._shapelet_search`); value and gradient are computed from the window
itself, which the backward pass reads anew: nothing of the size windows x length is kept for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from workbench.timeseries._shapelet_search import NORM_FLOOR, Layout

__all__ = ["HardPool"]


Pairs = Iterator[tuple[Tensor, Tensor]]


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
        for r, (s, w) in enumerate(_windows(x, flat, positions, layout)):
            torch.linalg.vector_norm(w[:n_e] - s[:n_e].unsqueeze(2), dim=-1, out=sheet[r, :n_e])
            torch.matmul(w[n_e:], s[n_e:].unsqueeze(-1), out=sheet[r, n_e:].unsqueeze(-1))
            torch.linalg.vector_norm(w[n_e:n_ec], dim=-1, out=window_norm[r])
            torch.linalg.vector_norm(s[n_e:n_ec], dim=-1, keepdim=True, out=raw_norm[r])
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
        ctx.save_for_backward(x, flat, positions, window_factors, own_factors)
        return values.view(n_features, n_series).T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, flat, positions, window_factors, own_factors = ctx.saved_tensors
        layout: Layout = ctx.layout
        n_ec = own_factors.shape[1]
        g = grad.T.reshape(len(layout.lengths), layout.per_scale, 1, -1)
        a = (g * window_factors).unsqueeze(3)
        c = (g[:, :n_ec] * own_factors).sum(-1, keepdim=True)
        grad_flat = torch.empty_like(flat)
        for r, (out, (s, w)) in enumerate(
            zip(layout.split(grad_flat), _windows(x, flat, positions, layout), strict=True)
        ):
            torch.matmul(a[r], w, out=out.unsqueeze(2))
            out[:n_ec].addcmul_(c[r], s[:n_ec])
        return None, grad_flat, g[:, n_ec:].sum((2, 3)).flatten(), None, None


def _windows(x: Tensor, flat: Tensor, positions: Tensor, layout: Layout) -> Pairs:
    """Scale by scale, the shapelets (K, D, length) and their windows of `x` (B, D, T), (K, D, B, length).

    `positions` has shape (n_features, B).
    """
    n_series, n_channels, n_steps = x.shape
    row = torch.arange(n_series * n_channels, device=x.device).mul_(n_steps).view(n_series, n_channels).T
    start = positions.unsqueeze(1) + row
    flat_x = x.contiguous().view(-1)
    for s, first in zip(layout.split(flat), start.split(layout.per_scale), strict=True):
        length = s.shape[-1]
        # Whole rows of an overlapping view are copied as blocks, several times faster than by element.
        windows = flat_x.unfold(0, length, 1).index_select(0, first.reshape(-1))
        yield s, windows.view(*first.shape, length)
