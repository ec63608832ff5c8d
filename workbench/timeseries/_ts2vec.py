"""The torch side of TS2Vec: the encoder, the overlapping crops, and the hierarchical contrast."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from workbench.timeseries._attention import NOTHING, dropout
from workbench.timeseries._networks import (
    Pretraining,
    masked,
    paired_maxima,
    split_padding,
    stepwise_conv,
    windows,
)
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
        """(B, T, n_in) to (B, T, n_out)."""
        inner = stepwise_conv(F.gelu(x), self.conv1)
        inner = stepwise_conv(_there(F.gelu(inner), observed), self.conv2)
        around = x if isinstance(self.around, nn.Identity) else stepwise_conv(x, self.around)
        return _there(inner + around, observed)


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
        self.dropout = dropout

    def steps(self, x: Tensor, asked: slice | None = None) -> Tensor:
        """Features of every step, or of those `asked` for, (B, n_features, T); 0 in the padding."""
        values, observed = split_padding(x)
        latent = self.input(values.transpose(1, 2))  # (B, T, n_hidden), as are all that follow
        if self.training and self.hides:
            hidden = torch.rand(len(x), x.shape[2], 1, device=x.device) < 0.5
            latent = latent.masked_fill(hidden, 0)
        latent = _there(latent, observed)
        for i, block in enumerate(self.blocks):
            if asked is not None and 2**i >= x.shape[2]:  # the dilation
                # From here on no step sees any other.
                latent = latent[:, asked].contiguous()
                observed, asked = None if observed is None else observed[:, asked], None
            latent = block(latent, observed)
        latent = dropout(latent if asked is None else latent[:, asked], self.dropout, self.training)
        return (F.relu(latent) if self.nonneg else latent).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Features of every series, (B, n_features): the maximum over its steps."""
        missing = x.isnan().any(1)
        return self.steps(x).masked_fill(missing[:, None], -torch.inf).amax(2)


def _there(x: Tensor, observed: Tensor | None) -> Tensor:
    """`x`, (B, T, C), with 0 in the padding."""
    return x if observed is None else x.masked_fill(~observed[:, :, None], 0)


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


def instance_loss(
    z1: Tensor, z2: Tensor, observed: Tensor | None = None, positive: Tensor | None = None
) -> Tensor:
    """Contrast of series at the same step (equation 2), the mean over steps and both views.

    Parameters
    ----------
    z1, z2 : Tensor, shape (B, F, T)
    observed : Tensor of bool, shape (B, T), optional
        Steps that count; default: all.
    positive : Tensor, shape (B, T), optional
        Products of the two views' features, where they are known.
    """
    if len(z1) == 1:
        return z1.new_zeros(())
    z = torch.cat([one.permute(2, 0, 1) for one in (z1, z2)], 1)  # (T, 2B, F)
    there = None if observed is None else torch.cat([observed, observed]).T
    return _contrast(z, (_products(z1, z2) if positive is None else positive).T.repeat(1, 2), there)


def temporal_loss(
    z1: Tensor, z2: Tensor, observed: Tensor | None = None, positive: Tensor | None = None
) -> Tensor:
    """Contrast of steps in the same series (equation 1); arguments as of `instance_loss`."""
    if z1.shape[2] == 1:
        return z1.new_zeros(())
    z = torch.cat([one.transpose(1, 2) for one in (z1, z2)], 1)  # (B, 2T, F)
    there = None if observed is None else torch.cat([observed, observed], 1)
    return _contrast(z, (_products(z1, z2) if positive is None else positive).repeat(1, 2), there)


def _products(z1: Tensor, z2: Tensor) -> Tensor:
    return (z1 * z2).sum(1)


def _contrast(z: Tensor, positive: Tensor, there: Tensor | None) -> Tensor:
    """−log of each row's softmax at its positive, the row itself left out; z (n, m, F), positive (n, m)."""
    # A row always keeps its positive; a row that is not there is computed but not counted.
    out = None if there is None else ~there[:, None, :] & there[:, :, None]
    total: Tensor = _LogSumOfSimilar.apply(z, out)
    if there is None:
        return (total - positive).mean()
    return (total - positive)[there].mean()


class _LogSumOfSimilar(torch.autograd.Function):
    """log Σⱼ exp zᵢ·zⱼ over the other rows j that are not `out`, (n, m); z (n, m, F), out (n, m, m).

    Similarities are symmetric, so that one product of matrices gives their gradient where autograd takes two.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, out: Tensor | None) -> Tensor:
        similarity = z @ z.transpose(1, 2)
        # At least single precision, whatever the product's.
        similarity = similarity.to(torch.promote_types(similarity.dtype, torch.float32))
        similarity.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
        if out is not None:
            similarity.masked_fill_(out, -torch.inf)
        total = similarity.logsumexp(2)
        shares = similarity.sub_(total[:, :, None]).exp_()
        ctx.save_for_backward(z, F.threshold(shares, NOTHING, 0.0, inplace=True))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        z, shares = ctx.saved_tensors
        of_similarity = shares * grads[0][:, :, None]
        return (of_similarity + of_similarity.transpose(1, 2)).to(z.dtype) @ z, None


def hierarchical_loss(z1: Tensor, z2: Tensor, observed: Tensor | None = None, alpha: float = 0.5) -> Tensor:
    """The mean over levels of alpha · instance + (1 − alpha) · temporal loss (algorithm 1).

    From level to level steps are max-pooled by two, until one is left; on that one series are contrasted
    but steps cannot be.
    """
    if observed is not None and bool(observed.all()):
        observed = None
    total, levels = z1.new_zeros(()), 0
    while True:
        positive = _products(z1, z2)
        total = total + alpha * instance_loss(z1, z2, observed, positive)
        levels += 1
        if z1.shape[2] == 1:
            return total / levels
        total = total + (1 - alpha) * temporal_loss(z1, z2, observed, positive)
        if observed is not None:
            z1, z2 = (z.masked_fill(~observed[:, None], -torch.inf) for z in (z1, z2))
        z1, z2 = paired_maxima(z1), paired_maxima(z2)
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
        z1 = encoder.steps(first, slice(-crops.overlap, None))
        z2 = encoder.steps(second, slice(crops.overlap))
        observed = ~second[:, :, : crops.overlap].isnan().any(1)
        if not bool(observed.any()):
            return (z1 * 0).sum(), {}
        return hierarchical_loss(z1, z2, observed), {}

    def finish() -> None:
        encoder.hides = False
        average.apply()

    return Pretraining(encoder, step, callbacks=(average,), extras={"average": average}, finish=finish)
