"""The epoch loop that every torch estimator trains with.

Its whole state (weights, optimizer, random generators, position inside the epoch, whatever the
estimator registers as an extra) is given out by `Loop.state` and taken back by `Loop.restore`, so that
a training that is stopped between any two batches and continued later ends bit for bit as if it had
not been stopped. No global seed is set: dropout and its like draw from a fork of torch's generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from workbench.errors import RunError, UsageError
from workbench.training import distributed
from workbench.training.callbacks import Callback, active_callbacks
from workbench.training.optimizers import pack_optimizer, unpack_optimizer

__all__ = ["Loop", "Stateful", "Stopped"]

#: ``step(indices) -> (loss, parts)``: the loss of the samples with those row numbers, and its named parts.
Step = Callable[[Tensor], tuple[Tensor, Mapping[str, Tensor]]]


class Stopped(Exception):
    """Training was interrupted (cancel, SIGTERM) after its state had been saved; fit again to continue."""


class Stateful(Protocol):
    """Anything else a training remembers between two batches, as a flat dict of tensors."""

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


class Loop:
    """Train `model` for a number of epochs over shuffled batches of row numbers.

    Parameters
    ----------
    model : torch.nn.Module
        Already on `device`.
    optimizer : torch.optim.Optimizer
    step : callable
        ``step(indices) -> (loss, parts)``, where `indices` is an int64 tensor of shape (batch,) on
        `device`. The data stay where the step keeps them, normally on the device: only row numbers travel.
    n_samples, n_epochs, batch_size : int
    generator : torch.Generator
        A CPU generator; draws the order of the samples and the seed of dropout.
    drop_last : bool
        Leave an epoch's last, smaller batch out.
    device : torch.device
    precision : {"fp32", "bf16", "fp16"}
        Other than ``"fp32"``: mixed precision by autocast; ``"fp16"`` scales the loss and needs a GPU.
    max_grad_norm : float, optional
        Gradients are scaled down to this norm.
    generators : dict of str to torch.Generator
        Every other generator the step draws from; saved and restored with the rest.
    extras : dict of str to Stateful
        Every other thing the step remembers between batches.
    fingerprint : str
        Identifies the work (see `workbench.training.fingerprint`); a checkpoint of other work is refused.
    parallel : bool
        Whether `step` takes its own share of the row numbers where several processes train together; see
        `workbench.training.distributed`. Where it does not, every process does the whole.
    sparse : tuple of Parameter
        Those whose gradients are sparse.
    callbacks : tuple of Callback
        Run before those that the caller added with `workbench.training.callbacks`.

    Attributes
    ----------
    epoch : int
        Epochs completed.
    batch, n_batches : int
        Batches completed in the current epoch, and how many it has.
    history : list of dict of str to float
        Mean of the loss and of its parts, one entry an epoch.
    stop : bool
        Set by a callback to end the training after the current epoch.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        step: Step,
        *,
        n_samples: int,
        n_epochs: int,
        batch_size: int,
        generator: torch.Generator,
        drop_last: bool = False,
        device: torch.device | None = None,
        precision: str = "fp32",
        max_grad_norm: float | None = None,
        generators: Mapping[str, torch.Generator] | None = None,
        extras: Mapping[str, Stateful] | None = None,
        fingerprint: str = "",
        parallel: bool = False,
        sparse: tuple[torch.nn.Parameter, ...] = (),
        callbacks: tuple[Callback, ...] = (),
    ) -> None:
        self.model, self.optimizer, self.step = model, optimizer, step
        self.n_samples, self.n_epochs, self.batch_size = n_samples, n_epochs, batch_size
        self.device = device or torch.device("cpu")
        self.max_grad_norm = max_grad_norm
        self.generators = {"order": generator, **(generators or {})}
        self.extras = dict(extras or {})
        self.fingerprint = fingerprint
        self.callbacks = (*callbacks, *active_callbacks())
        self.n_batches = n_samples // batch_size if drop_last else math.ceil(n_samples / batch_size)
        if self.n_batches == 0:
            raise UsageError(f"{n_samples} samples do not fill one batch of {batch_size}.")
        if precision == "fp16" and self.device.type == "cpu":
            raise UsageError("Precision 'fp16' needs a GPU; on a CPU take 'fp32' or 'bf16'.")
        self._autocast = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.epoch = self.batch = 0
        self.history: list[dict[str, float]] = []
        self.stop = self.finished = False
        self._interrupted = False
        self._sparse = sparse
        self._parallel = parallel and distributed.asked_for() > 1
        if self._parallel:
            distributed.join(self.device)
            self.step = distributed.parallel_step(model, step, sparse)
        self._order = torch.empty(0, dtype=torch.int64)
        self._totals: dict[str, Tensor] = {}

    def interrupt(self) -> None:
        """Ask the loop to save its state after the current batch and raise `Stopped`."""
        self._interrupted = True

    def run(self) -> Loop:
        """Train to the end.

        Raises
        ------
        Stopped
            If a callback called `interrupt`.
        RunError
            If the loss stopped being a number.
        """
        self._seed = seed = int(torch.randint(2**62, (), generator=self.generators["order"]))
        forked = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=forked):
            torch.manual_seed(seed)
            self.model.train()
            self._tell("on_train_begin")
            if self._parallel:
                distributed.wait_for_all()  # all have read the checkpoint before the first writes another
            while self.epoch < self.n_epochs and not self.finished:
                self._run_epoch()
            self.finished = True
            self._tell("on_train_end")
        return self

    def _run_epoch(self) -> None:
        if self.batch == 0:
            self._check_interrupt()
            self._order = torch.randperm(self.n_samples, generator=self.generators["order"])
            self._totals = {}
            self._tell("on_epoch_begin")
        order = self._order.to(self.device)
        while self.batch < self.n_batches:
            self._train_batch(order[self.batch * self.batch_size : (self.batch + 1) * self.batch_size])
            self.batch += 1
            self._tell("on_batch_end")
            self._check_interrupt()
        means = {name: float(total) / self.n_batches for name, total in self._totals.items()}
        if self._parallel:
            means = distributed.mean_of(means)
        if not all(map(math.isfinite, means.values())):
            raise RunError(
                f"The loss is no longer a number in epoch {self.epoch + 1}: lower the learning rate, "
                "or look for extreme values in the data."
            )
        self.history.append(means)
        self.epoch, self.batch = self.epoch + 1, 0
        self._tell("on_epoch_end")
        self.finished = self.stop

    def _train_batch(self, indices: Tensor) -> None:
        if self._parallel:  # dropout differs between the shares, and is the same after a restart
            torch.manual_seed(hash((self._seed, self.epoch, self.batch, distributed.rank())) % 2**62)
        # Parts of at least two samples: one has no variance to normalise by.
        n_parts = min(getattr(self.optimizer, "micro_batches", 1), len(indices) // 2)
        if n_parts > 1:
            loss, parts = self._backward_in_parts(indices, n_parts)
        else:
            with self._precision():
                loss, parts = self.step(indices)
            self.optimizer.zero_grad(set_to_none=True)
            self._scaler.scale(loss).backward()
            self._sum_rows()
        if self.max_grad_norm is not None:
            self._scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        # Sums stay on the device: reading them for every batch would make a GPU wait.
        for name, value in {"loss": loss, **parts}.items():
            value = value.detach().double()
            self._totals[name] = self._totals[name] + value if name in self._totals else value

    def _backward_in_parts(self, indices: Tensor, n_parts: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Gradients of each part of the batch for an optimizer that compares them; the mean losses."""
        losses, named = [], []
        for part in indices.tensor_split(n_parts):
            with self._precision():
                loss, parts = self.step(part)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._sum_rows()
            self.optimizer.collect()  # type: ignore[attr-defined]
            losses.append(loss.detach())
            named.append(parts)
        means = {name: torch.stack([parts[name].detach() for parts in named]).mean() for name in named[0]}
        return torch.stack(losses).mean(), means

    def _sum_rows(self) -> None:
        if self._parallel and self._sparse:
            distributed.sum_rows(self._sparse)

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._autocast)

    def _check_interrupt(self) -> None:
        if distributed.any_of(self._interrupted) if self._parallel else self._interrupted:
            self._tell("on_interrupt")
            raise Stopped(f"Stopped in epoch {self.epoch + 1} of {self.n_epochs}; run again to continue.")

    def _tell(self, hook: str) -> None:
        last_savers = not hook.endswith("begin")
        for callback in sorted(self.callbacks, key=lambda one: last_savers and one.saves):
            getattr(callback, hook)(self)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Everything needed to continue: JSON-ready values, and tensors under unique names."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        optimizer, optimizer_tensors = pack_optimizer(self.optimizer)
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_tensors.items()}
        for owner, generator in self.generators.items():
            tensors[f"generator.{owner}"] = generator.get_state()
        tensors["torch.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["torch.cuda"] = torch.cuda.get_rng_state(self.device)
        for owner, extra in self.extras.items():
            tensors |= {f"extra.{owner}.{name}": value for name, value in extra.state_dict().items()}
        tensors["order"] = self._order
        tensors |= {f"total.{name}": value for name, value in self._totals.items()}
        values = {
            "fingerprint": self.fingerprint,
            "epoch": self.epoch,
            "batch": self.batch,
            "history": self.history,
            "totals": list(self._totals),  # files of tensors do not keep their order
            "finished": self.finished or self.epoch == self.n_epochs or (self.stop and self.batch == 0),
            "optimizer": optimizer,
            "scaler": self._scaler.state_dict(),
        }
        return values, tensors

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave, in a loop built with the same arguments."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        unpack_optimizer(self.optimizer, values["optimizer"], part("optimizer."))
        for owner, generator in self.generators.items():
            generator.set_state(tensors[f"generator.{owner}"])
        torch.set_rng_state(tensors["torch.cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["torch.cuda"], self.device)
        for owner, extra in self.extras.items():
            extra.load_state_dict({k: v.to(self.device) for k, v in part(f"extra.{owner}.").items()})
        self._order = tensors["order"]
        self._totals = {name: tensors[f"total.{name}"].to(self.device) for name in values["totals"]}
        self.epoch, self.batch = values["epoch"], values["batch"]
        self.history = [dict(entry) for entry in values["history"]]
        self.finished = values["finished"]
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(values["scaler"])
