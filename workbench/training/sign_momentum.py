"""Lion: steps of one size, in the direction of the sign of an interpolated momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["Lion", "lion_step"]


class Lion(torch.optim.Optimizer):
    """Evolved sign momentum [1]_.

    ``c = beta1·m + (1 - beta1)·g``; ``p <- p·(1 - lr·weight_decay) - lr·sign(c)``;
    ``m <- beta2·m + (1 - beta2)·g``, in that order, m starting at 0. Half of Adam's memory. Against Adam take
    a learning rate 3 to 10 times smaller and a weight decay as many times larger.

    Of a parameter with a sparse gradient only the touched rows move: the sign step of a remembered
    momentum would otherwise move every row of a table in every step.

    Parameters
    ----------
    params : iterable
    lr : float, default=1e-4
    betas : (float, float), default=(0.9, 0.99)
    weight_decay : float, default=0.0

    References
    ----------
    .. [1] Chen et al., "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675, program 1.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                if parameter.grad.layout == torch.sparse_coo:
                    grad = parameter.grad.coalesce()
                    rows = grad.indices()[0]
                    moved, momentum = lion_step(
                        parameter[rows], state["momentum"][rows], grad.values(), group
                    )
                    parameter[rows], state["momentum"][rows] = moved, momentum
                else:
                    moved, momentum = lion_step(parameter, state["momentum"], parameter.grad, group)
                    parameter.copy_(moved)
                    state["momentum"].copy_(momentum)
        return loss


def lion_step(
    value: torch.Tensor, momentum: torch.Tensor, grad: torch.Tensor, group: Mapping[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The value and the momentum after a step."""
    beta1, beta2 = group["betas"]
    direction = torch.sign(beta1 * momentum + (1 - beta1) * grad)
    moved = value * (1 - group["lr"] * group["weight_decay"]) - group["lr"] * direction
    return moved, beta2 * momentum + (1 - beta2) * grad
