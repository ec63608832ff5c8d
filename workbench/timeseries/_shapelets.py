"""The encoder of CSL: a bank of multivariate shapelets of several lengths under three measures.

Z. Liang, J. Zhang, C. Liang, H. Wang, Z. Liang and L. Pan, "A Shapelet-based Framework for Unsupervised
Multivariate Time Series Representation Learning", PVLDB 17(3), 2023, doi 10.14778/3632093.3632103.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from workbench.timeseries._shapelet_kernels import HardPool
from workbench.timeseries._shapelet_search import Layout, SearchPath, search
from workbench.training.distributed import gather

__all__ = ["MEASURES", "Measure", "ShapeletEncoder", "scale_lengths"]

Measure = Literal["mixed", "euclidean", "cosine", "cross-correlation"]

#: Views of up to so many numbers are matched in one pass; it saves calls, and memory does not matter yet.
LARGEST_TOGETHER = 1 << 16

#: The single measures, in the order in which a scale holds them.
MEASURES = ("euclidean", "cosine", "cross-correlation")


def scale_lengths(n_timestamps: int, n_scales: int = 8) -> tuple[int, ...]:
    """Shapelet lengths: equally spaced from a tenth of the series (3 to 128 steps) to four fifths of it.

    Parameters
    ----------
    n_timestamps : int
        Length of the training series.
    n_scales : int
        Lengths asked for.

    Returns
    -------
    tuple of int
        The distinct lengths, ascending; fewer than `n_scales` where the series are short.
    """
    if n_timestamps < 1 or n_scales < 1:
        raise ValueError(
            f"{n_scales} scales of series with {n_timestamps} time stamps: both must be positive."
        )
    longest = max(1, n_timestamps * 4 // 5)
    shortest = min(128, max(3, n_timestamps // 10), longest)
    if n_scales == 1:
        return (shortest,)
    step = (longest - shortest) / (n_scales - 1)
    return tuple(sorted({int(shortest + step * i) for i in range(n_scales - 1)} | {longest}))


class ShapeletEncoder(nn.Module):
    """Map series to their distances (or similarities) to shapelets, batch-normalised.

    Parameters
    ----------
    n_channels : int
    lengths : sequence of int
        One length a scale, ascending; see :func:`scale_lengths`.
    n_shapelets : int
        Shapelets a scale. Under ``"mixed"`` a third is Euclidean, a third cosine, the rest cross-correlation.
    measure : {"mixed", "euclidean", "cosine", "cross-correlation"}
    nonneg : bool
        Cut encodings off below 0.
    generator : torch.Generator
        Draws the initial shapelets.

    Attributes
    ----------
    shapelets : Parameter, shape (sum over scales of n_shapelets * n_channels * length,)
        All shapelets in one vector, as :class:`Layout` says, so that an optimiser has one tensor to step.
    bias : Parameter, shape (cross-correlation shapelets,)
    norm : BatchNorm1d
        The paper's three batch normalisations, one a measure, in one: it works feature by feature.
    search_path : {"auto", "direct", "fft"}
        How the best windows are found; every path finds the same.

    Notes
    -----
    Matching runs in the precision of the parameters also under autocast: the position of a best window
    cannot be found in 16 bits.
    """

    def __init__(
        self,
        n_channels: int,
        lengths: Sequence[int],
        n_shapelets: int = 40,
        measure: Measure = "mixed",
        *,
        nonneg: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if measure == "mixed":
            if n_shapelets < 3:
                raise ValueError(f"Three measures need at least 3 shapelets a scale, not {n_shapelets}.")
            counts = (n_shapelets // 3, n_shapelets // 3, n_shapelets - 2 * (n_shapelets // 3))
        else:
            counts = tuple(n_shapelets if measure == name else 0 for name in MEASURES)  # type: ignore[assignment]
        self.layout = Layout(n_channels, tuple(int(length) for length in lengths), counts)
        self.nonneg = nonneg
        self.search_path: SearchPath = "auto"
        normal = sum(counts[:2])
        shapelets, biases = [], []
        for length in self.layout.lengths:
            bound = (n_channels * length) ** -0.5
            shapelets.append(torch.randn(normal * n_channels * length, generator=generator))
            shapelets.append(_uniform(counts[2] * n_channels * length, bound, generator))
            biases.append(_uniform(counts[2], bound, generator))
        self.shapelets = nn.Parameter(torch.cat(shapelets))
        self.bias = nn.Parameter(torch.cat(biases))
        self.norm = nn.BatchNorm1d(self.n_features)

    @property
    def n_features(self) -> int:
        """Length of an encoding: scales times shapelets a scale."""
        return self.layout.n_features

    def feature_table(self) -> list[tuple[int, str, int]]:
        """Scale index, measure and length of every feature, in the order of the encoding."""
        return [
            (r, measure, length)
            for r, length in enumerate(self.layout.lengths)
            for measure, count in zip(MEASURES, self.layout.counts, strict=True)
            for _ in range(count)
        ]

    def shapelet(self, feature: int) -> Tensor:
        """The shapelet behind a feature, shape (n_channels, length)."""
        scale, member = divmod(feature, self.layout.per_scale)
        return self.layout.split(self.shapelets)[scale][member]

    def match(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where each shapelet matches best, and how well.

        Parameters
        ----------
        x : Tensor, shape (B, D, T)

        Returns
        -------
        positions : Tensor of int64, shape (B, n_features)
            First step of the best window.
        values : Tensor, shape (B, n_features)
            What :meth:`distances` gives.
        """
        self._check(x)
        positions, values = self._match(x.detach(), None)
        return positions.T, values

    def _match(self, x: Tensor, ends: tuple[int, ...] | None) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):
            with torch.no_grad():
                positions = search(x, self.shapelets.detach(), self.layout, self.search_path, ends)
            return positions, HardPool.apply(x, self.shapelets, self.bias, positions, self.layout)

    def distances(self, x: Tensor) -> Tensor:
        """Best distance, cosine or cross-correlation of each shapelet over all windows, (B, n_features)."""
        return self.match(x)[1]

    def forward(self, x: Tensor) -> Tensor:
        """Encoding of shape (B, n_features): :meth:`distances`, batch-normalised."""
        return self._normalised(self.distances(x))

    def _normalised(self, values: Tensor) -> Tensor:
        encoding = self.norm(values)
        return torch.relu(encoding) if self.nonneg else encoding

    def forward_views(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Encodings of two views of one batch, each normalised by its own statistics (query first).

        Where processes share the batch, each matches its share, and all get the encodings of the whole.
        """
        if max(query.numel(), key.numel()) > LARGEST_TOGETHER:
            q, k = self.distances(query), self.distances(key)
            return self._normalised(gather(q)), self._normalised(gather(k))
        # The shorter view (cropped) is padded, and searched up to its own end only.
        self._check(query)
        self._check(key)
        ends = query.shape[2], key.shape[2]
        x = query.new_zeros(2, *query.shape[:2], max(ends))
        x[0, ..., : ends[0]], x[1, ..., : ends[1]] = query, key
        q, k = self._match(x.flatten(0, 1), ends)[1].chunk(2)
        return self._normalised(gather(q)), self._normalised(gather(k))

    def _check(self, x: Tensor) -> None:
        layout = self.layout
        if x.ndim != 3 or x.shape[1] != layout.n_channels:
            raise ValueError(
                f"The series have shape {tuple(x.shape)}; "
                f"expected (series, {layout.n_channels} channels, time stamps)."
            )
        if x.shape[2] < layout.lengths[-1]:
            raise ValueError(
                f"The series have {x.shape[2]} time stamps, "
                f"fewer than the longest shapelet ({layout.lengths[-1]})."
            )


def _uniform(size: int, bound: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(size, generator=generator) * 2 - 1) * bound
