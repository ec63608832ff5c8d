"""The objective of contrastive shapelet learning: multi-grained contrasting and multi-scale alignment.

Embeddings are normalised to length 1 as a whole and then seen as (B, R, K): B series, R scales of K
features. All scales are computed at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = [
    "Losses",
    "RunningGram",
    "alignment",
    "coarse_contrast",
    "csl_loss",
    "decorrelation",
    "fine_contrast",
    "gram",
    "info_nce",
]


class Losses(NamedTuple):
    """The total and its unweighted parts, each a scalar."""

    total: Tensor
    coarse: Tensor
    fine: Tensor
    alignment: Tensor
    decorrelation: Tensor


class RunningGram:
    """Exponentially weighted sums of the scales' Gram matrices, restarted every epoch.

    ``S ← decay · S + C`` and ``c ← decay · c + 1``; gradients flow through the newest term only.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._sum: Tensor | None = None
        self._weight = 0.0

    def update(self, newest: Tensor) -> Tensor:
        """The weighted mean ``S / c`` with `newest` taken in."""
        total = newest if self._sum is None else torch.add(newest, self._sum, alpha=self.decay)
        self._weight = self._weight * self.decay + 1
        self._sum = total.detach()
        return total / self._weight

    def state_dict(self) -> dict[str, Tensor]:
        weight = torch.tensor(self._weight, dtype=torch.float64)
        return {"weight": weight} | ({} if self._sum is None else {"sum": self._sum})

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._weight, self._sum = float(state["weight"]), state.get("sum")


def info_nce(logits: Tensor) -> Tensor:
    """Mean of −log softmax on the diagonal, for (..., B, B) logits of queries against keys."""
    return -torch.log_softmax(logits, dim=-1).diagonal(dim1=-2, dim2=-1).mean(-1)


def coarse_contrast(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Contrast of whole embeddings, shape (B, F) each, of length 1."""
    return info_nce(query @ key.T / temperature)


def fine_contrast(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Contrasts of each scale, shape (R,); the slices, (B, R, K), are normalised again first."""
    query, key = normalize(query, dim=2).transpose(0, 1), normalize(key, dim=2).transpose(0, 1)
    return info_nce(query @ key.mT / temperature)


def alignment(z: Tensor) -> Tensor:
    """Half the sum, over series and features, of R times the variance across the scales of (..., R, K)."""
    squares = z.square().sum()
    return (squares - z.sum(-2).square().sum() / z.shape[-2]) / 2


def gram(z: Tensor) -> Tensor:
    """Uncentred covariances ``zᵀz / (B − 1)`` of each scale: (B, R, K) to (R, K, K)."""
    slices = z.transpose(0, 1)
    return slices.mT @ slices / (len(z) - 1)


def decorrelation(covariances: Tensor) -> Tensor:
    """Sum of the absolute values off the diagonals of (..., K, K)."""
    return covariances.abs().sum() - covariances.diagonal(dim1=-2, dim2=-1).abs().sum()


def csl_loss(
    query: Tensor,
    key: Tensor,
    n_scales: int,
    running: RunningGram,
    *,
    temperature: float = 0.1,
    alignment_weight: float = 0.01,
    decorrelation_weight: float = 1.0,
) -> Losses:
    """The whole objective for two views of a batch.

    Parameters
    ----------
    query, key : Tensor, shape (B, n_scales * K)
        Outputs of the encoder.
    n_scales : int
    running : RunningGram
        Holds both views' Gram matrices between the batches of an epoch; is updated.
    temperature, alignment_weight, decorrelation_weight : float
        τ, λ and λ_S of the paper.

    Returns
    -------
    Losses
        ``alignment`` is a sum over the batch in the paper, whose batches hold 8 series; here it is
        taken per 8 series, so that the weights mean the same for any batch size.
    """
    query, key = normalize(query, dim=1), normalize(key, dim=1)
    views = torch.cat([query, key], 1).unflatten(1, (2 * n_scales, -1))  # (B, 2R, K)
    fine_query, fine_key = views[:, :n_scales], views[:, n_scales:]
    coarse = coarse_contrast(query, key, temperature)
    fine = fine_contrast(fine_query, fine_key, temperature).sum()
    aligned = alignment(views.unflatten(1, (2, n_scales))) * (8 / len(query))
    decorrelated = decorrelation(running.update(gram(views)))
    total = coarse + fine + alignment_weight * (aligned + decorrelation_weight * decorrelated)
    return Losses(total, coarse, fine, aligned, decorrelated)
