"""What is done against modality competition while a network trains.

Remedies that change *how far* an encoder goes scale its learning rate, not its gradient: under Adam a
constant factor of the gradient cancels. Under plain SGD both are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.modality._formulas import (
    agm_coefficients,
    conditional_speed,
    drop_modalities,
    monomodal_outputs,
    ogm_coefficients,
    pareto_gradient,
)
from workbench.modality._training import each_loss
from workbench.training.callbacks import Callback

if TYPE_CHECKING:
    from workbench.modality._nets import LateFusion
    from workbench.modality._training import Rows, Step
    from workbench.training.loop import Loop

__all__ = [
    "AGM",
    "OGM",
    "UMT",
    "Auxiliary",
    "Blend",
    "Frozen",
    "Greedy",
    "MMPareto",
    "ModalityDropout",
]
__all__ += ["Remedy", "Unimodal"]

#: OGM-GE's noise is not amplified by more than the inverse of this.
_LEAST_FACTOR = 0.1


class Memory:
    """Named tensors that a remedy remembers between batches; saved in checkpoints."""

    def __init__(self, **tensors: Tensor) -> None:
        self.tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        self.tensors[name] = value

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.tensors)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.tensors = dict(state)


class Remedy:
    """Plain joint training; the base of the others."""

    name = "none"
    learns_defaults = False  #: whether the embeddings that stand for absent modalities are trained
    scales = False  #: whether it calls `scale_steps`

    def __init__(self) -> None:
        self.generators: dict[str, torch.Generator] = {}
        self.extras: dict[str, Any] = {}
        self.callbacks: tuple[Callback, ...] = ()

    def begin(self, model: LateFusion, optimizer: torch.optim.Optimizer, rows: Rows, seed: int) -> None:
        """Before training; a remedy hooks into the optimizer here."""
        self.model, self.optimizer, self.rows = model, optimizer, rows
        self.rates = [group["lr"] for group in optimizer.param_groups]

    def present(self, present: Tensor) -> Tensor:
        """Which modalities of the batch's rows the network is shown."""
        return present

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of a batch and its named parts."""
        return step.loss(step.logits), {}

    def scale_steps(self, factors: Tensor) -> None:
        """Multiply the size of each encoder's next steps."""
        for group, rate, factor in zip(
            self.optimizer.param_groups, self.rates, factors.tolist(), strict=False
        ):
            group["lr"] = rate * factor


class Unimodal(Remedy):
    """Every encoder with its own head alone: n networks in one loop, for their losses share no parameter."""

    name = "unimodal"

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        return step.alone_losses().sum(), {}


class Auxiliary(Remedy):
    """Joint loss plus `weight` times the loss of a head on each modality alone."""

    name = "auxiliary"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        joint = step.loss(step.logits)
        return joint + self.weight * step.alone_losses().sum(), {"joint": joint}


class Blend(Remedy):
    """Gradient-Blending: ``Σ_k w_k L_k`` over the modalities' heads and, last, the joint head."""

    name = "gradient_blending"

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.weights = weights

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        losses = torch.cat([step.alone_losses(), step.loss(step.logits)[None]])
        weights = torch.tensor(self.weights, dtype=losses.dtype, device=losses.device)
        return weights @ losses, {"joint": losses[-1]}


class ModalityDropout(Remedy):
    """Each modality of each row is hidden with probability `p`; see `drop_modalities`."""

    name = "modality_dropout"
    learns_defaults = True

    def __init__(self, p: float = 0.3) -> None:
        super().__init__()
        self.p = p

    def begin(self, model: LateFusion, optimizer: torch.optim.Optimizer, rows: Rows, seed: int) -> None:
        super().begin(model, optimizer, rows, seed)
        self.generators["dropout"] = torch.Generator().manual_seed(seed + 1)

    def present(self, present: Tensor) -> Tensor:
        return drop_modalities(present, self.p, self.generators["dropout"])


class OGM(Remedy):
    """On-the-fly gradient modulation; with `noise` the generalisation enhancement (OGM-GE)."""

    scales = True

    def __init__(self, alpha: float = 0.5, noise: bool = False) -> None:
        super().__init__()
        self.alpha, self.noise = alpha, noise
        self.name = "ogm_ge" if noise else "ogm"

    def begin(self, model: LateFusion, optimizer: torch.optim.Optimizer, rows: Rows, seed: int) -> None:
        super().begin(model, optimizer, rows, seed)
        if self.noise:
            generator = torch.Generator(rows.y.device).manual_seed(seed + 1)
            self.generators["noise"] = generator
            optimizer.register_step_pre_hook(lambda *_: self._disturb(generator))

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        self.factors = ogm_coefficients(step.confidence(), self.alpha)
        self.scale_steps(self.factors)
        return step.loss(step.logits), {}

    def _disturb(self, generator: torch.Generator) -> None:
        """Noise of each weight matrix's own gradient's spread, so that slowing down does not mean settling.

        The formula is ``k g + ε``: as k scales the step, the noise is divided by it beforehand.
        """
        for encoder, k in zip(self.model.encoders, self.factors.tolist(), strict=True):
            for parameter in encoder.parameters():
                if parameter.grad is not None and parameter.grad.dim() > 1:
                    noise = torch.randn(parameter.shape, generator=generator, device=parameter.device)
                    # Under Adam noise that drowns the gradient would also shrink it, so there is a limit.
                    parameter.grad += noise * (parameter.grad.std() / max(k, _LEAST_FACTOR))


class AGM(Remedy):
    """Adaptive gradient modulation."""

    name = "agm"
    scales = True

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def begin(self, model: LateFusion, optimizer: torch.optim.Optimizer, rows: Rows, seed: int) -> None:
        super().begin(model, optimizer, rows, seed)
        n = model.n_modalities
        self.memory = Memory(mean=torch.zeros(n), seen=torch.zeros(()))
        self.extras["agm"] = self.memory
        optimizer.register_step_pre_hook(lambda *_: self._clip())

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        with torch.no_grad():
            losses = torch.stack(
                # -log p is cut at -log 1e-8, lest one wild row decide.
                [
                    each_loss(step.rows.task, phi, step.rows.y).clamp_max(18.4).mean()
                    for phi in self.monomodal(step)
                ]
            ).cpu()
        seen = float(self.memory["seen"]) + 1
        self.memory["seen"] = torch.tensor(seen)
        self.memory["mean"] = self.memory["mean"] * ((seen - 1) / seen) + losses / seen
        self.scale_steps(agm_coefficients(losses, self.memory["mean"], self.alpha))
        return step.loss(step.logits), {}

    @torch.no_grad()
    def monomodal(self, step: Step) -> Tensor:
        """Each modality's share of the output; see `monomodal_outputs`."""
        model, h, default = self.model, step.h.detach(), self.model.default
        n = model.n_modalities
        if model.fusion == "sum":
            # What a modality adds to a sum is the same in every coalition, so none has to be tried.
            shown = torch.stack([model.branch(h, r) for r in range(n)])
            muted = torch.stack([model.branch(default[None], r) for r in range(n)])
            return shown - muted + muted.sum(0) / n

        def fuse(keep: Tensor) -> Tensor:
            keep = keep.to(h.device)
            return model.fuse(torch.where(keep[None, :, None], h, default), step.present & keep)

        return monomodal_outputs(fuse, n)

    def _clip(self) -> None:
        heads = [p.grad for p in self.model.joint.parameters() if p.grad is not None]
        if heads and torch.nn.utils.get_total_norm(heads) > 1:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)


class MMPareto(Remedy):
    """Joint and uni-modal losses, combined in each encoder without conflict; see `pareto_gradient`."""

    name = "mmpareto"

    def __init__(self, gamma: float = 1.5) -> None:
        super().__init__()
        self.gamma = gamma
        self._combined: list[tuple[torch.nn.Parameter, Tensor]] = []

    def begin(self, model: LateFusion, optimizer: torch.optim.Optimizer, rows: Rows, seed: int) -> None:
        super().begin(model, optimizer, rows, seed)
        optimizer.register_step_pre_hook(lambda *_: self._replace())

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        joint, own = step.loss(step.logits), step.alone_losses()
        encoders = [list(encoder.parameters()) for encoder in self.model.encoders]
        flat = [p for group in encoders for p in group]
        options: dict[str, Any] = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        # Each encoder's own loss reaches no other encoder, so one pass gives every v2.
        v1 = torch.autograd.grad(joint, flat, **options)
        v2 = torch.autograd.grad(own.sum(), flat, **options)
        self._combined, start = [], 0
        for group in encoders:
            part = slice(start, start + len(group))
            found = pareto_gradient(v1[part], v2[part], self.gamma)
            self._combined += list(zip(group, found, strict=True))
            start += len(group)
        return joint + own.sum(), {"joint": joint}

    def _replace(self) -> None:
        """The heads keep their plain gradients."""
        for parameter, gradient in self._combined:
            parameter.grad = gradient


class UMT(Remedy):
    """Uni-modal teachers: joint loss plus ``weight · Σ_r MSE(h_r, h_r^alone)`` (arXiv 2305.01233).

    Parameters
    ----------
    teacher : Tensor of shape (n, n_modalities, hidden)
        Embeddings of the training rows by encoders trained alone.
    """

    name = "umt"

    def __init__(self, teacher: Tensor, weight: float = 10.0) -> None:
        super().__init__()
        self.teacher, self.weight = teacher, weight

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        joint = step.loss(step.logits)
        gap = ((step.h - self.teacher[step.indices]) ** 2).mean(2) * step.present
        distance = (gap.sum(0) / step.present.sum(0).clamp_min(1)).sum()
        return joint + self.weight * distance, {"joint": joint, "distance": distance}


class Frozen(Remedy):
    """Joint training on top of trained encoders, which stand still or go `pace` times as fast as the head."""

    name = "pretrain"
    scales = True

    def __init__(self, pace: float = 0.0) -> None:
        super().__init__()
        self.pace = pace

    def begin(self, model: LateFusion, optimizer: torch.optim.Optimizer, rows: Rows, seed: int) -> None:
        super().begin(model, optimizer, rows, seed)
        self.scale_steps(torch.full((model.n_modalities,), self.pace))
        if self.pace == 0:
            for parameter in model.encoders.parameters():
                parameter.requires_grad_(False)


class Greedy(Remedy):
    """Balanced training: the encoder that learns too fast is held for some steps (arXiv 2202.05306).

    After `warmup` epochs, where one modality's conditional learning speed exceeds the mean of the others' by
    more than `epsilon`, its encoder stands still for `steps` steps; then speeds are measured anew.
    """

    name = "greedy"
    scales = True

    def __init__(self, epsilon: float = 0.01, steps: int = 5, warmup: int = 2) -> None:
        super().__init__()
        self.epsilon, self.steps, self.warmup = epsilon, steps, warmup
        self.loop: Loop

    def begin(self, model: LateFusion, optimizer: torch.optim.Optimizer, rows: Rows, seed: int) -> None:
        super().begin(model, optimizer, rows, seed)
        n = model.n_modalities
        self.memory = Memory(
            fusion=torch.zeros(n), own=torch.zeros(n), hold=torch.zeros(()), who=torch.tensor(-1.0)
        )
        self.extras["greedy"] = self.memory
        self.callbacks = (_Follow(self),)
        optimizer.register_step_pre_hook(lambda *_: self._measure())

    def _measure(self) -> None:
        n, memory = self.model.n_modalities, self.memory
        held, left = int(memory["who"]), int(memory["hold"])
        if left == 0 and held < 0 and self.loop.epoch >= self.warmup and n > 1:
            speed = conditional_speed(memory["fusion"], memory["own"])
            lead = speed - (speed.sum() - speed) / (n - 1)
            if lead.max() > self.epsilon:
                held, left = int(lead.argmax()), self.steps
        elif left == 0:
            held = -1  # one step of all together before speeds are compared again
        factors = torch.ones(n)
        if left > 0:
            factors[held] = 0.0
            left -= 1
        # What a held encoder would have done is no part of its speed.
        own = torch.stack([_pace(e.parameters()) for e in self.model.encoders])
        memory["own"] = memory["own"] + own * factors
        memory["fusion"] = memory["fusion"] + self._fusion_pace() * factors
        memory["who"], memory["hold"] = torch.tensor(float(held)), torch.tensor(float(left))
        self.scale_steps(factors)

    def _fusion_pace(self) -> Tensor:
        """Of the columns of the joint head that read each modality."""
        n, model = self.model.n_modalities, self.model
        if model.fusion == "sum":
            return torch.stack([_pace(part.parameters()) for part in model.joint])  # type: ignore[attr-defined]
        first = model.joint[0] if model.fusion == "concat" else model.joint["gate"]  # type: ignore[index]
        gradient, weight = first.weight.grad.chunk(n, 1), first.weight.detach().chunk(n, 1)
        pairs = zip(gradient, weight, strict=True)
        return torch.stack([g.square().sum() / w.square().sum().clamp_min(1e-12) for g, w in pairs]).cpu()


class _Follow(Callback):
    """Lets a remedy see how far the loop is, also after a checkpoint was restored."""

    def __init__(self, remedy: Greedy) -> None:
        self.remedy = remedy

    def on_train_begin(self, loop: Loop) -> None:
        self.remedy.loop = loop


def _pace(parameters: Any) -> Tensor:
    """``Σ ‖g‖² / ‖θ‖²`` over parameters with a gradient."""
    total = torch.zeros(())
    for p in parameters:
        if p.grad is not None:
            total = total + (p.grad.square().sum() / p.detach().square().sum().clamp_min(1e-12)).cpu()
    return total
