"""The pages that ask, prepare, label and look after data sets, without a browser."""

from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
import pytest

from workbench.errors import QueryRefused, UsageError
from workbench.gui import sql


@pytest.fixture
def pump(store):
    """A recording with duplicates, a gap and a missing value, in two versions that differ."""
    times = pd.date_range("2024-01-01", periods=300, freq="5min").delete(range(100, 110))
    frame = pd.DataFrame({"time": times, "flow": np.sin(np.arange(290) / 5)})
    frame.loc[7, "flow"] = np.nan
    frame = pd.concat([frame, frame.iloc[[3, 4]]]).sort_values("time")
    store.datasets.publish_frame(frame, "pump")
    return store.datasets.publish_frame(frame.assign(flow=frame["flow"] + 2), "pump")


def _press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def _said(app):
    return " ".join(caption.value for caption in app.caption)


# --- SQL ----------------------------------------------------------------------------------------


def _answered(app):
    """Run the page again until its query has ended."""
    for _ in range(100):
        if app.dataframe or app.error or any(s.value == "Plan" for s in app.subheader):
            return app
        time.sleep(0.2)
        app.run()
    raise AssertionError("the query did not end")


def test_a_link_runs_its_query_and_enters_it_into_the_history(filled, open_page):
    app = _answered(open_page("sql", sql='SELECT count(*) AS n FROM "Italy"'))
    assert app.dataframe[0].value["n"].tolist() == [26304]
    assert "1 row," in _said(app)
    kept = filled.dir.connection.execute("SELECT sql, n_rows FROM queries").fetchall()
    assert [tuple(row) for row in kept] == [('SELECT count(*) AS n FROM "Italy"', 1)]


def test_without_a_link_nothing_is_run(filled, open_page):
    app = open_page("sql")
    assert not app.dataframe
    _press(app, "Run")
    assert len(_answered(app).dataframe[0].value) == 20
    assert app.query_params["sql"] == 'SELECT *\nFROM "Italy"\nLIMIT 20'


def test_the_plan_is_shown_and_nothing_is_run(filled, open_page):
    app = open_page("sql")
    _press(app, "Explain")
    app = _answered(app)
    assert any("Scan" in code.value for code in app.code)
    assert not app.dataframe


def test_a_refused_query_is_one_sentence(filled, open_page):
    app = _answered(open_page("sql", sql="COPY Italy TO '/tmp/x'"))
    assert len(app.error) == 1
    assert "only read" in app.error[0].value


def test_the_answer_is_kept_as_a_data_set(filled, open_page):
    app = _answered(open_page("sql", sql='SELECT * FROM "Italy" WHERE time = 0'))
    app.text_input[0].set_value("first steps")
    # The harness knows no other page to go to then.
    next(button for button in app.button if button.label == "Keep").click().run()
    assert filled.dataset("first steps").n_rows == 1096
    assert filled.dataset("first steps").parent == "Italy@1"


def test_an_export_is_made_then_saved_or_refused_in_a_sentence(filled, pump, open_page):
    app = _answered(open_page("sql", sql='SELECT * FROM "Italy" WHERE time = 0'))
    _press(app, "Whole result as CSV")
    assert app.session_state["export.query"].content.count(b"\n") == 1097
    assert app.get("download_button")
    filled.datasets.delete("Italy")
    _press(app, "Whole result as Parquet")
    assert [error.value for error in app.error][-1].startswith("There is no data set")
    assert not app.get("download_button")


@pytest.mark.slow
def test_a_query_over_fifty_million_rows_ends_within_a_second_of_the_button(store, open_page):
    store.datasets.publish_query("SELECT range AS i, range % 1000 AS g FROM range(50000000)", "many")
    app = open_page("sql", sql="SELECT md5(i::VARCHAR) AS h, count(*), sum(g) FROM many GROUP BY h")
    task = app.session_state["query.task"]
    assert not task.wait(2)
    _press(app, "Cancel")
    assert task.wait(1)
    with pytest.raises(QueryRefused, match="cancelled"):
        task.result()


def test_links_are_whole_or_refused():
    assert sql.link("http://h/sql", "SELECT 'ü&?'") == "http://h/sql?sql=SELECT+%27%C3%BC%26%3F%27"
    with pytest.raises(UsageError, match="too long for a link"):
        sql.link("http://h/sql", "x" * sql.MAX_LINK)


def test_history_for_people():
    found = pd.DataFrame(
        {
            "id": [2, 1],
            "sql": ["SELECT\n 1", "x"],
            "created": time.time(),
            "seconds": [0.5, 1.0],
            "n_rows": [1, None],
            "error": ["", "The query was cancelled."],
        }
    )
    shown = sql.history_frame(found)
    assert shown["query"].tolist() == ["SELECT 1", "x"]
    assert shown["result"].tolist() == ["1 rows, 0.5 s", "The query was cancelled."]


# --- prepare ------------------------------------------------------------------------------------


def test_a_suggestion_is_previewed_and_published(store, pump, open_page):
    app = open_page("prepare", data="pump@2")
    assert "2 duplicate time stamps" in _said(app).replace("\\", "")
    assert "1 gap " in _said(app).replace("\\", "") + " "
    _press(app, "Regular windows, split by time")
    titles = [m.value for m in app.markdown if "·" in m.value]
    assert [t.partition("· ")[2].strip("*") for t in titles] == [
        "Aggregate duplicates", "Fill gaps", "Split into train and test", "Cut windows",
    ]  # fmt: skip
    length = next(field for field in app.number_input if field.label == "length")
    length.set_value(15).run()
    assert not app.exception
    assert not app.error
    recipe = json.loads(app.query_params["recipe"])
    assert recipe[-1] == {"step": "windows", "length": 15, "label": "max", "before": 0, "value": 1}
    assert len(app.get("plotly_chart")) >= 2
    assert any("WITH step_0" in code.value for code in app.code)
    name = next(field for field in app.text_input if field.label.startswith("Name"))
    name.set_value("pump windows")
    next(button for button in app.button if button.label == "Publish").click().run()
    made = store.dataset("pump windows")
    assert made.to_series().X.shape == (19, 15, 1)
    assert made.parent == "pump@2"


def test_a_link_restores_a_recipe_that_can_be_edited(store, pump, open_page):
    app = open_page("prepare", data="pump@2", recipe='[{"step": "resample", "every": "10 min"}]')
    assert any("Resample" in m.value for m in app.markdown)
    _press(app, "Clear")
    assert not any("Resample" in m.value for m in app.markdown)


def test_a_bad_step_is_one_sentence(store, pump, open_page):
    app = open_page("prepare", data="pump@2", recipe='[{"step": "resample", "every": "10 apples"}]')
    assert len(app.error) == 1
    assert "is not a duration" in app.error[0].value.replace("\\", "")
    app = open_page("prepare", data="pump@2", recipe='[{"step": "negative_sampling"}]')
    assert "role 'user'" in app.error[0].value.replace("\\", "")
    app = open_page("prepare", data="pump@2", recipe="{oops")
    assert "not JSON" in app.error[0].value.replace("\\", "")


def test_a_recipe_is_replayed_from_the_data_set_that_it_made(store, pump, open_page):
    from workbench.datasets.prepare import Preparation, Resample

    Preparation([Resample(every="15 min", how="max")]).apply(pump, "slow")
    app = open_page("prepare", data="pump@1", of="slow@1")
    assert next(box for box in app.selectbox if box.label == "how").value == "max"
    assert not app.error
    app = open_page("prepare", data="pump@1", of="pump@1")
    assert "was not made by a preparation" in app.error[0].value.replace("\\", "")


# --- labels -------------------------------------------------------------------------------------


def test_the_ways_of_labelling_follow_the_data(store, filled, pump, open_page):
    assert len(open_page("labels", data="Italy@1").get("plotly_chart")) == 1
    app = open_page("labels", data="pump@2")
    assert "No label yet" in _said(app)
    assert "No stretch is chosen" in _said(app)


def test_clusters_are_offered_as_a_whole(filled, open_page):
    app = open_page("labels", data="Italy@1")
    app.selectbox(key="labels.by").set_value("cluster").run()
    assert not app.exception
    from workbench.gui import labels

    app.get("button_group")[-1]  # the pills
    found = labels._clusters("Italy@1", 1, "map 1", "map 2", "", 4)
    assert sorted(set(found)) == [f"cluster {i}" for i in range(1, 5)]


def test_what_waits_is_saved_as_a_version_and_trained_with(filled, open_page):
    from workbench.gui.pending import Pending

    app = open_page("labels", data="Italy@1")
    edits = Pending()
    edits.assign("series", [0, 1], None)
    app.session_state["labels.Italy@1"] = edits
    app.run()
    assert any("Not saved yet" in s.value for s in app.subheader)
    _press(app, "Save as a new version")
    assert filled.dataset("Italy").ref == "Italy@2"
    assert sum(label is None for label in filled.dataset("Italy").to_series().y.tolist()) == 2
    assert any("Saved as Italy" in s.value for s in app.success)
    next(button for button in app.button if button.label == "Train with these labels").click().run()
    (run,) = filled.runs()
    assert run.dataset == "Italy@2"


# --- care ---------------------------------------------------------------------------------------


def test_what_the_import_had_to_say_stands_over_the_rows(store, tmp_path, open_page):
    path = tmp_path / "codes.csv"
    path.write_text("code,x\n007,1\n008,2\n")
    dataset = store.datasets.import_files([path])
    app = open_page("datasets", data=dataset.ref)
    assert any("leading zeros" in info.value for info in app.info)


def test_changes_between_versions(store, pump, open_page):
    app = open_page("datasets", data="pump@2", view="Changes")
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Columns drifted much"] == "1"
    assert metrics["Rows added"] == "291"
    assert len(app.get("plotly_chart")) == 3


def test_changes_with_one_version_say_so(filled, open_page):
    app = open_page("datasets", data="Italy@1", view="Changes")
    assert "only one" in app.info[0].value


def test_lineage_is_drawn(store, pump, open_page):
    store.datasets.publish_query("SELECT * FROM pump WHERE flow > 2", "high")
    app = open_page("datasets", data="high@1", view="Lineage")
    (chart,) = app.get("plotly_chart")
    assert "pump@2" in chart.proto.spec
    app = open_page("datasets", data="pump@1", view="Lineage")
    assert "nothing has been made of it yet" in app.info[0].value


def test_a_version_in_use_names_its_runs(filled, open_page):
    run = filled.submit("timeseries.CSL", "Italy", name="holds it")
    with pytest.raises(Exception, match=rf"1 run uses it, holds it \({run.id}\); delete"):
        filled.datasets.delete("Italy@1")


def test_storage_shows_sizes_rules_and_soundness(store, pump, open_page):
    app = open_page("storage")
    assert app.dataframe[0].value["version"].tolist() == ["pump@1", "pump@2"]
    app = open_page("storage", view="Retention")
    assert "Nothing would go" in app.info[0].value
    app.number_input(key="keep").set_value(1)
    app.number_input(key="days").set_value(0.0).run()
    assert app.dataframe[0].value["version"].tolist() == ["pump@1"]
    assert "pump@1" in store.datasets
    app = open_page("storage", view="Verification")
    _press(app, "Verify all versions")
    assert "All 2 versions" in app.success[0].value
    path = store.dataset("pump@1").path
    path.chmod(0o644)
    path.write_bytes(b"broken")
    _press(app, "Verify all versions")
    assert "pump\\@1 has changed" in app.error[0].value
