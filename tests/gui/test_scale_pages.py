"""What the pages offer where there is a cluster, and the file and the schedule of what was made once."""

import json

import pytest

from workbench.runs import queue


@pytest.fixture
def cluster(filled):
    """A worker that is alive and was told of a Ray cluster."""
    row = ("w", 1, json.dumps(["cpu", "ray"]), 0.0, queue.boot_id(), queue.boot_clock() + 600)
    with filled.dir.write() as db:
        db.execute("INSERT INTO workers (id, pid, slots, started, boot, beat) VALUES (?,?,?,?,?,?)", row)


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, app.exception


def test_there_is_a_choice_of_launchers_only_where_a_worker_has_one(filled, open_page):
    assert filled.queue.launchers() == ["local"]
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier")
    assert "Where it runs" not in {field.label for field in app.selectbox}


def test_a_run_and_the_trials_of_a_search_go_to_the_cluster(filled, open_page, cluster):
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier")
    assert app.selectbox(key="launcher").options == ["beside the worker", "on the Ray cluster"]
    app.selectbox(key="launcher").set_value("ray")
    press(app, "Start")
    (run,) = filled.runs()
    assert run.launcher == "ray"
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier", mode="Smart")
    app.selectbox(key="launcher").set_value("ray")
    app.number_input(key="trials").set_value(2)
    app.multiselect(key="vary.UniTSClassifier").set_value(["learning_rate"])
    press(app, "Start")
    search = filled.runs()[0]  # its trials go there; it only waits for them
    assert (search.launcher, search.spec["params"]["launcher"]) == ("local", "ray")


@pytest.mark.slow
def test_a_model_is_made_into_an_onnx_file_and_its_run_put_on_a_schedule(finished_store, finished, open_page):
    ref = finished.save_model("kept").ref
    app = open_page("models", model=ref)
    press(app, "Make an ONNX file")
    assert "onnx-made-kept@1" in app.session_state, app.error
    assert len(app.session_state["onnx-made-kept@1"]) > 1000
    page = open_page("pipelines", pipeline="again", **{"again.run": finished.id})
    assert page.text_input(key="again.run").value == finished.id
