"""A transformer on patches as a peer of forecasting, as large as PatchTST is for ETTh1.

Each variable is a series of its own, less its mean and in units of its deviation in the window; patches of
up to 16 steps, half overlapping, are the tokens (Nie et al., arXiv:2211.14730, section 3 and appendix A.1.4).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.timeseries._training import Schedule, run, seeded

__all__ = ["forecasts"]

Values = NDArray[np.float64]

_WIDTH, _HEADS, _LAYERS, _HIDDEN, _DROPOUT, _PATCH = 16, 4, 3, 128, 0.3, 16
_EPOCHS, _BATCH, _RATE = 20, 128, 1e-3


class PatchTransformer(nn.Module):
    """Windows (B, window), standardised each, → the steps after them, (B, horizon)."""

    def __init__(self, window: int, horizon: int) -> None:
        super().__init__()
        self.patch = min(_PATCH, window)
        self.stride = max(1, self.patch // 2)
        n_patches = (window - self.patch) // self.stride + 2
        self.input = nn.Linear(self.patch, _WIDTH)
        self.position = nn.Parameter(torch.empty(n_patches, _WIDTH).uniform_(-0.02, 0.02))
        layer = nn.TransformerEncoderLayer(
            _WIDTH, _HEADS, _HIDDEN, _DROPOUT, activation="gelu", batch_first=True
        )
        self.layers = nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(n_patches * _WIDTH, horizon)

    def forward(self, x: Tensor) -> Tensor:
        padded = torch.cat([x, x[:, -1:].expand(-1, self.stride)], 1)
        tokens = self.input(padded.unfold(1, self.patch, self.stride)) + self.position
        return self.head(self.layers(tokens).flatten(1))


def forecasts(windows: Values, past: Values, horizon: int, seed: int) -> Values:
    """Train on `windows`, (n, window + horizon), and foretell what follows `past`, (m, window)."""
    window = past.shape[1]
    x, y = (torch.from_numpy(part.astype(np.float32)) for part in _standardised(windows, window))
    with seeded(seed):
        model = PatchTransformer(window, horizon)

    def step(rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return nn.functional.mse_loss(model(x[rows]), y[rows]), {}

    schedule = Schedule(
        n_epochs=_EPOCHS,
        batch_size=_BATCH,
        learning_rate=_RATE,
        optimizer="adam",
        precision="fp32",
        device=torch.device("cpu"),
        seeds=(seed, seed ^ 1),
        fingerprint=f"patch transformer {seed} {windows.shape} {float(np.abs(windows).sum())!r}",
        verbose=0,
        description="patch transformer",
        max_grad_norm=1.0,
    )
    with seeded(seed):  # dropout
        run(model, step, len(x), schedule, order=schedule.generators()[0])
    mean, scale = past.mean(axis=1, keepdims=True), _deviation(past)
    inputs = torch.from_numpy(((past - mean) / scale).astype(np.float32))
    model.eval()
    with torch.inference_mode():
        found = torch.cat([model(part) for part in inputs.split(4096)])
    return found.numpy().astype(float) * scale + mean


def _standardised(windows: Values, window: int) -> tuple[Values, Values]:
    seen = windows[:, :window]
    scaled = (windows - seen.mean(axis=1, keepdims=True)) / _deviation(seen)
    return scaled[:, :window], scaled[:, window:]


def _deviation(seen: Values) -> Values:
    scale = seen.std(axis=1, keepdims=True)
    found: Values = np.where(scale > 1e-8 * (1 + np.abs(seen).max(axis=1, keepdims=True)), scale, 1.0)
    return found
