"""Speed and memory of CSL's training and encoding against the plain transcription."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import _csl_plain as plain
import numpy as np
import torch
from _common import Problem, Series, load, table

from workbench.timeseries import CSL
from workbench.timeseries._shapelets import scale_lengths

BATCH = 8

#: Data set: (epochs, repetitions); the least time of the repetitions counts, on both sides.
PLANS = {"BasicMotions": (4, 5), "UWaveGestureLibrary": (1, 3), "Cricket": (1, 1)}

#: What the step, memory and transform ratios are meant to be at least.
TARGETS = {"BasicMotions": "8x", "UWaveGestureLibrary": "10x", "Cricket": "30x, memory 10x, transform 10x"}


def report(names: list[str], data: Path | None, threads: int, seed: int) -> None:
    """Print the table of ratios, and on a GPU the series a second."""
    torch.set_num_threads(threads)
    rows = []
    for name in names:
        problem = load(name, data)
        epochs, repetitions = PLANS.get(name, (1, 2))
        n_steps = epochs * (len(problem.X_train) // BATCH)
        ours, theirs = _least(
            repetitions,
            lambda p=problem, e=epochs: _fit(p.X_train, e, seed),
            lambda p=problem, n=n_steps: _fit_plain(p.X_train, n, seed),
        )
        encoding, their_encoding = _encoding(problem, seed)
        growth, their_growth = (_growth(which, problem, threads, seed) for which in ("ours", "plain"))
        rows.append(
            [
                f"{name} ({problem.X_train.shape[2]} x {problem.X_train.shape[1]})",
                f"{epochs} ({n_steps})",
                f"{theirs / n_steps * 1e3:.1f}",
                f"{ours / n_steps * 1e3:.1f}",
                f"{theirs / ours:.1f}x",
                f"{their_encoding:.2f}",
                f"{encoding:.3f}",
                f"{their_encoding / encoding:.1f}x",
                f"{their_growth:.0f}",
                f"{growth:.0f}",
                f"{their_growth / max(growth, 1):.1f}x",
                TARGETS.get(name, ""),
            ]
        )
        print(f"done: {name}", file=sys.stderr)
    header = ["data set (d x T)", "epochs (steps)", "plain ms/step", "ms/step", "ratio"]
    header += ["plain transform s", "transform s", "ratio", "plain MB", "MB", "ratio", "target"]
    print(table(header, rows))
    print(
        f"\nA step is augmentation, two views of {BATCH} series, loss, backward pass and SGD, from the time "
        "of a whole fit. transform: the test set, for the plain one in batches of 8. MB: growth of peak "
        "memory over the idle process in a process of its own."
    )
    for name in names:
        _report_gpu(load(name, data), seed)


def _fit(X: Series, epochs: int, seed: int, **options: str) -> CSL:
    return CSL(
        n_epochs=epochs, batch_size=BATCH, random_state=seed, device=options.pop("device", "cpu"), **options
    ).fit(X)


def _fit_plain(X: Series, n_steps: int, seed: int) -> plain.Encoder:
    torch.manual_seed(seed)
    series = torch.from_numpy(plain.prepare(X))
    encoder = plain.Encoder(series.shape[1], scale_lengths(series.shape[2]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anomaly mode says that it is on
        plain.train(encoder, series, n_steps, np.random.default_rng(seed), batch_size=BATCH)
    return encoder


def _encoding(problem: Problem, seed: int) -> tuple[float, float]:
    """Least seconds to transform the test set, by the workbench and by the plain transcription."""
    csl = _fit(problem.X_train, 0, seed)
    encoder = plain.Encoder(problem.X_train.shape[2], scale_lengths(problem.X_train.shape[1])).eval()
    series = torch.from_numpy(plain.prepare(problem.X_test))

    def encode() -> None:
        with torch.no_grad():
            for batch in series.split(BATCH):
                encoder(batch)

    csl.transform(problem.X_test)
    return _seconds(lambda: csl.transform(problem.X_test), 3), _seconds(
        encode, 1 if series.shape[2] > 1000 else 3
    )


def _least(repetitions: int, *functions: Callable[[], object]) -> list[float]:
    """The least seconds of each function, the functions taking turns so that they meet the same machine."""
    times = [[_seconds(function, 1) for function in functions] for _ in range(repetitions)]
    return [min(column) for column in zip(*times, strict=True)]


def _seconds(function: Callable[[], object], repetitions: int) -> float:
    best = float("inf")
    for _ in range(repetitions):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def _growth(which: str, problem: Problem, threads: int, seed: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "X.npy", problem.X_train)
        words = [
            sys.executable,
            str(Path(__file__).with_name("csl.py")),
            "peak",
            which,
            str(Path(folder) / "X.npy"),
        ]
        words += ["--threads", str(threads), "--seed", str(seed)]
        return float(
            json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["MB"]
        )


def peak(which: str, file: Path, threads: int, seed: int) -> None:
    """Train for some steps and print by how many MB the peak of memory exceeds the idle process."""
    torch.set_num_threads(threads)
    X = np.load(file)
    torch.ones(64, 64) @ torch.ones(64, 64)
    idle = _memory("VmRSS")
    if which == "ours":
        _fit(X, 1, seed)
    else:
        _fit_plain(X, 3, seed)
    print(json.dumps({"MB": _memory("VmHWM") - idle}))


def _memory(field: str) -> float:
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if match is None:
        raise SystemExit("Peak memory is read from /proc, which this system does not have.")
    return int(match[1]) / 1024


def _report_gpu(problem: Problem, seed: int) -> None:
    if not torch.cuda.is_available():
        print(f"{problem.name} on a GPU: no GPU")
        return
    for precision in ("fp32", "bf16"):
        _fit(problem.X_train, 1, seed, device="cuda", precision=precision)
        torch.cuda.synchronize()
        seconds = _seconds(lambda p=precision: _fit(problem.X_train, 10, seed, device="cuda", precision=p), 1)
        rate = 10 * len(problem.X_train) / seconds
        print(f"{problem.name} on {torch.cuda.get_device_name()}, {precision}: {rate:.0f} series/s")
