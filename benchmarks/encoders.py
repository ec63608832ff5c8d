"""Seconds an epoch of the encoders of series, beside plain transcriptions of their formulas.

    python benchmarks/encoders.py [--data DIR] [--set NAME] [--only ENCODER] [--epochs E] [--repeat R]

Both are whole trainings in one process, at the published hyper-parameters, batch sizes and threads, and
take turns; the least time of the repetitions counts. What a training does before its first epoch is in it on
both sides. The transcriptions are in ``benchmarks/_encoders_plain.py``; that they compute the same is a test,
``tests/timeseries/test_encoders_plain.py``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _encoders_plain as plain
import numpy as np
import torch
from _common import Series, command, commit, load, machine, table

from workbench.timeseries import TNC, TST, TSTCC, TLoss, TS2Vec
from workbench.timeseries.preprocessing import channel_scales, standardize

ENCODERS: dict[str, type[Any]] = {cls.__name__: cls for cls in (TLoss, TS2Vec, TNC, TSTCC, TST)}
#: What a ratio is meant to be at least.
TARGET = 2.0


def ours(name: str, X: Series, n_epochs: int, seed: int) -> list[float]:
    model = ENCODERS[name](n_epochs=n_epochs, device="cpu", random_state=seed).fit(X)
    return [entry["loss"] for entry in model.history_]


def theirs(name: str, X: Series, n_epochs: int, seed: int) -> list[float]:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(standardize(X, *channel_scales(X)).transpose(0, 2, 1).copy())
    control = ENCODERS[name](n_epochs=0, device="cpu").fit(X)
    if name == "TNC":
        depth = len(control._build_encoder().encoder.blocks) - 1
        step = plain.tnc(x, rng, control.window_size_, depth)
    else:
        step = getattr(plain, name.lower())(x, rng)
    return plain.epochs(len(x), min(control.batch_size, len(x)), n_epochs, step, rng)


def report(names: list[str], X: Series, n_epochs: int, repeat: int, seed: int) -> None:
    rows = []
    for name in names:
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        losses: dict[str, list[float]] = {}
        for _ in range(repeat):
            for side, train in (("plain", theirs), ("ours", ours)):
                seconds, losses[side] = timed(lambda t=train, n=name: t(n, X, n_epochs, seed))
                times[side].append(seconds / n_epochs)
        mine, other = min(times["ours"]), min(times["plain"])
        rows.append(
            [name, f"{other:.3f}", f"{mine:.3f}", f"{other / mine:.1f}x", f"{TARGET:.0f}x"]
            + [f"{losses[side][0]:.3f} to {losses[side][-1]:.3f}" for side in ("plain", "ours")]
        )
        print(f"done: {name}", flush=True)
    print(table(["encoder", "plain s/epoch", "s/epoch", "ratio", "target", "plain loss", "loss"], rows))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder that holds uea/; BasicMotions needs none")
    parser.add_argument("--set", default="BasicMotions", help="a data set of equal lengths")
    parser.add_argument("--only", choices=list(ENCODERS), action="append", help="may be repeated")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    X = load(options.set, options.data).X_train
    print(f"{machine(options.threads)}\ncommit {commit()}, command: {command()}")
    print(f"{options.set}: {len(X)} series of {X.shape[1]} steps and {X.shape[2]} variables\n", flush=True)
    report(options.only or list(ENCODERS), X, options.epochs, options.repeat, options.seed)


if __name__ == "__main__":
    main()
