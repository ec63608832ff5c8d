"""CSL's training step written straight from the formulas, the yardstick of ``benchmarks/csl.py``.

It does what the published description does and nothing cleverer: every window of every scale is
materialised (once for the Euclidean and once for the cosine measure), distances are taken without matrix
products, each scale and measure is a module of its own, the loss loops over scales in Python, anomaly
detection is on, and the augmentations run in numpy on the host, with a copy there and back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from torch import Tensor, nn
from torch.nn import functional as F

Series = NDArray[np.float32]


def prepare(X: NDArray[np.float64]) -> Series:
    """(n, T, d), NaN-padded, to the (n, d, T) that the encoder takes: NaN becomes 0, then z-normalisation."""
    X = np.nan_to_num(X, nan=0.0).transpose(0, 2, 1)
    return ((X - X.mean(2, keepdims=True)) / (X.std(2, keepdims=True) + 1e-7)).astype(np.float32)


# --- augmentations: (B, T, D) in, (B, T', D) out ----------------------------------------------------------


def add_noise(x: Series, rng: np.random.Generator) -> Series:
    spread = x.max(axis=1, keepdims=True) - x.min(axis=1, keepdims=True)
    return x + 0.1 * spread * rng.normal(size=x.shape)


def crop(x: Series, rng: np.random.Generator) -> Series:
    n, n_steps, n_channels = x.shape
    size = int(0.9 * n_steps)
    out = np.empty((n, size, n_channels), dtype=x.dtype)
    for i, start in enumerate(rng.integers(0, n_steps - size + 1, size=n)):
        out[i] = x[i, start : start + size]
    return out


def pool(x: Series, rng: np.random.Generator) -> Series:
    out = np.empty_like(x)
    for start in range(0, x.shape[1], 2):
        out[:, start : start + 2] = x[:, start : start + 2].mean(axis=1, keepdims=True)
    return out


def quantize(x: Series, rng: np.random.Generator) -> Series:
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    width = np.where(high > low, high - low, 1)
    level = np.clip(np.floor((x - low) / width * 10), 0, 9)
    return low + (level + 0.5) / 10 * (high - low)


def time_warp(x: Series, rng: np.random.Generator) -> Series:
    n, n_steps, n_channels = x.shape
    time = np.arange(n_steps)
    anchors = np.linspace(0, n_steps - 1, 5)
    out = np.empty_like(x)
    for i in range(n):
        speed = rng.uniform(1, 3, size=4)
        progress = np.concatenate([[0], np.cumsum(speed)])
        warped = PchipInterpolator(anchors, progress / progress[-1] * (n_steps - 1))(time)
        for d in range(n_channels):
            out[i, :, d] = np.interp(warped, time, x[i, :, d])
    return out


OPERATORS: tuple[Callable[[Series, np.random.Generator], Series], ...] = (
    add_noise,
    crop,
    pool,
    quantize,
    time_warp,
)


# --- encoder ----------------------------------------------------------------------------------------------


class EuclideanBlock(nn.Module):
    def __init__(self, n_channels: int, length: int, n_shapelets: int) -> None:
        super().__init__()
        self.length = length
        self.shapelets = nn.Parameter(torch.randn(n_channels, n_shapelets, length))

    def forward(self, x: Tensor) -> Tensor:
        windows = x.unfold(2, self.length, 1).contiguous()
        distance = torch.cdist(windows, self.shapelets, compute_mode="donot_use_mm_for_euclid_dist")
        return distance.sum(dim=1).min(dim=1).values


class CosineBlock(nn.Module):
    def __init__(self, n_channels: int, length: int, n_shapelets: int) -> None:
        super().__init__()
        self.length = length
        self.shapelets = nn.Parameter(torch.randn(n_channels, n_shapelets, length))

    def forward(self, x: Tensor) -> Tensor:
        windows = x.unfold(2, self.length, 1).contiguous()
        windows = windows / windows.norm(p=2, dim=3, keepdim=True).clamp(min=1e-8)
        shapelets = self.shapelets / self.shapelets.norm(p=2, dim=2, keepdim=True).clamp(min=1e-8)
        similarity = torch.matmul(windows, shapelets.transpose(1, 2)).sum(dim=1) / x.shape[1]
        return F.relu(similarity).max(dim=1).values


class CrossCorrelationBlock(nn.Module):
    def __init__(self, n_channels: int, length: int, n_shapelets: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_channels, n_shapelets, kernel_size=length)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).max(dim=2).values


class Encoder(nn.Module):
    def __init__(self, n_channels: int, lengths: tuple[int, ...], n_shapelets: int = 40) -> None:
        super().__init__()
        third = n_shapelets // 3
        self.euclidean = nn.ModuleList([EuclideanBlock(n_channels, length, third) for length in lengths])
        self.cosine = nn.ModuleList([CosineBlock(n_channels, length, third) for length in lengths])
        self.cross = nn.ModuleList(
            [CrossCorrelationBlock(n_channels, length, n_shapelets - 2 * third) for length in lengths]
        )
        self.norms = nn.ModuleList(
            [nn.BatchNorm1d(count * len(lengths)) for count in (third, third, n_shapelets - 2 * third)]
        )

    def forward(self, x: Tensor) -> Tensor:
        n_scales = len(self.euclidean)
        parts = []
        for blocks, norm in zip((self.euclidean, self.cosine, self.cross), self.norms, strict=True):
            values = norm(torch.cat([block(x) for block in blocks], dim=1))
            parts.append(values.view(len(x), n_scales, -1))
        return torch.cat(parts, dim=2).flatten(1)


# --- objective --------------------------------------------------------------------------------------------


def contrast(q: Tensor, k: Tensor, temperature: float = 0.1) -> Tensor:
    logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(q), device=q.device))


class Objective:
    """Multi-grained contrast and multi-scale alignment; its running sums start anew with every epoch."""

    def __init__(self, n_scales: int, weight: float = 0.01, alpha: float = 0.5) -> None:
        self.n_scales, self.weight, self.alpha = n_scales, weight, alpha
        self.sums: list[list[Tensor | float]] = [[0.0] * n_scales, [0.0] * n_scales]
        self.counts = [0.0, 0.0]

    def __call__(self, zq: Tensor, zk: Tensor) -> Tensor:
        n_features = zq.shape[1] // self.n_scales
        zq, zk = F.normalize(zq, dim=1), F.normalize(zk, dim=1)
        loss = contrast(zq, zk)
        for r in range(self.n_scales):
            piece = slice(r * n_features, (r + 1) * n_features)
            loss = loss + contrast(zq[:, piece], zk[:, piece])
        alignment = torch.zeros((), device=zq.device)
        decorrelation = torch.zeros((), device=zq.device)
        for view, z in enumerate((zq, zk)):
            slices = [z[:, r * n_features : (r + 1) * n_features] for r in range(self.n_scales)]
            squares = sum(part**2 for part in slices)
            alignment = alignment + 0.5 * (squares - sum(slices) ** 2 / self.n_scales).sum()
            self.counts[view] = self.alpha * self.counts[view] + 1
            for r, part in enumerate(slices):
                gram = part.T @ part / (len(part) - 1)
                total = self.alpha * self.sums[view][r] + gram
                self.sums[view][r] = total.detach()
                normalised = total / self.counts[view]
                decorrelation = decorrelation + (normalised - torch.diag(torch.diag(normalised))).abs().sum()
        return loss + self.weight * (alignment + decorrelation)


def train(
    encoder: Encoder,
    series: Tensor,
    n_steps: int,
    rng: np.random.Generator,
    *,
    batch_size: int = 8,
    anomaly_mode: bool = True,
) -> float:
    """Run optimiser steps over shuffled batches of `series` (n, D, T); the last loss comes back."""
    optimiser = torch.optim.SGD(encoder.parameters(), lr=0.01)
    encoder.train()
    loss = torch.zeros(())
    done = 0
    with torch.autograd.set_detect_anomaly(anomaly_mode, check_nan=anomaly_mode):
        while done < n_steps:
            objective = Objective(len(encoder.euclidean))
            order = rng.permutation(len(series))
            for start in range(0, len(series) - batch_size + 1, batch_size):
                batch = series[order[start : start + batch_size]]
                host = batch.transpose(1, 2).cpu().numpy()
                first, second = rng.choice(len(OPERATORS), size=2, replace=False)
                views = [
                    torch.as_tensor(OPERATORS[i](host, rng), dtype=torch.float32)
                    .to(series.device)
                    .transpose(1, 2)
                    for i in (first, second)
                ]
                loss = objective(encoder(views[0]), encoder(views[1]))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                done += 1
                if done == n_steps:
                    break
    return float(loss)
