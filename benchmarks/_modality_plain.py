"""The reference's set-up in bare torch, to tell what its scores vary by from seed to seed.

Columns standardised on the training rows and cut at ±8; an encoder ``d-64-64`` with ReLU a modality; the sum
of linear heads; Adam at 0.001, batches of 64, 60 epochs, no early stopping. Nothing of the package is used.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

__all__ = ["plain_scores"]

Views = dict[str, np.ndarray]


def plain_scores(
    views: Views, y: np.ndarray, train: np.ndarray, test: np.ndarray, n_seeds: int
) -> dict[str, list[float]]:
    """Accuracy of a network for each view, and of the joint one, by seed."""
    labels = torch.from_numpy(np.unique(y, return_inverse=True)[1])
    scaled = {name: _scaled(X.astype(float), train) for name, X in views.items()}
    chosen = {**{name: [name] for name in scaled}, "joint": list(scaled)}
    return {
        what: [
            _accuracy([scaled[name] for name in names], labels, train, test, seed) for seed in range(n_seeds)
        ]
        for what, names in chosen.items()
    }


def _scaled(X: np.ndarray, train: np.ndarray) -> torch.Tensor:
    mean, scale = X[train].mean(0), X[train].std(0)
    return torch.tensor(np.clip((X - mean) / np.where(scale > 1e-9, scale, 1), -8, 8), dtype=torch.float32)


def _accuracy(
    views: list[torch.Tensor], y: torch.Tensor, train: np.ndarray, test: np.ndarray, seed: int
) -> float:
    torch.manual_seed(seed)
    branches = nn.ModuleList(
        nn.Sequential(
            nn.Linear(X.shape[1], 64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Linear(64, int(y.max()) + 1),
        )
        for X in views
    )
    optimizer = torch.optim.Adam(branches.parameters(), 1e-3)
    rows = torch.from_numpy(train)

    def logits(index: torch.Tensor) -> torch.Tensor:
        return torch.stack([branch(X[index]) for branch, X in zip(branches, views, strict=True)]).sum(0)

    for _ in range(60):
        order = rows[torch.randperm(len(rows))]
        for start in range(0, len(order), 64):
            batch = order[start : start + 64]
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits(batch), y[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        index = torch.from_numpy(test)
        return float((logits(index).argmax(1) == y[index]).double().mean())
