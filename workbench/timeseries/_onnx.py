"""Encoders of series written so that they can be exported: every step is an operator that ONNX has.

The shapelet transform gives the values of :class:`~workbench.timeseries._shapelets.ShapeletEncoder` on
z-normalised series, the normalisation included; windows are gathered by a table of indices, so that the
number of steps is fixed. A network is exported with its scaling. Nothing may be missing in the series.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from workbench.timeseries._shapelet_search import NORM_FLOOR
from workbench.timeseries._shapelets import ShapeletEncoder

__all__ = ["ExportedClassifier", "ExportedNetwork", "ExportedShapelets"]

_EPS = 4 * float(np.finfo(np.float32).eps)  # as workbench.timeseries.preprocessing.z_normalize has it


class ExportedShapelets(nn.Module):
    """Series (n, T, d) without missing values to features (n, n_features).

    Parameters
    ----------
    encoder : ShapeletEncoder
        Fitted.
    n_timestamps : int
        T.
    """

    def __init__(self, encoder: ShapeletEncoder, n_timestamps: int) -> None:
        super().__init__()
        layout = encoder.layout
        self.counts, self.norm = layout.counts, encoder.norm
        parts = [part.detach().clone() for part in layout.split(encoder.shapelets)]
        self.shapelets = nn.ParameterList([nn.Parameter(part, requires_grad=False) for part in parts])
        biases = encoder.bias.detach().clone().view(len(layout.lengths), layout.counts[2])
        self.biases = nn.Parameter(biases, requires_grad=False)
        for i, length in enumerate(layout.lengths):
            windows = torch.arange(n_timestamps - length + 1)[:, None] + torch.arange(length)
            self.register_buffer(f"windows_{i}", windows)

    def forward(self, series: Tensor) -> Tensor:
        x = _normalized(series.transpose(1, 2))
        found = [
            self._scale(x[:, :, getattr(self, f"windows_{i}")], shapelets, self.biases[i])
            for i, shapelets in enumerate(self.shapelets)
        ]
        return self.norm(torch.cat(found, dim=1))

    def _scale(self, windows: Tensor, shapelets: Tensor, bias: Tensor) -> Tensor:
        """Best values (n, K) of shapelets (K, d, length) over windows (n, d, W, length)."""
        near, alike, cross = shapelets.split(self.counts)
        found = []
        if len(near):
            found.append(_distance(windows, near))
        if len(alike):
            unit = windows / windows.norm(dim=-1, keepdim=True).clamp(min=NORM_FLOOR)
            ours = alike / alike.norm(dim=-1, keepdim=True).clamp(min=NORM_FLOOR)
            mean = torch.einsum("ndwl,kdl->nkw", unit, ours) / windows.shape[1]
            found.append(mean.amax(dim=2).clamp(min=0))
        if len(cross):
            found.append(torch.einsum("ndwl,kdl->nkw", windows, cross).amax(dim=2) + bias)
        return torch.cat(found, dim=1)


class ExportedClassifier(nn.Module):
    """Series (n, T, d) to probabilities of classes: a linear layer and a softmax over `features`."""

    def __init__(self, features: nn.Module, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        self.head.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.features(series)).softmax(dim=1)


class ExportedNetwork(nn.Module):
    """Series (n, T, d) without missing values to features (n, n_features).

    Parameters
    ----------
    network : Module
        Of an encoder, fitted; it takes scaled series (n, d, T).
    scales : pair of ndarray of shape (d,), or None
        Mean and deviation of the variables; by default those of each series' own.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, network: nn.Module, scales: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    ) -> None:
        super().__init__()
        for module in list(network.modules()):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        self.network, self.own = network, scales is None
        for name, values in zip(("mean", "scale"), scales or ((), ()), strict=True):
            self.register_buffer(name, torch.from_numpy(np.asarray(values, np.float32)))

    def forward(self, series: Tensor) -> Tensor:
        x = series.transpose(1, 2)
        if self.own:
            return self.network(_standardized(x))
        return self.network((x - self.mean[:, None]) / self.scale[:, None])


def _distance(windows: Tensor, shapelets: Tensor) -> Tensor:
    """The smallest distance; where it is, is found by the quick formula, what it is by the exact one."""
    inner = torch.einsum("ndwl,kdl->nkdw", windows, shapelets)
    energy = windows.square().sum(-1).unsqueeze(1) + shapelets.square().sum(-1)[None, :, :, None]
    best = (energy - 2 * inner).clamp(min=0).sqrt().sum(2).argmin(dim=2)
    count, length = windows.shape[1], windows.shape[3]
    index = best[:, :, None, None].expand(-1, -1, count, length)
    winning = windows.transpose(1, 2).gather(1, index)
    return (winning - shapelets).square().sum(-1).sqrt().sum(2)


def _standardized(x: Tensor) -> Tensor:
    """Each variable (n, d, T) with mean 0 and standard deviation 1; a constant one is divided by 1."""
    centred = x - x.mean(dim=2, keepdim=True)
    deviation = centred.square().mean(dim=2, keepdim=True).sqrt()
    varies = deviation > _EPS * x.abs().amax(dim=2, keepdim=True)
    return centred / torch.where(varies, deviation, 1.0)


def _normalized(x: Tensor) -> Tensor:
    """Each variable (n, d, T) with mean 0 and standard deviation 1; a constant one becomes 0."""
    centred = x - x.mean(dim=2, keepdim=True)
    deviation = centred.square().mean(dim=2, keepdim=True).sqrt()
    varies = deviation > _EPS * x.abs().amax(dim=2, keepdim=True)
    return torch.where(varies, centred / torch.where(varies, deviation, 1.0), 0.0)
