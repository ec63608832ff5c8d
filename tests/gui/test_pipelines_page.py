"""The Pipelines page: a form from typed parameters, schedules in words, and the graph on a run's page."""

import json
import time

import pytest

from workbench.pipelines import table

pytestmark = pytest.mark.usefixtures("store")


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def figures(app):
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def test_the_shipped_pipelines_are_listed_and_the_form_has_their_parameters(filled, open_page):
    app = open_page("pipelines", pipeline="nightly")
    assert app.dataframe[0].value["name"].tolist() == [
        "again", "answer", "bidding_sweep", "modality_report", "nightly", "pretrain_tune", "remedy_race",
        "select_retrain", "smart_search", "units",
    ]  # fmt: skip
    assert app.selectbox(key="nightly.score").value == "log_loss"
    assert app.number_input(key="nightly.drift_limit").value == 0.25
    assert app.text_input(key="nightly.params").value == ""
    assert open_page("pipelines", pipeline="pretrain_tune").selectbox(key="pretrain_tune.data").options == [
        "Italy"
    ]


def test_start_queues_a_run_with_what_the_form_holds(filled, open_page):
    app = open_page("pipelines", **{"pipeline": "pretrain_tune", "pretrain_tune.epochs": "3"})
    app.selectbox(key="pretrain_tune.data").set_value("Italy")
    press(app, "Start")
    (run,) = filled.pipelines.runs()
    assert run.spec["params"]["data"] == "Italy"
    assert run.spec["params"]["epochs"] == 3
    assert run.spec["params"]["encoder"] == "TS2Vec"


def test_what_is_missing_is_one_sentence_and_no_run(filled, open_page):
    app = open_page("pipelines", pipeline="pretrain_tune")
    press(app, "Start")
    assert [error.value for error in app.error] == [
        "The pipeline pretrain\\_tune needs a value for 'data'\\."
    ]
    assert filled.pipelines.runs() == []


@pytest.mark.parametrize("path", ["/etc", "/etc/{date}", "{allowed}/../..", "{allowed}/{{date}}/../../x"])
def test_a_page_reads_only_the_folders_that_are_named(filled, open_page, tmp_path, monkeypatch, path):
    (tmp_path / "allowed").mkdir()
    monkeypatch.setenv("WORKBENCH_IMPORT_DIRS", str(tmp_path / "allowed"))
    app = open_page("pipelines", pipeline="nightly")
    app.text_input(key="nightly.name").set_value("x")
    written = path if path.startswith("/etc") else path.format(allowed=tmp_path / "allowed")
    app.text_input(key="nightly.folder").set_value(written)
    press(app, "Start")
    assert len(app.error) == 1
    assert filled.pipelines.runs() == []
    app.text_input(key="nightly.folder").set_value(f"{tmp_path}/allowed/{{date}}")
    press(app, "Start")
    assert len(filled.pipelines.runs()) == 1


def test_a_schedule_is_added_and_shown_in_words(filled, open_page):
    app = open_page("pipelines", pipeline="pretrain_tune")
    app.selectbox(key="pretrain_tune.data").set_value("Italy")
    app.text_input(key="what").set_value("30 2 * * MON")
    app.text_input(key="zone").set_value("Europe/Berlin")
    press(app, "Add")
    assert [error.value for error in app.error] == []
    (added,) = filled.schedules.list()
    assert added.params["data"] == "Italy"
    shown = next(
        f.value for f in open_page("pipelines", pipeline="pretrain_tune").dataframe if "When" in f.value
    )
    assert shown["When"].tolist() == ["At 02:30 on Monday, Europe/Berlin time"]
    assert shown["Next five times"].str.count("Mon").tolist() == [5]


def test_a_run_s_page_shows_the_graph_with_its_states(filled, open_page):
    run = filled.pipelines.run("pretrain_tune", {"data": "Italy"})
    for position, (name, needs) in enumerate([("one", []), ("two", ["one"]), ("three", ["one"])]):
        table.declare(filled.dir, run.id, name, position, "python", needs)
    table.update(filled.dir, run.id, "one", state="done", started=time.time() - 3, finished=time.time())
    table.update(filled.dir, run.id, "two", state="running", started=time.time())
    app = open_page("run", run=run.id)
    states = {trace["name"]: trace["text"] for trace in figures(app)[0]["data"] if "text" in trace}
    assert states == {"done": ["one"], "running": ["two"], "waiting": ["three"]}
    assert "pipeline" in {link.proto.label for link in app.get("page_link")}
