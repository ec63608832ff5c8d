"""Log loss of our models and of deepctr-torch on the same rows of a real table, with the same settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import table
from _selection_data import ADULT
from _selection_rivals import EMBEDDING, HIDDEN, RATE, Columns, deepctr
from _selection_speed import OURS

from workbench.ctr import FieldEncoder, metrics
from workbench.ctr.encoded import Encoded, Layout

__all__ = ["judge", "show"]

KINDS = ("DeepFM", "DeepFM, bf16", "DCNv2")
#: One seed's log loss is off by .001 to .003, so that fewer could not tell a difference of .001.
SEEDS = range(20)
SETTINGS = {"epochs": 3, "batch": 256}


def judge(data: Path, keep: Callable[[str, dict[str, Any]], None]) -> None:
    """Train on Adult's training file and judge on its test file; `keep` is given each model's log losses."""
    parts = []
    for name in ("train", "test"):
        path = data / "ctr" / f"adult_{name}.csv"
        skip = 1 if path.open().readline().startswith("|") else 0
        parts.append(pd.read_csv(path, header=None, names=ADULT, skipinitialspace=True, skiprows=skip))
    y, true = (part.pop("income").str.contains(">50K").to_numpy(int) for part in parts)
    frames = [part.drop(columns="fnlwgt").astype(str) for part in parts]
    encoder = FieldEncoder(kinds=dict.fromkeys(frames[0], "categorical"), min_count=2).fit(frames[0])
    train, test = (encoder.encode(frame) for frame in frames)
    layout = encoder.layout()
    theirs = {}
    for kind in KINDS:
        peer = kind.partition(",")[0]
        if peer not in theirs:
            rows, judged = _columns(train, layout, y), _columns(test, layout, true)
            theirs[peer] = [
                metrics.logloss(true, deepctr(peer, rows, **SETTINGS, seed=seed)[1](judged)) for seed in SEEDS
            ]
        ours = []
        for seed in SEEDS:
            model = OURS[kind](
                embedding_dim=EMBEDDING,
                hidden=HIDDEN,
                learning_rate=RATE,
                n_epochs=SETTINGS["epochs"],
                batch_size=SETTINGS["batch"],
                random_state=seed,
                device="cpu",
            )
            logits = model.fit_encoded(encoder, train, y).decide_encoded(test)
            ours.append(metrics.logloss(true, 1 / (1 + np.exp(-logits))))
        keep(
            f"held-out/{kind}",
            {"ours": np.round(ours, 5).tolist(), "peer": np.round(theirs[peer], 5).tolist()},
        )


def _columns(encoded: Encoded, layout: Layout, y: Any) -> Columns:
    sizes = tuple(field.rows for field in layout.fields)
    return Columns(encoded.ids, sizes, np.empty((len(y), 0), dtype=np.float32), y)


def show(results: Mapping[str, Any]) -> str:
    """The kept cells as a table."""
    lines = []
    for kind in KINDS:
        cell = results.get(f"held-out/{kind}")
        if cell is None:
            lines.append([kind, "not run", "", "", "", ""])
            continue
        ours, peer = (np.array(cell[name]) for name in ("ours", "peer"))
        difference = ours.mean() - peer.mean()
        error = np.sqrt((ours.var(ddof=1) + peer.var(ddof=1)) / len(ours))
        spreads = [f"{one.mean():.4f} ± {one.std(ddof=1):.4f}" for one in (ours, peer)]
        lines.append([kind, *spreads, f"{difference:+.4f} ± {error:.4f}", "within +0.001", cell["commit"]])
    header = [f"Adult's test file, {len(SEEDS)} seeds", "ours, log loss", "deepctr-torch"]
    return table([*header, "difference ± its error", "wanted", "commit"], lines)
