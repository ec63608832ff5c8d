"""Cases of a target in a process of its own, which is watched: a crash, a hang and a growing memory are seen.

``python -m tests.fuzz.watch TARGET FROM TO FOLDER CORE`` is that process. It writes the number of each case
before it takes it, so that whoever watches knows which one it died of. It keeps to one core, as for content
so small more threads only wait for each other, and to a folder in memory where there is one.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.fuzz.damage import case
from workbench.errors import WorkbenchError

__all__ = ["Outcome", "take", "watch"]

ROOT = Path(__file__).resolve().parents[2]
HANGS = 60.0  # seconds for one case
GROWS = 1500 << 20  # bytes beyond what the process had when its first case began
LONGEST = 20_000  # characters of a sentence: it may hold what was given
FAILURES = 20  # that are listed
MEMORY = Path("/dev/shm")  # a folder of its own is made there
ROOM = 1 << 30  # bytes that must be free in it


@dataclass
class Outcome:
    """What came of a range of cases.

    Attributes
    ----------
    cases, taken : int
        How many were looked at; how many of them were read as they are, the others refused in a sentence.
    failures : list of dict
        ``case``, ``error``: anything else.
    seconds : float
    peak : int
        Bytes by which the process grew.
    """

    cases: int = 0
    taken: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    peak: int = 0


def take(target: Any, content: bytes) -> bool:
    """Let a target read `content`; whether it did. AssertionError if that is not how it may end."""
    try:
        target(content)
    except WorkbenchError as error:
        sentence = str(error)
        assert sentence.strip(), "no word of what is wrong"
        assert "Traceback" not in sentence, sentence
        assert "object at 0x" not in sentence, sentence
        assert len(sentence) < LONGEST, f"{len(sentence)} characters"
        return False
    return True


def watch(name: str, first: int, stop: int, core: int = 0) -> Outcome:
    """Take the cases `first` to `stop` - 1 of a target, going on after one that kills the process.

    What runs at the same time as another should be given another `core`.
    """
    outcome, started, begin = Outcome(cases=stop - first), time.monotonic(), first
    while begin < stop and len(outcome.failures) < FAILURES:
        begin = _watch_one(name, begin, stop, core, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def _watch_one(name: str, first: int, stop: int, core: int, outcome: Outcome) -> int:
    """Follow one process to its end; the case to go on with."""
    with tempfile.TemporaryDirectory(prefix="workbench-fuzz-", dir=_memory()) as folder:
        progress, told = Path(folder) / "progress", Path(folder) / "told.jsonl"
        progress.write_bytes(struct.pack("q", first - 1))
        command = [sys.executable, "-m", "tests.fuzz.watch", name, str(first), str(stop), folder, str(core)]
        with open(Path(folder) / "log.txt", "wb") as log:
            environment = os.environ | {"TMPDIR": folder, "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        why = _follow(process, progress, outcome)
        at = struct.unpack("q", progress.read_bytes())[0]
        for line in told.read_text().splitlines() if told.exists() else []:
            found = json.loads(line)
            if "taken" in found:
                outcome.taken += found["taken"]
            else:
                outcome.failures.append(found)
        if process.returncode == 0:
            return stop
        log_tail = (Path(folder) / "log.txt").read_text(errors="replace")[-300:]
        outcome.failures.append({"case": at, "error": why or f"ended with {process.returncode}: {log_tail}"})
        return max(first, at + 1)


def _memory() -> Path | None:
    """A folder in memory, if there is one with room: what waits for a disk is not what is tested."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        return None
    return MEMORY


def _follow(process: subprocess.Popen[bytes], progress: Path, outcome: Outcome) -> str:
    """Wait for its end, or make one; why it was ended."""
    waiting = seen = progress.read_bytes()
    since, base = time.monotonic(), 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        time.sleep(0.05)
        now = progress.read_bytes()
        if now != seen:
            seen, since = now, time.monotonic()
        try:
            memory = watched.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        if now == waiting:  # what it imports is not what a case takes
            base = memory
        outcome.peak = max(outcome.peak, memory - base)
        hangs = time.monotonic() - since > HANGS
        if hangs or memory - base > GROWS:
            process.kill()
            process.wait()
            return f"took more than {HANGS:g} s" if hangs else f"took more than {GROWS >> 20} MB"
    return ""


def main() -> None:
    """Be the process that is watched."""
    from tests.fuzz.targets import BROKEN, TARGETS

    name, first, stop, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(sys.argv[5]) % len(cores)]})
    warnings.simplefilter("ignore")
    work = folder / "work"
    work.mkdir()
    seeds, target = (TARGETS | BROKEN)[name](work)
    taken = failed = 0
    with open(folder / "progress", "r+b", buffering=0) as progress, open(folder / "told.jsonl", "w") as told:
        for number in range(first, stop):
            progress.seek(0)
            progress.write(struct.pack("q", number))
            try:
                taken += take(target, case(name, number, seeds))
            except Exception as error:
                text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                print(json.dumps({"case": number, "error": text}), file=told, flush=True)
                failed += 1
                if failed >= FAILURES:
                    break
        print(json.dumps({"taken": taken}), file=told, flush=True)


if __name__ == "__main__":
    main()
