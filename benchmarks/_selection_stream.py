"""A log of gigabytes streamed from files by a process with little memory, beside rows that lie in memory."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
from _capped import run_capped
from _selection_logs import encoder, write

from workbench.ctr import DeepFMClassifier

__all__ = ["run_stream"]

#: MB that the streaming process may use, its interpreter and libraries among them.
CAP_MB = 1500
#: Files that the comparison reads into memory.
_FILES = 4


def run_stream(megabytes: int, threads: int) -> dict[str, Any]:
    """Rows a second from files of the planted log against those of a million rows in memory; one epoch.

    Both learn the encoder, encode and train, each in a process of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        n = write(Path(folder), megabytes)
        inside, streamed = (_child(Path(folder), kind, threads) for kind in ("memory", "stream"))
    rates = streamed["rows"] / streamed["seconds"], inside["rows"] / inside["seconds"]
    return {
        "megabytes": megabytes,
        "rows": n,
        "rows_a_second": round(rates[0]),
        "in_memory": round(rates[1]),
        "share": rates[0] / rates[1],
        "peak_mb": streamed["peak_mb"],
        "cap_mb": CAP_MB,
        "threads": threads,
    }


def _child(folder: Path, kind: str, threads: int) -> dict[str, float]:
    words = [sys.executable, __file__, str(folder), kind, str(threads)]
    told, peak = run_capped(words, CAP_MB if kind == "stream" else 20 * CAP_MB)
    return {**json.loads(told.splitlines()[-1]), "peak_mb": peak}


def _measure(folder: Path, kind: str, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    files = sorted(folder.glob("*.parquet"))[: _FILES if kind == "memory" else None]
    model = DeepFMClassifier(encoder=encoder(), batch_size=4096, random_state=0, device="cpu")
    small = pq.read_table(files[0])[:8192]
    model.fit(small.drop_columns(["click"]), small["click"].to_numpy())  # compiles what is compiled
    if kind == "stream":
        log = ds.dataset(files)
        n = log.count_rows()
        began = time.perf_counter()
        model.fit_batches(log, "click")
    else:
        whole = pq.read_table(files)
        n = len(whole)
        X, y = whole.drop_columns(["click"]), whole["click"].to_numpy()
        began = time.perf_counter()
        model.fit(X, y)
    seconds = time.perf_counter() - began
    return {"rows": n, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
