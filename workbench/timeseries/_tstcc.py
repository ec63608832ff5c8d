"""The torch side of TS-TCC: the encoder, the two views, and the two contrasts."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from workbench.timeseries._networks import Pretraining, masked, split_padding

__all__ = [
    "ConvEncoder",
    "contextual_loss",
    "permute_segments",
    "pretraining",
    "strong",
    "temporal_loss",
    "weak",
]

#: Spread of the weak view's factors about 2, of the strong view's noise, and its most segments.
_SCALING, _JITTER, _SEGMENTS = 1.1, 0.8, 5


class ConvEncoder(nn.Module):
    """Three blocks of convolution, batch normalisation, ReLU and max-pooling (Eldele et al., section 3)."""

    def __init__(
        self, n_channels: int, n_features: int, *, kernel_size: int = 8, dropout: float = 0.35
    ) -> None:
        super().__init__()
        self.n_features, self.kernel_size = n_features, kernel_size
        sizes = [n_channels, 32, 64, n_features]
        pairs = list(pairwise(sizes))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(n_in, n_out, kernel_size, padding=kernel_size // 2, bias=False) for n_in, n_out in pairs
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_out) for _, n_out in pairs)
        self.dropout = nn.Dropout(dropout)

    def latents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latent vectors, (B, n_features, S) with S about T/8, and how many of them each series has."""
        latent, observed = split_padding(x)
        lengths = torch.full((len(x),), x.shape[2], device=x.device) if observed is None else observed.sum(1)
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            latent = convolution(latent)
            lengths = lengths + 2 * (self.kernel_size // 2) - self.kernel_size + 1
            latent = F.relu(norm(latent))
            # After the ReLU 0 is as good as nothing to a maximum.
            latent = F.max_pool1d(_cut(latent, lengths, observed), 2, 2, padding=1)
            lengths = lengths // 2 + 1
            latent = _cut(self.dropout(latent) if i == 0 else latent, lengths, observed)
        return latent, lengths

    def forward(self, x: Tensor) -> Tensor:
        """Features of every series, (B, n_features): the mean of its latent vectors."""
        latent, lengths = self.latents(x)
        return latent.sum(2) / lengths[:, None]


def _cut(x: Tensor, lengths: Tensor, observed: Tensor | None) -> Tensor:
    if observed is None:
        return x
    return masked(x, torch.arange(x.shape[2], device=x.device) < lengths[:, None])


class Context(nn.Module):
    """What the past says: predictions of the coming latent vectors, and a projection of the whole."""

    def __init__(self, width: int, n_ahead: int) -> None:
        super().__init__()
        heads = next(h for h in (4, 2, 1) if width % h == 0)
        layer = nn.TransformerEncoderLayer(
            width, heads, dim_feedforward=64, dropout=0.1, batch_first=True, norm_first=True
        )
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.input = nn.Linear(width, width)
        self.transformer = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.predictors = nn.Linear(width, n_ahead * width)
        half, quarter = max(width // 2, 1), max(width // 4, 1)
        self.projection = nn.Sequential(
            nn.Linear(width, half), nn.BatchNorm1d(half), nn.ReLU(), nn.Linear(half, quarter)
        )
        self.n_ahead = n_ahead

    def forward(self, past: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (B, n_ahead, F) and projections (B, F/4) from latent vectors (B, S, F)."""
        tokens = torch.cat([self.token.expand(len(past), -1, -1), self.input(past)], 1)
        context = self.transformer(tokens)[:, 0]
        return self.predictors(context).unflatten(1, (self.n_ahead, -1)), self.projection(context)


def weak(x: Tensor, generator: Generator) -> Tensor:
    """The weak view: every step times a random factor about 2, the same for all variables."""
    draw = torch.randn(len(x), 1, x.shape[2], generator=generator, device=x.device)
    return x * (2 + _SCALING * draw)


def permute_segments(x: Tensor, most: int, generator: Generator) -> Tensor:
    """Cut each series at random into at most `most` segments and shuffle them; padding stays at the end."""
    batch, steps = len(x), x.shape[2]

    def draw(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, device=x.device)

    cuts = (draw(batch, 1) * most).long()  # 0 … most − 1
    # Cuts at the steps of highest rank: without repetition, and never before the first step.
    lengths = (~x.isnan().any(1)).sum(1, keepdim=True)
    step = torch.arange(steps, device=x.device)
    rank = draw(batch, steps).masked_fill((step == 0) | (step >= lengths), -1.0)
    order = rank.argsort(1, descending=True).argsort(1)
    segment = ((order < cuts) & (rank >= 0)).cumsum(1)
    place = draw(batch, most).gather(1, segment)
    place = place.masked_fill(step >= lengths, 2.0)
    index = place.argsort(dim=1, stable=True)
    return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))


def strong(x: Tensor, generator: Generator) -> Tensor:
    """The strong view: shuffled segments and noise on every value."""
    shuffled = permute_segments(x, _SEGMENTS, generator)
    return shuffled + _JITTER * torch.randn(x.shape, generator=generator, device=x.device)


def temporal_loss(ahead: Tensor, predicted: Tensor) -> Tensor:
    """−log softmax of each coming latent vector's own prediction among those of a batch (equations 1–2).

    Parameters
    ----------
    ahead, predicted : Tensor, shape (B, K, F)
    """
    similarity = torch.einsum("bkf,ckf->kbc", ahead, predicted)
    return -similarity.log_softmax(2).diagonal(dim1=1, dim2=2).mean()


def contextual_loss(p1: Tensor, p2: Tensor, temperature: float) -> Tensor:
    """NT-Xent of projections (B, P): each one's other view among all other projections (equation 3)."""
    p = F.normalize(torch.cat([p1, p2]), dim=1)
    similarity = p @ p.T / temperature
    similarity = similarity.masked_fill(torch.eye(len(p), dtype=torch.bool, device=p.device), -torch.inf)
    other = torch.arange(len(p), device=p.device).roll(len(p1))
    return F.cross_entropy(similarity, other)


def pretraining(
    encoder: ConvEncoder,
    x: Tensor,
    order: Generator,
    noise: Generator,
    *,
    n_ahead: int,
    temperature: float,
    temporal_weight: float,
    contextual_weight: float,
    nonneg: bool,
) -> Pretraining:
    """Training of `encoder` on series (n, d, T)."""
    context = Context(encoder.n_features, n_ahead)
    model = nn.ModuleDict({"encoder": encoder, "context": context})

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        batch = x[indices]
        latents, counts = zip(*(encoder.latents(view(batch, noise)) for view in (weak, strong)), strict=True)
        z1, z2 = (F.normalize(latent, dim=1).transpose(1, 2) for latent in latents)
        shortest = int(counts[0].min())
        ahead = min(n_ahead, shortest - 1)
        now = int(torch.randint(shortest - ahead, (), generator=order))
        predicted1, projected1 = context(z1[:, : now + 1])
        predicted2, projected2 = context(z2[:, : now + 1])
        coming = slice(now + 1, now + 1 + ahead)
        temporal = temporal_loss(z2[:, coming], predicted1[:, :ahead])
        temporal = temporal + temporal_loss(z1[:, coming], predicted2[:, :ahead])
        if nonneg:
            projected1, projected2 = F.relu(projected1), F.relu(projected2)
        contextual = contextual_loss(projected1, projected2, temperature)
        total = temporal_weight * temporal + contextual_weight * contextual
        return total, {"temporal": temporal, "contextual": contextual}

    return Pretraining(model, step)
