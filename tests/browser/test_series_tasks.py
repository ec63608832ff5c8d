"""What a person does with the tasks on series: start them, read the result, repeat it as a script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, SLOW, Server, choose, drawn, expect, go, photograph, run_id, settle

import workbench as wb
from workbench import notebook
from workbench.timeseries.tasks.detect import alarms

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def data(server: Server) -> wb.Store:
    """Series of three kinds, some without a label; and one long recording with two anomalies."""
    rng = np.random.default_rng(0)
    store, frames = wb.open(server.store), []
    for i in range(60):
        t, kind = np.arange(40), i % 3
        wave = [np.sin(t / 2 + i), np.sign(np.sin(t / 4 + i)), (t % 10) / 5 - 1][kind]
        label = None if i % 5 == 0 and i < 40 else ["sine", "square", "saw"][kind]
        split = "train" if i < 40 else "test"
        values = wave + rng.normal(0, 0.2, 40)
        frames.append(
            pd.DataFrame({"series_id": f"w{i}", "time": t, "x": values, "label": label, "split": split})
        )
    store.datasets.publish_frame(pd.concat(frames, ignore_index=True), "Waves")
    t = np.arange(900)
    load = np.sin(2 * np.pi * t / 24) + rng.normal(0, 0.1, 900)
    heat = np.cos(2 * np.pi * t / 24) + rng.normal(0, 0.1, 900)
    anomaly = np.zeros(900, dtype=int)
    for begin in (700, 820):
        anomaly[begin : begin + 12] = 1
        load[begin : begin + 12] = 2.5
    heat[300:306] = np.nan
    hours = pd.date_range("2026-01-05", periods=900, freq="h")
    store.datasets.publish_frame(
        pd.DataFrame({"time": hours, "load": load, "heat": heat, "anomaly": anomaly}), "Plant"
    )
    return store


def _run(page, server: Server, task: str, **params: object):
    """Start a task from its form in the browser, and wait for it; its result page is open then."""
    address = "&".join(f"{name}={value}" for name, value in params.items())
    go(page, f"/time-series?{address}")
    expect(page.get_by_role("combobox", name="What do you want to know?")).to_have_value(task, timeout=SLOW)
    page.get_by_role("button", name="Start", exact=True).click()
    run = wb.open(server.store).run(run_id(page)).wait(timeout=300)
    assert run.state == "done", run.error
    go(page, f"/run?run={run.id}")
    expect(page.get_by_text("Beside its control and peers")).to_be_visible(timeout=SLOW)
    drawn(page)
    return run


def test_classify_with_partial_labels(page, server: Server, data):
    run = _run(
        page,
        server,
        "Classify series",
        data="Waves@1",
        estimator="timeseries.UniTSClassifier",
        **{"UniTSClassifier.encoders": "CSL", "UniTSClassifier.pretrain_epochs": 2},
    )
    assert run.spec["params"]["encoders"] == "CSL"
    assert "32 of 40 training series have a label" in run.headline
    assert run.scores["test_accuracy"] > 0.7
    for heading in ("Accuracy by number of labels", "Probabilities beside the series", "Each class"):
        expect(page.get_by_text(heading)).to_be_visible(timeout=SLOW)
    photograph(page, f"/run?run={run.id}", "classify-run", 1280)


def test_group_series(page, server: Server, data):
    run = _run(
        page,
        server,
        "Group series",
        **{"data": "Waves@1", "estimator": "timeseries.UniTSClusterer", "UniTSClusterer.n_clusters": 3},
        **{"UniTSClusterer.encoders": "CSL", "UniTSClusterer.pretrain_epochs": 2},
    )
    assert 0 < run.scores["nmi"] <= 1
    stars = page.evaluate(
        "() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)"
        ".flatMap(line => line.marker && Array.isArray(line.marker.symbol) ? line.marker.symbol : [])"
        ".filter(symbol => symbol === 'star').length"
    )
    assert stars == 3
    expect(page.get_by_text("Medoids", exact=True)).to_be_visible(timeout=SLOW)
    photograph(page, f"/run?run={run.id}", "cluster-run", 1280)


def test_find_anomalies_and_move_the_threshold(page, server: Server, data):
    run = _run(
        page,
        server,
        "Find anomalies",
        data="Plant@1",
        estimator="timeseries.UniTSAnomalyDetector",
        **{"UniTSAnomalyDetector.encoders": "CSL", "UniTSAnomalyDetector.pretrain_epochs": 1},
        **{"UniTSAnomalyDetector.window": 24, "UniTSAnomalyDetector.max_windows": 200},
    )
    assert run.scores["auc_pr"] > 0.5
    expect(page.get_by_text("truly anomalous").first).to_be_visible(timeout=SLOW)
    before = page.get_by_text(re.compile(r"^Alarms \(\d+\)$")).inner_text()
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(5):
        slider.press("PageUp")
    expect(page.get_by_text(before, exact=True)).to_be_hidden(timeout=SLOW)
    page.get_by_text("Variables below").click()
    drawn(page)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot')].some("
        "plot => plot.data.some(line => line.name === 'load'))",
        timeout=SLOW,
    )
    photograph(page, f"/run?run={run.id}", "anomalies-run", 1280)


def test_forecast_what_comes_next(page, server: Server, data):
    run = _run(
        page,
        server,
        "Forecast what comes next",
        **{"data": "Plant@1", "estimator": "timeseries.UniTSForecaster", "UniTSForecaster.horizon": 12},
        **{"UniTSForecaster.encoders": "CSL", "UniTSForecaster.pretrain_epochs": 1},
        **{"UniTSForecaster.max_windows": 200},
    )
    by_model = run.report().tables["scores"].query("metric == 'mse'").set_index("model")["value"]
    assert run.scores["mse"] < by_model["Last value"]
    expect(page.get_by_text("What comes next", exact=True)).to_be_visible(timeout=SLOW)
    lines = page.evaluate(
        "() => [...document.querySelectorAll('.js-plotly-plot')][0].data.map(line => line.name)"
    )
    assert {"80 % band", "history", "forecast"} <= set(lines)
    ends = page.evaluate("() => document.querySelectorAll('.js-plotly-plot')[0].data.at(-1).x.at(-1)")
    assert ends.startswith("2026-02-11T23:00")  # twelve hours after the last of 900
    photograph(page, f"/run?run={run.id}", "forecast-run", 1280)


def test_fill_in_what_is_missing(page, server: Server, data):
    run = _run(
        page,
        server,
        "Fill in what is missing",
        **{"data": "Plant@1", "estimator": "timeseries.UniTSImputer", "UniTSImputer.encoders": "CSL"},
        **{"UniTSImputer.pretrain_epochs": 1, "UniTSImputer.window": 48, "UniTSImputer.max_windows": 100},
    )
    assert len(run.report().tables["filled"]) == 6
    expect(page.get_by_text("Missing in the data, and filled (6)")).to_be_visible(timeout=SLOW)
    photograph(page, f"/run?run={run.id}", "impute-run", 1280)


def test_what_is_bound_to_fail_is_refused_before_it_is_queued(page, server: Server, data):
    before = len(wb.open(server.store).runs())
    go(page, "/time-series?data=Plant@1&estimator=timeseries.UniTSForecaster&UniTSForecaster.horizon=600")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_test_id("stAlert")).to_contain_text("foretell fewer steps", timeout=SLOW)
    assert len(wb.open(server.store).runs()) == before


@pytest.mark.parametrize("estimator", ["UniTSClusterer", "UniTSForecaster"])
def test_the_exported_script_reaches_the_same_scores(server: Server, data, tmp_path: Path, estimator: str):
    run = next(r for r in data.runs(state="done") if r.estimator_name == f"timeseries.{estimator}")
    script = tmp_path / "repeat.py"
    script.write_text(notebook.as_script(run))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_a_question_alone_is_answered_and_the_best_is_one_click_from_models(page, server: Server, data):
    go(page, "/time-series?data=Waves@1&quality=quick&minutes=2")
    choose(page, "What do you want to know?", "Classify series")
    expect(page.get_by_role("combobox", name="How")).to_have_value("Find the best", timeout=SLOW)
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"/search\?search="))
    search = page.url.partition("search=")[2]
    found = wb.open(server.store).run(search).wait(timeout=600)
    assert found.state == "done", found.error
    expect(page.get_by_text("the search is done")).to_be_visible(timeout=SLOW)
    photograph(page, f"/search?search={search}", "search", 1280)
    page.get_by_role("button", name="Keep the best as a model").click()
    page.wait_for_url(re.compile("/models.*model=Waves"), timeout=SLOW)
    assert "Waves classify" in [model.name for model in data.models.list()]


def test_two_data_sets_and_three_ways_to_set_up_an_encoder_are_one_flow(page, server: Server, data):
    series = data.dataset("Waves@1").to_series()
    data.datasets.publish_arrays(series.X[:30, :30] + 1.0, name="Others")
    encoders = "&".join(f"UniTSClassifier.encoders={name}" for name in ("CSL", "TS2Vec", "TST"))
    go(page, f"/time-series?data=Waves@1&estimator=timeseries.UniTSClassifier&{encoders}")
    _choose_mode(page, "TS2Vec", "Manual")
    _choose_mode(page, "TST", "Smart")
    choose(page, "Pre-train on these data sets too", "Others@1")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot')].some(plot => {"
        " const words = plot.data.flatMap(line => line.text || []);"
        " return ['Waves@1', 'Others@1', 'searched for'].every(word => words.includes(word))"
        " && words.some(word => word.endsWith(', by hand')) })",
        timeout=SLOW,
    )
    photograph(page, page.url, "flow", 1280)
    page.get_by_role("button", name="Start", exact=True).click()
    run = wb.open(server.store).run(run_id(page))
    asked = run.spec["params"]
    run.cancel()
    assert (asked["more"], asked["smart"]) == (["Others@1"], ["TST"])
    first, by_hand, last = asked["params"]["encoders"]
    assert (first, by_hand["$estimator"], last) == ("CSL", "timeseries.TS2Vec", "TST")
    assert run.wait(timeout=120).state == "cancelled"


def _choose_mode(page, encoder: str, mode: str) -> None:
    group = page.locator(f".st-key-{encoder}-mode")
    group.get_by_role("radio", name=mode).click()
    settle(page)


def test_a_false_alarm_becomes_a_label(page, server: Server, data):
    run = next(r for r in data.runs(state="done") if r.estimator_name.endswith("UniTSAnomalyDetector"))
    go(page, f"/run?run={run.id}")
    drawn(page)
    listed = page.locator(".st-key-frame-alarms").get_by_test_id("stDataFrame")
    listed.scroll_into_view_if_needed()
    listed.click(position={"x": 15, "y": 52})  # the first row's box
    page.get_by_role("button", name="False alarm (1)").click()
    expect(page.get_by_text("a new run is judged by it")).to_be_visible(timeout=SLOW)
    report = run.report()
    first = alarms(report.tables["track"], report.scores["threshold"]).iloc[0]
    expected = data.dataset("Plant@1").frame()["anomaly"].to_numpy().copy()
    expected[int(first["start"]) : int(first["end"]) + 1] = 0
    assert data.dataset("Plant@2").frame()["anomaly"].tolist() == expected.tolist()
    page.get_by_role("link", name="Run it again on that version").click()
    page.wait_for_url(re.compile("data=Plant"))
