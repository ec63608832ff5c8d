"""The torch side of TS2Vec: the encoder, the overlapping crops, and the hierarchical contrast."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from workbench.timeseries._networks import Pretraining, dilated_conv, masked, split_padding, windows
from workbench.training.callbacks import Callback
from workbench.training.loop import Loop

__all__ = ["Crops", "DilatedEncoder", "draw_crops", "hierarchical_loss", "instance_loss", "temporal_loss"]


class DilatedBlock(nn.Module):
    """Two dilated convolutions, each after a GELU, and a way around them."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int, dilation: int, *, last: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_in, n_out, kernel_size, dilation=dilation)
        self.conv2 = nn.Conv1d(n_out, n_out, kernel_size, dilation=dilation)
        self.around = nn.Conv1d(n_in, n_out, 1) if last or n_in != n_out else nn.Identity()

    def forward(self, x: Tensor, observed: Tensor | None) -> Tensor:
        inner = dilated_conv(F.gelu(x), self.conv1, causal=False)
        inner = dilated_conv(masked(F.gelu(inner), observed), self.conv2, causal=False)
        return masked(inner + self.around(x), observed)


class DilatedEncoder(nn.Module):
    """A linear layer per step and `depth` + 1 residual blocks of doubling dilation (Yue et al., section 3).

    Attributes
    ----------
    hides : bool
        In training mode, put 0 for half of the steps' latent vectors: set while contrasting.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_hidden: int = 64,
        depth: int = 10,
        kernel_size: int = 3,
        dropout: float = 0.1,
        nonneg: bool = False,
    ) -> None:
        super().__init__()
        self.n_features, self.nonneg, self.hides = n_features, nonneg, False
        self.input = nn.Linear(n_channels, n_hidden)
        sizes = [*[n_hidden] * (depth + 1), n_features]
        self.blocks = nn.ModuleList(
            DilatedBlock(sizes[i], sizes[i + 1], kernel_size, 2**i, last=i == depth) for i in range(depth + 1)
        )
        self.dropout = nn.Dropout(dropout)

    def steps(self, x: Tensor) -> Tensor:
        """Features of every step, (B, n_features, T); 0 in the padding."""
        values, observed = split_padding(x)
        latent = self.input(values.transpose(1, 2)).transpose(1, 2)
        if self.training and self.hides:
            hidden = torch.rand(len(x), 1, x.shape[2], device=x.device) < 0.5
            latent = latent.masked_fill(hidden, 0)
        latent = masked(latent, observed)
        for block in self.blocks:
            latent = block(latent, observed)
        latent = self.dropout(latent)
        return F.relu(latent) if self.nonneg else latent

    def forward(self, x: Tensor) -> Tensor:
        """Features of every series, (B, n_features): the maximum over its steps."""
        missing = x.isnan().any(1)
        return self.steps(x).masked_fill(missing[:, None], -torch.inf).amax(2)


class Crops(NamedTuple):
    """Two overlapping crops: first steps, (B,), and lengths; the overlap's length."""

    first: Tensor
    first_length: int
    second: Tensor
    second_length: int
    overlap: int


def draw_crops(n: int, length: int, longest: int, order: Generator) -> Crops:
    """Draw two overlapping windows in each of `n` series of `length` steps, none above `longest`.

    The overlap lies at the end of the first and at the beginning of the second (section 3.2). Lengths
    are shared by the batch, places are not.
    """

    def between(low: int, high: int) -> int:
        """A whole number from `low` to under `high`."""
        return int(torch.randint(low, high, (), generator=order))

    whole = min(length, longest)
    overlap = between(min(2, whole), whole + 1)
    left = between(0, whole - overlap + 1)
    right = left + overlap
    outer_left, outer_right = between(0, left + 1), between(right, whole + 1)
    shift = torch.randint(-outer_left, length - outer_right + 1, (n,), generator=order)
    return Crops(shift + outer_left, right - outer_left, shift + left, outer_right - left, overlap)


def instance_loss(z1: Tensor, z2: Tensor, observed: Tensor | None = None) -> Tensor:
    """Contrast of series at the same step (equation 2), the mean over steps and both views.

    Parameters
    ----------
    z1, z2 : Tensor, shape (B, F, T)
    observed : Tensor of bool, shape (B, T), optional
        Steps that count; default: all.
    """
    if len(z1) == 1:
        return z1.new_zeros(())
    # Products of matrices laid out with gaps take half as long again.
    z = torch.cat([z1, z2]).permute(2, 0, 1).contiguous()  # (T, 2B, F)
    there = None if observed is None else torch.cat([observed, observed]).T
    return _contrast(z, (z1 * z2).sum(1).T.repeat(1, 2), there)


def temporal_loss(z1: Tensor, z2: Tensor, observed: Tensor | None = None) -> Tensor:
    """Contrast of steps in the same series (equation 1); arguments as of `instance_loss`."""
    if z1.shape[2] == 1:
        return z1.new_zeros(())
    z = torch.cat([z1, z2], 2).transpose(1, 2)  # (B, 2T, F)
    there = None if observed is None else torch.cat([observed, observed], 1)
    return _contrast(z, (z1 * z2).sum(1).repeat(1, 2), there)


def _contrast(z: Tensor, positive: Tensor, there: Tensor | None) -> Tensor:
    """−log of each row's softmax at its positive, the row itself left out; z (…, m, F), positive (…, m)."""
    similarity = z @ z.transpose(1, 2)
    diagonal = torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    if there is None:
        total = similarity.masked_fill(diagonal, -torch.inf).logsumexp(2)
        return (total - positive).mean()
    # A row always keeps its positive; a row that is not there is computed but not counted.
    absent = ~there[:, None, :] & there[:, :, None]
    total = similarity.masked_fill(diagonal | absent, -torch.inf).logsumexp(2)
    return (total - positive)[there].mean()


def hierarchical_loss(z1: Tensor, z2: Tensor, observed: Tensor | None = None, alpha: float = 0.5) -> Tensor:
    """The mean over levels of alpha · instance + (1 − alpha) · temporal loss (algorithm 1).

    From level to level steps are max-pooled by two, until one is left; on that one series are contrasted
    but steps cannot be.
    """
    if observed is not None and bool(observed.all()):
        observed = None
    total, levels = z1.new_zeros(()), 0
    while True:
        total = total + alpha * instance_loss(z1, z2, observed)
        levels += 1
        if z1.shape[2] == 1:
            return total / levels
        total = total + (1 - alpha) * temporal_loss(z1, z2, observed)
        if observed is not None:
            z1, z2 = (z.masked_fill(~observed[:, None], -torch.inf) for z in (z1, z2))
        z1, z2 = F.max_pool1d(z1, 2), F.max_pool1d(z2, 2)
        if observed is not None:
            observed = F.max_pool1d(observed[:, None].float(), 2)[:, 0] > 0
            z1, z2 = (masked(z, observed) for z in (z1, z2))


class Average(Callback):
    """Keeps the mean of the first weights and of those after every step: what evaluation uses."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.count = module, torch.zeros((), dtype=torch.int64)
        self.means: dict[str, Tensor] = {}

    def on_train_begin(self, loop: Loop) -> None:
        self.count = torch.ones((), dtype=torch.int64)
        self.means = {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def on_batch_end(self, loop: Loop) -> None:
        self.count += 1
        for name, value in self.module.state_dict().items():
            self.means[name] += (value - self.means[name]) / self.count.to(value.device)

    def apply(self) -> None:
        """Give the module the mean weights."""
        self.module.load_state_dict(self.means)

    def state_dict(self) -> dict[str, Tensor]:
        return {"count": self.count, **{f"mean.{name}": value for name, value in self.means.items()}}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.count = state["count"].cpu()
        self.means = {k.removeprefix("mean."): v for k, v in state.items() if k.startswith("mean.")}


def pretraining(encoder: DilatedEncoder, x: Tensor, order: Generator, *, longest: int) -> Pretraining:
    """Training of `encoder` on series (n, d, T) with crops of at most `longest` steps."""
    lengths = (~x.isnan().any(1)).sum(1).cpu()
    average = Average(encoder)
    encoder.hides = True

    def step(indices: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        # Crops are drawn as if all were as long as the longest of the batch; what lies beyond a
        # shorter one's end is left out of the contrast.
        length = int(lengths[indices.cpu()].max())
        crops = draw_crops(len(indices), length, longest, order)
        batch = x[indices]
        first = windows(batch, crops.first, crops.first_length)
        second = windows(batch, crops.second, crops.second_length)
        z1 = encoder.steps(first)[:, :, -crops.overlap :]
        z2 = encoder.steps(second)[:, :, : crops.overlap]
        observed = ~second[:, :, : crops.overlap].isnan().any(1)
        if not bool(observed.any()):
            return (z1 * 0).sum(), {}
        return hierarchical_loss(z1, z2, observed), {}

    def finish() -> None:
        encoder.hides = False
        average.apply()

    return Pretraining(encoder, step, callbacks=(average,), extras={"average": average}, finish=finish)
