"""Pieces of networks that several encoders are built of.

Encoders take batches (B, d, T) in which NaN marks the padding of shorter series. A series is encoded the
same whatever it is padded to: what is beyond its end is zero before every layer that looks there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from workbench.training.callbacks import Callback
from workbench.training.loop import Stateful, Step

__all__ = [
    "Pretraining",
    "dilated_conv",
    "greater",
    "masked",
    "paired_maxima",
    "split_padding",
    "stepwise_conv",
    "windows",
]


@dataclass
class Pretraining:
    """What a method trains: the encoder with whatever it needs only meanwhile.

    Attributes
    ----------
    model : Module
        Holds the encoder.
    step : callable
        As of `Loop`.
    parameters : iterable, optional
        Groups for the optimizer; default: the model's parameters.
    finish : callable, optional
        Called after the last epoch.
    """

    model: nn.Module
    step: Step
    parameters: Iterable[Any] | None = None
    callbacks: tuple[Callback, ...] = ()
    extras: Mapping[str, Stateful] = field(default_factory=dict)
    finish: Callable[[], None] | None = None


def split_padding(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Values with 0 in the padding, and which steps are there, (B, T); None where all are."""
    if torch.compiler.is_exporting():  # what is exported takes whole series
        return x, None
    observed = ~x.isnan().any(1)
    if bool(observed.all()):
        return x, None
    return x.nan_to_num(), observed


def masked(x: Tensor, observed: Tensor | None) -> Tensor:
    """`x`, (B, C, T), with 0 in the padding."""
    return x if observed is None else x.masked_fill(~observed[:, None], 0)


def dilated_conv(x: Tensor, conv: nn.Conv1d, *, causal: bool) -> Tensor:
    """A dilated convolution that keeps the length, padded with zeros in the past, or on both sides.

    Taps that reach beyond the series for every step see only zeros and are left out: in a deep network
    of doubling dilations on a short series that is most of them.
    """
    weight, dilation = conv.weight, conv.dilation[0]
    reach = (x.shape[2] - 1) // dilation
    size = weight.shape[2]
    if causal:
        taps = min(size - 1, reach)
        if not taps:
            return _pointwise(x, weight[:, :, -1], conv.bias)
        padded = F.pad(x, (taps * dilation, 0)) if taps else x
        return F.conv1d(padded, weight[:, :, size - 1 - taps :], conv.bias, dilation=dilation)
    taps = min(size // 2, reach)
    if not taps:
        return _pointwise(x, weight[:, :, size // 2], conv.bias)
    kept = weight[:, :, size // 2 - taps : size // 2 + taps + 1]
    return F.conv1d(x, kept, conv.bias, padding=taps * dilation, dilation=dilation)


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution of one tap: as a product of matrices it is half as long."""
    found = weight @ x
    return found if bias is None else found + bias[:, None]


def stepwise_conv(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """A dilated convolution that keeps the length, of series with the channels last, (B, T, C).

    Padded with zeros on both sides; what `dilated_conv` says of taps holds. A processor trains it as one
    product of matrices in half the time of its convolutions.
    """
    weight, dilation, steps = conv.weight, conv.dilation[0], x.shape[1]
    middle = weight.shape[2] // 2
    taps = min(middle, (steps - 1) // dilation)
    if not taps:
        return F.linear(x, weight[:, :, middle], conv.bias)
    if x.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_exporting():
        return dilated_conv(x.transpose(1, 2), conv, causal=False).transpose(1, 2)
    kept = weight[:, :, middle - taps : middle + taps + 1].transpose(1, 2).flatten(1)
    return F.linear(_Neighbours.apply(x, taps, dilation), kept, conv.bias)


class _Neighbours(torch.autograd.Function):
    """(B, T, C) to (B, T, (2 · taps + 1) · C): what each tap of a dilated convolution sees."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: int, dilation: int) -> Tensor:
        batch, steps, channels = x.shape
        ctx.offsets = [tap * dilation for tap in range(-taps, taps + 1)]
        seen = x.new_empty(batch, steps, len(ctx.offsets), channels)
        for i, offset in enumerate(ctx.offsets):
            here, there = _overlap(steps, offset)
            seen[:, here, i] = x[:, there]
            seen[:, : here.start, i], seen[:, here.stop :, i] = 0, 0
        return seen.flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        of_seen = grads[0].unflatten(2, (len(ctx.offsets), -1))
        of_x = of_seen[:, :, len(ctx.offsets) // 2].clone(memory_format=torch.contiguous_format)
        for i, offset in enumerate(ctx.offsets):
            if offset:
                here, there = _overlap(of_x.shape[1], offset)
                of_x[:, there] += of_seen[:, here, i]
        return of_x, None, None


def _overlap(steps: int, offset: int) -> tuple[slice, slice]:
    """The steps that have another one `offset` later, and those others."""
    here = slice(max(0, -offset), steps - max(0, offset))
    return here, slice(here.start + offset, here.stop + offset)


def paired_maxima(x: Tensor) -> Tensor:
    """Maxima of pairs of steps, (B, C, T) to (B, C, T // 2); an odd last step is left out.

    torch's own pooling is slow where features, and not steps, lie side by side.
    """
    found: Tensor = _PairedMaxima.apply(x)
    return found


class _PairedMaxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        first, second = _pairs(x)
        ctx.save_for_backward(greater(second, first))
        ctx.shape = x.shape
        return torch.maximum(first, second)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (later,), (grad,) = ctx.saved_tensors, grads
        # Laid out as what it is the gradient of: steps are the last but one in memory.
        of_x = grad.new_empty(ctx.shape[0], ctx.shape[2], ctx.shape[1]).transpose(1, 2)
        of_x[:, :, grad.shape[2] * 2 :] = 0
        of_first, of_second = _pairs(of_x)
        torch.sub(grad, torch.mul(grad, later, out=of_second), out=of_first)
        return of_x


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """The steps of even and of odd number that have each other."""
    even = x.shape[2] // 2 * 2
    return x[:, :, :even:2], x[:, :, 1:even:2]


def greater(x: Tensor, y: Tensor) -> Tensor:
    """1 where `x` is greater than `y`, else 0, as floats: torch multiplies by booleans slowly."""
    return torch.gt(x, y, out=torch.empty_like(x))


def windows(x: Tensor, start: Tensor, length: Tensor | int) -> Tensor:
    """The window of each series (B, d, T) that begins at `start`, (B,), and is `length` steps long.

    With an own length for each, (B,), the shorter ones are padded with NaN. Both stand on the CPU, where
    they are drawn.
    """
    longest = int(length.max()) if isinstance(length, Tensor) else length
    step = torch.arange(longest, device=x.device)
    index = (start.to(x.device)[:, None] + step).clamp_(max=x.shape[2] - 1)
    cut = x.gather(2, index[:, None].expand(-1, x.shape[1], -1))
    if isinstance(length, int) or int(length.min()) == longest:
        return cut
    return cut.masked_fill((step >= length.to(x.device)[:, None])[:, None], torch.nan)
