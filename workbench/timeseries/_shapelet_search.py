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
LONGEST_DIRECT = 400

#: A window below this share of its series' energy is drowned by the rounding errors of a single-precision
#: transform, which are relative to the whole series.
QUIET = 1e-4

SearchPath = Literal["auto", "direct", "fft"]

_Products = Callable[[Tensor, int], tuple[Tensor, Tensor]]
_Energies = Callable[[int], Tensor]


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
    n_e, n_c, _ = layout.counts
    n_each = n_e + n_c
    products, energies = _by_windows(x, layout.lengths) if path == "direct" else _by_fourier(x)
    found = []
    for s, length in zip(layout.split(flat), layout.lengths, strict=True):
        s = s.transpose(0, 1)  # (D, K, length)
        energy = energies(length)
        norms = torch.linalg.vector_norm(s[:, :n_each], dim=-1, keepdim=True)
        unit = s[:, n_e:n_each] / norms[:, n_e:].clamp_(min=NORM_FLOOR)
        each, scores = products(torch.cat([s[:, :n_e], unit, s[:, n_each:]], dim=1), n_each)
        if n_e:
            squares = each[:, :n_e]
            torch.sub(energy.unsqueeze(1), squares, alpha=2, out=squares)
            squares.add_(norms[:, :n_e].square().unsqueeze(-1)).clamp_(min=0).sqrt_()
            torch.sum(squares, 0, out=scores[:n_e]).neg_()
        if n_c:
            torch.sum(each[:, n_e:].mul_(_inverse_norms(energy)), 0, out=scores[n_e:n_each])
            if path == "fft" and x.dtype == torch.float32:
                _search_quiet(x, unit, energy, scores[n_e:n_each])
        found.append(_argmax(scores))
    return torch.cat(found)


def _by_windows(x: Tensor, lengths: tuple[int, ...]) -> tuple[_Products, _Energies]:
    """Inner products of windows and shapelets as matrix products, and the energies of the windows.

    The first function takes shapelets (D, K, length) and a number; it gives the products of the first so
    many shapelets, (D, number, B, W), and a score sheet (K, B, W) that holds the products of the others,
    summed over channels.
    The second gives the sum of squares of every window, (D, B, W).
    """
    # All windows are laid out once for all scales: with time before series in memory, the windows of each
    # scale are a corner of one matrix, as high as the longest shapelet and as wide as the shortest allows.
    n_series, n_channels, n_steps = x.shape
    widest = n_steps - lengths[0] + 1
    steps = nn.functional.pad(x.permute(1, 2, 0), (0, 0, 0, lengths[-1] - lengths[0])).contiguous()
    matrix = (
        steps.flatten(1)
        .as_strided((n_channels, lengths[-1], widest * n_series), (steps.stride(0), n_series, 1))
        .contiguous()
    )
    running = _running_energy(x.permute(1, 2, 0), 1).transpose(1, 2)

    def products(s: Tensor, n_each: int) -> tuple[Tensor, Tensor]:
        n_shapelets, length = s.shape[1:]
        n_windows = n_steps - length + 1
        each = torch.bmm(s, matrix[:, :length, : n_windows * n_series])
        scores = x.new_empty(n_shapelets, n_windows * n_series)
        torch.sum(each[:, n_each:], 0, out=scores[n_each:])
        shape = (n_windows, n_series)
        return each[:, :n_each].unflatten(2, shape).transpose(2, 3), scores.unflatten(1, shape).transpose(
            1, 2
        )

    return products, lambda length: _differences(running, length, x.dtype)


def _by_fourier(x: Tensor) -> tuple[_Products, _Energies]:
    """The same by the correlation theorem: no window wraps round a transform as long as the series."""
    n_steps = x.shape[-1]
    n = fast_length(n_steps)
    spectrum = torch.fft.rfft(x.transpose(0, 1), n=n).unsqueeze(1)
    running = _running_energy(x.transpose(0, 1), 2)

    def products(s: Tensor, n_each: int) -> tuple[Tensor, Tensor]:
        n_windows = n_steps - s.shape[-1] + 1
        spectra = spectrum * torch.fft.rfft(s, n=n).conj_physical_().unsqueeze(2)
        scores = x.new_empty(s.shape[1], len(x), n_windows)
        each = scores[:0].unsqueeze(0)
        if n_each > 0:  # the library refuses to transform nothing
            each = torch.fft.irfft(spectra[:, :n_each], n=n)[..., :n_windows]
        if n_each < s.shape[1]:
            scores[n_each:] = torch.fft.irfft(spectra[:, n_each:].sum(0), n=n)[..., :n_windows]
        return each, scores

    return products, lambda length: _differences(running, length, x.dtype)


def _search_quiet(x: Tensor, unit: Tensor, energy: Tensor, scores: Tensor) -> None:
    """Write the cosine scores anew, by transforms in double precision, for series that have quiet windows.

    `unit` are the shapelets (D, K, length) over their norms, `energy` is (D, B, W), `scores` (K, B, W).
    """
    least = energy.masked_fill(energy == 0, torch.inf).amin(-1)
    quiet = (least < QUIET * x.square().sum(-1).T).any(0)
    if quiet.any():
        products, energies = _by_fourier(x[quiet].double())
        each, _ = products(unit.double(), unit.shape[1])
        scores[:, quiet] = each.mul_(_inverse_norms(energies(unit.shape[-1]))).sum(0).to(x.dtype)


def _running_energy(steps: Tensor, dim: int) -> Tensor:
    """Running sum of squares from zero on, in double precision: its differences cancel in single."""
    shape = list(steps.shape)
    shape[dim] += 1
    running = steps.new_zeros(shape, dtype=torch.float64)
    torch.cumsum(steps.double().square(), dim, out=running.narrow(dim, 1, steps.shape[dim]))
    return running


def _differences(running: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    return (running[..., length:] - running[..., :-length]).clamp_(min=0).to(dtype)


def _inverse_norms(energy: Tensor) -> Tensor:
    """One over the norms of windows, (D, 1, B, W).

    Zero for a window of zeros: its products are zero too, but for rounding.
    """
    inverse = energy.clamp(min=NORM_FLOOR**2).rsqrt_()
    return inverse.masked_fill_(energy == 0, 0).unsqueeze(1)


def fast_length(n: int) -> int:
    """A length of at least `n` whose Fourier transform is fast: 32, 40, 48, 64, 80, 96, 128, ..."""
    power = max(5, (n - 1).bit_length())
    return min(size for size in (1 << power, 5 << (power - 3), 3 << (power - 2)) if size >= n)


def _argmax(scores: Tensor) -> Tensor:
    # On a CPU numpy's argmax is vectorised and torch's is not: ten times faster.
    if scores.device.type == "cpu":
        return torch.from_numpy(scores.numpy().argmax(-1))
    return scores.argmax(-1)
