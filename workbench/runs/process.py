"""The process of one run: ``python -m workbench run RUN_DIR``.

It reads ``spec.json`` and writes only under its folder::

    log.txt          what it prints (the launcher redirects it), tracebacks among it
    events.jsonl     stages, progress, metrics
    checkpoint/      one folder a training loop
    artifacts/       report/, model/, figures/: complete, or not there
    usage.json       device and peak memory, every few seconds
    result.json      the outcome; written last, atomically

The exit code is 0 for done, 1 for failed (``result.json`` says why), 75 when another process holds the
run, 74 when not even the result could be written, and 143 when it was stopped and can continue.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, Any

from workbench.errors import FULL, DatasetError, WorkbenchError
from workbench.runs import spec as specs
from workbench.runs import usage
from workbench.runs.child import die_with_parent, print_traceback, sentence, write_atomically
from workbench.runs.events import read_result
from workbench.runs.reporter import RunReporter, Terminated
from workbench.runs.worker import NOTEBOOK, PIPELINE

__all__ = ["main"]

LOCK_PATIENCE = 10.0  # seconds to wait for an earlier process of this run to be gone
HASHED = 1 << 30  # larger data sets are left to DuckDB's own block checksums
STOPPED = 128 + signal.SIGTERM


def main(run_dir: str | os.PathLike[str]) -> int:
    """Carry out the run in `run_dir` and return the exit code."""
    die_with_parent()
    folder = Path(run_dir).resolve()
    if "RANK" not in os.environ:
        _start_processes(folder)
    elif os.environ["RANK"] != "0":
        return _lend_a_hand(folder)
    try:
        lock = _lock(folder)
    except OSError as error:
        print(f"The run {folder} cannot be opened: {error.strerror}.", file=sys.stderr)
        return os.EX_IOERR if error.errno in FULL else 1
    if lock is None:
        print(f"Another process is working on {folder}.", file=sys.stderr)
        return os.EX_TEMPFAIL
    with lock:
        earlier = read_result(folder)
        if earlier is not None:  # it had ended, and only the worker did not hear of it
            return 0 if earlier["state"] == "done" else 1
        return _run(folder)


def _start_processes(folder: Path) -> None:
    """Become torchrun, where the run is to be done by several processes that train together."""
    try:
        n = int(json.loads((folder / "spec.json").read_text()).get("processes", 1))
    except (OSError, ValueError):
        return  # what is wrong with it is said below
    if n > 1 and read_result(folder) is None:
        os.environ["WORKBENCH_WORKER_PID"] = str(os.getpid())  # they end with this process, which stays it
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
        os.execv(sys.executable, [sys.executable, *command, "-m", "workbench", "run", str(folder)])  # noqa: S606


def _lend_a_hand(folder: Path) -> int:
    """Do the same as the first process, for its trainings; what comes of it is that one's to keep."""
    reporter = RunReporter(folder, silent=True)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  the first says it
    signal.signal(signal.SIGTERM, lambda number, frame: _on_sigterm(reporter, number, frame))
    try:
        _work(specs.load(folder), folder, reporter)
    except BaseException:
        if not reporter.stopping:
            raise
        return STOPPED
    return 0


def _run(folder: Path) -> int:
    every = float(os.environ.get("WORKBENCH_CHECKPOINT_SECONDS", 5.0))
    stopped, used = False, None
    try:
        reporter = RunReporter(folder, checkpoint_every=every)
        signal.signal(signal.SIGTERM, lambda number, frame: _on_sigterm(reporter, number, frame))
        used = usage.Keeper(folder)
        try:
            result = _carry_out(folder, reporter)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what follows takes no time
            # Whatever came of an interrupted training, a search that caught the exception included, is void.
            stopped = reporter.stopping
            reporter.close()
    except Terminated:
        stopped = True
    except BaseException as error:
        if not stopped:
            print_traceback()
            shutil.rmtree(
                folder / "artifacts.part", ignore_errors=True
            )  # on a full disk, room for the result
            result = {"state": "failed", "error": sentence(error, folder), "headline": "", "scores": {}}
    if used is not None:
        used.finish()
    if stopped:
        print("stopped; a retry continues from the last checkpoint", flush=True)
        return STOPPED
    try:
        write_atomically(folder / "result.json", json.dumps({**result, "time": time.time()}, indent=1))
    except OSError as error:
        print(f"The result cannot be written: {error}", file=sys.stderr)
        return os.EX_IOERR if error.errno in FULL else 1
    return 0 if result["state"] == "done" else 1


def _carry_out(folder: Path, reporter: RunReporter) -> dict[str, Any]:
    spec = specs.load(folder)
    report = _work(spec, folder, reporter)
    model_error = _write_artifacts(folder, spec, report)
    print(report.headline, flush=True)
    return {
        "state": "done",
        "error": "",
        "headline": report.headline,
        "scores": _numbers(report.scores),
        "model_error": model_error,
    }


def _numbers(scores: dict[str, float]) -> dict[str, float | None]:
    """Scores as JSON has them: none where there is no number."""
    return {name: (float(v) if math.isfinite(v) else None) for name, v in scores.items()}


def _work(spec: dict[str, Any], folder: Path, reporter: RunReporter) -> Any:
    if spec["recipe"] == PIPELINE:
        from workbench.pipelines.process import carry_out

        return carry_out(spec, folder, reporter)
    if spec["recipe"] == NOTEBOOK:
        from workbench.notebooks.process import carry_out as execute

        return execute(spec, folder, reporter)
    estimator = specs.build_estimator(spec, folder)
    from workbench import registry
    from workbench.arrays import Split

    recipe = registry.recipe(spec["recipe"])
    data = _open_data(spec["dataset"], folder)
    return recipe(estimator, data, Split(**spec["split"]), spec["seed"], reporter)


def _open_data(dataset: dict[str, Any], folder: Path) -> Any:
    from workbench.datasets import open_file

    path = (folder / dataset["path"]).resolve()
    if not path.exists():
        raise DatasetError(f"The data set {dataset['ref']} is gone: {path} does not exist.")
    if dataset.get("checksum") and path.stat().st_size <= HASHED:
        import hashlib

        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != dataset["checksum"]:
                raise DatasetError(
                    f"The data set {dataset['ref']} is damaged: {path} is not the file that was imported."
                )
    return open_file(path, dataset["roles"], dataset["ref"])


def _write_artifacts(folder: Path, spec: dict[str, Any], report: Any) -> str:
    """Report, figures and model, all or nothing; returns why the model could not be saved, or ''."""
    part = folder / "artifacts.part"
    shutil.rmtree(part, ignore_errors=True)
    report.save(part / "report")
    _write_figures(part / "figures", report)
    for made in (folder / "steps").glob("*/"):  # files of Python steps and notebooks
        if any(made.iterdir()):
            shutil.copytree(made, part / "files" / made.name)
    model_error = ""
    if report.estimator is not None:
        from workbench import models

        try:
            card = {"run": spec["id"], "dataset": spec["dataset"]["ref"], "scores": _numbers(report.scores)}
            source = folder / spec["source"] if spec.get("source") else None
            models.save(report.estimator, part / "model", source=source, **card)
        except WorkbenchError as error:  # the numbers are worth keeping without it
            model_error = str(error)
            shutil.rmtree(part / "model", ignore_errors=True)
            print(f"The fitted estimator is not kept: {error}", flush=True)
    shutil.rmtree(folder / "artifacts", ignore_errors=True)
    os.rename(part, folder / "artifacts")
    return model_error


def _write_figures(folder: Path, report: Any) -> None:
    from workbench import registry

    try:
        figures_of = registry.figures_of(report.recipe)
        if figures_of is None:
            return
        for name, figure in figures_of(report).items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.json").write_text(figure.to_json())
    except OSError:
        raise
    except Exception:  # a picture that cannot be drawn must not cost the run its result
        print_traceback()


def _on_sigterm(reporter: RunReporter, number: int, frame: FrameType | None) -> None:
    if reporter.training and not reporter.stopping:
        reporter.stopping = True  # the loop saves its checkpoint and raises Stopped
    elif not reporter.training:
        raise Terminated


def _lock(folder: Path) -> IO[str] | None:
    """Hold the run: the kernel gives the lock back however this process ends."""
    file = open(folder / "lock", "a")  # noqa: SIM115
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                return None
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
