"""A target for every parser of what comes from outside: what it reads, and whole examples of it.

A target is made in an empty folder. It is then called with damaged content, and either takes it or raises a
:class:`WorkbenchError` that is one sentence; any other exception is a defect, as are a crash and a hang.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd

import workbench as wb
from tests.fuzz import models, server
from tests.fuzz.files import WHOLE
from workbench.facade import Store

__all__ = ["BROKEN", "TARGETS", "Made", "Take"]

Take = Callable[[bytes], object]
Made = tuple[Sequence[bytes], Take]
MOST = 100  # files that are read by one build


def small_store(folder: Path) -> Store:
    """A store with one small table."""
    store = wb.open(folder / "store")
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", None], "label": ["u", "v", "u"]})
    store.datasets.publish_frame(frame, "table", roles={"field": ["a", "b"], "label": ["label"]})
    return store


def importing(name: str, folder: Path) -> Made:
    """An importer, which writes a table into a build."""
    from workbench.datasets.files import Build, plain_failures
    from workbench.datasets.importers import format_of, importer, sources_of
    from workbench.datasets.importers.unpacking import unpacked

    store, path = wb.open(folder / "store").dir, folder / name
    read = importer(format_of([path]))
    builds: list[Build] = []
    n = 0

    def take(content: bytes) -> None:
        nonlocal n
        path.write_bytes(content)
        if n % MOST == 0:
            for build in builds:
                build.__exit__()
            builds[:] = [Build(store).__enter__()]
        n += 1
        [build] = builds
        try:
            with plain_failures(name), unpacked(sources_of([path]), build) as sources:
                read(sources, build, {})
                build.columns()
        finally:
            for rest in build.folder.glob("unpacked-*"):
                shutil.rmtree(rest)
            for (table,) in build.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                build.connection.execute(f'DROP TABLE "{table}"')

    return [WHOLE[name]], take


def notebook(folder: Path) -> Made:
    import nbformat
    from nbformat import v4

    from workbench.notebooks import Document

    cells = [
        v4.new_code_cell("n = 3\nrate: float = 0.5\nname = 'a'", metadata={"tags": ["parameters"]}, id="a"),
        v4.new_markdown_cell("# Title", id="b"),
        v4.new_code_cell("print(n)", outputs=[v4.new_output("stream", text="3")], id="c"),
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "x"}, "worksheets": [{"cells": []}]}
    seeds = [nbformat.writes(made).encode(), json.dumps(old).encode()]
    return seeds, lambda content: Document.parse(content, "a.ipynb").with_values({})


PIPELINE = b'''"""A pipeline of every kind of parameter."""
from datetime import date
from typing import Literal
from workbench.pipelines import DataSet, Flow, pipeline

@pipeline
def every(flow: Flow, data: DataSet = "table", n: int = 3, rate: float = 0.5, on: bool = True,
          word: str = "a", day: date = date(2026, 1, 1), some: list = [1], more: dict = {},
          kind: Literal["x", "y"] = "x", maybe: int | None = None):
    """Does nothing.

    Parameters
    ----------
    n
        A number.
    """
    flow.run("sklearn.svm:SVC", data, name=word)
'''


def pipeline_file(folder: Path) -> Made:
    from workbench.pipelines.declare import load_file

    file = folder / "p.py"

    def take(content: bytes) -> None:
        file.write_bytes(content)
        for declared in load_file(file).values():
            declared.check({})

    return [PIPELINE], take


def pipeline_parameters(folder: Path) -> Made:
    from workbench.pipelines.declare import load_file

    (folder / "p.py").write_bytes(PIPELINE)
    declared = load_file(folder / "p.py")["every"]

    def take(content: bytes) -> None:
        lines = content.decode(errors="replace").split("\n")
        declared.check(
            declared.parse({name: text for name, _, text in (line.partition("=") for line in lines)})
        )

    return [
        b"n=4\nrate=0.25\non=false\nday=2026-02-03\nsome=[1, 2]",
        b'more={"a": [1]}\nkind=y\nmaybe=none\ndata=table@1',
    ], take


def recipe(folder: Path) -> Made:
    from workbench.datasets.prepare import Preparation
    from workbench.datasets.prepare.preparation import STEPS

    steps = [{"step": "resample", "every": "1 min"}, {"step": "fill_gaps"}, {"step": "split"}]
    seeds = [json.dumps({"format": 1, "steps": steps}).encode()]
    seeds += [json.dumps({"steps": [{"step": kind}]}).encode() for kind in STEPS]
    return seeds, lambda content: Preparation.from_json(content.decode(errors="replace")).to_python()


def cron(folder: Path) -> Made:
    from workbench.runs.cron import Cron

    def take(content: bytes) -> None:
        text, _, zone = content.decode(errors="replace").partition("|")
        found = Cron(text, zone)
        next(found.after(1.8e9))
        _ = found.words

    return [b"*/5 2-4 * * 1,3|UTC", b"30 2 L * *|Europe/Berlin", b"@daily|America/New_York"], take


def query(folder: Path) -> Made:
    from workbench.datasets.sql import run_query

    paths = {"t": small_store(folder).dataset("table").path}
    seeds = [
        b"SELECT a, count(*) FROM t WHERE b IN ('x', 'y') GROUP BY a ORDER BY 2 DESC LIMIT 10",
        b"WITH c AS (SELECT * FROM t) SELECT sum(a) OVER (PARTITION BY b) FROM c",
        b"SELECT list_transform([1, 2], x -> x + 1), regexp_replace(b, '(.)', '\\1') FROM t",
    ]

    def take(content: bytes) -> None:
        text = content.decode(errors="replace")
        run_query(text, paths, limit=100, timeout=10, memory="256MB", threads=1)

    return seeds, take


def in_folder(files: dict[str, bytes], folder: Path, read: Callable[[Path], object]) -> Made:
    """A target that reads a folder of which one file is damaged: a case begins with the file's name."""

    def take(content: bytes) -> None:
        name, _, data = content.partition(b"\n")
        named = name.decode(errors="replace")
        for file, whole in files.items():
            (folder / file).write_bytes(data if file == named else whole)
        read(folder)

    return [name.encode() + b"\n" + data for name, data in files.items()], take


def specification(folder: Path) -> Made:
    from workbench.runs import spec

    store = small_store(folder)
    run = store.submit("sklearn.linear_model:LogisticRegression", store.dataset("table"))
    files = {"spec.json": (run.folder / "spec.json").read_bytes()}
    return in_folder(files, folder, spec.load)


def told(folder: Path) -> Made:
    """What a run writes, or a node sends, up to the rows of the database."""
    from workbench.runs import queue
    from workbench.runs.events import read_events, read_result

    store = small_store(folder)
    store.submit("sklearn.linear_model:LogisticRegression", store.dataset("table"))
    row = queue.claim(store.dir, "w", "cpu", ("cpu", "auto"), lease=1e9)
    run = row["id"]
    point = {"event": "metric", "name": "loss", "step": 1, "value": 0.5, "time": 2.0}
    progress = {"event": "progress", "stage": "fit", "progress": 0.5, "remaining": 3.0, "time": 2.0}
    result = {"state": "done", "error": "", "headline": "Fine.", "scores": {"a": 0.5, "b": None}}

    def read(place: Path) -> None:
        metrics, state = read_events((place / "events.jsonl").read_bytes())
        assert queue.ingest(store.dir, run, "w", start=0, end=0, metrics=metrics, state=state)
        result = read_result(place)
        if result is not None:
            assert queue.finish(store.dir, run, "w", **result)
            with store.dir.write() as db:
                db.execute("UPDATE runs SET state = 'running', worker = 'w' WHERE id = ?", (run,))

    lines = [json.dumps(event).encode() for event in (point, progress, point | {"value": None})]
    files = {"events.jsonl": b"\n".join([*lines, b""]), "result.json": json.dumps(result).encode()}
    return in_folder(files, folder, read)


def report(folder: Path) -> Made:
    from workbench.report import Report

    table = pd.DataFrame({"x": [1.5, None], "label": ["a", "b"]})
    Report("r", "Fine.", {"accuracy": 0.5, "none": float("nan")}, {"t": table}).save(folder / "r")
    files = {path.name: path.read_bytes() for path in (folder / "r").iterdir()}
    return in_folder(files, folder, Report.load)


def checkpoint(folder: Path) -> Made:
    import torch

    from workbench.training import checkpoint

    checkpoint._write(folder / "1", {"epoch": 1, "batch": 2}, {"w": torch.zeros(3, 2), "b": torch.ones(2)})
    files = {path.name: path.read_bytes() for path in (folder / "1").iterdir()}
    return in_folder(files, folder, checkpoint._read)


def backup(folder: Path) -> Made:
    from workbench.upkeep import backup, restore

    backup(small_store(folder).dir, folder / "b.tar")
    inside = folder / "inside"

    def take(content: bytes) -> None:
        before = set(folder.rglob("*"))
        inside.mkdir()
        (inside / "b.tar").write_bytes(content)
        try:
            restore(inside / "b.tar", inside / "new")
        finally:
            shutil.rmtree(inside)
            assert set(folder.rglob("*")) == before, "it wrote outside"

    return [(folder / "b.tar").read_bytes()], take


def parcel(folder: Path) -> Made:
    from workbench.runs.parcels import unpack

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in (("report/report.json", b"{}"), ("model/weights", b"1234"), ("a.txt", b"x" * 600)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    inside = folder / "inside" / "in"

    def take(content: bytes) -> None:
        inside.mkdir(parents=True)
        try:
            unpack(io.BytesIO(content), inside)
        finally:
            assert [path.name for path in inside.parent.iterdir()] == ["in"], "it wrote outside"
            shutil.rmtree(inside.parent)

    return [made.getvalue()], take


def token(folder: Path) -> Made:
    from workbench.tokens import Tokens, run_of_token, run_token

    store = small_store(folder)
    _, text = Tokens(store.dir).create("a", write=True)

    def take(content: bytes) -> None:
        damaged = content.decode("latin-1")  # as a header comes
        for found in (Tokens(store.dir).check(damaged), run_of_token(store.dir, damaged)):
            assert found is None or damaged.strip() == text

    return [text.encode(), run_token(store.dir, "abcdef0123", 2).encode()], take


def reference(folder: Path) -> Made:
    from workbench.naming import split_ref

    store = small_store(folder)

    def take(content: bytes) -> None:
        name, version = split_ref(content.decode(errors="replace"))
        path = store.dir.inside("datasets", name, f"{version}.duckdb")
        assert path.parent.parent == store.dir.datasets
        store.datasets.get(f"{name}@{version}" if version is not None else name)

    return [b"table@1", b"table", b"a long name-1.2@33"], take


def parameter(folder: Path) -> Made:
    from workbench import registry
    from workbench.errors import UsageError
    from workbench.parameters import describe, parse_value

    names = ("timeseries.CSL", "selection.LPFS", "bidding.PID", "sklearn.svm:SVC")
    known = [parameter for name in names for parameter in describe(registry.estimator(name))]

    def take(content: bytes) -> None:
        text = content.decode(errors="replace")
        for each in known:
            with suppress(UsageError):
                parse_value(each, text)

    return [b"20", b"0.25", b"none", b"true", b"auto", b'{"a": [1, 2]}', b"adam+noise"], take


def labels(folder: Path) -> Made:
    from workbench.datasets.label_text import read_file

    path = folder / "labels.csv"

    def take(content: bytes) -> None:
        path.write_bytes(content)
        read_file(path)

    return [b"series,label\n1,up\n2,\n", b'series,start,end,label\n1,0,5,"a, b"\n', b"row,label\n0,x\n"], take


#: Name -> what makes the target in an empty folder.
TARGETS: dict[str, Callable[[Path], Made]] = {
    **{f"import of {name}": partial(importing, name) for name in WHOLE},
    "notebook": notebook,
    "model: estimator.json and weights": models.plain,
    "model: scikit-learn": models.linear,
    "model: trees": models.trees,
    "pipeline: file": pipeline_file,
    "pipeline: parameters": pipeline_parameters,
    "estimator: parameters": parameter,
    "recipe of a preparation": recipe,
    "labels": labels,
    "cron time": cron,
    "SQL": query,
    "run: specification": specification,
    "run: events and result": told,
    "run: report": report,
    "run: checkpoint": checkpoint,
    "node: parcel": parcel,
    "backup": backup,
    "token": token,
    "reference": reference,
    "API: body": server.body,
    "API: address": server.address,
    "API: headers": server.headers,
    "page: address": server.page,
}


def _fail(content: bytes) -> None:
    raise KeyError(content)


#: What no parser may do, for the test of what watches them.
BROKEN: dict[str, Callable[[Path], Made]] = {
    "crash": lambda folder: ([b"x"], lambda content: os.kill(os.getpid(), signal.SIGSEGV)),
    "failure": lambda folder: ([b"x"], _fail),
}
