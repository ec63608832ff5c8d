"""Pipelines that tests run: each shows one thing."""

import os
import time
from datetime import date
from pathlib import Path
from typing import Literal

from workbench.pipelines import DataSet, Flow, Here, pipeline


@pipeline
def diamond(flow: Flow, data: DataSet, seconds: float = 0.0, mode: Literal["plain", "loud"] = "plain"):
    """Two runs beside one another between two Python steps.

    Parameters
    ----------
    seconds
        How long each run takes.
    """
    first = flow.step(note, "first", str(flow.date))
    runs = [
        flow.run("probes:Sleeper", data, params={"seconds": seconds}, seed=seed, name=name, after=[first])
        for seed, name in enumerate(("left", "right"))
    ]
    return flow.step(gather, runs[0]["scores"], runs[1], name="last")


def note(here: Here, text: str, day: str) -> str:
    count(here, "note")
    (here.folder / "note.txt").write_text(text)
    return f"{text} of {day}"


def gather(here: Here, scores: dict, other: dict) -> dict:
    count(here, "gather")
    return {"headline": "Both are done.", "scores": {"sum": scores["seed"] + other["scores"]["seed"]}}


@pipeline
def shaky(flow: Flow, failures: int = 1, retries: int = 2):
    """Fails some times before it goes well; what follows is skipped when it does not."""
    risky = flow.step(stumble, failures, retries=retries)
    flow.step(note, "after", "it", after=[risky])
    flow.step(note, "beside", "it", name="beside")


def stumble(here: Here, failures: int) -> int:
    if count(here, "stumble") <= failures:
        raise ValueError("not yet")
    return failures


@pipeline
def slow(flow: Flow, data: DataSet, seconds: float = 60.0, timeout: float = 1.0):
    """Takes longer than it may, in both kinds of steps."""
    flow.step(sleep, seconds, timeout=timeout)
    flow.run("probes:Sleeper", data, params={"seconds": seconds}, timeout=timeout)


@pipeline
def pair(flow: Flow, data: DataSet):
    """A run by two processes that train together."""
    flow.run("timeseries.CSL", data, params={"n_epochs": 1, "n_scales": 1, "device": "cpu"}, processes=2)


def sleep(here: Here, seconds: float) -> None:
    (here.folder / "pid").write_text(str(os.getpid()))
    time.sleep(seconds)


@pipeline
def chain(flow: Flow, links: int = 5, seconds: float = 0.2):
    """Steps one after another; each writes down that it was done, and when it was begun."""
    total = 0
    for _ in range(links):
        total = flow.step(link, total, seconds)
    return flow.step(told, total)


def link(here: Here, total: int, seconds: float) -> int:
    count(here, "link")
    time.sleep(seconds)
    return total + 1


def told(here: Here, total: int) -> str:
    return f"{total} links."


@pipeline(one_at_a_time=True)
def alone(flow: Flow, seconds: float = 0.5):
    """Never beside another run of itself."""
    flow.step(beat, seconds, str(flow.date))


def beat(here: Here, seconds: float, day: str) -> None:
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    time.sleep(seconds)
    ended = time.clock_gettime(time.CLOCK_BOOTTIME)
    with open(os.environ["PROBE_COUNTS"] + "/beats", "a") as file:
        print(began, ended, day, file=file)


@pipeline
def quick(flow: Flow, file: str = "", day: date = date(2026, 1, 1)):
    """Does nothing that takes time."""
    flow.log(f"given {file!r} for {flow.date}, due {flow.due}, {day:%d.%m.}")
    return f"Quick, for {flow.date}."


@pipeline
def decide(flow: Flow):
    """Looks at an output to decide what comes next, and drifts."""
    number = flow.step(note, "one", "day").result()
    flow.step(tell, number)


def tell(here: Here, text: str) -> None:
    here.notify("drift", "It has drifted", text)


def count(here: Here, what: str) -> int:
    """How often this was called for this step, this time included."""
    file = Path(os.environ["PROBE_COUNTS"]) / f"{here.run}~{what}~{here.step}"
    with open(file, "a") as counts:
        print(os.getpid(), file=counts)
    return len(file.read_text().splitlines())
