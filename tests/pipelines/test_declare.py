"""Pipelines as they are declared: parameters, defaults, and files with mistakes."""

import pytest

from workbench.errors import PipelineError, UsageError
from workbench.pipelines import Pipelines, declare

HEAD = "from workbench.pipelines import DataSet, Flow, FolderPath, pipeline\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "own"
    place.mkdir()
    monkeypatch.setenv("WORKBENCH_PIPELINES", str(place))
    return place


def test_parameters_are_read_from_annotations_and_docstring():
    found = {p.name: p for p in declare.find("diamond").parameters}
    assert {name: p.kind for name, p in found.items()} == {
        "data": "dataset", "seconds": "float", "mode": "choice"
    }  # fmt: skip
    assert found["seconds"].doc == "How long each run takes."
    assert found["mode"].choices == ("plain", "loud")
    assert declare.find("diamond").summary == "Two runs beside one another between two Python steps."


def test_values_are_checked_and_completed():
    diamond = declare.find("diamond")
    assert diamond.check({"data": "table"}) == {"data": "table", "seconds": 0.0, "mode": "plain"}
    assert declare.find("quick").check({"day": "2026-02-03"})["day"] == "2026-02-03"
    assert declare.find("quick").check({})["day"] == "2026-01-01"
    assert diamond.parse({"seconds": "2", "data": "x"}) == {"seconds": 2.0, "data": "x"}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "needs a value for 'data'"),
        ({"data": ""}, "needs a value for 'data'"),
        ({"data": "x", "second": 1}, "did you mean 'seconds'"),
        ({"data": "x", "seconds": "long"}, "must be a number"),
        ({"data": "x", "seconds": True}, "must be a number"),
        ({"data": "x", "mode": "lowd"}, "Did you mean 'loud'"),
        ({"data": 3}, "name of a data set"),
    ],
)
def test_a_wrong_value_is_one_sentence(params, words):
    with pytest.raises(UsageError, match=words):
        declare.find("diamond").check(params)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", r"one.py cannot be read: line 1: SyntaxError"),
        ("\nimport nonesuch\n", r"one.py cannot be read: line 2: ModuleNotFoundError"),
        (HEAD + "@pipeline\ndef one(flow: Flow, x: Nonesuch): ...\n", "Nonesuch"),
        (HEAD + "@pipeline\ndef one(flow: Flow, x: object): ...\n", "'x' of one must be an int"),
        (HEAD + "@pipeline\ndef one(flow: Flow, *x: int): ...\n", "'x' of one must be"),
    ],
)
def test_a_file_with_a_mistake_is_named_and_harms_no_other(folder, store, text, words):
    (folder / "one.py").write_text(text)
    (folder / "two.py").write_text(HEAD + "@pipeline\ndef two(flow: Flow): ...\n")
    pipelines = Pipelines(store.dir)
    assert "two" in [each.name for each in pipelines.list()]
    (problem,) = pipelines.broken().values()
    with pytest.raises(PipelineError, match=words):
        pipelines.get("one")
    assert "\n" not in problem


def test_a_changed_file_is_read_again_and_a_queued_run_keeps_what_it_had(folder, store):
    file = folder / "one.py"
    file.write_text(HEAD + "@pipeline\ndef one(flow: Flow, n: int = 1): ...\n")
    run = store.pipelines.run("one")
    file.write_text(HEAD + "@pipeline\ndef one(flow: Flow, n: int = 2): ...\n")
    assert store.pipelines.get("one").check({}) == {"n": 2}
    assert run.spec["params"] == {"n": 1}
    assert "n: int = 1" in (run.folder / run.spec["source"]).read_text()


def test_an_unknown_pipeline_is_one_sentence(store):
    with pytest.raises(PipelineError, match=r"no pipeline 'nightli'\. Did you mean 'nightly'"):
        store.pipelines.run("nightli")


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-02-01", "2026-01-01", "ends"),
        ("x", "2026-01-01", "not a date"),
        ("1900-01-01", "2026-01-01", "more"),
    ],
)
def test_a_range_that_is_none_is_one_sentence(store, start, end, words):
    with pytest.raises(UsageError, match=words):
        store.pipelines.backfill("quick", start, end)
