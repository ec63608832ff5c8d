"""The torch side of TST: the transformer and the loss on masked values."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from workbench.timeseries._attention import dropout, self_attention
from workbench.timeseries._masks import geometric_mask
from workbench.timeseries._networks import Pretraining, masked, split_padding

__all__ = ["TransformerEncoder", "masked_error", "positions", "pretraining"]


def positions(steps: int, width: int, device: torch.device | None = None) -> Tensor:
    """The fixed code of positions, sines and cosines side by side, (steps, width)."""
    step = torch.arange(steps, device=device)[:, None]
    speed = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(step * speed), torch.cos(step * speed)], 2).flatten(1)[:, :width]


class Layer(nn.Module):
    """Attention and two linear layers, each followed by batch normalisation over series and steps."""

    def __init__(self, width: int, n_heads: int, n_hidden: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, n_hidden), nn.Linear(n_hidden, width)
        self.norm1, self.norm2 = nn.BatchNorm1d(width), nn.BatchNorm1d(width)

    def forward(self, x: Tensor, observed: Tensor | None) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.n_heads, -1))
        found = self_attention(qkv, self.dropout if self.training else 0.0, observed)
        x = x + self._drop(self.out(found.flatten(2)))
        x = _normalised(self.norm1, x, observed)
        x = x + self._drop(self.narrow(self._drop(F.gelu(self.wide(x)))))
        return _normalised(self.norm2, x, observed)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


def _normalised(norm: nn.BatchNorm1d, x: Tensor, observed: Tensor | None) -> Tensor:
    """`x`, (B, T, F), batch-normalised over the steps that are there."""
    if norm.training and x.shape[0] * x.shape[1] == 1:
        return x
    if observed is None:
        return norm(x.flatten(0, 1)).view(x.shape)
    result = torch.zeros_like(x)
    result[observed] = norm(x[observed]).to(x.dtype)
    return result


class TransformerEncoder(nn.Module):
    """A linear layer per step, positions, `n_layers` layers, and a GELU (Zerveas et al., section 3.1)."""

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_heads: int = 8,
        n_layers: int = 3,
        n_hidden: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.input = nn.Linear(n_channels, n_features)
        self.layers = nn.ModuleList(Layer(n_features, n_heads, n_hidden, dropout) for _ in range(n_layers))
        self.dropout = dropout

    def steps(self, x: Tensor) -> Tensor:
        """Features of every step, (B, n_features, T); 0 in the padding."""
        values, observed = split_padding(x)
        latent = self.input(values.transpose(1, 2)) * math.sqrt(self.n_features)
        latent = self._drop(latent + positions(x.shape[2], self.n_features, x.device))
        for layer in self.layers:
            latent = layer(latent, observed)
        return masked(self._drop(F.gelu(latent)).transpose(1, 2), observed)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Features of every series, (B, n_features): the mean over its steps."""
        observed = ~x.isnan().any(1)
        return self.steps(x).sum(2) / observed.sum(1, keepdim=True)


def masked_error(predicted: Tensor, true: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error over the `hidden` values alone (equation 3); 0 where none is."""
    squared = torch.where(hidden, predicted - true, 0.0) ** 2
    return squared.sum() / hidden.sum().clamp(min=1)


def pretraining(
    encoder: TransformerEncoder, x: Tensor, noise: Generator, *, ratio: float, mean_length: float
) -> Pretraining:
    """Training of `encoder` on series (n, d, T)."""
    output = nn.Linear(encoder.n_features, x.shape[1])
    model = nn.ModuleDict({"encoder": encoder, "output": output})

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        batch = x[indices]
        hidden = geometric_mask(tuple(batch.shape), ratio, mean_length, noise) & ~batch.isnan()
        steps = encoder.steps(batch.masked_fill(hidden, 0))
        predicted = output(steps.transpose(1, 2)).transpose(1, 2)
        return masked_error(predicted, batch.nan_to_num(), hidden), {}

    return Pretraining(model, step)
