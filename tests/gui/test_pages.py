"""What the pages say and do, without a browser."""

import re

import pandas as pd
import pytest

from workbench.errors import UsageError
from workbench.gui import datasets, imports, navigation
from workbench.gui.config import PAGES


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("home", "No data set yet"),
        ("datasets", "No data set yet"),
        ("sql", "No data set yet"),
        ("prepare", "No data set yet"),
        ("labels", "No data set yet"),
        ("storage", "No data set yet"),
        ("time_series", "No data set holds time series yet"),
        ("modality", "one row a sample yet"),
        ("selection", "one row an impression yet"),
        ("runs", "No run yet"),
        ("run", "choose it in the list"),
        ("search", "started from the page of time series"),
        ("compare", "select their rows"),
        ("models", "No model is saved yet"),
    ],
)
def test_an_empty_store_says_what_to_do(store, open_page, page, says):
    app = open_page(page)
    assert any(says in info.value for info in app.info)


@pytest.mark.parametrize("page", sorted(path.stem for path in PAGES.glob("*.py")))
def test_every_page_of_an_empty_store_has_a_title_a_purpose_and_says_what_to_do(store, open_page, page):
    app = open_page(page)
    assert len(app.title) == 1
    assert app.caption
    assert app.caption[0].value.endswith(".")
    assert len(app.info) or page in ("pipelines", "notebooks"), "no empty state"


def test_each_section_of_the_menu_is_written_above_its_first_page():
    names = [title for name, (title, _) in navigation._TITLES.items() if name not in navigation._HIDDEN]
    written = re.findall(r'nth-child\((\d+)\)::before { content: "(\w+)"', navigation.section_style())
    assert [(names[int(place) - 1], section) for place, section in written] == [
        ("Datasets", "Data"),
        ("Time series", "Methods"),
        ("Runs", "Results"),
        ("Pipelines", "Automation"),
    ]


def test_home_lists_what_is_there(filled, open_page):
    filled.submit("timeseries.CSL", "Italy", params={"n_epochs": 1}, name="first")
    app = open_page("home")
    assert any("26" in caption.value and "rows" in caption.value for caption in app.caption)
    assert any("CSL on Italy" in caption.value for caption in app.caption)


def test_a_link_opens_the_view_of_a_data_set(filled, open_page):
    app = open_page("datasets", data="Italy@1", view="Profile")
    assert app.selectbox(key="data").value == "Italy@1"
    assert list(app.dataframe[0].value["column"]) == ["series_id", "time", "value", "label", "split"]


def test_the_series_view_draws_the_chosen_series(filled, open_page):
    app = open_page("datasets", data="Italy@1", view="Series")
    assert app.multiselect(key="series").value == ["0"]
    app.multiselect(key="series").set_value(["3", "5"]).run()
    assert not app.exception
    names = [trace["name"] for trace in _figures(app)[0]["data"]]
    assert [name.split(" ")[0] for name in names] == ["3", "5"]


def test_one_recording_is_a_series_drawn_along_its_dates(store, open_page):
    hours = pd.date_range("2026-01-01", periods=50, freq="h")
    store.datasets.publish_frame(pd.DataFrame({"time": hours, "load": range(50)}), "Plant")
    app = open_page("datasets", data="Plant@1", view="Series")
    assert not app.error
    (line,) = _figures(app)[0]["data"]
    assert pd.to_datetime(line["x"]).tolist() == hours.tolist()


def test_the_preview_shows_the_first_rows_only(filled, open_page):
    app = open_page("datasets", data="Italy@1")
    assert len(app.dataframe[0].value) == datasets.PREVIEW_ROWS


def test_a_version_in_use_is_not_deleted(filled, open_page):
    filled.submit("timeseries.CSL", "Italy", params={"n_epochs": 1})
    app = open_page("datasets", data="Italy@1", view="Versions")
    with pytest.raises(Exception, match="1 run uses it"):
        filled.datasets.delete("Italy@1")
    assert app.dataframe[0].value["version"].tolist() == ["Italy@1"]


def test_sql_runs_a_query_and_refuses_a_write(filled, open_page):
    app = open_page("sql", sql='SELECT count(*) AS n FROM "Italy"')
    assert app.dataframe[0].value["n"].tolist() == [26304]
    refused = open_page("sql", sql='DROP TABLE "Italy"')
    assert len(refused.error) == 1
    assert not refused.dataframe


def test_the_form_is_drawn_from_the_estimator_and_starts_a_run(filled, open_page):
    app = open_page("time_series", data="Italy@1", estimator="timeseries.CSL")
    assert app.number_input(key="CSL.n_epochs").value == 200
    assert app.selectbox(key="CSL.measure").options == ["cosine", "cross-correlation", "euclidean", "mixed"]
    app.number_input(key="CSL.n_epochs").set_value(3)
    app.number_input(key="seed").set_value(7)
    _press(app, "Start")
    (run,) = filled.runs()
    assert run.spec["params"]["n_epochs"] == 3
    assert run.spec["seed"] == 7
    assert run.state == "queued"


def test_a_link_fills_the_form(filled, open_page):
    app = open_page("time_series", **{"data": "Italy@1", "CSL.n_epochs": "12", "seed": "3"})
    assert app.number_input(key="CSL.n_epochs").value == 12
    assert app.number_input(key="seed").value == 3
    assert "'n_epochs': 12" in app.code[0].value


def test_what_the_estimator_refuses_is_one_sentence_and_no_run(filled, open_page):
    app = open_page("time_series", data="Italy@1")
    app.number_input(key="CSL.learning_rate").set_value(0.0)
    _press(app, "Start")
    assert len(app.error) == 1
    assert "learning" in app.error[0].value
    assert filled.runs() == []


def test_runs_are_filtered_and_cancelled(filled, open_page):
    keep = filled.submit("timeseries.CSL", "Italy", name="keep me")
    filled.submit("timeseries.CSL", "Italy", name="other")
    app = open_page("runs", text="KEEP")
    assert app.dataframe[0].value["name"].tolist() == ["keep me"]
    filled.queue.cancel([keep.id])
    assert open_page("runs", state="cancelled").dataframe[0].value["id"].tolist() == [keep.id]


def test_runs_that_fill_several_pages_are_all_reached(filled, open_page):
    first = filled.submit("timeseries.CSL", "Italy", name="the oldest").id
    with filled.dir.write() as db:  # the same run 400 times more, each a second younger
        db.execute("CREATE TEMP TABLE copy AS SELECT * FROM runs")
        for i in range(400):
            db.execute("UPDATE copy SET id = ?, created = created + 1, name = ?", (f"{i:010x}", f"copy {i}"))
            db.execute("INSERT INTO runs SELECT * FROM copy")
        db.execute("DROP TABLE copy")
    assert len(open_page("runs").dataframe[0].value) == 200
    last = open_page("runs", page="3")
    assert last.dataframe[0].value["id"].tolist() == [first]
    assert any("401 to 401 of 401" in caption.value for caption in last.caption)
    assert open_page("runs", text="oldest", page="3").dataframe[0].value["id"].tolist() == [first]


def test_a_queued_run_says_that_no_worker_is_there(filled, open_page):
    run = filled.submit("timeseries.CSL", "Italy")
    app = open_page("run", run=run.id)
    assert any("No worker is running" in warning.value for warning in app.warning)


def test_names_are_never_markdown(filled, open_page):
    hostile = "![x](http://evil/x.png) <b>hi</b>"
    run = filled.submit("timeseries.CSL", "Italy", name=hostile)
    title = open_page("run", run=run.id).title[0].value
    assert "\\!\\[x\\]\\(http" in title
    assert "\\<b\\>" in title


def test_an_unknown_run_is_a_sentence(store):
    from streamlit.testing.v1 import AppTest

    from workbench.gui.config import ROOT

    path = str(ROOT / "pages" / "run.py")
    script = (
        "import runpy\nfrom workbench.gui.failures import guard\n"
        f"with guard():\n    runpy.run_path({path!r})\n"
    )
    app = AppTest.from_string(script, default_timeout=30)
    app.query_params["run"] = "nothing"
    app.run()
    assert not app.exception
    assert "There is no run" in app.error[0].value


def test_a_path_on_the_server_stays_below_the_named_folders(tmp_path):
    allowed, secret = tmp_path / "allowed", tmp_path / "secret.csv"
    allowed.mkdir()
    secret.write_text("a\n1\n")
    (allowed / "ok.csv").write_text("a\n1\n")
    (allowed / "link.csv").symlink_to(secret)
    folders = [allowed.resolve()]
    assert imports.server_path("ok.csv", folders) == (allowed / "ok.csv").resolve()
    for bad in (str(secret), "../secret.csv", "link.csv", "missing.csv", "/etc/passwd"):
        with pytest.raises(UsageError):
            imports.server_path(bad, folders)


def _press(app, label):
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def _figures(app):
    import json

    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
