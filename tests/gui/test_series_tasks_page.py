"""The page of time series by what one wants to know, and the search over hyper-parameters."""

import json

import numpy as np
import pandas as pd
import pytest

from workbench import search
from workbench.arrays import Split
from workbench.errors import DatasetError
from workbench.gui import choices
from workbench.models import persistence
from workbench.report import LANDED
from workbench.runs.spec import build_estimator
from workbench.timeseries import CSL
from workbench.timeseries.tasks import refuse


def _press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, app.exception


def test_every_task_has_its_estimators(store):
    found = choices.task_estimators()
    assert found["Classify series"] == ["timeseries.UniTSClassifier"]
    assert found["Find anomalies"] == ["timeseries.UniTSAnomalyDetector"]
    assert {"timeseries.CSL", "timeseries.TS2Vec", "timeseries.TST"} <= set(found["Learn a representation"])
    assert sum(map(len, found.values())) == len(choices.series_estimators())


def test_encoders_are_chosen_from_a_list_and_joined(filled, open_page):
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier")
    assert app.selectbox(key="task").value == "Classify series"
    field = app.multiselect(key="UniTSClassifier.encoders")
    assert field.value == ["TS2Vec"]
    assert field.options == ["CSL", "TLoss", "TNC", "TS2Vec", "TST", "TSTCC"]
    field.set_value(["CSL", "TST"])
    _press(app, "Start")
    (run,) = filled.runs()
    assert run.spec["params"]["encoders"] == "CSL+TST"
    assert run.spec["recipe"] == "timeseries.classify"


def test_what_is_bound_to_fail_starts_no_run(filled, open_page):
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSForecaster")
    _press(app, "Start")
    assert "foretell fewer steps" in app.error[0].value
    assert filled.runs() == []


def test_the_flow_is_drawn_while_it_is_built(filled, open_page):
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier")

    def boxes():
        (chart,) = app.get("plotly_chart")
        return json.loads(chart.proto.spec)["data"][1]["text"]

    assert boxes() == ["Italy@1", "10 epochs", "TS2Vec", "concat", "Classifier"]
    app.multiselect(key="UniTSClassifier.encoders").set_value(["CSL", "TST"]).run()
    assert boxes()[1:5] == ["200 epochs", "CSL", "10 epochs", "TST"]
    assert filled.runs() == []


def test_a_saved_encoder_is_reused_on_other_data(filled, open_page, tmp_path):
    series = filled.dataset("Italy@1").to_series()
    for name, d, times in (("one variable", 1, 1), ("three variables", 3, 1), ("long", 1, 3)):
        X = np.tile(series.X[:10].repeat(d, axis=2), (1, times, 1))
        encoder = CSL(n_epochs=0, n_scales=2, n_shapelets=3, random_state=0).fit(X)
        persistence.save(encoder, tmp_path / name)
        filled.models.add(tmp_path / name, name, dataset="x@1")
    address = {"data": "Italy@1", "estimator": "timeseries.UniTSClassifier"}
    app = open_page("time_series", **address)
    field = app.multiselect(key="UniTSClassifier.saved")
    assert set(field.options) == {"one variable@1", "three variables@1", "long@1"}
    field.set_value(["three variables@1"])
    _press(app, "Start")
    assert "was fitted on 3 variables" in app.error[0].value
    app.multiselect(key="UniTSClassifier.saved").set_value(["long@1"])
    _press(app, "Start")
    assert "looks for shapes of 57 steps" in app.error[0].value
    assert filled.runs() == []
    app.multiselect(key="UniTSClassifier.saved").set_value(["one variable@1"])
    _press(app, "Start")
    (run,) = filled.runs()
    assert run.spec["params"]["encoders"] == [{"$model": "one variable@1"}]
    (encoder,) = build_estimator(run.spec, run.folder).encoders
    assert encoder.estimator.n_channels_ == 1


def test_several_data_sets_and_encoders_each_set_up_by_itself(filled, open_page):
    series = filled.dataset("Italy@1").to_series()
    filled.datasets.publish_arrays(series.X[:30, :20], name="Others")
    filled.datasets.publish_arrays(np.repeat(series.X[:30], 3, axis=2), name="Wide")
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier")
    app.multiselect(key="UniTSClassifier.encoders").set_value(["CSL", "TS2Vec", "TST"]).run()
    app.button_group(key="TS2Vec.mode").set_value("Manual")
    app.button_group(key="TST.mode").set_value("Smart").run()
    app.number_input(key="UniTSClassifier.TS2Vec.n_epochs").set_value(3)
    more = app.multiselect(key="more")
    assert more.options == ["Others@1", "Wide@1"]
    more.set_value(["Wide@1"]).run()
    assert "has 3 variables and Italy" in app.error[0].value
    assert next(b for b in app.button if b.label == "Start").disabled
    app.multiselect(key="more").set_value(["Others@1"]).run()
    (chart,) = app.get("plotly_chart")
    boxes = json.loads(chart.proto.spec)["data"][1]["text"]
    assert boxes[:2] == ["Italy@1", "Others@1"]
    assert {"200 epochs", "3 epochs, by hand", "searched for"} <= set(boxes)
    _press(app, "Start")
    (run,) = filled.runs()
    asked = run.spec["params"]
    assert run.spec["pipeline"] == "units"
    assert (asked["more"], asked["smart"], asked["domain"]) == (["Others@1"], ["TST"], False)
    by_hand = {"$estimator": "timeseries.TS2Vec", "params": {"n_epochs": 3}}
    assert asked["params"]["encoders"] == ["CSL", by_hand, "TST"]


def test_an_encoder_set_up_by_hand_is_one_run(filled, open_page):
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier")
    app.button_group(key="TS2Vec.mode").set_value("Manual").run()
    app.number_input(key="UniTSClassifier.TS2Vec.n_epochs").set_value(3)
    _press(app, "Start")
    (run,) = filled.runs()
    (encoder,) = build_estimator(run.spec, run.folder).encoders
    assert (type(encoder).__name__, encoder.n_epochs) == ("TS2Vec", 3)


def test_the_target_is_chosen_in_the_form(store, open_page):
    X = np.random.default_rng(0).normal(size=(12, 30, 1))
    frame = pd.DataFrame({"series_id": np.repeat(range(12), 30), "time": np.tile(range(30), 12)})
    frame["value"], frame["kind"] = X.ravel(), np.repeat(["a", "b"] * 6, 30)
    roles = {"series_id": "series_id", "time": "time", "value": "value"}
    before = store.datasets.publish_frame(frame, "plain", roles)
    app = open_page("time_series", data="plain@1", estimator="timeseries.UniTSClassifier")
    assert "no label" in app.info[0].value
    app.selectbox(key="target.plain").set_value("kind").run()
    assert not app.info
    _press(app, "Start")
    assert store.dataset("plain@1").roles["label"] == ["kind"]
    (run,) = store.runs()
    assert run.spec["dataset"]["roles"]["label"] == ["kind"]
    assert "label" not in before.roles


def test_smart_queues_a_search(filled, open_page):
    app = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier", mode="Smart")
    app.number_input(key="trials").set_value(3)
    app.multiselect(key="vary.UniTSClassifier").set_value(["fusion", "learning_rate"])
    next(button for button in app.button if button.label == "Start").click().run()
    (run,) = filled.runs()
    asked = run.spec["params"]
    assert (run.spec["pipeline"], asked["trials"]) == ("smart_search", 3)
    assert asked["vary"] == ["fusion", "learning_rate"]
    board = open_page("search", search=run.id)
    assert "No trial has begun yet" in board.info[0].value


def test_a_question_alone_finds_the_best(filled, open_page):
    app = open_page("time_series", data="Italy@1", task="Classify series")
    assert app.selectbox(key="mode").value == "Find the best"
    assert not [field for field in app.number_input if "n_epochs" in (field.key or "")]
    app.number_input(key="minutes").set_value(5)
    next(button for button in app.button if button.label == "Start").click().run()
    (run,) = filled.runs()
    assert run.spec["pipeline"] == "answer"
    assert {"task": "classify", "minutes": 5, "quality": "good"}.items() <= run.spec["params"].items()


def test_a_question_chosen_on_the_page_is_answered_by_itself_and_a_link_is_for_setting_up(filled, open_page):
    app = open_page("time_series", data="Italy@1")
    assert app.selectbox(key="setup").value == "Manual"  # nothing to find the best of
    app.selectbox(key="task").set_value("Classify series").run()
    assert app.selectbox(key="mode").value == "Find the best"
    linked = open_page("time_series", data="Italy@1", estimator="timeseries.UniTSClassifier")
    assert linked.selectbox(key="mode").value == "Manual"
    linked.selectbox(key="mode").set_value("Smart").run()
    assert linked.selectbox(key="mode").value == "Smart"


def test_the_leaderboard_fills_as_trials_land(filled, open_page):
    main = filled.pipelines.run("answer", {"data": "Italy@1", "task": "classify"})
    trials = [
        filled.submit(
            "timeseries.UniTSClassifier",
            "Italy@1",
            params={"encoders": name},
            split=Split(inner=True),
            name=f"answer: {name}",
            parent=main.id,
        )
        for name in ("TST", "CSL")
    ]
    with filled.dir.write() as connection:
        connection.execute("UPDATE runs SET state = 'running', started = created WHERE id = ?", (main.id,))
        connection.execute(
            "UPDATE runs SET state = 'done', started = created, finished = created + 60, scores = ?"
            " WHERE id = ?",
            ('{"test_accuracy": 0.875}', trials[0].id),
        )
    board = open_page("search", search=main.id)
    assert "TST" in board.markdown[0].value
    assert "0.875" in board.markdown[0].value
    assert board.dataframe[0].value["trial"].tolist() == ["TST", "CSL"]
    found = search.trials(filled, main.id)
    assert [run.id for run in found] == [run.id for run in trials]
    assert search.winner(found).id == trials[0].id
    assert search.remaining(found, 4, 2) == 90  # three to come at a minute each, two at once
    assert search.tested(filled, main.id) is None


def test_peers_stand_on_the_leaderboard_before_the_last_has_ended(filled):
    run = filled.submit(
        "timeseries.UniTSClassifier",
        "Italy@1",
        recipe=search.BASELINES,
        split=Split(inner=True),
        name="peers",
    )
    landed = {"Nearest": 0.5, "MiniRocket": 0.75}
    with filled.dir.write() as connection:
        connection.execute("UPDATE runs SET state = 'running', started = created WHERE id = ?", (run.id,))
        connection.executemany(
            "INSERT INTO metrics (run, name, step, value, time) VALUES (?, ?, 0, ?, 0)",
            [(run.id, f"{LANDED}{name}/test_accuracy", value) for name, value in landed.items()]
            + [(run.id, f"{LANDED}{name}/seconds", 2.0) for name in landed]
            + [(run.id, f"{LANDED}untrained/test_accuracy", 0.9)],
        )
    run = run.refresh()
    board = search.leaderboard([run])
    assert board["trial"].tolist() == ["MiniRocket", "Nearest", "peers"]
    assert board["state"].tolist() == ["done", "done", "running"]
    assert board["score"].tolist()[:2] == [0.75, 0.5]
    assert run.metrics().empty  # they are no curves
    trial = filled.submit("timeseries.UniTSClassifier", "Italy@1", params={"encoders": "CSL"}, name="trial")
    said = search.leaderboard([run, trial]).set_index("trial")["encoders"]
    assert said[["trial", "MiniRocket"]].tolist() == ["CSL", "–"]


INDEX = pd.DataFrame({"id": range(10), "label": ["a", "b"] * 5, "length": 50})
COLUMNS = pd.DataFrame({"name": ["x"], "n": [500], "missing": [0], "least": [0.0], "most": [1.0]})


@pytest.mark.parametrize(
    ("recipe", "params", "index", "columns", "sentence"),
    [
        ("classify", {}, INDEX.assign(label="a"), COLUMNS, "All labelled series are of one class, 'a'"),
        ("classify", {}, INDEX.assign(label=None), COLUMNS, "No series has a label"),
        ("regress", {}, INDEX, COLUMNS, "The labels are no numbers"),
        ("classify", {}, INDEX.head(2), COLUMNS, "2 series are too few"),
        ("cluster", {"n_clusters": 9}, INDEX, COLUMNS, "10 series cannot be put into 9 groups"),
        ("forecast", {"horizon": 20}, INDEX, COLUMNS, "foretell fewer steps"),
        ("detect", {}, INDEX.assign(length=4), COLUMNS, "there is too little to see"),
        ("detect", {}, INDEX, COLUMNS.assign(missing=500), "The channel 'x' holds no value"),
        ("impute", {}, INDEX, COLUMNS.assign(most=0.0), "Every channel is constant"),
        ("represent", {}, INDEX.head(1), COLUMNS, "One series is too few"),
        ("represent", {"batch_size": 64}, INDEX, COLUMNS, "A batch_size of 64 is more than the 7 series"),
        (
            "classify",
            {"encoders": ["CSL", {"$estimator": "timeseries.TST", "params": {"batch_size": 8}}]},
            INDEX,
            COLUMNS,
            "A batch_size for TST of 8 is more than the 7 series that are learnt from: choose 7 or less",
        ),
        ("represent", {"window_size": 60}, INDEX, COLUMNS, "a window of 60 does not fit"),
        ("detect", {"window": 51}, INDEX, COLUMNS, "a window of 51 does not fit"),
        ("forecast", {"horizon": 10, "window": 30}, INDEX, COLUMNS, "a window of 30 and the 10 after it"),
    ],
)
def test_refusals(recipe, params, index, columns, sentence):
    refuse(f"timeseries.{recipe}", {"horizon": 10, "n_clusters": 2}, INDEX.assign(label=range(10)), COLUMNS)
    with pytest.raises(DatasetError, match=sentence):
        refuse(f"timeseries.{recipe}", params, index, columns, Split())
