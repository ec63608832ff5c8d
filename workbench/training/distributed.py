"""One training by several processes, each on its share of every batch (torchrun, DistributedDataParallel).

The loss is that of the whole batch: its mean is taken over all processes, statistics of the batch (batch
normalisation) are those of all shares, and what contrasts samples with each other gathers them first.
Gradients flow through both, so two processes do what one does with the same batch, up to the order in which
floating-point numbers are added.

A step that knows of shares says so by ``Loop(..., parallel=True)``. Only while such a step runs do the
functions here do anything; any other training is done by every process alike.
"""

from __future__ import annotations

import atexit
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = [
    "BatchNorm", "all_sum", "any_of", "asked_for", "gather", "join", "mean_of", "moments", "parallel_step",
    "rank", "share", "sum_rows", "wait_for_all", "world",
]  # fmt: skip

_sharing = False


def asked_for() -> int:
    """How many processes torchrun has started for this training; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this process is; 0 is the one that writes."""
    return int(os.environ.get("RANK", "0"))


def join(device: torch.device) -> None:
    """Meet the other processes; NCCL between GPUs, gloo between CPUs."""
    if dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    atexit.register(dist.destroy_process_group)


@contextmanager
def _shared() -> Iterator[None]:
    global _sharing
    _sharing = True
    try:
        yield
    finally:
        _sharing = False


def world() -> tuple[int, int]:
    """Rank and number of the processes that share the batch at this moment; ``(0, 1)`` outside of a step."""
    return (dist.get_rank(), dist.get_world_size()) if _sharing else (0, 1)


def share(rows: Tensor) -> Tensor:
    """This process's part of the batch, which may be empty."""
    place, size = world()
    return rows.tensor_split(size)[place]


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)  # every process's loss depends on every process's share
        return total


def all_sum(x: Tensor) -> Tensor:
    """Sum over the processes; its gradient is the sum of all their gradients."""
    return x if world()[1] == 1 else _AllSum.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        place, size = world()
        lengths = [torch.zeros((), dtype=torch.int64, device=x.device) for _ in range(size)]
        dist.all_gather(lengths, torch.tensor(len(x), device=x.device))
        ns = [int(length) for length in lengths]
        padded = x.new_zeros(max(ns), *x.shape[1:])  # all_gather takes equal shapes only
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in range(size)]
        dist.all_gather(parts, padded)
        ctx.place = slice(sum(ns[:place]), sum(ns[: place + 1]))
        return torch.cat([part[:n] for part, n in zip(parts, ns, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total[ctx.place]


def gather(x: Tensor) -> Tensor:
    """The shares of all processes, one below the other, (n, …) to (N, …); differentiable."""
    return x if world()[1] == 1 else _Gather.apply(x)


def moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number of rows, mean and variance (by the number) of each column over the shares of all processes."""
    n = all_sum(torch.tensor(float(len(x)), device=x.device, dtype=x.dtype))
    mean = all_sum(x.sum(0)) / n
    return n, mean, all_sum((x - mean).square().sum(0)) / n


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation by the statistics of the whole batch, also where processes share it."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world()[1] == 1:
            return super().forward(x)
        n, mean, variance = moments(x)
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None  # noqa: PT018, S101
            assert self.num_batches_tracked is not None and self.momentum is not None  # noqa: PT018, S101
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias


def mean_of(values: Mapping[str, float]) -> dict[str, float]:
    """Means over the processes."""
    found = torch.tensor(list(values.values()), dtype=torch.float64)
    _reduce(found)
    return dict(zip(values, (found / dist.get_world_size()).tolist(), strict=True))


def any_of(flag: bool) -> bool:
    """Whether it is so in any process."""
    found = torch.tensor(float(flag))
    _reduce(found)
    return bool(found)


def wait_for_all() -> None:
    """Go on when every process has come here."""
    dist.barrier()


def _reduce(values: Tensor) -> None:
    """Sum numbers of the host over the processes, in place."""
    if dist.get_backend() == "nccl":
        there = values.cuda()
        dist.all_reduce(there)
        values.copy_(there)
    else:
        dist.all_reduce(values)


class _Step(nn.Module):
    """A step as the forward pass of a module, which is what DistributedDataParallel wraps."""

    def __init__(self, model: nn.Module, step: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.model, self.step = model, step

    def forward(self, indices: Tensor) -> Any:
        with _shared():
            return self.step(indices)


def parallel_step(
    model: nn.Module, step: Callable[[Tensor], Any], sparse: Iterable[nn.Parameter] = ()
) -> Callable[[Tensor], Any]:
    """`step` with the gradients of `model` averaged over the processes in every backward pass.

    Parameters
    ----------
    model : Module
        The same in every process.
    step : callable
        Of row numbers of the whole batch; takes its own :func:`share`.
    sparse : iterable of Parameter
        Those whose gradients are sparse: they are left to :func:`sum_rows`.

    Returns
    -------
    callable
    """
    module = _Step(model, step)
    kept = {id(parameter) for parameter in sparse}
    names = [name for name, parameter in module.named_parameters() if id(parameter) in kept]
    ddp = nn.parallel.DistributedDataParallel
    ddp._set_params_and_buffers_to_ignore_for_model(module, names)
    # Statistics of batches are those of the whole batch already. The option's name is of torch 2.13.
    known = inspect.signature(ddp).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    option: dict[str, Any] = {name: False}
    wrapped: Callable[[Tensor], Any] = ddp(module, **option)
    return wrapped


def sum_rows(parameters: Iterable[nn.Parameter]) -> None:
    """Average sparse gradients over the processes: each gets the rows that any of them has touched."""
    size = dist.get_world_size()
    for parameter in parameters:
        grad = parameter.grad
        if grad is None or not grad.is_sparse:
            raise RuntimeError("a parameter that was called sparse has no sparse gradient")
        with _shared():
            rows = _Gather.apply(grad._indices().T.contiguous())
            values = _Gather.apply(grad._values())
        parameter.grad = torch.sparse_coo_tensor(rows.T, values / size, grad.shape, check_invariants=False)
