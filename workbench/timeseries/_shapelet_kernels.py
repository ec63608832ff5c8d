"""Shapelet matching: the search for the best window, its exact value, and the sparse backward pass.

All three measures of CSL pool hard over the windows of a series, so only the *winning* window of each
(series, shapelet) pair carries a value and a gradient. The search therefore runs without autograd and may use
whatever is fastest; the value is then computed anew from the winning window itself, and the backward
pass reads that one window again. Nothing of the size windows x length is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["COSINE", "CROSS_CORRELATION", "EUCLIDEAN", "NORM_FLOOR", "HardPool", "Layout", "search"]

EUCLIDEAN, COSINE, CROSS_CORRELATION = 0, 1, 2

#: Norms in the cosine are not let below this (as published).
NORM_FLOOR = 1e-8

SearchPath = Literal["auto", "direct", "fft"]


@dataclass(frozen=True)
class Layout:
    """Where each shapelet lies in the flat parameter vector.

    The vector holds the scales one after another; a scale holds its shapelets, each of shape
    (channels, length), Euclidean first, then cosine, then cross-correlation.
    """

    n_channels: int
    lengths: tuple[int, ...]
    counts: tuple[int, int, int]

    @property
    def per_scale(self) -> int:
        return sum(self.counts)

    @property
    def n_features(self) -> int:
        return self.per_scale * len(self.lengths)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.per_scale * self.n_channels * length for length in self.lengths)

    def split(self, flat: Tensor) -> list[Tensor]:
        """Views of shape (shapelets, channels, length), one a scale."""
        return [
            part.view(self.per_scale, self.n_channels, length)
            for part, length in zip(flat.split(self.sizes), self.lengths, strict=True)
        ]


def window_energies(x: Tensor, length: int) -> Tensor:
    """Sum of squares of every window, (B, D, T) -> (B, D, T - length + 1) float64.

    A running sum in double precision: in single precision the differences cancel.
    """
    total = torch.nn.functional.pad(x.double().square().cumsum(-1), (1, 0))
    return (total[..., length:] - total[..., :-length]).clamp_(min=0)


def inner_products_direct(x: Tensor, shapelets: Tensor) -> Tensor:
    """Inner product of every window with every shapelet, (B, D, T), (M, D, L) -> (B, D, M, W)."""
    windows = x.unfold(-1, shapelets.shape[-1], 1)
    return torch.einsum("bdwl,mdl->bdmw", windows, shapelets)


def inner_products_fft(x: Tensor, shapelets: Tensor) -> Tensor:
    """The same by the correlation theorem (no window wraps round, since the transform is T long)."""
    n, length = x.shape[-1], shapelets.shape[-1]
    spectrum = torch.fft.rfft(x).unsqueeze(2) * torch.fft.rfft(shapelets, n=n).conj().transpose(0, 1)
    return torch.fft.irfft(spectrum, n=n)[..., : n - length + 1]


def search(
    x: Tensor,
    flat: Tensor,
    layout: Layout,
    path: SearchPath = "auto",
) -> Tensor:
    """First position of the best window of every (series, shapelet) pair.

    Parameters
    ----------
    x : Tensor, shape (B, D, T)
    flat : Tensor
        Shapelets as :class:`Layout` says.

    Returns
    -------
    Tensor of int64, shape (B, n_features)
    """
    n_e, n_c, _ = layout.counts
    inner = inner_products_fft if path == "fft" else inner_products_direct
    found = []
    for shapelets, length in zip(layout.split(flat), layout.lengths, strict=True):
        products = inner(x, shapelets)
        energy = window_energies(x, length).unsqueeze(2)
        if n_e:
            own = shapelets[:n_e].double().square().sum(-1).T.unsqueeze(-1)
            distance = (energy + own - 2 * products[:, :, :n_e]).clamp_(min=0).sqrt_().sum(1)
            found.append(distance.argmin(-1))
        if n_c:
            own = shapelets[n_e : n_e + n_c].norm(dim=-1).clamp_(min=NORM_FLOOR).T.unsqueeze(-1)
            norms = energy.sqrt().clamp_(min=NORM_FLOOR) * own
            found.append((products[:, :, n_e : n_e + n_c] / norms).sum(1).argmax(-1))
        found.append(products[:, :, n_e + n_c :].sum(1).argmax(-1))
    return torch.cat(found, dim=1)


def gather_windows(x: Tensor, positions: Tensor, length: int) -> Tensor:
    """The windows that start at `positions` (B, K), as (K, D, B, length)."""
    n_series, n_channels, n_steps = x.shape
    device = x.device
    series = torch.arange(n_series, device=device) * (n_channels * n_steps)
    start = (
        positions.T.unsqueeze(1) + series + (torch.arange(n_channels, device=device) * n_steps).unsqueeze(-1)
    )
    rows = x.contiguous().view(-1).unfold(0, length, 1)
    return rows[start]


class HardPool(torch.autograd.Function):
    """Value of every (series, shapelet) pair at its winning window, with the gradient of that window alone.

    With w the window, s the shapelet and g the incoming gradient, each measure's gradient with respect
    to s is, for every channel, ``sum_b a_b w_b + c s``: Euclidean ``a = -g / |w - s|, c = sum_b g / |w - s|``;
    cosine ``a = g / (D |w| |s|), c = -sum_b g <w, s> / (D |w| |s|^3)``; cross-correlation ``a = g, c = 0``.
    The series themselves get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, flat: Tensor, bias: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        n_e, n_c, n_x = layout.counts
        values, scales, pulls = [], [], []
        for r, (s, length) in enumerate(zip(layout.split(flat), layout.lengths, strict=True)):
            where = positions[:, r * layout.per_scale : (r + 1) * layout.per_scale]
            w = gather_windows(x, where, length)
            inner = torch.einsum("kdbl,kdl->bkd", w[n_e:], s[n_e:])
            distance = (w[:n_e] - s[:n_e].unsqueeze(2)).norm(dim=-1).permute(2, 0, 1)
            w_norm = w[n_e : n_e + n_c].norm(dim=-1).permute(2, 0, 1).clamp_(min=NORM_FLOOR)
            raw = s[n_e : n_e + n_c].norm(dim=-1)
            s_norm = raw.clamp(min=NORM_FLOOR)
            each = inner[:, :n_c] / (w_norm * s_norm)
            cosine = each.mean(-1)
            values += [
                distance.sum(-1),
                cosine.clamp(min=0),
                inner[:, n_c:].sum(-1) + bias[r * n_x : (r + 1) * n_x],
            ]
            # A distance of zero has the subgradient zero, a negative cosine is cut, and a clamped norm is constant.
            pull = torch.where(distance > 0, -1 / distance, 0)
            open_gate = (cosine > 0).unsqueeze(-1).to(x.dtype) / layout.n_channels
            scales.append(
                torch.cat([pull, open_gate / (w_norm * s_norm), torch.ones_like(inner[:, n_c:])], dim=1)
            )
            pulls.append(
                torch.cat(
                    [
                        -pull,
                        -open_gate * each * (raw > NORM_FLOOR) / s_norm**2,
                        torch.zeros_like(inner[:, n_c:]),
                    ],
                    dim=1,
                )
            )
        ctx.layout = layout
        ctx.save_for_backward(x, flat, positions, torch.cat(scales, 1), torch.cat(pulls, 1))
        return torch.cat(values, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, flat, positions, scales, pulls = ctx.saved_tensors
        layout: Layout = ctx.layout
        n_x = layout.counts[2]
        grad_flat = torch.empty_like(flat)
        for r, (out, s, length) in enumerate(
            zip(layout.split(grad_flat), layout.split(flat), layout.lengths, strict=True)
        ):
            mine = slice(r * layout.per_scale, (r + 1) * layout.per_scale)
            g = grad[:, mine].unsqueeze(-1)
            w = gather_windows(x, positions[:, mine], length)
            out.copy_(torch.einsum("bkd,kdbl->kdl", g * scales[:, mine], w))
            out.addcmul_((g * pulls[:, mine]).sum(0).unsqueeze(-1), s)
        grad_bias = (
            grad.view(len(grad), len(layout.lengths), -1)[..., layout.per_scale - n_x :].sum(0).reshape(-1)
        )
        return None, grad_flat, grad_bias, None, None
