"""The page of a finished run, and that nothing of it needs torch."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from workbench.gui import result, runs
from workbench.gui.config import PAGES

VIEWS = ("Preview", "Series", "Profile", "Roles", "Versions")


def _figures(app):
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


@pytest.fixture
def app(finished, finished_store, open_page):
    return open_page("run", run=finished.id)


def test_every_score_stands_beside_the_untrained_control(app, finished):
    cards = {metric.label: metric.value for metric in app.metric}
    assert cards["Test accuracy"] == f"{finished.scores['test_accuracy']:.3f}"
    control = finished.scores["untrained_test_accuracy"]
    assert any(caption.value.startswith(f"untrained {control:.3f}") for caption in app.caption)
    assert not any("untrained" in label.lower() for label in cards)


def test_an_accuracy_that_is_no_number_leaves_the_list_of_runs(finished):
    odd = replace(finished, scores=finished.scores | {"test_accuracy": None})
    assert runs.frame([odd])["result"].tolist() == [finished.headline]


def test_the_map_holds_every_series(app, finished):
    points = [data for trace in _figures(app)[0]["data"] for data in trace["customdata"]]
    assert len({point[0] for point in points}) == 200


def test_the_shapelet_lies_over_the_series_it_matches(app, finished):
    matches = finished.report().tables["matches"]
    shapelet = app.selectbox(key="shapelet").value
    best = matches[matches["shapelet"] == shapelet].sort_values("rank").iloc[0]
    assert app.selectbox(key="match").value == str(best["id"])
    drawn = next(f for f in _figures(app) if any("shapelet" in t["name"] for t in f["data"] if "name" in t))
    line = next(trace for trace in drawn["data"] if trace["name"].startswith("shapelet"))
    assert line["x"][0] == best["start"]
    assert len(line["x"]) == best["length"]


def test_a_link_restores_the_chosen_shapelet(finished, finished_store, open_page):
    other = finished.report().tables["matches"]["shapelet"].unique()[3]
    app = open_page("run", run=finished.id, shapelet=other)
    assert app.selectbox(key="shapelet").value == other


def test_the_model_can_be_downloaded(finished, finished_store):
    archive = zipfile.ZipFile(io.BytesIO(result._zipped(finished.folder / "artifacts" / "model")))
    assert "estimator.json" in archive.namelist()
    assert not any(name.endswith((".pkl", ".pickle")) for name in archive.namelist())


def test_the_figures_are_one_page_without_the_network(finished, finished_store):
    page = result._html(finished.report()).decode()
    assert page.count("plotly.js v") == 1
    assert 'src="http' not in page


def test_a_report_without_a_view_of_its_own_is_shown(finished_store):
    from streamlit.testing.v1 import AppTest

    def script():
        import pandas as pd

        from workbench.gui import result
        from workbench.report import Report

        table = pd.DataFrame({"true": ["a"], "predicted": ["a"], "count": [3]})
        scores = {"test_accuracy": 1.0, "control_test_accuracy": 0.5, "test_mae": 12.0}
        result.body(None, Report("third.party", "It went well.", scores, {"confusion": table}))

    app = AppTest.from_function(script, default_timeout=30).run()
    assert not app.exception
    assert [metric.value for metric in app.metric] == ["1.000", "12.0"]
    assert len(_figures(app)) == 2


def test_the_web_process_never_imports_torch(finished, finished_store):
    views = [
        ("home", {}),
        *(("datasets", {"data": "GunPoint@1", "view": view}) for view in VIEWS),
        ("sql", {}),
        ("time_series", {"data": "GunPoint@1"}),
        ("runs", {}),
        ("run", {"run": finished.id}),
        ("models", {}),
        ("compare", {"runs": finished.id}),
    ]
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
for name, params in {views!r}:
    app = AppTest.from_file({str(PAGES)!r} + "/" + name + ".py", default_timeout=120)
    for key, value in params.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception and not app.error, (name, app.exception, app.error)
"""
    script += "sys.exit('torch was imported' if 'torch' in sys.modules else 0)\n"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
