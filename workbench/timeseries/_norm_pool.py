"""Batch normalisation, ReLU and maxima of pairs of steps in one, as a convolutional block trains with them.

On a CPU torch takes a dozen passes through memory for what are four here, compiled by numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["norm_pool"]

Array = NDArray[Any]
_jit = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


def norm_pool(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, views: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each channel by its own mean and variance, cut at 0, and keep the greater of two steps.

    Parameters
    ----------
    x : Tensor, shape (B, T, C)
        On the CPU; of several views, one after the other, each of which is normalised by itself.
    weight, bias : Tensor, shape (C,)
    eps : float
    views : int

    Returns
    -------
    pooled : Tensor, shape (B, T // 2 + 1, C)
        The first step by itself, then the steps in pairs; the last of an even number by itself too.
    mean, variance : Tensor, shape (views, C)
        Of the channels over the B · T steps of a view.
    """
    found: tuple[Tensor, Tensor, Tensor] = _NormPool.apply(x, weight, bias, eps, views)
    return found


class _NormPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, views: int
    ) -> tuple[Tensor, ...]:
        x = x.contiguous()
        mean, variance = x.new_zeros(2, views, x.shape[2], dtype=torch.float64)
        for view in zip(_views(x, views), mean.numpy(), variance.numpy(), strict=True):
            _moments(*view)
        mean, variance = mean.to(x.dtype), variance.to(x.dtype)
        scale = torch.rsqrt(variance + eps)
        factor = scale * weight
        offset = torch.addcmul(bias, mean, factor, value=-1)
        pooled = x.new_empty(x.shape[0], x.shape[1] // 2 + 1, x.shape[2])
        by_channel = (factor.numpy(), offset.numpy())
        for part in zip(_views(x, views), *by_channel, _views(pooled, views), strict=True):
            _pool(*part)
        ctx.save_for_backward(x, mean, scale, factor, pooled)
        ctx.mark_non_differentiable(mean, variance)
        return pooled, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, mean, scale, factor, pooled = ctx.saved_tensors
        views, of_x = len(mean), torch.empty_like(x)
        of_bias, of_weight = x.new_zeros(2, *mean.shape, dtype=torch.float64)
        whole = [_views(one, views) for one in (x, pooled, grad.contiguous(), of_x)]
        by_channel = [one.numpy() for one in (factor, mean, of_bias, of_weight)]
        for part in zip(*whole, *by_channel, strict=True):
            _unpool(*part)
        of_bias, of_weight = of_bias.to(x.dtype), of_weight.to(x.dtype) * scale
        n = x.shape[0] // views * x.shape[1]
        slope = of_weight * scale / n
        level = of_bias / n - mean * slope
        by_channel = [one.numpy() for one in (factor, slope, level)]
        for part in zip(_views(x, views), _views(of_x, views), *by_channel, strict=True):
            _unnormalise(*part)
        return of_x, of_weight.sum(0), of_bias.sum(0), None, None


def _views(x: Tensor, views: int) -> Array:
    return x.unflatten(0, (views, -1)).numpy()


@_jit
def _moments(x: Array, mean: Array, variance: Array) -> None:
    batch, steps, width = x.shape
    zeros = np.zeros(width, x.dtype)
    for b in range(batch):
        # A series in its own precision, which is fast, and then all of them in double.
        part = zeros.copy()
        for t in range(steps):
            for c in range(width):
                part[c] += x[b, t, c]
        mean += part
    mean /= batch * steps
    single = mean.astype(x.dtype)
    for b in range(batch):
        part = zeros.copy()
        for t in range(steps):
            for c in range(width):
                away = x[b, t, c] - single[c]
                part[c] += away * away
        variance += part
    variance /= batch * steps


@_jit
def _pool(x: Array, factor: Array, offset: Array, pooled: Array) -> None:
    batch, steps, width = x.shape
    zero = x.dtype.type(0)
    for b in range(batch):
        for s in range(pooled.shape[1]):
            # A step that is there alone is paired with itself.
            first, second = max(2 * s - 1, 0), min(2 * s, steps - 1)
            for c in range(width):
                one = x[b, first, c] * factor[c] + offset[c]
                other = x[b, second, c] * factor[c] + offset[c]
                greater = one if one > other else other
                # So that what is not a number stays visible.
                pooled[b, s, c] = zero if greater <= zero else greater


@_jit
def _unpool(
    x: Array,
    pooled: Array,
    grad: Array,
    of_x: Array,
    factor: Array,
    mean: Array,
    of_bias: Array,
    of_weight: Array,
) -> None:
    """Gradients of the normalised steps, and their sums: plain, and times how far a step is from the mean.

    Each loop over channels writes to one array: with more of them the compiler gives up on vectors.
    """
    batch, steps, width = x.shape
    zeros, zero = np.zeros(width, x.dtype), x.dtype.type(0)
    kept = zeros.copy()
    for b in range(batch):
        plain, by_distance = zeros.copy(), zeros.copy()
        for s in range(pooled.shape[1]):
            first, second = max(2 * s - 1, 0), min(2 * s, steps - 1)
            one, other, of_one, of_other = x[b, first], x[b, second], of_x[b, first], of_x[b, second]
            for c in range(width):
                kept[c] = grad[b, s, c] if pooled[b, s, c] > zero else zero
            for c in range(width):
                of_other[c] = kept[c] if (other[c] - one[c]) * factor[c] > zero else zero
            if first == second:
                of_one[:] = kept
            else:
                for c in range(width):
                    of_one[c] = kept[c] - of_other[c]
                for c in range(width):
                    by_distance[c] += of_other[c] * (other[c] - mean[c])
            for c in range(width):
                by_distance[c] += of_one[c] * (one[c] - mean[c])
            for c in range(width):
                plain[c] += kept[c]
        of_bias += plain
        of_weight += by_distance


@_jit
def _unnormalise(x: Array, of_x: Array, factor: Array, slope: Array, level: Array) -> None:
    rows, of_rows = x.reshape(-1, x.shape[2]), of_x.reshape(-1, x.shape[2])
    n, width = rows.shape
    for i in range(n):
        for c in range(width):
            of_rows[i, c] = (of_rows[i, c] - level[c] - rows[i, c] * slope[c]) * factor[c]
