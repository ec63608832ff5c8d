"""GSNR: gradients scaled by the signal-to-noise ratio that the parts of a batch show."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["GSNR", "signal_to_noise"]

#: The optimizers that can step the scaled gradients.
BASES = ("sgd", "momentum", "adam", "lamb")


def signal_to_noise(mean: Tensor, square: Tensor, floor: float = 0.1) -> Tensor:
    """Scale of each element of a gradient, between `floor` and 1.

    The squared mean over the variance among the micro-batches, divided by its mean over the tensor.

    Parameters
    ----------
    mean, square : Tensor
        Means over the micro-batches of the gradient and of its square.
    floor : float
    """
    variance = (square - mean * mean).clamp_min(0.0)
    ratio = mean * mean / (variance + torch.finfo(mean.dtype).tiny)
    ratio = ratio.clamp_max(torch.finfo(mean.dtype).max)
    scale = ratio / ratio.mean().clamp_min(torch.finfo(mean.dtype).tiny)
    return torch.nan_to_num(scale, nan=floor).clamp(floor, 1.0)


class GSNR(torch.optim.Optimizer):
    """Variance-reduced gradient descent (VRGD) over SGD, momentum, Adam or LAMB [1]_.

    The training loop divides each batch into `micro_batches`; after the backward pass of each, `collect` is
    called, and `step` scales the mean gradient element by element by the signal-to-noise ratio of the
    parts. The scale is at most 1, so raise the learning rate. One micro-batch has no variance: the base
    optimizer alone is left.

    Parameters
    ----------
    params : iterable
    lr : float
    base : {"sgd", "momentum", "adam", "lamb"}, default="adam"
    micro_batches : int, default=8
    floor : float, default=0.1
        Smallest scale.
    betas : (float, float, float), default=(0.9, 0.999, 0.9)
        Of the first and second moment and, for Adam and LAMB, of the scale.
    momentum : float, default=0.9
    eps : float, default=1e-8
    weight_decay : float, default=0.0
        L2 added to the gradient; for LAMB decoupled.

    References
    ----------
    .. [1] Jiang et al., arXiv 2309.13681. Its formulas are given as remembered; each is tested by hand.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        base: str = "adam",
        micro_batches: int = 8,
        floor: float = 0.1,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9),
        momentum: float = 0.9,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if base not in BASES:
            raise ValueError(f"There is no base {base!r}; take one of {', '.join(BASES)}.")
        options = {"lr": lr, "betas": betas, "momentum": momentum, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "floor": floor})
        self.base, self.micro_batches = base, micro_batches
        self._sums: dict[Tensor, tuple[Tensor, Tensor]] = {}
        self._collected = 0

    @torch.no_grad()
    def collect(self) -> None:
        """Take the gradients of one micro-batch, and clear them."""
        self._collected += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                grad = parameter.grad.to_dense()
                if parameter in self._sums:
                    total, squares = self._sums[parameter]
                    total += grad
                    squares += grad * grad
                else:
                    self._sums[parameter] = grad.clone(), grad * grad
                parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if not self._collected:
            self.collect()
        k = self._collected
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter not in self._sums:
                    continue
                total, squares = self._sums[parameter]
                mean = total / k
                one = torch.ones_like(mean)
                scale = signal_to_noise(mean, squares / k, group["floor"]) if k > 1 else one
                self._move(parameter, mean, scale, group)
        self._sums, self._collected = {}, 0

    def _move(self, parameter: Tensor, mean: Tensor, scale: Tensor, group: dict[str, Any]) -> None:
        decay, rate = group["weight_decay"], group["lr"]
        state = self.state[parameter]
        if self.base in ("sgd", "momentum"):
            grad = scale * mean + decay * parameter
            if self.base == "momentum":
                kept = state.setdefault("momentum", torch.zeros_like(parameter))
                grad = kept.mul_(group["momentum"]).add_(grad)
            parameter -= rate * grad
            return
        if not state:
            state["step"] = torch.zeros(())
            for name in ("scale", "exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(parameter)
        state["step"] += 1
        step = float(state["step"])
        beta1, beta2, beta3 = group["betas"]
        smooth = state["scale"].mul_(beta3).add_(scale, alpha=1 - beta3) / (1 - beta3**step)
        grad = smooth * mean
        if self.base == "adam":
            grad = grad + decay * parameter
        first = state["exp_avg"].mul_(beta1).add_(grad, alpha=1 - beta1) / (1 - beta1**step)
        second = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2) / (1 - beta2**step)
        change = first / (second.sqrt() + group["eps"])
        if self.base == "lamb":
            change = change + decay * parameter
            size, length = parameter.norm(), change.norm()
            if size > 0 and length > 0:
                change = change * (size / length)
        parameter -= rate * change
