"""Optimizers that step only the rows of an embedding table which the batch has touched.

A table's gradient comes as a sparse tensor (`torch.nn.functional.embedding` with ``sparse=True``). Its
state and its rows stay as they are where the batch did not look, which is what makes a table of millions of
rows affordable; torch's own sparse optimizers sort the whole batch first and take several times as long.
Parameters with dense gradients are stepped by torch's optimizer of the same name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.training import _rows
from workbench.training.sign_momentum import Lion, lion_step

__all__ = ["RowAdagrad", "RowAdam", "RowLion", "RowSGD"]

#: Lookups in a batch from which a second thread pays.
_WORTH = 8192

#: ``stepper(rows, sums, n)`` moves the first `n` of `rows` by the summed gradients.
_Stepper = Callable[[Any, Any, int], None]


class _Buffers:
    """Work space of tables that are stepped together, kept from step to step."""

    def __init__(self, tables: list[Tensor]) -> None:
        self.slot = np.zeros(len(tables[0]), dtype=np.int32)
        self.rows: list[np.ndarray[Any, Any]] = []
        self.sums: list[list[np.ndarray[Any, Any]]] = []

    def grow(self, parts: int, n: int, values: list[np.ndarray[Any, Any]]) -> None:
        if len(self.rows) != parts or len(self.rows[0]) < n or len(self.sums[0]) != len(values):
            self.rows = [np.empty(n, dtype=np.int64) for _ in range(parts)]
            self.sums = [[np.empty((n, v.shape[1]), dtype=v.dtype) for v in values] for _ in range(parts)]


class _RowWise(ABC):
    """Steps parameters with sparse gradients; mixed into a torch optimizer, which steps the others.

    Parameters
    ----------
    row_decay : mapping of Parameter to Tensor, optional
        L2 pull of each row of a table, (n_rows,) or (1,), added to its gradient when it is touched.
    """

    state: Any
    param_groups: list[dict[str, Any]]

    def __init__(
        self,
        params: Any,
        *args: Any,
        row_decay: Mapping[Tensor, Tensor] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(params, *args, **options)  # type: ignore[call-arg]
        self._decay = dict(row_decay or {})
        self._buffers: dict[Tensor, _Buffers] = {}
        self._pool: ThreadPoolExecutor | None = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            sparse = [t for t in group["params"] if t.grad is not None and t.grad.layout == torch.sparse_coo]
            alike: dict[Any, list[Tensor]] = {}
            for table in sparse:
                # Tables that were looked up together share their list of rows.
                indices = table.grad._indices()
                alike.setdefault((len(table), indices.data_ptr(), indices.shape), []).append(table)
            for tables in alike.values():
                self._step_tables(tables, group)
            for table in sparse:
                table.grad = None  # torch's own step leaves it out
        super().step()  # type: ignore[misc]
        return loss

    def _decay_of(self, table: Tensor, group: dict[str, Any]) -> Tensor:
        if table in self._decay:
            return self._decay[table]
        return torch.full((1,), group.get("weight_decay", 0.0), device=table.device)

    def _step_tables(self, tables: list[Tensor], group: dict[str, Any]) -> None:
        """Step tables whose gradients are of the same rows."""
        if tables[0].device.type != "cpu":
            for table in tables:
                grad, decay = table.grad.coalesce(), self._decay_of(table, group)  # type: ignore[union-attr]
                rows, sums = grad.indices()[0], grad.values()
                pull = decay if len(decay) == 1 else decay[rows, None]
                self._torch_step(table, rows, sums, pull, group)
            return
        steppers = [self._stepper(t, self._decay_of(t, group).to(t.dtype).numpy(), group) for t in tables]
        index = tables[0].grad._indices()[0].numpy()  # type: ignore[union-attr]
        values = [table.grad._values().numpy() for table in tables]  # type: ignore[union-attr]
        parts = 2 if torch.get_num_threads() > 1 and len(index) >= _WORTH else 1
        buffers = self._buffers.setdefault(tables[0], _Buffers(tables))
        buffers.grow(parts, len(index), values)

        def work(part: int) -> None:
            slot, rows, sums = buffers.slot, buffers.rows[part], buffers.sums[part]
            n = _rows.sum_rows(index, values[0], slot, rows, sums[0], parts - 1, part)
            steppers[0](rows, sums[0], n)
            for stepper, more, summed in zip(steppers[1:], values[1:], sums[1:], strict=True):
                _rows.sum_more(index, more, slot, summed, n, parts - 1, part)
                stepper(rows, summed, n)

        if parts == 1:
            work(0)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1)
        other = self._pool.submit(work, 1)
        work(0)
        other.result()

    @abstractmethod
    def _stepper(self, table: Tensor, decay: Any, group: dict[str, Any]) -> _Stepper:
        """What steps rows of a table on the CPU; `decay` is added to the gradient there."""

    @abstractmethod
    def _torch_step(
        self, table: Tensor, rows: Tensor, grad: Tensor, decay: Tensor, group: dict[str, Any]
    ) -> None:
        """Step rows of a table by torch, on a GPU; `decay` is of shape (1,) or (n, 1)."""


class RowAdam(_RowWise, torch.optim.Adam):
    """Adam [1]_ whose tables are stepped lazily: moments of untouched rows do not decay.

    A row touched in every step moves as by `torch.optim.Adam`. The bias correction counts all steps.

    References
    ----------
    .. [1] Kingma and Ba, arXiv 1412.6980.
    """

    def _stepper(self, table: Tensor, decay: Any, group: dict[str, Any]) -> _Stepper:
        beta1, beta2, rate, root2 = self._corrected(table, group)
        state = self.state[table]
        arrays = [t.numpy() for t in (table.detach(), state["exp_avg"], state["exp_avg_sq"])]

        def stepper(rows: Any, sums: Any, n: int) -> None:
            _rows.step_adam(*arrays, rows, sums, n, decay, rate, beta1, beta2, group["eps"], root2)

        return stepper

    def _torch_step(
        self, table: Tensor, rows: Tensor, grad: Tensor, decay: Tensor, group: dict[str, Any]
    ) -> None:
        grad = grad + decay * table[rows]
        beta1, beta2, rate, root2 = self._corrected(table, group)
        state = self.state[table]
        first = torch.lerp(state["exp_avg"][rows], grad, 1 - beta1)
        second = state["exp_avg_sq"][rows] * beta2 + grad * grad * (1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = first, second
        table.index_add_(0, rows, first / (second.sqrt() / root2 + group["eps"]), alpha=-rate)

    def _corrected(self, table: Tensor, group: dict[str, Any]) -> tuple[float, float, float, float]:
        state = self.state[table]
        if not state:
            # Named and typed as torch's own, so that its state is packed and restored alike.
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        state["step"] += 1
        step = float(state["step"])
        beta1, beta2 = group["betas"]
        return beta1, beta2, float(group["lr"]) / (1 - beta1**step), math.sqrt(1 - beta2**step)


class RowAdagrad(_RowWise, torch.optim.Adagrad):
    """Adagrad whose tables are stepped row by row; the result is that of `torch.optim.Adagrad`."""

    def _stepper(self, table: Tensor, decay: Any, group: dict[str, Any]) -> _Stepper:
        self.state[table]["step"] += 1
        arrays = [t.numpy() for t in (table.detach(), self.state[table]["sum"])]

        def stepper(rows: Any, sums: Any, n: int) -> None:
            _rows.step_adagrad(*arrays, rows, sums, n, decay, float(group["lr"]), group["eps"])

        return stepper

    def _torch_step(
        self, table: Tensor, rows: Tensor, grad: Tensor, decay: Tensor, group: dict[str, Any]
    ) -> None:
        grad = grad + decay * table[rows]
        self.state[table]["step"] += 1
        total = self.state[table]["sum"][rows] + grad * grad
        self.state[table]["sum"][rows] = total
        table.index_add_(0, rows, grad / (total.sqrt() + group["eps"]), alpha=-float(group["lr"]))


class RowSGD(_RowWise, torch.optim.SGD):
    """Gradient descent whose tables are stepped row by row, without momentum."""

    def _stepper(self, table: Tensor, decay: Any, group: dict[str, Any]) -> _Stepper:
        array = table.detach().numpy()

        def stepper(rows: Any, sums: Any, n: int) -> None:
            _rows.step_sgd(array, rows, sums, n, decay, float(group["lr"]))

        return stepper

    def _torch_step(
        self, table: Tensor, rows: Tensor, grad: Tensor, decay: Tensor, group: dict[str, Any]
    ) -> None:
        table.index_add_(0, rows, grad + decay * table[rows], alpha=-float(group["lr"]))


class RowLion(_RowWise, Lion):
    """Lion whose tables are stepped row by row: the momentum of untouched rows does not move them.

    The pull of the rows is decoupled from the gradient, as Lion's weight decay is.
    """

    def _stepper(self, table: Tensor, decay: Any, group: dict[str, Any]) -> _Stepper:
        arrays = [t.numpy() for t in (table.detach(), self._momentum(table))]
        beta1, beta2 = group["betas"]

        def stepper(rows: Any, sums: Any, n: int) -> None:
            _rows.step_lion(*arrays, rows, sums, n, decay, float(group["lr"]), beta1, beta2)

        return stepper

    def _torch_step(
        self, table: Tensor, rows: Tensor, grad: Tensor, decay: Tensor, group: dict[str, Any]
    ) -> None:
        kept = self._momentum(table)
        decayed = {**group, "weight_decay": decay}
        table[rows], kept[rows] = lion_step(table[rows], kept[rows], grad, decayed)

    def _momentum(self, table: Tensor) -> Tensor:
        state = self.state[table]
        if not state:
            state["momentum"] = torch.zeros_like(table)
        found: Tensor = state["momentum"]
        return found
