"""The formulas of the remedies on tensors, apart from the training that uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial

import torch
from torch import Tensor

__all__ = [
    "agm_coefficients",
    "conditional_speed",
    "drop_modalities",
    "monomodal_outputs",
    "ogm_coefficients",
    "pareto_gradient",
    "pmr_weights",
    "prototype_entropy",
    "prototype_logits",
]


def ogm_coefficients(confidence: Tensor, alpha: float) -> Tensor:
    """Step factors k of on-the-fly gradient modulation (Peng et al., CVPR 2022, arXiv 2203.15332).

    With the summed probabilities s_r that branch r alone gives the true labels of a batch,
    ``ρ_r = mean over the others q of s_r / s_q`` and ``k_r = 1 - tanh(α ρ_r)`` where ``ρ_r > 1``, else 1.

    Parameters
    ----------
    confidence : Tensor of shape (n,)
        The s_r.
    alpha : float
    """
    n = len(confidence)
    if n == 1:
        return torch.ones_like(confidence)
    safe = confidence.clamp_min(1e-12)
    ratio = ((safe[:, None] / safe[None, :]).sum(1) - 1) / (n - 1)
    return torch.where(ratio > 1, 1 - torch.tanh(alpha * ratio), torch.ones_like(ratio))


def monomodal_outputs(fuse: Callable[[Tensor], Tensor], n: int) -> Tensor:
    """Each modality's share of the output by Shapley's weights, the empty coalition counted as 0.

    With two modalities ``φ_a = ½ (f(a, v) - f(0, v) + f(a, 0))`` (Li et al., ICCV 2023, arXiv 2308.07686);
    the shares sum to ``f(a, v)``.

    Parameters
    ----------
    fuse : callable
        ``fuse(keep) -> Tensor``, the output with only the modalities of the bool tensor `keep` (n,).
    n : int

    Returns
    -------
    Tensor of shape (n, ...)
    """
    masks = [torch.tensor([bool(m >> r & 1) for r in range(n)]) for m in range(2**n)]
    present = [fuse(mask) for mask in masks[1:]]
    outputs = [torch.zeros_like(present[0]), *present]
    phi = torch.stack([outputs[0]] * n)
    for m, mask in enumerate(masks):
        size = m.bit_count()
        for r in range(n):
            if not mask[r]:
                weight = factorial(size) * factorial(n - size - 1) / factorial(n)
                phi[r] += weight * (outputs[m | 1 << r] - outputs[m])
    return phi


def agm_coefficients(losses: Tensor, running: Tensor, alpha: float) -> Tensor:
    """Step factors κ of adaptive gradient modulation (arXiv 2308.07686), with the official code's sign.

    ``r_r = exp(n/(n-1) (mean s - s_r))``, ``τ_r`` the same of the running means of s,
    ``κ_r = exp(α (τ_r - r_r))``: a modality that is further ahead than it used to be is slowed down.

    Parameters
    ----------
    losses : Tensor of shape (n,)
        s_r, the batch mean of ``-log p(true label)`` of the mono-modal output.
    running : Tensor of shape (n,)
        Mean of s_r over all batches so far.
    alpha : float
    """
    n = len(losses)
    if n == 1:
        return torch.ones_like(losses)
    lead = torch.exp(n / (n - 1) * (losses.mean() - losses))
    usual = torch.exp(n / (n - 1) * (running.mean() - running))
    return torch.exp(alpha * (usual - lead))


def pareto_gradient(joint: Sequence[Tensor], own: Sequence[Tensor], gamma: float = 1.5) -> list[Tensor]:
    """MMPareto's gradient of one encoder (Wei and Hu, ICML 2024, arXiv 2405.17730).

    With v1 the gradient of the joint loss and v2 of the modality's own: ``λ = ½`` where they agree, else the
    weight of the shortest vector between them; ``g = 2 (λ v1 + (1-λ) v2)``, lengthened per tensor to the
    plain sum's length where it is shorter, then times γ.

    Parameters
    ----------
    joint, own : sequence of Tensor
        One tensor a parameter.
    gamma : float
    """
    v1, v2 = torch.cat([g.flatten() for g in joint]), torch.cat([g.flatten() for g in own])
    cross, length1, length2 = v1 @ v2, v1 @ v1, v2 @ v2
    if cross >= 0:
        weight = torch.tensor(0.5)
    elif cross >= length1:
        weight = torch.tensor(0.999)
    elif cross >= length2:
        weight = torch.tensor(0.001)
    else:
        weight = (length2 - cross) / (length1 + length2 - 2 * cross)
    result = []
    for a, b in zip(joint, own, strict=True):
        g = 2 * (weight * a + (1 - weight) * b)
        # A balanced direction must not be slower than the plain sum would be.
        scale = (a + b).norm() / g.norm().clamp_min(1e-12)
        result.append(gamma * g * scale.clamp_min(1.0))
    return result


def prototype_logits(h: Tensor, prototypes: Tensor) -> Tensor:
    """``-‖h_i - c_k‖₂`` for embeddings (n, d) and class prototypes (K, d); shape (n, K) (PMR, arXiv
    2211.07089).
    """
    # Not torch.cdist: its gradient at distance 0 is NaN.
    return -((h[:, None, :] - prototypes[None]) ** 2).sum(2).clamp_min(1e-12).sqrt()


def pmr_weights(confidence: Tensor, kind: str) -> Tensor:
    """Weights of the modalities' prototype losses in prototypical rebalance (PMR, arXiv 2211.07089).

    With the summed probabilities s_r that modality r's prototypes give the true labels of a batch and
    ``ρ = s_a / s_v``: "hard" is the official code's, 1 for the slow modality and 0 for the other; "soft" is
    ``clip(1/ρ - 1, 0, 1)`` for a and ``clip(ρ - 1, 0, 1)`` for v, so that a modality little behind is pulled
    little. Of more than two modalities each is compared with the one that is ahead.

    Parameters
    ----------
    confidence : Tensor of shape (n,)
        The s_r.
    kind : {"hard", "soft"}
    """
    ahead = confidence.max()
    if kind == "hard":
        return (confidence < ahead).to(confidence)
    return (ahead / confidence.clamp_min(1e-12) - 1).clamp(0, 1)


def prototype_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of each row's ``softmax(logits)``, (n,); PMR's term against settling early."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def drop_modalities(present: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Make each modality of each row absent with probability `p`, but never the last one (arXiv 1501.00102).

    Parameters
    ----------
    present : Tensor of bool, shape (n, n_modalities)
    p : float
    generator : torch.Generator
        On the CPU.
    """
    draw = torch.rand(present.shape, generator=generator).to(present.device)
    kept = present & (draw >= p)
    # The row's luckiest present modality stays where all were drawn.
    luckiest = torch.where(present, draw, -1.0).argmax(1, keepdim=True)
    rescued = torch.zeros_like(kept).scatter_(1, luckiest, present.gather(1, luckiest))
    return torch.where(kept.any(1, keepdim=True), kept, rescued)


def conditional_speed(fusion: Tensor, own: Tensor) -> Tensor:
    """Conditional learning speed, ``log10(μ_fusion / μ_own)`` (arXiv 2202.05306).

    Parameters
    ----------
    fusion, own : Tensor of shape (n,)
        Accumulated ``Σ ‖g‖² / ‖θ‖²`` of the modality's part of the joint head, and of its encoder.
    """
    return torch.log10(fusion.clamp_min(1e-30)) - torch.log10(own.clamp_min(1e-30))
