"""Training the same rows by deepctr-torch, by torch-rechub, and by plain transcriptions: rows a second.

The two packages are no dependencies of the project; give the folder they are in with ``--peers``::

    pip install --no-deps --target /tmp/peers deepctr-torch torch-rechub
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["EMBEDDING", "HIDDEN", "Columns", "deepctr", "plain_dlrm", "plain_one_table", "rechub"]

EMBEDDING, HIDDEN, RATE = 16, (256, 128), 1e-3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Label-encoded rows: codes (n, C) with `sizes` values each, numbers (n, K), clicks (n,), a history.

    The history (n, L) is of the last categorical field, counted from 1, with 0 where there is nothing.
    """

    codes: NDArray[np.int32]
    sizes: tuple[int, ...]
    numbers: NDArray[np.float32]
    click: NDArray[Any]
    history: NDArray[np.int32] | None = None

    def part(self, rows: slice) -> Columns:
        history = None if self.history is None else self.history[rows]
        return Columns(self.codes[rows], self.sizes, self.numbers[rows], self.click[rows], history)


def deepctr(
    kind: str, rows: Columns, batch: int, *, epochs: int = 1, seed: int = 0
) -> tuple[float, Callable[[Columns], Floats]]:
    """Seconds of its `fit`, and its predictions; Adam at the same rate, its own penalties off."""
    from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
    from deepctr_torch.models import DCN, DIN, DeepFM

    shift = 0 if rows.history is None else 1  # 0 pads a history
    names = [f"c{i}" for i in range(len(rows.sizes))]
    fields: list[Any] = [
        SparseFeat(name, size + shift, EMBEDDING) for name, size in zip(names, rows.sizes, strict=True)
    ]
    fields += [DenseFeat(f"n{i}", 1) for i in range(rows.numbers.shape[1])]
    own = {"dnn_hidden_units": HIDDEN, "seed": seed, "device": "cpu", "l2_reg_embedding": 0.0}
    if kind == "DIN":
        item = SparseFeat(f"hist_{names[-1]}", rows.sizes[-1] + 1, EMBEDDING, embedding_name=names[-1])
        assert rows.history is not None
        fields.append(VarLenSparseFeat(item, rows.history.shape[1], length_name="length"))
        model: Any = DIN(fields, [names[-1]], **own)
    elif kind == "DCNv2":
        own |= {"l2_reg_linear": 0.0, "l2_reg_cross": 0.0}
        model = DCN(fields, fields, cross_num=3, cross_parameterization="matrix", **own)
    else:
        model = DeepFM(fields, fields, l2_reg_linear=0.0, **own)
    model.compile(torch.optim.Adam(model.parameters(), lr=RATE), "binary_crossentropy")

    def given(part: Columns) -> dict[str, Any]:
        columns: dict[str, Any] = {name: part.codes[:, i] + shift for i, name in enumerate(names)}
        columns |= {f"n{i}": part.numbers[:, i] for i in range(part.numbers.shape[1])}
        if part.history is not None:
            columns |= {f"hist_{names[-1]}": part.history, "length": (part.history > 0).sum(1)}
        return columns

    with contextlib.redirect_stdout(io.StringIO()):
        began = time.perf_counter()
        model.fit(given(rows), rows.click.astype(np.float32), batch_size=batch, epochs=epochs, verbose=0)
        seconds = time.perf_counter() - began
    return seconds, lambda part: model.predict(given(part), batch).ravel().astype(np.float64)


def rechub(rows: Columns, batch: int, *, as_frame: bool = True, seed: int = 0) -> float:
    """Seconds of DeepFM's `CTRTrainer.fit`, one epoch, without weight decay.

    Its own examples hand the generator a data frame (examples/ranking/run_criteo.py), from which it takes
    cell by cell; with a dictionary of arrays, `as_frame` false, that is several times as fast.
    """
    from torch_rechub.basic.features import DenseFeature, SparseFeature
    from torch_rechub.models.ranking import DeepFM
    from torch_rechub.trainers import CTRTrainer
    from torch_rechub.utils.data import DataGenerator

    torch.manual_seed(seed)
    sparse = [SparseFeature(f"c{i}", size, EMBEDDING) for i, size in enumerate(rows.sizes)]
    dense = [DenseFeature(f"n{i}") for i in range(rows.numbers.shape[1])]
    layers = {"dims": list(HIDDEN), "dropout": 0.0, "activation": "relu"}
    model = DeepFM(deep_features=sparse + dense, fm_features=sparse, mlp_params=layers)
    x = {feature.name: rows.codes[:, i] for i, feature in enumerate(sparse)}
    x |= {feature.name: rows.numbers[:, i] for i, feature in enumerate(dense)}
    y = rows.click.astype(np.float32)
    few = {name: values[:1] for name, values in x.items()}
    given = (pd.DataFrame(x), pd.Series(y)) if as_frame else (x, y)
    loader, *_ = DataGenerator(*given).generate_dataloader(few, y[:1], few, y[:1], batch_size=batch)
    silence = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        options = {"lr": RATE, "weight_decay": 0.0}
        trainer = CTRTrainer(model, optimizer_params=options, n_epoch=1, device="cpu", model_path=folder)
        began = time.perf_counter()
        trainer.fit(loader)
        return time.perf_counter() - began


def _perceptron(wide: int, widths: Sequence[int], *, last: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for narrow in widths:
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
        wide = narrow
    return nn.Sequential(*layers, *([nn.Linear(wide, 1)] if last else []))


def _train(
    loss: Callable[[Tensor], Tensor], optimizers: Sequence[torch.optim.Optimizer], n: int, batch: int
) -> float:
    began = time.perf_counter()
    order = torch.randperm(n)
    for start in range(0, n, batch):
        value = loss(order[start : start + batch])
        for optimizer in optimizers:
            optimizer.zero_grad()
        value.backward()
        for optimizer in optimizers:
            optimizer.step()
    return time.perf_counter() - began


class _DLRM(nn.Module):
    """DLRM as its paper draws it: a table a field, all dot products, a perceptron below and one on top."""

    def __init__(self, sizes: Sequence[int], n_numbers: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(size, EMBEDDING, mode="sum") for size in sizes)
        self.bottom = _perceptron(n_numbers, [64, EMBEDDING], last=False)
        n = len(sizes) + 1
        self.lower = torch.tril_indices(n, n, offset=-1)
        self.top = _perceptron(EMBEDDING + n * (n - 1) // 2, HIDDEN)

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        dense = self.bottom(numbers)
        vectors = [table(codes[:, i : i + 1]) for i, table in enumerate(self.tables)]
        stacked = torch.stack([dense, *vectors], dim=1)
        dots = torch.bmm(stacked, stacked.transpose(1, 2))
        return self.top(torch.cat([dense, dots[:, self.lower[0], self.lower[1]]], dim=1)).squeeze(1)


def plain_dlrm(rows: Columns, batch: int, *, seed: int = 0) -> float:
    """Seconds of an epoch of the transcription with Adam; slices of tensors, no data loader."""
    torch.manual_seed(seed)
    model = _DLRM(rows.sizes, rows.numbers.shape[1])
    codes, numbers = torch.from_numpy(rows.codes), torch.from_numpy(rows.numbers)
    y = torch.from_numpy(rows.click.astype(np.float32))
    loss = nn.BCEWithLogitsLoss()
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    return _train(lambda i: loss(model(codes[i], numbers[i]), y[i]), [adam], len(y), batch)


class _DeepFM(nn.Module):
    """DeepFM on one table with sparse gradients; a number's vector is its row times the number."""

    def __init__(self, sizes: Sequence[int], n_numbers: int) -> None:
        super().__init__()
        n = sum(sizes) + n_numbers
        self.table, self.weight = (nn.Embedding(n, d, sparse=True) for d in (EMBEDDING, 1))
        nn.init.normal_(self.table.weight, std=0.01)
        nn.init.zeros_(self.weight.weight)
        self.deep = _perceptron((len(sizes) + n_numbers) * EMBEDDING, HIDDEN)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        e = self.table(ids) * values.unsqueeze(-1)
        linear = (self.weight(ids).squeeze(-1) * values).sum(1)
        pairs = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
        return self.deep(e.flatten(1)).squeeze(1) + linear + pairs


def plain_one_table(rows: Columns, batch: int, *, seed: int = 0) -> float:
    """Seconds of an epoch of a plain loop: one sparse table, torch's SparseAdam, and Adam for the layers."""
    torch.manual_seed(seed)
    n_numbers = rows.numbers.shape[1]
    model = _DeepFM(rows.sizes, n_numbers)
    starts = np.cumsum([0, *rows.sizes])
    own = np.broadcast_to(starts[-1] + np.arange(n_numbers), (len(rows.codes), n_numbers))
    ids = torch.from_numpy(np.hstack([rows.codes + starts[:-1], own]).astype(np.int64))
    values = torch.from_numpy(np.hstack([np.ones_like(rows.codes, dtype=np.float32), rows.numbers]))
    y = torch.from_numpy(rows.click.astype(np.float32))
    loss = nn.BCEWithLogitsLoss()
    tables = [model.table.weight, model.weight.weight]
    optimizers = [
        torch.optim.SparseAdam(tables, lr=RATE),
        torch.optim.Adam(model.deep.parameters(), lr=RATE),
    ]
    return _train(lambda i: loss(model(ids[i], values[i]), y[i]), optimizers, len(y), batch)
