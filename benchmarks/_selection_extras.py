"""Further cells: SHARK's estimate against permutation, DIN on Beauty, and a log that is streamed."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _selection_data import beauty, criteo, host, parts
from scipy.stats import spearmanr

from workbench.ctr import DeepFMClassifier, DINClassifier, FieldEncoder, metrics
from workbench.selection.scores import field_gradients, permutation_importance

__all__ = ["BEAUTY", "run_beauty", "run_shark", "run_stream"]

#: Name → kind of the history (a multi-valued field is averaged) and activation.
BEAUTY = {
    "mean pooling, ReLU": ("multi", "relu"),
    "mean pooling, Dice": ("multi", "dice"),
    "DIN, ReLU": ("sequence", "relu"),
    "DIN, Dice": ("sequence", "dice"),
}


def run_shark(data: Path, seed: int) -> dict[str, Any]:
    """Rank correlation of F-Permutation with 5 shuffles of each of Criteo's 39 fields, and both times."""
    X, y = criteo(data)
    train, validation, test = parts(len(y))
    judged = np.r_[validation, test]
    encoder = FieldEncoder(min_count=5)
    model = host(seed, []).set_params(encoder=encoder, n_epochs=2).fit(X.iloc[train], y[train])
    rows, labels = model.encoder_.encode(X.iloc[judged]), y[judged].astype(float)
    layout = model.encoder_.layout()
    field_gradients(model, rows[:100], labels[:100])  # compiled and loaded before it is timed
    began = time.perf_counter()
    scores = field_gradients(model, rows, labels)
    fast = time.perf_counter() - began
    began = time.perf_counter()
    truth = permutation_importance(model, layout, rows, labels, n_repeats=5, seed=seed)
    slow = time.perf_counter() - began
    return {
        "signed": float(spearmanr(scores["signed"], truth).statistic),
        "absolute": float(spearmanr(scores["absolute"], truth).statistic),
        "ratio": slow / fast,
        "rows": len(judged),
    }


def run_beauty(data: Path, name: str, seed: int) -> dict[str, Any]:
    """Share of a user's pairs (bought, not bought) that are ranked right: GAUC of the last item."""
    kind, activation = BEAUTY[name]
    frame, y, test = beauty(data, seed)
    X = frame.drop(columns="user")
    encoder = FieldEncoder(kinds={"history": kind}, shared={"history": "item"}, max_length=20)
    model = DINClassifier(
        embedding_dim=16,
        hidden=(80, 40),
        activation=activation,
        n_epochs=2,
        batch_size=512,
        learning_rate=2e-3,
        l2=1.0,
        l2_by_frequency=True,
        encoder=encoder,
        random_state=seed,
        device="cpu",
    ).fit(X[~test], y[~test])
    p = model.predict_proba(X[test])[:, 1]
    return {
        "gauc": metrics.gauc(y[test], p, frame["user"][test]),
        "auc": metrics.auc(y[test], p),
        "logloss": metrics.logloss(y[test], p),
    }


def run_stream(data: Path, seed: int, megabytes: int) -> dict[str, Any]:
    """Rows a second from files of Criteo rows drawn with replacement, against the same rows in memory.

    Files are written until they hold `megabytes` of Arrow data; the model reads them batch by batch.
    """
    X, y = criteo(data)
    whole = pa.Table.from_pandas(X.assign(click=y), preserve_index=False)
    rng = np.random.default_rng(seed)
    n = 100_000
    options = {"embedding_dim": 16, "batch_size": 4096, "random_state": seed, "device": "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        size = count = 0
        while size < megabytes * 1e6:
            part = whole.take(pa.array(rng.integers(len(y), size=n)))
            pq.write_table(part, Path(folder) / f"{count:04d}.parquet")
            size, count = size + part.nbytes, count + 1
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        DeepFMClassifier(**options).fit_batches(_Files(Path(folder)), "click")
        streamed = n * count / (time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        frame = pq.read_table(Path(folder) / "0000.parquet").to_pandas()
    labels = frame.pop("click").to_numpy()
    began = time.perf_counter()
    DeepFMClassifier(**options).fit(frame, labels)
    inside = n / (time.perf_counter() - began)
    return {
        "megabytes": round(size / 1e6),
        "rows_a_second": round(streamed),
        "in_memory": round(inside),
        "peak_mb": round(after / 1e3),
        "grown_mb": round((after - before) / 1e3),
    }


class _Files:
    """The files of a folder in their order, one a batch; each pass begins anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self) -> Any:
        return (pq.read_table(path) for path in sorted(self.folder.glob("*.parquet")))
