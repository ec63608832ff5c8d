"""Seconds an epoch of the encoders of series, beside plain transcriptions of their formulas.

    python benchmarks/encoders.py [--data DIR] [--set NAME ...] [--only ENCODER] [--epochs E] [--repeat R]
                                  [--precision bf16]

Both are whole trainings in one process, at the published hyper-parameters, batch sizes, threads and number
format, and take turns. Every repetition has a seed of its own, because some methods draw the lengths that
they train on, and the mean counts; TS2Vec, which draws one length a step, trains four times as long. What a
training does before its first epoch is in it on both sides; what a process does once (code is loaded and
compiled) is done before, by a training of one epoch each. The transcriptions are in
``benchmarks/_encoders_plain.py``; that they compute the same is a test,
``tests/timeseries/test_encoders_plain.py``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _encoders_plain as plain
import numpy as np
import torch
from _common import Series, command, commit, load, machine, table
from sklearn.base import clone

from workbench.timeseries import TNC, TST, TSTCC, TLoss, TS2Vec
from workbench.timeseries.preprocessing import channel_scales, standardize

ENCODERS: dict[str, type[Any]] = {cls.__name__: cls for cls in (TLoss, TS2Vec, TNC, TSTCC, TST)}
#: What a ratio is meant to be at least.
TARGET = 2.0
#: How many times as many epochs are timed.
LONGER = {"TS2Vec": 4}


def ours(control: Any, X: Series, n_epochs: int, seed: int) -> list[float]:
    model = clone(control).set_params(n_epochs=n_epochs, random_state=seed).fit(X)
    return [entry["loss"] for entry in model.history_]


def theirs(control: Any, X: Series, n_epochs: int, seed: int) -> list[float]:
    """`control` is a fitted encoder of the workbench, which tells the sizes."""
    torch.manual_seed(seed)
    rng, name = np.random.default_rng(seed), type(control).__name__
    x = torch.from_numpy(standardize(X, *channel_scales(X)).transpose(0, 2, 1).copy())
    if name == "TNC":
        step = plain.tnc(x, rng, control.window_size_, len(control._build_encoder().encoder.blocks) - 1)
    else:
        step = getattr(plain, name.lower())(x, rng)
    with torch.autocast("cpu", torch.bfloat16, enabled=control.precision == "bf16"):
        return plain.epochs(len(x), min(control.batch_size, len(x)), n_epochs, step, rng)


def compared(
    names: list[str], data: str, X: Series, n_epochs: int, repeat: int, seed: int, precision: str
) -> Iterator[list[str]]:
    """A line of the table for each encoder."""
    for name in names:
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        losses: dict[str, list[float]] = {}
        control = ENCODERS[name](n_epochs=0, device="cpu", precision=precision).fit(X)
        for train in (theirs, ours):
            train(control, X, 1, seed)
        n = n_epochs * LONGER.get(name, 1)
        for i in range(repeat):
            for side, train in (("plain", theirs), ("ours", ours)):
                seconds, losses[side] = timed(lambda t=train, c=control, n=n, i=i: t(c, X, n, seed + i))
                times[side].append(seconds / n)
        mine, other = np.mean(times["ours"]), np.mean(times["plain"])
        yield (
            [f"{name}, {data}", f"{other:.3f}", f"{mine:.3f}", f"{other / mine:.1f}x", f"{TARGET:.0f}x"]
            + [f"{losses[side][0]:.3f} to {losses[side][-1]:.3f}" for side in ("plain", "ours")]
        )
        print(f"done: {name}", flush=True)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder that holds uea/; BasicMotions needs none")
    parser.add_argument(
        "--set", action="append", help="a data set of equal lengths (default: BasicMotions); may be repeated"
    )
    parser.add_argument("--only", choices=list(ENCODERS), action="append", help="may be repeated")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of both sides")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine(options.threads)}\ncommit {commit()}, command: {command()}")
    names, rows = options.only or list(ENCODERS), []
    for data in options.set or ["BasicMotions"]:
        X = load(data, options.data).X_train
        print(f"{data}: {len(X)} series of {X.shape[1]} steps and {X.shape[2]} variables\n", flush=True)
        rows += compared(names, data, X, options.epochs, options.repeat, options.seed, options.precision)
    print(table(["encoder", "plain s/epoch", "s/epoch", "ratio", "target", "plain loss", "loss"], rows))


if __name__ == "__main__":
    main()
