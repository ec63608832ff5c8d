"""The search for the window at which a shapelet matches a series best, for many of both at once.

It only has to find *where*: the value is computed anew from the winning window
(:mod:`workbench.timeseries._shapelet_kernels`). So nothing is kept for a backward pass, windows are never
copied out of the series, and constants that do not move the winner are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["NORM_FLOOR", "Layout", "SearchPath", "search"]

#: Norms in the cosine are not let below this (as published).
NORM_FLOOR = 1e-8

#: Series up to this length are searched by matrix products, longer ones by Fourier transforms.
LONGEST_DIRECT = 400

#: So many numbers of windows are laid out at once for the matrix products.
IN_CACHE = 2**20

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


def search(
    x: Tensor,
    flat: Tensor,
    layout: Layout,
    path: SearchPath = "auto",
    ends: tuple[int, ...] | None = None,
) -> Tensor:
    """Position of the best window of every (series, shapelet) pair.

    Parameters
    ----------
    x : Tensor, shape (B, D, T)
    flat : Tensor
        Shapelets, as :class:`Layout` says.
    path : {"auto", "direct", "fft"}
        Inner products by matrix products over the windows, or by the correlation theorem.
    ends : tuple of int, optional
        The batch falls into as many equal parts, of which each is searched up to that step only.

    Returns
    -------
    Tensor of int64, shape (n_features, B)
    """
    if path == "auto":
        path = "direct" if x.shape[-1] <= LONGEST_DIRECT else "fft"
    ends = ends or (x.shape[-1],)
    sheets = (_scores_by_windows if path == "direct" else _scores_by_fourier)(x, flat, layout, ends)
    found = []
    for scores, length in zip(sheets, layout.lengths, strict=True):
        _fill_beyond(scores, ends, x.shape[-1], length, -torch.inf)
        found.append(_argmax(scores))
    return torch.cat(found)


def _fill_beyond(sheet: Tensor, ends: tuple[int, ...], n_steps: int, length: int, value: float) -> None:
    """Write `value` into the windows of (..., B, W) that reach beyond the end of their series."""
    for part, end in zip(sheet.chunk(len(ends), dim=-2), ends, strict=True):
        if end < n_steps:
            part[..., end - length + 1 :] = value


def _scores_by_windows(x: Tensor, flat: Tensor, layout: Layout, ends: tuple[int, ...]) -> Iterator[Tensor]:
    """Scores (K, B, W) scale by scale, the inner products as matrix products.

    Some variables at a time, so that what is worked on stays in the cache of the processor, and in memory
    that is used over and over: new memory for each product costs as much as the product.
    """
    # All windows are laid out once for all scales: with time before series in memory, the windows of each
    # scale are a corner of one matrix, as high as the longest shapelet and as wide as the shortest allows.
    n_series, n_channels, n_steps = x.shape
    per_scale, (n_e, n_c, _), lengths = layout.per_scale, layout.counts, layout.lengths
    n_each, widest, highest = n_e + n_c, n_steps - lengths[0] + 1, lengths[-1]
    together = min(n_channels, max(1, IN_CACHE // (highest * widest * n_series)))
    steps = nn.functional.pad(x.permute(1, 2, 0), (0, 0, 0, highest - lengths[0])).contiguous()
    windows = steps.as_strided((n_channels, highest, widest * n_series), (steps.stride(0), n_series, 1))
    # A first row of ones, against |s|^2 in the shapelets, adds the constant of the squared distance.
    corner = x.new_ones(together, 1 + highest, widest * n_series)
    sheet = x.new_empty(together * per_scale * widest * n_series)
    shapelets = _search_shapelets(flat, layout)
    first, last = _window_bounds(n_steps, lengths, x.device)
    running = _running_energy(x.permute(1, 2, 0), 1)
    sizes = [(n_steps - length + 1) * n_series for length in lengths]
    energy = (running[:, last] - running[:, first]).clamp_(min=0).to(x.dtype).view(n_channels, 1, -1)
    energies = energy.split(sizes, dim=2)
    inverses = _inverse_norms(energy).split(sizes, dim=2)
    scores = [x.new_zeros(per_scale, size) for size in sizes]
    for some in (slice(d, min(d + together, n_channels)) for d in range(0, n_channels, together)):
        n_some = some.stop - some.start
        matrix = corner[:n_some]
        matrix[:, 1:] = windows[some]
        for r, (length, size, total) in enumerate(zip(lengths, sizes, scores, strict=True)):
            products = sheet[: n_some * per_scale * size].view(n_some, per_scale, size)
            torch.bmm(shapelets[some, r, :, : 1 + length], matrix[:, : 1 + length, :size], out=products)
            products[:, :n_e].add_(energies[r][some]).clamp_(min=0).sqrt_().neg_()
            products[:, n_e:n_each].mul_(inverses[r][some])
            for product in products:
                total += product
    for total in scores:
        yield total.view(per_scale, -1, n_series).transpose(1, 2)


def _search_shapelets(flat: Tensor, layout: Layout) -> Tensor:
    """Rows for the matrix products, (channels, scales, K, 1 + longest), zero beyond a shapelet's length.

    Euclidean ones times -2, after their squared norms; cosine ones over their norms.
    """
    n_e, n_c, _ = layout.counts
    rows = flat.new_zeros(layout.n_channels, len(layout.lengths), layout.per_scale, 1 + layout.lengths[-1])
    for r, s in enumerate(layout.split(flat)):
        rows[:, r, :, 1 : 1 + s.shape[-1]] = s.transpose(0, 1)
    euclidean, cosine = rows[:, :, :n_e], rows[:, :, n_e : n_e + n_c]
    euclidean[..., 0] = euclidean.square().sum(-1)
    euclidean[..., 1:] *= -2
    cosine /= torch.linalg.vector_norm(cosine, dim=-1, keepdim=True).clamp_(min=NORM_FLOOR)
    return rows


def _scores_by_fourier(x: Tensor, flat: Tensor, layout: Layout, ends: tuple[int, ...]) -> Iterator[Tensor]:
    """The same by the correlation theorem: no window wraps round a transform as long as the series.

    Variable by variable, so that what is worked on stays in the cache of the processor.
    """
    n_series, n_channels, n_steps = x.shape
    n_e, n_c, n_x = layout.counts
    n_each, n = n_e + n_c, fast_length(n_steps)
    spectrum = torch.fft.rfft(x.transpose(0, 1), n=n)
    running = _running_energy(x.transpose(0, 1), 2)
    for s, length in zip(layout.split(flat), layout.lengths, strict=True):
        n_windows = n_steps - length + 1
        s = s.transpose(0, 1)  # (D, K, length)
        norms = torch.linalg.vector_norm(s[:, :n_each], dim=-1, keepdim=True)
        unit = s[:, n_e:n_each] / norms[:, n_e:].clamp(min=NORM_FLOOR)
        squares = norms[:, :n_e].square().unsqueeze(3)
        shapes = torch.fft.rfft(torch.cat([s[:, :n_e] * -2, unit, s[:, n_each:]], dim=1), n=n)
        shapes = shapes.conj_physical_().unsqueeze(2)
        energy = (running[..., length:] - running[..., :-length]).clamp_(min=0).to(x.dtype)
        _fill_beyond(energy, ends, n_steps, length, torch.inf)
        inverse = _inverse_norms(energy)
        scores = x.new_zeros(layout.per_scale, n_series, n_windows)
        for d in range(n_channels if n_each else 0):  # the library refuses to transform nothing
            each = torch.fft.irfft(shapes[d, :n_each] * spectrum[d], n=n)[..., :n_windows]
            scores[:n_e] -= each[:n_e].add_(energy[d]).add_(squares[d]).clamp_(min=0).sqrt_()
            scores[n_e:n_each].addcmul_(each[n_e:], inverse[d])
        if n_x:
            cross = shapes[0, n_each:] * spectrum[0]
            for d in range(1, n_channels):
                cross.addcmul_(shapes[d, n_each:], spectrum[d])
            scores[n_each:] = torch.fft.irfft(cross, n=n)[..., :n_windows]
        if n_c and x.dtype == torch.float32:
            _search_quiet(x, unit, energy, scores[n_e:n_each])
        yield scores


def _search_quiet(x: Tensor, unit: Tensor, energy: Tensor, scores: Tensor) -> None:
    """Write the cosine scores anew, by transforms in double precision, for series that have quiet windows.

    `unit` are the shapelets (D, K, length) over their norms, `energy` is (D, B, W), `scores` (K, B, W).
    """
    least = energy.masked_fill(energy == 0, torch.inf).amin(-1)
    quiet = (least < QUIET * x.square().sum(-1).T).any(0)
    if quiet.any():
        series, n = x[quiet].double().transpose(0, 1), fast_length(x.shape[-1])
        spectra = torch.fft.rfft(series, n=n).unsqueeze(1)
        spectra = spectra * torch.fft.rfft(unit.double(), n=n).conj_physical_().unsqueeze(2)
        products = torch.fft.irfft(spectra, n=n)[..., : scores.shape[-1]]
        running, length = _running_energy(series, 2), unit.shape[-1]
        exact = (running[..., length:] - running[..., :-length]).clamp_(min=0)
        scores[:, quiet] = products.mul_(_inverse_norms(exact).unsqueeze(1)).sum(0).to(x.dtype)


@lru_cache(maxsize=8)
def _window_bounds(n_steps: int, lengths: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """First step, and step after the last, of every window of every scale."""
    first = [torch.arange(n_steps - length + 1) for length in lengths]
    last = [start + length for start, length in zip(first, lengths, strict=True)]
    return torch.cat(first).to(device), torch.cat(last).to(device)


def _running_energy(steps: Tensor, dim: int) -> Tensor:
    """Running sum of squares from zero on, in double precision: its differences cancel in single."""
    shape = list(steps.shape)
    shape[dim] += 1
    running = steps.new_zeros(shape, dtype=torch.float64)
    torch.cumsum(steps.double().square(), dim, out=running.narrow(dim, 1, steps.shape[dim]))
    return running


def _inverse_norms(energy: Tensor) -> Tensor:
    """One over the norms of windows.

    Zero for a window of zeros: its products are zero too, but for rounding.
    """
    inverse = energy.clamp(min=NORM_FLOOR**2).rsqrt_()
    return inverse.masked_fill_(energy == 0, 0)


def fast_length(n: int) -> int:
    """A length of at least `n` whose Fourier transform is fast: 32, 40, 48, 64, 80, 96, 128, ..."""
    power = max(5, (n - 1).bit_length())
    return min(size for size in (1 << power, 5 << (power - 3), 3 << (power - 2)) if size >= n)


def _argmax(scores: Tensor) -> Tensor:
    # On a CPU numpy's argmax is vectorised along rows that are contiguous and torch's is not: ten times
    # faster; it would copy other rows first. Both give the first of several.
    if scores.device.type == "cpu" and scores.stride(-1) == 1:
        return torch.from_numpy(scores.numpy().argmax(-1))
    return scores.max(-1).indices
