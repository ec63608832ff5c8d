"""The five encoders' training straight from their formulas, the yardstick of ``benchmarks/encoders.py``.

Each does what its paper describes, in the way that its first code does it, and nothing cleverer: parts of
series are cut out one by one, every negative goes through the network by itself, convolutions are padded by
their whole reach, masks are drawn step by step, the future is scored step by step, and stationarity is tested
anew for every window that is drawn. What those codes do at once, a batch through the network, is done at once
here too. Modules are named as in the workbench, so that weights can be handed over and losses compared.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

#: Trains on the series with these numbers; returns the loss.
Step = Callable[[np.ndarray], float]


def epochs(n: int, batch_size: int, n_epochs: int, step: Step, rng: np.random.Generator) -> list[float]:
    """Train for some epochs; returns the mean loss of each."""
    history = []
    for _ in range(n_epochs):
        order = rng.permutation(n)
        losses = [step(order[at : at + batch_size]) for at in range(0, n, batch_size)]
        history.append(float(np.mean(losses)))
    return history


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# --- T-Loss: the triplet loss over sub-series -------------------------------------------------------------


class CausalBlock(nn.Module):
    def __init__(self, n_in: int, n_out: int, dilation: int) -> None:
        super().__init__()
        self.reach = 2 * dilation
        options = {"dilation": dilation, "padding": self.reach}
        self.conv1 = weight_norm(nn.Conv1d(n_in, n_out, 3, **options))
        self.conv2 = weight_norm(nn.Conv1d(n_out, n_out, 3, **options))
        self.around = nn.Conv1d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = F.leaky_relu(self.conv1(x)[:, :, : -self.reach])
        return F.leaky_relu(self.conv2(inner)[:, :, : -self.reach]) + self.around(x)


class CausalEncoder(nn.Module):
    def __init__(self, n_channels: int, n_features: int = 320, n_hidden: int = 40, depth: int = 10) -> None:
        super().__init__()
        sizes = [n_channels, *[n_hidden] * depth, 4 * n_hidden]
        self.blocks = nn.Sequential(*(CausalBlock(a, b, 2**i) for i, (a, b) in enumerate(pairwise(sizes))))
        self.linear = nn.Linear(4 * n_hidden, n_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.adaptive_max_pool1d(self.blocks(x), 1)[:, :, 0])


def triplet_loss(anchor: Tensor, positive: Tensor, negatives: list[Tensor]) -> Tensor:
    loss = -F.logsigmoid((anchor[:, None] @ positive[:, :, None])[:, 0, 0]).mean()
    for negative in negatives:
        loss = loss - F.logsigmoid(-(anchor[:, None] @ negative[:, :, None])[:, 0, 0]).mean() / len(negatives)
    return loss


def tloss(x: Tensor, rng: np.random.Generator, n_negatives: int = 10, rate: float = 1e-3) -> Step:
    encoder = CausalEncoder(x.shape[1])
    optimizer = torch.optim.Adam(encoder.parameters(), rate)
    n, _, length = x.shape

    def embed(series: np.ndarray, first: np.ndarray, size: int) -> Tensor:
        return encoder(
            torch.cat([x[i : i + 1, :, at : at + size] for i, at in zip(series, first, strict=True)])
        )

    def step(rows: np.ndarray) -> float:
        inner = rng.integers(1, length + 1)
        outer = rng.integers(inner, length + 1)
        first = rng.integers(0, length - outer + 1, size=len(rows))
        within = first + rng.integers(0, outer - inner + 1, size=len(rows))
        others = rng.integers(0, n, size=(n_negatives, len(rows)))
        starts = rng.integers(0, length - inner + 1, size=(n_negatives, len(rows)))
        anchor, positive = embed(rows, first, outer), embed(rows, within, inner)
        negatives = [embed(i, at, inner) for i, at in zip(others, starts, strict=True)]
        return _descend(optimizer, triplet_loss(anchor, positive, negatives))

    return step


# --- TS2Vec: the hierarchical contrast of two crops -------------------------------------------------------


class DilatedBlock(nn.Module):
    def __init__(self, n_in: int, n_out: int, dilation: int, *, last: bool) -> None:
        super().__init__()
        options = {"dilation": dilation, "padding": dilation}
        self.conv1 = nn.Conv1d(n_in, n_out, 3, **options)
        self.conv2 = nn.Conv1d(n_out, n_out, 3, **options)
        self.around = nn.Conv1d(n_in, n_out, 1) if last or n_in != n_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.gelu(self.conv1(F.gelu(x)))) + self.around(x)


class DilatedEncoder(nn.Module):
    def __init__(self, n_channels: int, n_features: int = 320, n_hidden: int = 64, depth: int = 10) -> None:
        super().__init__()
        self.input = nn.Linear(n_channels, n_hidden)
        sizes = [*[n_hidden] * (depth + 1), n_features]
        self.blocks = nn.ModuleList(
            DilatedBlock(a, b, 2**i, last=i == depth) for i, (a, b) in enumerate(pairwise(sizes))
        )
        self.dropout = nn.Dropout(0.1)

    def steps(self, x: Tensor, rng: np.random.Generator | None) -> Tensor:
        """(B, T, d) to (B, T, F), half of the steps hidden by `rng`."""
        latent = self.input(x)
        if rng is not None:
            kept = torch.from_numpy(rng.binomial(1, 0.5, size=latent.shape[:2]).astype(bool))
            latent[~kept] = 0
        latent = latent.transpose(1, 2)
        for block in self.blocks:
            latent = block(latent)
        return self.dropout(latent).transpose(1, 2)


def _without_itself(similarity: Tensor) -> Tensor:
    """Rows of square matrices without their diagonals, (…, m, m − 1)."""
    return torch.tril(similarity, -1)[:, :, :-1] + torch.triu(similarity, 1)[:, :, 1:]


def instance_loss(z1: Tensor, z2: Tensor) -> Tensor:
    B = len(z1)
    if B == 1:
        return z1.new_zeros(())
    z = torch.cat([z1, z2]).transpose(0, 1)
    logits = -F.log_softmax(_without_itself(z @ z.transpose(1, 2)), -1)
    i = torch.arange(B)
    return (logits[:, i, B + i - 1].mean() + logits[:, B + i, i].mean()) / 2


def temporal_loss(z1: Tensor, z2: Tensor) -> Tensor:
    T = z1.shape[1]
    z = torch.cat([z1, z2], 1)
    logits = -F.log_softmax(_without_itself(z @ z.transpose(1, 2)), -1)
    t = torch.arange(T)
    return (logits[:, t, T + t - 1].mean() + logits[:, T + t, t].mean()) / 2


def hierarchical_loss(z1: Tensor, z2: Tensor) -> Tensor:
    total, levels = z1.new_zeros(()), 0
    while z1.shape[1] > 1:
        total = total + (instance_loss(z1, z2) + temporal_loss(z1, z2)) / 2
        levels += 1
        z1, z2 = (F.max_pool1d(z.transpose(1, 2), 2).transpose(1, 2) for z in (z1, z2))
    return (total + instance_loss(z1, z2) / 2) / (levels + 1)


def ts2vec(x: Tensor, rng: np.random.Generator, rate: float = 1e-3) -> Step:
    encoder = DilatedEncoder(x.shape[1])
    mean = torch.optim.swa_utils.AveragedModel(encoder)
    mean.update_parameters(encoder)
    optimizer = torch.optim.AdamW(encoder.parameters(), rate)
    series, length = x.transpose(1, 2), x.shape[2]

    def crop(batch: Tensor, first: np.ndarray, size: int) -> Tensor:
        index = torch.from_numpy(first[:, None] + np.arange(size))
        return batch[torch.arange(len(batch))[:, None], index]

    def step(rows: np.ndarray) -> float:
        overlap = rng.integers(2, length + 1)
        left = rng.integers(0, length - overlap + 1)
        outer_left, outer_right = rng.integers(0, left + 1), rng.integers(left + overlap, length + 1)
        shift = rng.integers(-outer_left, length - outer_right + 1, size=len(rows))
        batch = series[rows]
        z1 = encoder.steps(crop(batch, shift + outer_left, left + overlap - outer_left), rng)[:, -overlap:]
        z2 = encoder.steps(crop(batch, shift + left, outer_right - left), rng)[:, :overlap]
        loss = _descend(optimizer, hierarchical_loss(z1, z2))
        mean.update_parameters(encoder)
        return loss

    return step


# --- TNC: neighbouring windows ----------------------------------------------------------------------------


def neighbourhood_loss(near: Tensor, far: Tensor, w: float) -> Tensor:
    ones, zeros = torch.ones_like(far), torch.zeros_like(far)
    cross = F.binary_cross_entropy_with_logits
    return (cross(near, torch.ones_like(near)) + w * cross(far, ones) + (1 - w) * cross(far, zeros)) / 2


def tnc(
    x: Tensor, rng: np.random.Generator, window: int, depth: int, n_pairs: int = 20, rate: float = 1e-3
) -> Step:
    """`depth` is what the workbench takes for windows of that size."""
    from statsmodels.tsa.stattools import adfuller

    n_features = 320
    encoder = CausalEncoder(x.shape[1], n_features, depth=depth)
    discriminator = nn.Sequential(
        nn.Linear(2 * n_features, 4 * n_features), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4 * n_features, 1)
    )
    weights = [*encoder.parameters(), *discriminator.parameters()]
    optimizer = torch.optim.Adam(weights, rate, weight_decay=1e-5)
    values, length = x.numpy(), x.shape[2]
    last = length - window

    def unit_root(v: np.ndarray, lags: int) -> float:
        return adfuller(v, lags, autolag=None, result_object=True).pvalue if np.ptp(v) else 0.01

    def reach(one: np.ndarray, centre: int) -> int:
        """Steps that the neighbourhood reaches, widened as long as it is stationary."""
        found = window
        for width in (window, 2 * window):
            part = one[:, max(0, centre - width) : centre + width]
            lags = int((part.shape[1] - 1) ** (1 / 3))
            p = [unit_root(v, lags) for v in part]
            if np.mean(p) >= 0.01:
                break
            found += window
        return found

    def step(rows: np.ndarray) -> float:
        anchors, near, far = [], [], []
        for i in rows:
            at = int(rng.integers(0, last + 1))
            wide = reach(values[i], at + window // 2)
            places = np.clip(at + rng.normal(size=n_pairs) * wide, 0, last).round().astype(int)
            away = 5 * wide
            if at > last / 2:
                others = rng.integers(0, max(at - away, 0) + 1, size=n_pairs)
            else:
                others = rng.integers(min(at + away, last), last + 1, size=n_pairs)
            anchors.append(x[i, :, at : at + window])
            near.append(torch.stack([x[i, :, a : a + window] for a in places]))
            far.append(torch.stack([x[i, :, a : a + window] for a in others]))
        z = encoder(torch.stack(anchors)).repeat_interleave(n_pairs, 0)
        pairs = [torch.cat([z, encoder(torch.cat(windows))], 1) for windows in (near, far)]
        return _descend(optimizer, neighbourhood_loss(*(discriminator(p)[:, 0] for p in pairs), 0.05))

    return step


# --- TS-TCC: predicting across two views ------------------------------------------------------------------


class ConvEncoder(nn.Module):
    def __init__(self, n_channels: int, n_features: int = 320) -> None:
        super().__init__()
        pairs = list(pairwise([n_channels, 32, 64, n_features]))
        self.convolutions = nn.ModuleList(nn.Conv1d(a, b, 8, padding=4, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(b) for _, b in pairs)
        self.dropout = nn.Dropout(0.35)

    def forward(self, x: Tensor) -> Tensor:
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = F.max_pool1d(F.relu(norm(convolution(x))), 2, 2, padding=1)
            x = self.dropout(x) if i == 0 else x
        return x


class Context(nn.Module):
    def __init__(self, width: int, n_ahead: int) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 64, 0.1, batch_first=True, norm_first=True)
        self.token, self.input = nn.Parameter(torch.randn(1, 1, width)), nn.Linear(width, width)
        self.transformer = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.predictors = nn.ModuleList(nn.Linear(width, width) for _ in range(n_ahead))
        self.projection = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.BatchNorm1d(width // 2),
            nn.ReLU(),
            nn.Linear(width // 2, width // 4),
        )


def cross_prediction(context: Context, mine: Tensor, other: Tensor, now: int) -> tuple[Tensor, Tensor]:
    """The loss of foretelling `other`'s coming latent vectors, (B, S, F), from `mine`; the projection."""
    tokens = torch.cat([context.token.repeat(len(mine), 1, 1), context.input(mine[:, : now + 1])], 1)
    seen = context.transformer(tokens)[:, 0]
    loss = mine.new_zeros(())
    ahead = min(len(context.predictors), mine.shape[1] - now - 1)
    for k in range(ahead):
        total = other[:, now + 1 + k] @ context.predictors[k](seen).T
        loss = loss - torch.diag(F.log_softmax(total, 1)).mean()
    return loss / ahead, context.projection(seen)


def contextual_loss(p1: Tensor, p2: Tensor, temperature: float = 0.2) -> Tensor:
    B, both = len(p1), torch.cat([p1, p2])
    similarity = F.cosine_similarity(both[:, None], both[None], dim=2)
    positives = torch.cat([torch.diag(similarity, B), torch.diag(similarity, -B)])[:, None]
    others = ~(torch.eye(2 * B) + torch.eye(2 * B).roll(B, 0)).bool()
    logits = torch.cat([positives, similarity[others].view(2 * B, -1)], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(2 * B, dtype=torch.long))


def tstcc(x: Tensor, rng: np.random.Generator, n_ahead: int = 10, rate: float = 3e-4) -> Step:
    encoder = ConvEncoder(x.shape[1])
    context = Context(320, n_ahead)
    options = {"lr": rate, "betas": (0.9, 0.99), "weight_decay": 3e-4}
    optimizers = [torch.optim.Adam(one.parameters(), **options) for one in (encoder, context)]
    # Views are drawn once, before the training.
    values = x.numpy()
    weak = values * rng.normal(2, 1.1, size=(len(x), 1, x.shape[2]))
    strong = np.empty_like(values)
    for i, one in enumerate(values):
        cuts = np.sort(rng.choice(x.shape[2] - 1, rng.integers(0, 5), replace=False)) + 1
        pieces = np.split(np.arange(x.shape[2]), cuts)
        strong[i] = one[:, np.concatenate([pieces[j] for j in rng.permutation(len(pieces))])]
    strong += rng.normal(0, 0.8, size=strong.shape)
    views = [torch.from_numpy(view.astype(np.float32)) for view in (weak, strong)]

    def step(rows: np.ndarray) -> float:
        z1, z2 = (F.normalize(encoder(view[rows]), dim=1).transpose(1, 2) for view in views)
        now = int(rng.integers(0, max(z1.shape[1] - n_ahead, 1)))
        first, projected1 = cross_prediction(context, z1, z2, now)
        second, projected2 = cross_prediction(context, z2, z1, now)
        loss = first + second + 0.7 * contextual_loss(projected1, projected2)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    return step


# --- TST: the reconstruction of masked values -------------------------------------------------------------


def mask(length: int, ratio: float, mean_length: float, rng: np.random.Generator) -> np.ndarray:
    """A chain of two states, drawn step by step: True where a value is hidden."""
    leave = {True: 1 / mean_length, False: 1 / mean_length * ratio / (1 - ratio)}
    hidden, state = np.empty(length, dtype=bool), rng.random() < ratio
    for t in range(length):
        hidden[t] = state
        if rng.random() < leave[bool(state)]:
            state = not state
    return hidden


class Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 8, dropout=0.1)
        self.wide, self.narrow = nn.Linear(width, 256), nn.Linear(256, width)
        self.norm1, self.norm2 = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """(T, B, F)"""
        x = x + self.drop(self.attention(x, x, x, key_padding_mask=padding)[0])
        x = self.norm1(x.permute(1, 2, 0)).permute(2, 0, 1)
        x = x + self.drop(self.narrow(self.drop(F.gelu(self.wide(x)))))
        return self.norm2(x.permute(1, 2, 0)).permute(2, 0, 1)


class Transformer(nn.Module):
    def __init__(self, n_channels: int, length: int, width: int = 320) -> None:
        super().__init__()
        self.width, self.input, self.output = (
            width,
            nn.Linear(n_channels, width),
            nn.Linear(width, n_channels),
        )
        self.layers = nn.ModuleList(Layer(width) for _ in range(3))
        self.drop = nn.Dropout(0.1)
        t, speed = torch.arange(length)[:, None], torch.exp(-np.log(1e4) * torch.arange(0, width, 2) / width)
        self.code = torch.zeros(length, 1, width)
        self.code[:, 0, 0::2], self.code[:, 0, 1::2] = torch.sin(t * speed), torch.cos(t * speed)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """(B, T, d), reconstructed."""
        latent = self.drop(self.input(x.transpose(0, 1)) * self.width**0.5 + self.code)
        for layer in self.layers:
            latent = layer(latent, padding)
        return self.output(self.drop(F.gelu(latent).transpose(0, 1) * ~padding[:, :, None]))


def tst(x: Tensor, rng: np.random.Generator, rate: float = 1e-3) -> Step:
    model = Transformer(x.shape[1], x.shape[2])
    optimizer = torch.optim.Adam(model.parameters(), rate)
    series = x.transpose(1, 2)

    def step(rows: np.ndarray) -> float:
        drawn = [[mask(x.shape[2], 0.15, 3, rng) for _ in range(x.shape[1])] for _ in rows]
        hidden = torch.from_numpy(np.array(drawn).transpose(0, 2, 1))
        true = series[rows]
        found = model(true * ~hidden, torch.zeros(hidden.shape[:2], dtype=torch.bool))
        error = F.mse_loss(
            torch.masked_select(found, hidden), torch.masked_select(true, hidden), reduction="none"
        )
        return _descend(optimizer, error.sum() / len(error))

    return step
