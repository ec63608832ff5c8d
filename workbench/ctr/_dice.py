"""Dice, the activation of the Deep Interest Network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from workbench.training import distributed

__all__ = ["Dice"]

#: Numbers that are worked on at a time on a CPU, so that a dozen passes over them stay in its caches.
_BLOCK = 2**17
_EPSILON = 1e-8


class Dice(nn.Module):
    """f(s) = p(s)·s + (1 - p(s))·alpha·s with p the sigmoid of the standardised s [1]_.

    Mean and variance are those of the batch in training, of each neuron by itself; moving averages in
    evaluation. `alpha` is learned for each neuron and starts at 0.

    References
    ----------
    .. [1] Zhou et al., arXiv 1706.06978, eq. (3).
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, s: Tensor) -> Tensor:
        """Activations of the neurons, (n, width)."""
        if not self.training:
            return _dice(s, self.mean, self.variance, self.alpha)
        if distributed.world()[1] > 1:
            n, mean, variance = distributed.moments(s)
            if not n:
                return s
            found = _dice(s, mean, variance, self.alpha)
        elif len(s):
            found, mean, variance = _BatchDice.apply(s, self.alpha)
        else:  # not one history of the batch has an item: there are no moments to learn
            return s
        with torch.no_grad():
            self.mean.lerp_(mean.to(self.mean.dtype), 0.1)
            self.variance.lerp_(variance.to(self.variance.dtype), 0.1)
        return found


def _dice(s: Tensor, mean: Tensor, variance: Tensor, alpha: Tensor) -> Tensor:
    p = torch.sigmoid((s - mean) * torch.rsqrt(variance + _EPSILON))
    return s * (alpha + p * (1 - alpha))


class _BatchDice(torch.autograd.Function):
    """Dice with the mean and the variance of the batch, which are returned too; no pass leaves the caches.

    With z = (s - mean) r the standardised s, g the gradient that arrives and h = g s (1 - alpha) p (1 - p)
    that of z, the gradient of s is g (alpha + p (1 - alpha)) + r (h - mean(h) - z mean(h z)).
    """

    @staticmethod
    def forward(ctx: Any, s: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        exact = torch.promote_types(s.dtype, torch.float32)
        mean = s.mean(0, dtype=exact)
        variance = torch.zeros_like(mean)
        for part in _blocks(s):
            variance += (part - mean).square_().sum(0)
        variance /= len(s)
        scale, found = torch.rsqrt(variance + _EPSILON), torch.empty_like(s)
        for part, into in zip(_blocks(s), _blocks(found), strict=True):
            torch.addcmul(-mean * scale, part, scale, out=into)
            into.sigmoid_().mul_(1 - alpha).add_(alpha).mul_(part)
        ctx.save_for_backward(s, alpha, mean, scale)
        ctx.mark_non_differentiable(mean, variance)
        return found, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        s, alpha, mean, scale = ctx.saved_tensors
        found = torch.empty_like(s)
        of_z, of_scale, of_alpha = (torch.zeros_like(mean) for _ in range(3))
        for part, g, into in zip(_blocks(s), _blocks(grad), _blocks(found), strict=True):
            z = torch.addcmul(-mean * scale, part, scale)
            p = torch.sigmoid(z)
            product = g * part
            of_alpha += (product - product * p).sum(0)
            h = product.mul_(1 - alpha).mul_(p).mul_(1 - p)
            of_z += h.sum(0)
            of_scale += z.mul_(h).sum(0)
            torch.mul(p.mul_(1 - alpha).add_(alpha), g, out=into)
            into.addcmul_(h, scale)
        slope = scale.square() * of_scale / len(s)
        offset = scale * of_z / len(s) - mean * slope
        for part, into in zip(_blocks(s), _blocks(found), strict=True):
            into.sub_(offset).addcmul_(part, slope, value=-1)
        return found, of_alpha


def _blocks(x: Tensor) -> tuple[Tensor, ...]:
    rows = max(1, _BLOCK // x.shape[1]) if x.device.type == "cpu" else len(x)
    return x.split(rows)
