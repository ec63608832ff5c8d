"""Gates near 0 or 1, and the proximal step that makes them exactly 0: the formulas of LPFS, on tensors.

Source: Guo et al., "LPFS: Learnable Polarizing Feature Selection for Click-Through Rate Prediction", arXiv
2206.00267. The formulas of the gates are taken from public re-implementations (ERASE, AutoFS-in-CTR); their
settings are those repositories' defaults, not figures of the paper.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["epsilon_at", "lpfs_gate", "lpfs_plus_gate", "soft_threshold", "travel_rate"]


def lpfs_gate(x: Tensor, epsilon: float) -> Tensor:
    """Smoothed l0: x² / (x² + epsilon). Exactly 0 at 0, where it is flat: a field that is there stays."""
    square = x * x
    return square / (square + epsilon)


def lpfs_plus_gate(x: Tensor, epsilon: float, *, alpha: float = 10.0, tau: float = 2.0) -> Tensor:
    """Odd and rising: sign(x)·x² / (x² + epsilon) + alpha·epsilon^(1/tau)·arctan(x).

    Its slope at 0 is alpha·epsilon^(1/tau), so that a field which reached 0 can come back.
    """
    return torch.sign(x) * lpfs_gate(x, epsilon) + alpha * epsilon ** (1 / tau) * torch.arctan(x)


def soft_threshold(x: Tensor, threshold: float) -> Tensor:
    """Proximal step of threshold·|x|: towards 0 by `threshold`, and exactly 0 within it."""
    return torch.sign(x) * (x.abs() - threshold).clamp_min(0.0)


def epsilon_at(share: float, start: float, end: float, fraction: float) -> float:
    """Epsilon after a share of the steps: from `start` to `end` geometrically over the first `fraction`."""
    if share >= fraction:
        return end
    return start * math.exp(math.log(end / start) * share / fraction)


def travel_rate(penalty: float, travel: float, n_steps: int) -> float:
    """Learning rate of the gates at which the penalty alone would move a gate by `travel` in all steps.

    From 1 to 0 the proximal step alone takes 1 / (penalty · rate) steps; penalty · rate · steps between 3 and
    8 leaves time both for useless fields to reach 0 and for useful ones to be held.
    """
    return travel / (penalty * n_steps)
