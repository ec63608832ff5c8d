"""Rows a second of training: our models, other packages and plain transcriptions on the same rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from _common import table
from _selection_logs import SIZES, log
from _selection_rivals import EMBEDDING, HIDDEN, RATE, Columns, deepctr, plain_dlrm, plain_one_table, rechub

from workbench.ctr import (
    DCNv2Classifier,
    DeepFMClassifier,
    DINClassifier,
    DLRMClassifier,
    FieldEncoder,
)

__all__ = ["OURS", "report", "report_on", "show", "show_gpu"]

BATCH, HISTORY = 4096, 50
#: On a GPU: rows of a batch, and rows a second that DeepFM is meant to learn.
ON_GPU = (65_536, 2_000_000)
OURS: dict[str, Callable[..., Any]] = {
    "DeepFM": DeepFMClassifier,
    "DeepFM, bf16": partial(DeepFMClassifier, precision="bf16"),
    "DCNv2": DCNv2Classifier,
    "DLRM": DLRMClassifier,
    "DIN, history 50": DINClassifier,
}
#: Model, what it is compared with, how many times as fast it is meant to be.
PAIRS = (
    ("DeepFM", "deepctr-torch", 3.5),
    ("DeepFM", "torch-rechub", 25.0),
    ("DeepFM", "torch-rechub, arrays", None),
    ("DeepFM", "plain, one sparse table", None),
    ("DeepFM, bf16", "deepctr-torch", None),
    ("DCNv2", "deepctr-torch", 1.5),
    ("DIN, history 50", "deepctr-torch", 3.0),
    ("DLRM", "plain transcription", 2.0),
)


def wide(n: int) -> Columns:
    """The planted log's 26 categories and 13 numbers."""
    rows = log(n, seed=0)
    return Columns(rows.codes, SIZES, rows.numbers, rows.click)


def sequences(n: int, seed: int = 0) -> Columns:
    """A user, a category and an item with histories that are all full: nothing is saved on padding."""
    rng = np.random.default_rng(seed)
    sizes = (100_000, 500, 100_000)
    codes = np.stack([size * rng.random(n) ** 3.3 for size in sizes], axis=1).astype(np.int32)
    history = (1 + sizes[-1] * rng.random((n, HISTORY)) ** 3.3).astype(np.int32)
    click = (rng.random(n) < 0.2 + 0.3 * (codes[:, 1] % 2)).astype(np.int8)
    return Columns(codes, sizes, np.empty((n, 0), dtype=np.float32), click, history)


def ours(kind: str, rows: Columns, device: str = "cpu", batch: int = BATCH) -> tuple[float, float]:
    """Seconds of an epoch on encoded rows, and of `fit` on the table, encoder and all; Adam, as the peers."""
    names = [f"c{i}" for i in range(len(rows.sizes))]
    frame = pd.DataFrame(dict(zip(names, rows.codes.T, strict=True)))
    for i in range(rows.numbers.shape[1]):
        frame[f"n{i}"] = rows.numbers[:, i]
    kinds, shared = dict.fromkeys(names, "categorical"), None
    if rows.history is not None:
        frame["history"] = list(rows.history - 1)
        kinds, shared = {**kinds, "history": "sequence"}, {"history": names[-1]}
    encoder = FieldEncoder(kinds=kinds, shared=shared, numeric="standard", max_length=HISTORY)
    model = OURS[kind](
        embedding_dim=EMBEDDING,
        hidden=HIDDEN,
        batch_size=batch,
        learning_rate=RATE,
        encoder=encoder,
        random_state=0,
        device=device,
    )
    fitted = encoder.fit(frame)
    encoded = fitted.encode(frame)
    model.fit_encoded(fitted, encoded[: 2 * batch], rows.click[: 2 * batch])  # compiles what is compiled
    began = time.perf_counter()
    model.fit_encoded(fitted, encoded, rows.click)
    epoch = time.perf_counter() - began
    began = time.perf_counter()
    model.fit(frame, rows.click)
    return epoch, time.perf_counter() - began


def rival(kind: str, name: str, rows: Columns) -> float:
    if name.startswith("torch-rechub"):
        return rechub(rows, BATCH, as_frame=name == "torch-rechub")
    if name.startswith("plain"):
        return plain_dlrm(rows, BATCH) if kind == "DLRM" else plain_one_table(rows, BATCH)
    return deepctr(kind.partition(",")[0], rows, BATCH)[0]


def report(n: int, repeats: int, keep: Callable[[str, dict[str, Any]], None]) -> None:
    """Rows a second and ratios, the median of `repeats`; `keep` is given each cell's name and its figures.

    Ours and theirs take turns, so that a machine that slows down slows both.
    """
    torch.set_num_threads(2)
    print(
        f"{n} rows, embedding {EMBEDDING}, perceptron {HIDDEN}, batches of {BATCH}, Adam ({RATE}), 1 epoch\n"
    )
    logs = {"DIN, history 50": sequences(n)}
    plain = wide(n)
    for kind, other, target in PAIRS:
        rows = logs.get(kind, plain)
        # torch-rechub takes minutes: fewer rows give the same rate.
        theirs_on = rows.part(slice(0, n // 5)) if other.startswith("torch-rechub") else rows
        rival(kind, other, rows.part(slice(0, 2 * BATCH)))
        mine, whole, their = [], [], []
        for _ in range(repeats):
            epoch, fit = ours(kind, rows)
            mine.append(n / epoch)
            whole.append(n / fit)
            their.append(len(theirs_on.click) / rival(kind, other, theirs_on))
        speed, rate = statistics.median(mine), statistics.median(their)
        found = {"rows_per_second": speed, "with_encoder": statistics.median(whole), "peer": rate}
        keep(f"speed/{kind} | {other}", {**found, "ratio": speed / rate, "wanted": target})


def report_on(device: str, n: int, repeats: int, keep: Callable[[str, dict[str, Any]], None]) -> None:
    """Rows a second of our models on a GPU, the median of `repeats`; `keep` as in `report`."""
    batch, wanted = ON_GPU
    rows = wide(n)
    print(f"{n} rows on {device}, batches of {batch}, Adam ({RATE}), 1 epoch\n")
    for kind in ("DeepFM", "DCNv2", "DLRM"):
        speed = statistics.median(n / ours(kind, rows, device, batch)[0] for _ in range(repeats))
        target = wanted if kind == "DeepFM" else None
        keep(f"speed-gpu/{kind}", {"rows_per_second": speed, "rows": n, "batch": batch, "wanted": target})


def show_gpu(results: Mapping[str, Any]) -> str:
    """The kept cells of a GPU as a table."""
    lines = []
    for kind in ("DeepFM", "DCNv2", "DLRM"):
        cell = results.get(f"speed-gpu/{kind}")
        wanted = f"{ON_GPU[1]:,}" if kind == "DeepFM" else ""
        found = ["not run", ""] if cell is None else [f"{cell['rows_per_second']:,.0f}", cell["machine"]]
        lines.append([kind, *found, wanted, "" if cell is None else cell["commit"]])
    return table(["training on a GPU", "ours, rows/s", "machine", "wanted", "commit"], lines)


def show(results: Mapping[str, Any]) -> str:
    """The kept cells as a table."""
    lines = []
    for kind, other, target in PAIRS:
        cell, wanted = results.get(f"speed/{kind} | {other}"), "" if target is None else f"{target:g}x"
        if cell is None:
            lines.append([kind, "not run", "", other, "", "", wanted, ""])
            continue
        speeds = [f"{cell[key]:,.0f}" for key in ("rows_per_second", "with_encoder", "peer")]
        lines.append([kind, *speeds[:2], other, speeds[2], f"{cell['ratio']:.1f}x", wanted, cell["commit"]])
    header = ["training", "ours, rows/s", "with the encoder", "beside", "rows/s", "ratio", "wanted", "commit"]
    return table(header, lines)
