"""GSNR: gradients scaled by the signal-to-noise ratio that the parts of a batch show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["GSNR", "signal_to_noise"]

#: The optimizers that can step the scaled gradients.
BASES = ("sgd", "momentum", "adam", "lamb")

#: What each remembers of a parameter.
_STATE = {
    "sgd": (),
    "momentum": ("momentum",),
    "adam": ("scale", "exp_avg", "exp_avg_sq"),
    "lamb": ("scale", "exp_avg", "exp_avg_sq"),
}


def signal_to_noise(mean: Tensor, square: Tensor, floor: float = 0.1) -> Tensor:
    """Scale of each element of a gradient, between `floor` and 1.

    The squared mean over the variance among the micro-batches, divided by its mean over the tensor.

    Parameters
    ----------
    mean, square : Tensor
        Means over the micro-batches of the gradient and of its square.
    floor : float

    Returns
    -------
    Tensor
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
    row_decay : mapping of Parameter to Tensor, optional
        The same for the rows of a table, (n_rows,) or (1,), where they are touched.

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
        row_decay: Mapping[Tensor, Tensor] | None = None,
    ) -> None:
        if base not in BASES:
            raise ValueError(f"There is no base {base!r}; take one of {', '.join(BASES)}.")
        options = {"lr": lr, "betas": betas, "momentum": momentum, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "floor": floor})
        self.base, self.micro_batches = base, micro_batches
        self._row_decay = dict(row_decay or {})
        self._parts: dict[Tensor, list[Tensor]] = {}
        self._collected = 0

    @torch.no_grad()
    def collect(self) -> None:
        """Take the gradients of one micro-batch, and clear them."""
        self._collected += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._take(parameter)

    def _take(self, parameter: Tensor) -> None:
        """Add a gradient to the sums of a dense parameter, or to the micro-batches of a sparse one."""
        grad = parameter.grad
        assert grad is not None  # noqa: S101
        parameter.grad = None
        if grad.layout == torch.sparse_coo:
            self._parts.setdefault(parameter, []).append(grad.coalesce())
        elif parameter in self._parts:
            total, squares = self._parts[parameter]
            total += grad
            squares += grad * grad
        else:
            self._parts[parameter] = [grad.clone(), grad * grad]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if not self._collected:
            self.collect()
        k = self._collected
        for group in self.param_groups:
            for parameter in group["params"]:
                parts = self._parts.get(parameter)
                if parts is None:
                    continue
                rows = None
                if parts[0].layout == torch.sparse_coo:
                    rows, *parts = _touched(parts)
                mean, square = (part / k for part in parts)
                one = torch.ones_like(mean)
                scale = signal_to_noise(mean, square, group["floor"]) if k > 1 else one
                self._move(parameter, rows, mean, scale, group)
        self._parts, self._collected = {}, 0

    def _move(
        self, parameter: Tensor, rows: Tensor | None, mean: Tensor, scale: Tensor, group: dict[str, Any]
    ) -> None:
        """Step a whole parameter, or some of its rows, whose state is taken out and put back."""
        state = self.state[parameter]
        names = _STATE[self.base]
        if not state and names:
            state["step"] = torch.zeros(())
            state.update({name: torch.zeros_like(parameter) for name in names})
        if names:
            state["step"] += 1
        decay = group["weight_decay"]
        if rows is None:
            parameter -= self._change(parameter, mean, scale, state, decay, group)
            return
        pull = self._row_decay.get(parameter)
        if pull is not None:
            decay = pull if len(pull) == 1 else pull[rows, None]
        part = {"step": state.get("step"), **{name: state[name][rows] for name in names}}
        parameter[rows] -= self._change(parameter[rows], mean, scale, part, decay, group)
        for name in names:
            state[name][rows] = part[name]

    def _change(
        self, value: Tensor, mean: Tensor, scale: Tensor, state: Any, decay: Any, group: dict[str, Any]
    ) -> Tensor:
        """What to subtract; the moments in `state` are moved in place."""
        rate = group["lr"]
        if self.base in ("sgd", "momentum"):
            grad = scale * mean + decay * value
            if self.base == "momentum":
                grad = state["momentum"].mul_(group["momentum"]).add_(grad)
            return rate * grad
        step = float(state["step"])
        beta1, beta2, beta3 = group["betas"]
        smooth = state["scale"].mul_(beta3).add_(scale, alpha=1 - beta3) / (1 - beta3**step)
        grad = smooth * mean
        if self.base == "adam":
            grad = grad + decay * value
        first = state["exp_avg"].mul_(beta1).add_(grad, alpha=1 - beta1) / (1 - beta1**step)
        second = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2) / (1 - beta2**step)
        change = first / (second.sqrt() + group["eps"])
        if self.base == "lamb":
            change = change + decay * value
            size, length = value.norm(), change.norm()
            if size > 0 and length > 0:
                change = change * (size / length)
        return rate * change


def _touched(parts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows that any micro-batch touched, and there the sums of the gradients and of their squares."""
    index = torch.cat([part.indices()[0] for part in parts])
    values = torch.cat([part.values() for part in parts])
    rows, place = torch.unique(index, return_inverse=True)
    total = values.new_zeros(len(rows), values.shape[1]).index_add_(0, place, values)
    squares = torch.zeros_like(total).index_add_(0, place, values * values)
    return rows, total, squares
