"""What a shapelet's best match is worth, and the gradient of that value.

All three measures of CSL pool hard over the windows of a series, so only the *winning* window of each
(series, shapelet) pair carries a value and a gradient. The position of that window is searched without
autograd (:mod:`workbench.timeseries._shapelet_search`); value and gradient are computed from the window
itself: nothing of the size windows x length is kept for the backward pass.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from workbench.timeseries._shapelet_search import NORM_FLOOR, Layout

__all__ = ["HardPool"]

#: Winning windows are kept for the backward pass up to this many numbers, else they are read again.
MOST_KEPT = 2**22


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
        per_step = layout.per_scale * n_channels * n_series
        total, largest = per_step * sum(layout.lengths), per_step * layout.lengths[-1]
        keep = total <= MOST_KEPT
        store = x.new_empty(total if keep else largest)
        spare = x.new_empty(largest) if keep else store
        parts = zip(layout.split(flat), starts, _rooms(store, layout, n_series), strict=True)
        for r, (s, start, room) in enumerate(parts):
            w, t = _read(x, start, room), s.unsqueeze(2)
            torch.linalg.vector_norm(w[n_e:n_ec], dim=-1, out=window_norm[r])
            torch.linalg.vector_norm(t[n_e:n_ec], dim=-1, out=raw_norm[r])
            into = spare[: w.numel()].view_as(w)
            near, inner = into[:n_e], into[n_e:]
            torch.sub(w[:n_e], t[:n_e], out=near)
            torch.mul(w[n_e:], t[n_e:], out=inner)
            torch.linalg.vector_norm(near, dim=-1, out=sheet[r, :n_e])
            torch.sum(inner, -1, out=sheet[r, n_e:])
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
        ctx.save_for_backward(x, flat, starts, window_factors, own_factors, store if keep else None)
        return values.view(n_features, n_series).T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, flat, starts, window_factors, own_factors, kept = ctx.saved_tensors
        layout: Layout = ctx.layout
        n_ec = own_factors.shape[1]
        g = grad.T.reshape(len(layout.lengths), layout.per_scale, 1, -1)
        a = (g * window_factors).unsqueeze(3)
        c = (g[:, :n_ec] * own_factors).sum(-1, keepdim=True)
        grad_flat = torch.empty_like(flat)
        largest = layout.per_scale * x.shape[1] * len(x) * layout.lengths[-1]
        store = x.new_empty(largest) if kept is None else kept
        parts = zip(layout.split(grad_flat), layout.split(flat), _rooms(store, layout, len(x)), strict=True)
        for r, (out, s, room) in enumerate(parts):
            w = _read(x, starts[r], room) if kept is None else room
            torch.matmul(a[r], w, out=out.unsqueeze(2))
            out[:n_ec].addcmul_(c[r], s[:n_ec])
        return None, grad_flat, g[:, n_ec:].sum((2, 3)).flatten(), None, None


def _rooms(store: Tensor, layout: Layout, n_series: int) -> list[Tensor]:
    """Room for each scale's windows, (K, D, B, length): side by side in `store` if it is large enough for
    that, else all at its beginning, each overwriting the last."""
    shapes = [(layout.per_scale, layout.n_channels, n_series, length) for length in layout.lengths]
    sizes = [math.prod(shape) for shape in shapes]
    parts = store.split(sizes) if len(store) == sum(sizes) else tuple(store[:size] for size in sizes)
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _starts(x: Tensor, positions: Tensor, n_scales: int) -> Tensor:
    """Where in the flattened `x` (B, D, T) the winning windows begin, one row a scale.

    `positions` has shape (n_features, B).
    """
    n_series, n_channels, n_steps = x.shape
    row = torch.arange(n_series * n_channels, device=x.device).mul_(n_steps).view(n_series, n_channels).T
    return (positions.unsqueeze(1) + row).reshape(n_scales, -1)


def _read(x: Tensor, starts: Tensor, room: Tensor) -> Tensor:
    """Copy the windows that begin at `starts` into `room`."""
    length = room.shape[-1]
    # Whole rows of an overlapping view are copied as blocks, several times faster than by element.
    torch.index_select(x.view(-1).unfold(0, length, 1), 0, starts, out=room.view(-1, length))
    return room
