"""Notebooks as runs: read, given parameters, executed by a worker, and shown so that they can do nothing."""

from __future__ import annotations

import json
import time

import nbformat
import pytest
import rig
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from workbench.errors import UsageError
from workbench.gui import notebooks as page
from workbench.gui.sandbox import framed
from workbench.notebooks import Document, submit
from workbench.notebooks.html import as_html, figures
from workbench.notebooks.process import EXECUTED, PAGE, kept

HOSTILE = "<script>alert(1)</script><img src='https://example.org/x' onerror='alert(2)'>"


def _notebook(*sources, parameters=None):
    cells = [new_markdown_cell("# Try"), *(new_code_cell(source) for source in sources)]
    if parameters is not None:
        cells.insert(1, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    return nbformat.writes(new_notebook(cells=cells)).encode()


def _document(*sources, parameters=None):
    return Document.parse(_notebook(*sources, parameters=parameters), "try.ipynb")


def test_parameters_are_the_literals_of_the_tagged_cell():
    document = _document(
        "other = 1",
        parameters="n = 3\nrate: float = 1e-3\nwords = ['a']\ncomputed = n + 1\na, b = 1, 2\nx = None",
    )
    assert document.parameters == {"n": 3, "rate": 1e-3, "words": ["a"], "x": None}


def test_values_stand_behind_the_defaults_and_before_the_rest():
    filled = _document("print(n)", parameters="n = 3").with_values({"n": 4})
    sources = [cell["source"] for cell in filled["cells"]]
    assert sources == ["# Try", "n = 3", "n = 4", "print(n)"]
    nbformat.validate(nbformat.from_dict(filled))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"m": 1}, "has no parameter 'm': it has n, rate"),
        ({"n": "4"}, "of type int, not '4'"),
        ({"n": True}, "of type int, not True"),
        ({"n; import os": 1}, "is no name in Python"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, sentence):
    with pytest.raises(UsageError, match=sentence):
        _document("1", parameters="n = 3\nrate = 0.5").with_values(values)


def test_a_whole_number_fits_where_a_fraction_stands():
    assert _document("1", parameters="rate = 0.5").with_values({"rate": 1})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no notebook"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "no notebook"),
        (b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "no notebook"),
        (nbformat.writes(new_notebook(cells=[new_markdown_cell("x")])).encode(), "no code"),
        (
            nbformat.writes(
                new_notebook(
                    cells=[new_code_cell("1")],
                    metadata={"kernelspec": {"language": "R", "name": "ir", "display_name": "R"}},
                )
            ).encode(),
            "written in R",
        ),
    ],
    ids=["empty", "bytes", "list", "cells", "text", "R"],
)
def test_what_is_no_notebook_is_refused_in_one_sentence(content, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        Document.parse(content, "../up/try.ipynb")
    assert str(caught.value).startswith("try.ipynb ")
    assert "\n" not in str(caught.value)


def test_a_run_has_its_parameters_its_store_and_its_outputs(store, workers):
    workers.start()
    document = _document(
        "import workbench as wb\nprint(n, wb.open().root)",
        "import plotly.graph_objects as go\ngo.Figure(go.Scatter(y=[1, n]))",
        parameters="n = 3",
    )
    run = submit(store.dir, document, {"n": 5}).wait(timeout=120)
    assert run.state == "done", run.error
    assert run.report().tables["cells"]["cell"].tolist() == [1, 2, 3, 4]
    made = json.loads(kept(run.folder, EXECUTED).read_text())
    assert made["cells"][3]["outputs"][0]["text"] == f"5 {store.root.resolve()}\n"
    (drawn,) = figures(made)
    assert list(drawn["data"][0]["y"]) == [1, 5]
    assert "(figure 1)" in kept(run.folder, PAGE).read_text()


def test_a_cell_that_fails_is_named_and_what_came_before_is_kept(store, workers):
    workers.start()
    run = submit(store.dir, _document("print('before')", "1 / 0")).wait(timeout=120)
    assert (run.state, run.error) == ("failed", "Cell 2 failed with ZeroDivisionError: division by zero")
    assert "before" in kept(run.folder, PAGE).read_text()


def test_it_may_wait_for_a_run_where_there_is_one_slot(store, table, workers):
    workers.start(slots=("cpu",))
    source = (
        "import workbench as wb\n"
        "run = wb.open().submit('probes:Sleeper', 'table', params={'seconds': 0.1}).wait(timeout=60)\n"
        "assert run.state == 'done', run.error"
    )
    run = submit(store.dir, _document(source)).wait(timeout=120)
    assert run.state == "done", run.error


def test_a_cancel_ends_the_kernel_too(store, workers, tmp_path):
    workers.start()
    beat = tmp_path / "beat"
    run = submit(
        store.dir,
        _document(
            "import pathlib, time",
            f"while True:\n    pathlib.Path({str(beat)!r}).touch()\n    time.sleep(0.05)",
        ),
    )
    rig.until(beat.exists)
    run.cancel()
    ended = run.wait(timeout=60)
    assert ended.state == "cancelled", ended.error + ended.log()
    last = beat.stat().st_mtime_ns
    rig.until(lambda: time.time_ns() - last > 500_000_000)
    assert beat.stat().st_mtime_ns - last < 100_000_000  # at most the beat that was under way


def test_the_page_forbids_whatever_the_outputs_hold():
    notebook = new_notebook(cells=[new_markdown_cell(HOSTILE), new_code_cell("1")])
    notebook.cells[1].outputs = [nbformat.v4.new_output("display_data", data={"text/html": HOSTILE})]
    html = as_html(notebook, "<b>title</b>")
    policy = html.index("Content-Security-Policy")
    assert "default-src 'none'" in html[policy : policy + 200]
    assert policy < html.index("<body")  # before anything that it has to forbid
    assert "script-src" not in html[policy : policy + 200]
    assert "<title>&lt;b&gt;" in html
    frame = framed(html)
    assert 'sandbox=""' in frame
    assert frame.count("<iframe") == 1
    assert "<script" not in frame  # all of it is the value of an attribute


def test_beyond_this_machine_it_has_to_be_allowed(monkeypatch):
    assert page.refusal() is None
    monkeypatch.setenv("WORKBENCH_TRUSTED_HEADER", "X-User")
    assert "WORKBENCH_NOTEBOOKS=1" in page.refusal()
    monkeypatch.setenv("WORKBENCH_NOTEBOOKS", "1")
    assert page.refusal() is None


def test_worked_examples_are_offered_and_can_be_read():
    assert {"bidding_market", "time_series_shapelets"} <= {path.stem for path in page.worked()}
    for path in page.worked():
        assert Document.read(path).cells["cells"]
