"""Random masks over series: True where a value is hidden."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

__all__ = ["block_mask", "check_ratio", "geometric_mask", "hidden_cells"]


def check_ratio(ratio: float, mean_length: float) -> None:
    """Refuse a share that runs of that length cannot reach: a visible step lies between any two of them.

    Raises
    ------
    ValueError
    """
    most = mean_length / (1 + mean_length)
    if ratio > most:
        raise ValueError(
            f"mask_ratio={ratio} cannot be reached by runs of mask_length={mean_length}: hide at most "
            f"{most:.3g}, or in longer runs."
        )


def geometric_mask(
    shape: tuple[int, ...],
    ratio: float,
    mean_length: float,
    generator: Generator,
    *,
    concurrent: bool = False,
) -> Tensor:
    """Runs of hidden steps whose lengths, and whose distances, are geometrically distributed.

    A chain of two states (Zerveas et al., section 3.2): a hidden run ends with probability
    1/`mean_length` at each step, a visible one begins to be hidden such that `ratio` are hidden on average.

    Parameters
    ----------
    shape : (B, d, T)
    ratio : float
        Share that is hidden, above 0 and at most mean_length / (1 + mean_length).
    mean_length : float
        Of a hidden run, at least 1.
    generator : torch.Generator
        On the device where the mask is wanted.
    concurrent : bool
        Hide all variables of a series together; else each variable apart.

    Returns
    -------
    Tensor of bool, shape (B, d, T)
    """
    batch, channels, steps = shape
    rows, device = batch * (1 if concurrent else channels), generator.device
    begins = torch.rand(rows, 1, generator=generator, device=device) < ratio
    leave_hidden = 1 / mean_length
    leave_visible = min(1.0, ratio / (1 - ratio) / mean_length)
    # Runs alternate; none is shorter than a step, so that many runs always reach the end.
    odd = torch.arange(steps, device=device) % 2 == 1
    draw = torch.rand(rows, steps, generator=generator, device=device, dtype=torch.float64)
    log_draw = draw.clamp_(min=1e-300).log_()
    hidden, visible = (
        torch.ones_like(log_draw) if leave >= 1 else (log_draw / math.log1p(-leave)).ceil_().clamp_(min=1)
        for leave in (leave_hidden, leave_visible)
    )
    ends = torch.where(begins ^ odd, hidden, visible).cumsum(1).clamp_(max=steps).long()
    flips = torch.zeros(rows, steps + 1, dtype=torch.int64, device=device)
    flips.scatter_add_(1, ends, torch.ones_like(ends))
    mask = begins ^ (flips[:, :steps].cumsum(1) % 2 == 1)
    return mask.view(batch, -1, steps).expand(batch, channels, steps)


def block_mask(shape: tuple[int, ...], ratio: float, generator: Generator) -> Tensor:
    """One run of hidden steps in each series, all variables together: an outage.

    Parameters
    ----------
    shape : (B, d, T)
    ratio : float
        Share of the steps, rounded to whole ones and at least one.
    generator : torch.Generator

    Returns
    -------
    Tensor of bool, shape (B, d, T)
    """
    batch, channels, steps = shape
    size = min(steps, max(1, round(ratio * steps)))
    start = torch.randint(steps - size + 1, (batch, 1, 1), generator=generator, device=generator.device)
    step = torch.arange(steps, device=generator.device)
    return ((step >= start) & (step < start + size)).expand(batch, channels, steps)


def hidden_cells(
    shape: tuple[int, int, int], mask: str, ratio: float, mean_length: float, seed: int
) -> NDArray[np.bool_]:
    """A mask, "geometric" or "block", over series of shape (n, T, d), as an array of that shape."""
    generator = torch.Generator().manual_seed(seed)
    turned = (shape[0], shape[2], shape[1])
    if mask == "block":
        found = block_mask(turned, ratio, generator)
    else:
        found = geometric_mask(turned, ratio, mean_length, generator)
    hidden: NDArray[np.bool_] = found.numpy().transpose(0, 2, 1)
    return hidden
