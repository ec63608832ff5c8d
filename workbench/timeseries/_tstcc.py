"""The torch side of TS-TCC: the encoder, the two views, and the two contrasts."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from workbench.timeseries._attention import attention, dropout, self_attention
from workbench.timeseries._networks import Pretraining, split_padding
from workbench.timeseries._norm_pool import norm_pool

__all__ = [
    "ConvEncoder",
    "calibrate",
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
        self.dropout = dropout

    def latents(self, x: Tensor, views: int = 1) -> tuple[Tensor, Tensor]:
        """Latent vectors, (B, S, n_features) with S about T/8, and how many of them each series has.

        The batch may be of several views, one after the other; each is normalised by itself.
        """
        latent, observed = split_padding(x)
        latent = latent.transpose(1, 2).contiguous()
        batch, steps = x.shape[0], x.shape[2]
        lengths = torch.full((batch,), steps, device=x.device) if observed is None else observed.sum(1)
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            latent = _convolved(cast(nn.Conv1d, convolution), latent)
            lengths = lengths + 2 * (self.kernel_size // 2) - self.kernel_size + 1
            there = None if observed is None else lengths
            latent = _pooled(cast(nn.BatchNorm1d, norm), latent, there, views)
            lengths = lengths // 2 + 1
            latent = dropout(latent, self.dropout, self.training) if i == 0 else latent
            latent = latent if observed is None else _cut(latent, lengths)
        return latent, lengths

    def forward(self, x: Tensor) -> Tensor:
        """Features of every series, (B, n_features): the mean of its latent vectors."""
        latent, lengths = self.latents(x)
        return latent.sum(1) / lengths[:, None]


def _convolved(convolution: nn.Conv1d, x: Tensor) -> Tensor:
    """The convolution of (B, T, C): that of an image with one line, whose channels lie side by side."""
    image, padding = x.transpose(1, 2).unsqueeze(2), (0, int(convolution.padding[0]))
    return F.conv2d(image, convolution.weight.unsqueeze(2), padding=padding).squeeze(2).transpose(1, 2)


def _cut(x: Tensor, lengths: Tensor) -> Tensor:
    """`x`, (B, T, C), with 0 after the end of each series."""
    step = torch.arange(x.shape[1], device=x.device)
    return x.masked_fill((step >= lengths[:, None])[:, :, None], 0)


def _pooled(norm: nn.BatchNorm1d, x: Tensor, lengths: Tensor | None, views: int) -> Tensor:
    """Batch normalisation, ReLU, and maxima of pairs of steps, (B, T, C) to (B, T // 2 + 1, C).

    The first pair is a 0 and the first step. The views of a batch are normalised one after the other.
    """
    trained = norm.training and torch.is_grad_enabled() and not torch.compiler.is_exporting()
    if trained and lengths is None and x.device.type == "cpu" and x.dtype == norm.weight.dtype:
        return _norm_pooled(norm, x, views)
    # len() and chunk() would fix the size of a batch in an exported network.
    normed = torch.cat([norm(view.transpose(1, 2)) for view in x.unflatten(0, (views, -1))])
    if lengths is not None:
        normed = _cut(normed.transpose(1, 2), lengths).transpose(1, 2)
    return F.relu(F.max_pool1d(normed, 2, 2, padding=1)).transpose(1, 2)


def _norm_pooled(norm: nn.BatchNorm1d, x: Tensor, views: int) -> Tensor:
    found, means, variances = norm_pool(x, norm.weight, norm.bias, norm.eps, views)
    running_mean, running_var, seen = norm.buffers()
    n, momentum = x.shape[0] // views * x.shape[1], cast(float, norm.momentum)
    with torch.no_grad():
        seen.add_(views)
        for mean, variance in zip(means, variances * n / (n - 1), strict=True):
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance, momentum)
    return found


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

    def forward(self, past: Tensor, views: int = 1) -> tuple[Tensor, Tensor]:
        """Predictions (B, n_ahead, F) and projections (B, F/4) from latent vectors (B, S, F).

        The batch may be of several views, one after the other; each is normalised by itself.
        """
        tokens = torch.cat([self.token.expand(len(past), -1, -1), self.input(past)], 1)
        *layers, last = self.transformer.layers
        for layer in layers:
            tokens = self._attend(cast(nn.TransformerEncoderLayer, layer), tokens, tokens.shape[1])
        # Of the last layer nothing but the first token is asked for.
        context = self._attend(cast(nn.TransformerEncoderLayer, last), tokens, 1)[:, 0]
        projected = torch.cat([self.projection(one) for one in context.chunk(views)])
        return self.predictors(context).unflatten(1, (self.n_ahead, -1)), projected

    def _attend(self, layer: nn.TransformerEncoderLayer, tokens: Tensor, n: int) -> Tensor:
        """The first `n` tokens after a layer; what the layer itself would give."""
        inner, width, heads = layer.self_attn, tokens.shape[2], layer.self_attn.num_heads
        seen, p = layer.norm1(tokens), layer.dropout.p if self.training else 0.0
        if n == tokens.shape[1]:
            of_all = F.linear(seen, inner.in_proj_weight, inner.in_proj_bias)
            found = self_attention(of_all.unflatten(2, (3, heads, -1)), p)
        else:
            of_q, of_kv = inner.in_proj_weight.split([width, 2 * width])
            bias_q, bias_kv = inner.in_proj_bias.split([width, 2 * width])
            q = F.linear(seen[:, :n], of_q, bias_q).unflatten(2, (heads, -1))
            k, v = F.linear(seen, of_kv, bias_kv).unflatten(2, (2, heads, -1)).unbind(2)
            found = attention(q, k, v, p)
        tokens = tokens[:, :n] + dropout(inner.out_proj(found.flatten(2)), p, self.training)
        wide = F.relu(layer.linear1(layer.norm2(tokens)))
        return tokens + dropout(layer.linear2(dropout(wide, p, self.training)), p, self.training)


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


def _normalized(x: Tensor) -> Tensor:
    """Vectors (…, F) of length 1, in half of the passes that torch's own take with the way back."""
    return x * x.square().sum(-1, keepdim=True).clamp_min(1e-24).rsqrt()


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
        views = torch.cat([weak(batch, noise), strong(batch, noise)])
        latents, counts = encoder.latents(views, views=2)
        shortest = int(counts.min())
        ahead = min(n_ahead, shortest - 1)
        now = int(torch.randint(shortest - ahead, (), generator=order))
        rest = latents.shape[1] - now - 1 - ahead
        past, coming, _ = _normalized(latents).split([now + 1, ahead, rest], 1)
        predicted, projected = context(past, views=2)
        (predicted1, predicted2), (projected1, projected2) = predicted.chunk(2), projected.chunk(2)
        coming1, coming2 = coming.chunk(2)
        temporal = temporal_loss(coming2, predicted1[:, :ahead])
        temporal = temporal + temporal_loss(coming1, predicted2[:, :ahead])
        if nonneg:
            projected1, projected2 = F.relu(projected1), F.relu(projected2)
        contextual = contextual_loss(projected1, projected2, temperature)
        total = temporal_weight * temporal + contextual_weight * contextual
        return total, {"temporal": temporal, "contextual": contextual}

    return Pretraining(model, step)


@torch.no_grad()
def calibrate(encoder: ConvEncoder, x: Tensor, batch_size: int) -> None:
    """Let the encoder normalise by the statistics of series as they are, (n, d, T).

    What it has from its training are the statistics of their views.
    """
    norms, dropout = [cast(nn.BatchNorm1d, norm) for norm in encoder.norms], encoder.dropout
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    encoder.train()
    encoder.dropout = 0.0
    for batch in x.split(batch_size):
        encoder.latents(batch)
    encoder.dropout = dropout
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
