"""Training a CTR network on encoded rows: one loop, one optimizer for tables and layers, no data loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.ctr._batch import Batch, make_batch
from workbench.ctr._network import Network
from workbench.ctr._networks import NETWORKS
from workbench.ctr.encoded import Encoded, Layout
from workbench.training import distributed
from workbench.training.callbacks import Callback
from workbench.training.loop import Loop
from workbench.training.optimizers import unpack_optimizer
from workbench.training.progress import ProgressBar, in_notebook
from workbench.training.rowwise import RowAdagrad, RowAdam, RowLion, RowSGD
from workbench.training.signal_to_noise import GSNR
from workbench.training.threads import one_thread_if

__all__ = ["CTR_OPTIMIZERS", "Rows", "Schedule", "build", "from_arrays", "logits_of", "make_rows", "train"]

#: Optimizers that leave untouched rows of a table alone.
CTR_OPTIMIZERS: dict[str, Any] = {
    "adam": RowAdam,
    "adamw": partial(RowAdam, decoupled_weight_decay=True),
    "adagrad": RowAdagrad,
    "sgd": RowSGD,
    "lion": RowLion,
    "gsnr": GSNR,
}

#: Numbers of a batch below which a second thread costs more than it brings.
_WORTH = 200_000

#: Rows of a step of prediction.
_CHUNK = 16_384


@dataclass(frozen=True)
class Rows:
    """Labelled rows on the device; `y` and `weight` of shape (n,), weights with a mean of 1."""

    batch: Batch
    y: Tensor
    weight: Tensor | None

    def __len__(self) -> int:
        return len(self.y)

    def loss(
        self, network: nn.Module, indices: Tensor, gates: Callable[[Batch], Tensor] | None = None
    ) -> Tensor:
        """Mean weighted logistic loss of those rows."""
        whole = len(indices)
        indices = distributed.share(indices)
        batch = self.batch.take(indices)
        logits = network(batch, None if gates is None else gates(batch))
        weight = None if self.weight is None else self.weight[indices]
        size = distributed.world()[1]
        loss = nn.functional.binary_cross_entropy_with_logits
        if size == 1:
            return loss(logits, self.y[indices], weight)
        # The mean over processes of these is the mean over rows, also of shares that are not equal.
        return loss(logits, self.y[indices], weight, reduction="sum") * (size / whole)


def make_rows(
    encoded: Encoded,
    layout: Layout,
    y: NDArray[Any],
    weight: NDArray[Any] | None,
    device: torch.device,
) -> Rows:
    """Rows with labels as tensors on the device."""
    return Rows(
        make_batch(encoded, layout).to(device),
        torch.from_numpy(y.astype(np.float32)).to(device),
        None if weight is None else torch.from_numpy(weight.astype(np.float32)).to(device),
    )


@dataclass(frozen=True)
class Schedule:
    """How long and by what a network is trained."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    weight_decay: float
    l2: float
    l2_by_frequency: bool
    device: torch.device
    seed: int
    precision: str = "fp32"
    fingerprint: str = ""
    verbose: int = 0


@dataclass
class Gated:
    """What learns gates beside the network.

    Attributes
    ----------
    values : callable
        Gates to train the network with on a batch.
    callbacks : tuple of Callback
    extras, generators : mapping
        For the loop's checkpoints.
    """

    values: Callable[[Batch], Tensor]
    callbacks: tuple[Callback, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    generators: Mapping[str, torch.Generator] = field(default_factory=dict)


def build(kind: str, layout: Layout, dim: int, options: Mapping[str, Any], seed: int | None) -> Network:
    """A network with weights drawn from `seed`; torch's own generator is left as it was.

    Without a seed its tables are blank: drawing millions of numbers to load others over them takes longer
    than answering a request.
    """
    with torch.random.fork_rng(devices=[]):
        if seed is None:
            return NETWORKS[kind](layout, dim, options, blank=True)
        torch.manual_seed(seed)
        return NETWORKS[kind](layout, dim, options)


def from_arrays(network: Network, weights: Mapping[str, NDArray[Any]]) -> Network:
    """Make `network` use the arrays themselves, not copies."""
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in weights.items()}
    network.load_state_dict(state, assign=True)
    return network


def train(
    network: Network,
    rows: Rows,
    schedule: Schedule,
    counts: Mapping[str, NDArray[np.int64]],
    *,
    gated: Gated | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    optimizer_state: Any = None,
    callbacks: tuple[Callback, ...] = (),
) -> tuple[list[dict[str, float]], torch.optim.Optimizer]:
    """Train `network` in place.

    Parameters
    ----------
    network : Network
        On the schedule's device.
    rows : Rows
    schedule : Schedule
    counts : mapping of str to ndarray
        How often each index of each table occurs in the training rows, for `l2_by_frequency`.
    gated : Gated, optional
    optimizer : torch.optim.Optimizer, optional
        What an earlier call with the same network returned, to go on with.
    optimizer_state : optional
        Its packed state, where the network has been built anew.

    Returns
    -------
    history : list of dict
    optimizer
    """
    if optimizer is None:
        optimizer = _optimizer(network, schedule, counts)
    if optimizer_state is not None:
        unpack_optimizer(optimizer, *optimizer_state)
    order = torch.Generator().manual_seed(schedule.seed)

    def step(indices: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return rows.loss(network, indices, None if gated is None else gated.values), {}

    n = len(rows)
    bars = (ProgressBar("ctr"),) if schedule.verbose or in_notebook() else ()
    batch_size = min(schedule.batch_size, n)
    loop = Loop(
        network,
        optimizer,
        step,
        n_samples=n,
        n_epochs=schedule.n_epochs,
        batch_size=batch_size,
        generator=order,
        drop_last=n % batch_size == 1 and n > batch_size,  # one row has no variance to normalise by
        device=schedule.device,
        precision=schedule.precision,
        generators={} if gated is None else gated.generators,
        extras={} if gated is None else gated.extras,
        fingerprint=f"{schedule.fingerprint}:{schedule.n_epochs}",
        parallel=gated is None,  # gates have an optimizer of their own
        sparse=tuple(network.tables()),
        callbacks=(*bars, *(() if gated is None else gated.callbacks), *callbacks),
    )
    network.requires_grad_(True)
    with one_thread_if(batch_size * len(network.layout.fields) * network.dim < _WORTH):
        loop.run()
    network.eval()
    return loop.history, optimizer


def _optimizer(
    network: Network, schedule: Schedule, counts: Mapping[str, NDArray[np.int64]]
) -> torch.optim.Optimizer:
    tables = network.tables()
    layers = [p for p in network.parameters() if not any(p is table for table in tables)]
    pull = torch.full((1,), schedule.l2, device=schedule.device)
    if schedule.l2_by_frequency and schedule.l2 > 0:
        seen = np.ones(network.layout.n_rows)
        tables_by_name = network.layout.tables
        for field in {field.table: field for field in network.layout.fields}.values():
            if len(counts.get(field.table, ())) == field.rows:
                start, n = tables_by_name[field.table]
                seen[start : start + n] = np.maximum(field.stored_counts(counts[field.table]), 1)
        pull = torch.from_numpy((schedule.l2 / seen).astype(np.float32)).to(schedule.device)
    groups = [
        {"params": tables, "weight_decay": 0.0},
        {"params": layers, "weight_decay": schedule.weight_decay},
    ]
    options: dict[str, Any] = {"lr": schedule.learning_rate, "row_decay": dict.fromkeys(tables, pull)}
    if schedule.optimizer in ("adam", "adamw", "sgd"):
        options["fused"] = True
    return CTR_OPTIMIZERS[schedule.optimizer](groups, **options)


@torch.no_grad()
def logits_of(network: Network, encoded: Encoded, *, gates: Tensor | None = None) -> NDArray[np.float64]:
    """Logits of all rows, in double precision after the tables, (n,)."""
    network.eval()
    with one_thread_if(min(len(encoded), _CHUNK) * len(network.layout.fields) * network.dim < _WORTH):
        parts = [
            network(batch, gates, torch.float64).cpu().numpy() for batch in _chunks(encoded, network.layout)
        ]
    return np.concatenate(parts) if parts else np.empty(0)


def _chunks(encoded: Encoded, layout: Layout) -> Iterator[Batch]:
    for start in range(0, len(encoded), _CHUNK):
        yield make_batch(encoded[start : start + _CHUNK], layout)
