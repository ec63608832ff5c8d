"""The search for the window at which a shapelet matches a series best, for many of both at once.

It only has to find *where*: the value is computed anew from the winning window
(:mod:`workbench.timeseries._shapelet_kernels`). So nothing is kept for a backward pass, windows are never
copied out of the series, and constants that do not move the winner are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["NORM_FLOOR", "Layout", "SearchPath", "search"]

#: Norms in the cosine are not let below this (as published).
NORM_FLOOR = 1e-8

#: Series up to this length are searched by matrix products, longer ones by Fourier transforms.
LONGEST_DIRECT = 40

#: A window below this share of its series' energy is drowned by the rounding errors of a single-precision
#: transform, which are relative to the whole series.
QUIET = 1e-4

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

    def split(self, flat: Tensor) -> list[Tensor]:
        """Views of shape (shapelets, channels, length), one a scale."""
        sizes = [self.per_scale * self.n_channels * length for length in self.lengths]
        return [
            part.view(self.per_scale, self.n_channels, length)
            for part, length in zip(flat.split(sizes), self.lengths, strict=True)
        ]


def search(x: Tensor, flat: Tensor, layout: Layout, path: SearchPath = "auto") -> Tensor:
    """Position of the best window of every (series, shapelet) pair.

    Parameters
    ----------
    x : Tensor, shape (B, D, T)
    flat : Tensor
        Shapelets, as :class:`Layout` says.
    path : {"auto", "direct", "fft"}
        Inner products by matrix products over the windows, or by the correlation theorem.

    Returns
    -------
    Tensor of int64, shape (n_features, B)
    """
    if path == "auto":
        path = "direct" if x.shape[-1] <= LONGEST_DIRECT else "fft"
    n_e, n_c, n_x = layout.counts
    by_channel = x.transpose(0, 1).contiguous()
    products = _window_products(by_channel) if path == "direct" else _fourier_products(by_channel)
    # A running sum in double precision: in single precision the differences cancel.
    running = nn.functional.pad(by_channel.double().square().cumsum(-1), (1, 0))
    found = []
    for s, length in zip(layout.split(flat), layout.lengths, strict=True):
        s = s.transpose(0, 1)
        energy = (running[..., length:] - running[..., :-length]).unsqueeze(1).clamp_(min=NORM_FLOOR**2)
        norms = s.norm(dim=-1, keepdim=True)
        unit = s[:, n_e : n_e + n_c] / norms[:, n_e : n_e + n_c].clamp(min=NORM_FLOOR)
        each, scores = products(torch.cat([s[:, :n_e], unit, s[:, n_e + n_c :]], dim=1), n_e + n_c)
        energy32 = energy.to(x.dtype)
        if n_e:
            squares = each[:, :n_e]
            torch.sub(energy32, squares, alpha=2, out=squares)
            squares.add_(norms[:, :n_e].square().unsqueeze(-1)).clamp_(min=0).sqrt_()
            torch.sum(squares, 0, out=scores[:n_e]).neg_()
        if n_c:
            torch.sum(each[:, n_e:].mul_(energy32.rsqrt()), 0, out=scores[n_e : n_e + n_c])
            if path == "fft" and x.dtype == torch.float32:
                quiet = (energy.amin(-1).squeeze(1) < QUIET * running[..., -1]).any(0)
                if quiet.any():
                    again = _fourier_products(by_channel[:, quiet].double())
                    each, _ = again(unit.double(), n_c)
                    scores[n_e : n_e + n_c, quiet] = (
                        each.mul_(energy[:, :, quiet].rsqrt_()).sum(0).to(x.dtype)
                    )
        found.append(_argmax(scores))
    return torch.cat(found)


def fast_length(n: int) -> int:
    """A length of at least `n` whose Fourier transform is fast: 32, 40, 48, 64, 80, 96, 128, ..."""
    power = max(5, (n - 1).bit_length())
    return min(size for size in (1 << power, 5 << (power - 3), 3 << (power - 2)) if size >= n)


def _window_products(x: Tensor) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    """Inner products of windows and shapelets as matrix products.

    The function takes shapelets (D, K, length) and a number; it gives the products of the first so many shapelets,
    (D, number, B, W), and a score sheet (K, B, W) that holds the other products, summed over channels.
    """

    def products(s: Tensor, n_each: int) -> tuple[Tensor, Tensor]:
        windows = x.unfold(-1, s.shape[-1], 1)
        each = (s @ windows.flatten(1, 2).transpose(1, 2)).unflatten(2, windows.shape[1:3])
        scores = torch.empty_like(each[0])
        torch.sum(each[:, n_each:], 0, out=scores[n_each:])
        return each[:, :n_each], scores

    return products


def _fourier_products(x: Tensor) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    """The same by the correlation theorem: no window wraps round a transform as long as the series."""
    n = fast_length(x.shape[-1])
    spectrum = torch.fft.rfft(x, n=n).unsqueeze(1)

    def products(s: Tensor, n_each: int) -> tuple[Tensor, Tensor]:
        n_windows = x.shape[-1] - s.shape[-1] + 1
        spectra = spectrum * torch.fft.rfft(s, n=n).conj_physical_().unsqueeze(2)
        scores = x.new_empty(s.shape[1], x.shape[1], n_windows)
        each = scores[:0].unsqueeze(0)
        if n_each > 0:  # the library refuses to transform nothing
            each = torch.fft.irfft(spectra[:, :n_each], n=n)[..., :n_windows]
        if n_each < s.shape[1]:
            scores[n_each:] = torch.fft.irfft(spectra[:, n_each:].sum(0), n=n)[..., :n_windows]
        return each, scores

    return products


def _argmax(scores: Tensor) -> Tensor:
    # On a CPU numpy's argmax is vectorised and torch's is not: ten times faster.
    if scores.device.type == "cpu":
        return torch.from_numpy(scores.numpy().argmax(-1))
    return scores.argmax(-1)
